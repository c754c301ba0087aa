//! A pattern's SQL condition holds for exactly the names that the pattern matches.

use quay_doctor::pattern::{Compiled, Matcher, compile};
use quay_doctor::pg::{Statements, ToSql, WriteSession};
use sea_query::Alias;
use testkit::shared::TestDatabase;
use testkit::skipped;

use crate::scale::cases;

/// Patterns of one run, each asked of all names under every collation.
const PATTERNS: u32 = 300;

/// Pieces that matter to LIKE, to collations, to quoting, and to the dialect.
const PIECES: &[&str] = &[
    "a",
    "v",
    "V",
    "A",
    "1",
    "%",
    "_",
    "-",
    "'",
    "\"",
    "\\\\",
    r"\.",
    r"\_",
    "\u{e9}",
    "e\u{301}",
    "ss",
    "\u{df}",
    "\u{131}",
    "i",
    "I",
    " ",
    "$$",
    "\u{1f600}",
    "[ab]",
    "[iI]",
    "(?:a|bc)",
    "x?",
    "latest",
    "release",
    "(?:v1|V1)",
];
const GAPS: &[&str] = &[
    ".*", ".+", ".", ".{2}", ".{1,3}", "(?s:.*)", ".*?", "..", "",
];

fn pattern(random: &mut fastrand::Rng) -> String {
    let pick = |random: &mut fastrand::Rng, from: &[&'static str]| from[random.usize(..from.len())];
    let text = |random: &mut fastrand::Rng| -> String {
        (0..random.usize(..3))
            .map(|_| pick(random, PIECES))
            .collect()
    };
    let flag = if random.u8(..8) == 0 { "(?i)" } else { "" };
    let one = |random: &mut fastrand::Rng| match random.u8(..6) {
        0 => text(random),
        1 => format!(".*{}.*", text(random)),
        2 => format!("^{}{}$", text(random), pick(random, GAPS)),
        3 => format!("{}{}", pick(random, GAPS), text(random)),
        _ => format!("{}{}{}", text(random), pick(random, GAPS), text(random)),
    };
    let alternatives: Vec<String> = (0..random.usize(1..3)).map(|_| one(random)).collect();
    format!("{flag}{}", alternatives.join("|"))
}

/// Names around a pattern: its own characters, and what collations confuse with them.
fn names(pattern: &str, random: &mut fastrand::Rng) -> Vec<String> {
    const CHARACTERS: &str =
        "avVA1%_-'\"\\.\u{e9}e\u{301}sS\u{df}\u{131}iI $\u{1f600}bcx\n\u{212a}";
    let all: Vec<char> = CHARACTERS.chars().chain(pattern.chars()).collect();
    let mut names = vec![
        String::new(),
        "latest".to_owned(),
        "v1\n".to_owned(),
        "\n".to_owned(),
    ];
    for _ in 0..60 {
        let length = random.usize(..5);
        names.push(
            (0..length)
                .map(|_| all[random.usize(..all.len())])
                .collect(),
        );
    }
    // The pattern without its syntax is often a match, and so are its neighbours.
    let plain: String = pattern
        .chars()
        .filter(|c| !"^$\\?*+(){}[]|:".contains(*c))
        .collect();
    names.push(format!("{plain}x"));
    names.push(plain.to_uppercase());
    names.push(plain.replace('.', ""));
    names.push(plain);
    names.sort();
    names.dedup();
    names
}

/// The columns to ask: one for each collation that the server has.
fn columns(session: &mut WriteSession) -> Vec<&'static str> {
    session
        .query(
            "CREATE TABLE tag (name varchar(255), in_c text COLLATE \"C\", plain text)",
            &[],
        )
        .expect("a table");
    let mut columns = vec!["tag.name", "tag.in_c", "tag.plain"];
    let collation = "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)";
    let nondeterministic = session
        .query(collation, &[])
        .and_then(|_| session.query("ALTER TABLE tag ADD loose text COLLATE loose", &[]));
    match nondeterministic {
        Ok(_) => columns.push("tag.loose"),
        Err(_) => skipped("this server has no ICU collations to ask about"),
    }
    columns
}

fn fill(session: &mut WriteSession, columns: &[&str], names: &[String]) {
    let list: Vec<&str> = columns
        .iter()
        .map(|c| c.trim_start_matches("tag."))
        .collect();
    let same: Vec<&str> = columns.iter().map(|_| "name").collect();
    session.query("TRUNCATE tag", &[]).expect("an empty table");
    let sql = format!(
        "INSERT INTO tag ({}) SELECT {} FROM unnest($1::text[]) AS given (name)",
        list.join(", "),
        same.join(", ")
    );
    session.query(&sql, &[&names]).expect("rows");
}

fn matched_by_sql(session: &mut WriteSession, matcher: &Matcher, column: &str) -> Vec<String> {
    let of_tag = ("tag", Alias::new(column.trim_start_matches("tag.")));
    let condition = matcher.sql().expect("a condition").render(of_tag);
    let sql = format!(
        "SELECT plain FROM tag WHERE {} ORDER BY plain COLLATE \"C\"",
        condition.text
    );
    let parameters: Vec<&(dyn ToSql + Sync)> = condition
        .parameters
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect();
    session
        .query(&sql, &parameters)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .iter()
        .map(|row| row.get("plain"))
        .collect()
}

#[test]
fn the_sql_condition_of_a_pattern_holds_for_exactly_the_names_that_match() {
    let database = TestDatabase::empty().expect("a database");
    let mut session = database.write_session().expect("a session");
    let columns = columns(&mut session);
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut with_condition, mut matches) = (0, 0);
    for _ in 0..cases(PATTERNS) {
        let pattern = pattern(&mut random);
        let Compiled::Valid(matcher) = compile(&pattern) else {
            continue;
        };
        if matcher.sql().is_none() {
            continue;
        }
        with_condition += 1;
        let names = names(&pattern, &mut random);
        fill(&mut session, &columns, &names);
        let expected: Vec<String> = names
            .iter()
            .filter(|name| matcher.decide(name).expect("a decision"))
            .cloned()
            .collect();
        matches += expected.len();
        for column in &columns {
            assert_eq!(
                matched_by_sql(&mut session, &matcher, column),
                expected,
                "seed {seed}: {pattern:?} on {column}"
            );
        }
    }
    println!("{with_condition} conditions, {matches} matching names");
    assert!(matches > 0);
}
