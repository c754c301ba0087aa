//! `pattern eval` and `pattern explain`: the matcher on its own. Never connects.

use std::io::{self, BufRead, Write};

use clap::{Args, Subcommand};
use miette::Diagnostic;
use quay_doctor::{
    Compiled, Engine, Explanation, InvalidPattern, Undecidable, compile_pattern, explain_pattern,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::{Exit, Failure, Format, Globals, output};

/// Longest input line, in bytes.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// The matcher on its own.
#[derive(Args)]
pub struct Pattern {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Decide patterns and tags, one JSON object a line on stdin and one on stdout
    ///
    /// In:  {"pattern": "v.*", "tags": ["v1", "latest"]}
    ///
    /// Out: {"pattern": "v.*", "decisions": ["match", "no-match"], "engine": "literal"}, or with
    /// "invalid" or "undecidable" and a reason in place of decisions and engine.
    #[command(verbatim_doc_comment)]
    Eval,
    /// Say what a pattern means, with examples and warnings
    Explain {
        /// The pattern, as in Quay's policy
        #[arg(value_name = "PATTERN", allow_hyphen_values = true)]
        pattern: String,
    },
}

/// What can go wrong with input and output.
#[derive(Debug, Error, Diagnostic)]
pub enum PatternError {
    /// A line is not what is expected.
    #[error(
        "line {line} of the input is no {{\"pattern\": \"...\", \"tags\": [\"...\"]}}: {reason}"
    )]
    BrokenLine {
        /// From 1.
        line: usize,
        /// What the JSON reader says.
        reason: String,
    },
    /// A line is too long.
    #[error("line {line} of the input is longer than {MAX_LINE_BYTES} bytes")]
    LongLine {
        /// From 1.
        line: usize,
    },
    /// Reading or writing failed.
    #[error("cannot read or write: {0}")]
    Io(#[from] io::Error),
}

impl From<PatternError> for Failure {
    fn from(error: PatternError) -> Self {
        match error {
            PatternError::Io(_) => Self::unknown(error),
            _ => Self::usage(error),
        }
    }
}

#[derive(Deserialize)]
struct Question {
    pattern: String,
    tags: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Decided {
        pattern: String,
        decisions: Vec<&'static str>,
        engine: String,
    },
    Invalid {
        pattern: String,
        invalid: String,
    },
    Undecidable {
        pattern: String,
        undecidable: String,
    },
}

impl Pattern {
    /// Runs the verb.
    pub fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        match &self.what {
            What::Eval => eval(io::stdin().lock(), io::stdout().lock())?,
            What::Explain { pattern } => print_explanation(pattern, globals.format)?,
        }
        Ok(Exit::AllWell)
    }
}

/// Answers line by line, so that a caller can go on asking.
fn eval(mut input: impl BufRead, mut output: impl Write) -> Result<(), PatternError> {
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        let read = io::Read::take(&mut input, MAX_LINE_BYTES).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            break;
        }
        if read as u64 == MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
            return Err(PatternError::LongLine { line });
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let question: Question =
            serde_json::from_slice(&bytes).map_err(|error| PatternError::BrokenLine {
                line,
                reason: error.to_string(),
            })?;
        serde_json::to_writer(&mut output, &answer(question)).map_err(io::Error::from)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

fn answer(question: Question) -> Answer {
    let pattern = question.pattern;
    let matcher = match compile_pattern(&pattern) {
        Compiled::Valid(matcher) => matcher,
        Compiled::Invalid(invalid) => {
            return Answer::Invalid {
                pattern,
                invalid: invalid.to_string(),
            };
        }
        Compiled::Undecidable(reason) => return undecidable(pattern, reason),
    };
    let mut decisions = Vec::with_capacity(question.tags.len());
    for tag in &question.tags {
        match matcher.decide(tag) {
            Ok(true) => decisions.push("match"),
            Ok(false) => decisions.push("no-match"),
            // A line has one answer; with a tag that is not decided, that is "undecidable".
            Err(reason) => return undecidable(pattern, reason),
        }
    }
    Answer::Decided {
        pattern,
        decisions,
        engine: matcher.engine().to_string(),
    }
}

fn undecidable(pattern: String, reason: Undecidable) -> Answer {
    Answer::Undecidable {
        pattern,
        undecidable: reason.to_string(),
    }
}

fn print_explanation(pattern: &str, format: Format) -> Result<(), Failure> {
    let compiled = compile_pattern(pattern);
    match (&compiled, format) {
        (_, Format::Json) => output::json(&explanation_as_json(pattern, &compiled)),
        (Compiled::Valid(matcher), Format::Human) => {
            output::text(&explanation_as_text(pattern, &explain_pattern(matcher)))
        }
        (Compiled::Invalid(invalid), Format::Human) => {
            output::text(&invalid_as_text(pattern, invalid))
        }
        (Compiled::Undecidable(reason), Format::Human) => output::text(&format!(
            "{pattern}\n  undecidable: {reason}\n  Only Quay itself can tell what this matches.\n"
        )),
    }
}

/// The pattern, a mark under the place where it goes wrong, and why.
fn invalid_as_text(pattern: &str, invalid: &InvalidPattern) -> String {
    // A line break in the pattern would move the mark to another line.
    let shown: String = pattern
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mark = " ".repeat(invalid.position);
    format!(
        "{shown}\n{mark}^\n  invalid {invalid}\n  Quay counts an invalid pattern as matching nothing; with \
         \"tag_pattern_matches\": false it makes every tag immutable.\n"
    )
}

fn explanation_as_text(pattern: &str, explanation: &Explanation) -> String {
    let mut lines = vec![
        pattern.to_owned(),
        format!("  matches      {}", explanation.words),
        format!("  engine       {}", engine_in_words(explanation.engine)),
    ];
    match &explanation.sql {
        Some(sql) => {
            let rendered = sql.render("name");
            lines.push(format!("  as SQL       {}", rendered.text));
            for (index, value) in rendered.parameters.iter().enumerate() {
                lines.push(format!("               ${} = {value:?}", index + 1));
            }
        }
        None => lines.push("  as SQL       no equal condition".to_owned()),
    }
    lines.push(format!("  matching     {}", listed(&explanation.matching)));
    lines.push(format!("  not matching {}", listed(&explanation.failing)));
    for warning in &explanation.warnings {
        lines.push(format!("  warning: {warning}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

fn engine_in_words(engine: Engine) -> &'static str {
    match engine {
        Engine::Literal => "literal: comparison with fixed texts",
        Engine::Automaton => "automaton: one pass over the tag",
        Engine::Backtracking => "backtracking, with a step limit",
    }
}

fn listed(tags: &[String]) -> String {
    if tags.is_empty() {
        "(none found)".to_owned()
    } else {
        tags.join("  ")
    }
}

fn explanation_as_json(pattern: &str, compiled: &Compiled) -> Value {
    match compiled {
        Compiled::Invalid(invalid) => json!({
            "pattern": pattern,
            "invalid": invalid.to_string(),
            "position": invalid.position,
        }),
        Compiled::Undecidable(reason) => json!({
            "pattern": pattern,
            "undecidable": reason.to_string(),
        }),
        Compiled::Valid(matcher) => {
            let explanation = explain_pattern(matcher);
            let sql = explanation.sql.map(|sql| {
                let rendered = sql.render("name");
                json!({"text": rendered.text, "parameters": rendered.parameters})
            });
            let warnings: Vec<String> = explanation
                .warnings
                .iter()
                .map(ToString::to_string)
                .collect();
            json!({
                "pattern": pattern,
                "words": explanation.words,
                "engine": explanation.engine.to_string(),
                "sql": sql,
                "matching": explanation.matching,
                "not_matching": explanation.failing,
                "warnings": warnings,
            })
        }
    }
}
