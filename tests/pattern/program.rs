//! `pattern eval` and `pattern explain`, through the program.

use assert_cmd::Command;
use serde_json::{Value, json};

fn eval(input: &str) -> (i32, Vec<Value>, String) {
    let output = Command::cargo_bin("quay-doctor")
        .expect("the program")
        .args(["pattern", "eval"])
        .write_stdin(input)
        .output()
        .expect("an end");
    let answers = String::from_utf8(output.stdout).expect("text");
    (
        output.status.code().expect("a status"),
        answers
            .lines()
            .map(|line| serde_json::from_str(line).expect("an answer"))
            .collect(),
        String::from_utf8(output.stderr).expect("text"),
    )
}

fn explain(arguments: &[&str]) -> (i32, String) {
    let output = Command::cargo_bin("quay-doctor")
        .expect("the program")
        .args(["pattern", "explain"])
        .args(arguments)
        // A database that does not answer: never asked.
        .env("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
        .output()
        .expect("an end");
    (
        output.status.code().expect("a status"),
        String::from_utf8(output.stdout).expect("text"),
    )
}

#[test]
fn each_line_is_answered_by_one_line_whatever_the_answer() {
    let (status, answers, _) = eval(concat!(
        r#"{"pattern": "v.*", "tags": ["v1", "latest"]}"#,
        "\n",
        r#"{"pattern": "a**", "tags": ["a"]}"#,
        "\n",
        r#"{"pattern": "(?R)", "tags": ["a"]}"#,
        "\n\n",
        r#"{"pattern": "[0-9]+", "tags": []}"#,
        "\n",
        r#"{"pattern": "(?!latest$).*", "tags": ["latest", "v1"]}"#,
    ));
    assert_eq!(status, 0);
    assert_eq!(answers.len(), 5);
    assert_eq!(
        answers[0],
        json!({"pattern": "v.*", "decisions": ["match", "no-match"], "engine": "literal"})
    );
    assert_eq!(answers[1]["pattern"], "a**");
    assert!(answers[1]["invalid"].as_str().is_some());
    assert!(answers[2]["undecidable"].as_str().is_some());
    assert_eq!(answers[3]["engine"], "automaton");
    assert_eq!(answers[4]["decisions"], json!(["no-match", "match"]));
    assert_eq!(answers[4]["engine"], "backtracking");
}

#[test]
fn a_broken_line_is_named_and_ends_with_two() {
    let (status, answers, complaint) =
        eval("{\"pattern\": \"a\", \"tags\": []}\n{\"pattern\": 1}\n");
    assert_eq!((status, answers.len()), (2, 1));
    assert!(complaint.contains("line 2"), "{complaint}");
    let (status, _, complaint) = eval("no json\n");
    assert_eq!(status, 2);
    assert!(complaint.contains("line 1"), "{complaint}");
}

#[test]
fn an_explanation_has_words_engine_sql_examples_and_warnings() {
    let (status, text) = explain(&["v1.2.*"]);
    assert_eq!(status, 0);
    for part in [
        "automaton",
        "no equal condition",
        "not matching",
        "warning",
        "\\.",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
    let (_, text) = explain(&["release-.*"]);
    assert!(
        text.contains("starts_with(\"name\" COLLATE \"C\", $1)"),
        "{text}"
    );
    assert!(!text.contains("warning"), "{text}");
}

#[test]
fn an_explanation_of_an_invalid_pattern_points_at_the_place() {
    let (status, text) = explain(&["ab**"]);
    assert_eq!(status, 0);
    assert!(text.starts_with("ab**\n   ^\n"), "{text}");
}

#[test]
fn an_explanation_comes_as_json_too() {
    let (status, text) = explain(&["--format", "json", "^latest$"]);
    let explained: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(status, 0);
    assert_eq!(explained["matching"], json!(["latest"]));
    assert_eq!(explained["sql"]["parameters"], json!(["latest", "latest"]));
    assert_eq!(explained["warnings"].as_array().map(Vec::len), Some(1));
}
