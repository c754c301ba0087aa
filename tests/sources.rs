//! What the sources may not do: assemble SQL at run time, or name a dependency that nothing uses.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Upper-case words by which a string is known to hold SQL.
const KEYWORDS: [&str; 22] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "FROM",
    "WHERE",
    "JOIN",
    "VALUES",
    "RETURNING",
    "ORDER BY",
    "LIMIT",
    "AND",
    "UNION",
    "LOCK TABLE",
    "SET",
    "FETCH",
    "DECLARE",
    "COPY",
    "CREATE",
    "DROP",
    "ALTER",
    "GRANT",
];

/// Calls that make a text of pieces.
const ASSEMBLERS: [&str; 6] = [
    "format!",
    "format_args!",
    "write!",
    "writeln!",
    ".push_str",
    ".write_str",
];

/// Calls that send a text to the server; the text comes first.
const SENDERS: [&str; 8] = [
    ".query",
    ".query_one",
    ".query_opt",
    ".query_one_of_many",
    ".execute",
    ".run",
    ".stream",
    ".copy_in",
];

/// Where SQL is assembled all the same: the file below src/, what the place holds, and why.
const EXCEPTIONS: [(&str, &str, &str); 8] = [
    (
        "migrate/rights.rs",
        "GRANT CREATE ON DATABASE",
        "advice for an administrator; the server has quoted the names",
    ),
    (
        "migrate/rights.rs",
        "GRANT USAGE, CREATE ON SCHEMA",
        "advice for an administrator; the server has quoted the names",
    ),
    (
        "migrate/rights.rs",
        "GRANT CREATE ON SCHEMA",
        "advice for an administrator; the server has quoted the names",
    ),
    (
        "migrate/rights.rs",
        "or run this as",
        "advice for an administrator; the server has quoted the names",
    ),
    (
        "sandbox/cluster.rs",
        "CREATE DATABASE {name} TEMPLATE {template}",
        "takes no parameter, sea-query has none; a name is a word of letters and digits",
    ),
    (
        "sandbox/cluster.rs",
        "CREATE DATABASE {name}",
        "takes no parameter, sea-query has none; a name is a word of letters and digits",
    ),
    (
        "sandbox/cluster.rs",
        "DROP DATABASE IF EXISTS",
        "takes no parameter, sea-query has none; a name is a word of letters and digits",
    ),
    (
        "scan/rows.rs",
        "SELECT to_jsonb(found) FROM (",
        "a user's own query, whose rows are asked for as JSON",
    ),
];

/// Dependencies that no source names, and why they are there.
const UNNAMED: [(&str, &str); 0] = [];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source of the program, by its path below src/.
fn sources() -> Vec<(String, String)> {
    let src = root().join("src");
    let mut found = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let below: &Path = path.strip_prefix(&src).expect("below src");
                found.push((below.to_string_lossy().into_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// A piece of Rust.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// The value of a string, escapes as they are written.
    Text(String),
    /// Code without white space; a word, or one other character.
    Code(String),
}

/// A source as its pieces, without comments and without the unit tests at its end.
fn pieces(source: &str) -> Vec<Piece> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let chars: Vec<char> = source.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied();
        let raw = raw_string(&chars, at);
        if c == '/' && next == Some('/') {
            at = end_of(&chars, at, &['\n']);
        } else if c == '/' && next == Some('*') {
            at = end_of(&chars, at + 2, &['*', '/']);
        } else if let Some((start, closing)) = raw {
            let end = end_of(&chars, start, &closing);
            let text = &chars[start..end - closing.len()];
            pieces.push(Piece::Text(text.iter().collect()));
            at = end;
        } else if c == '"' {
            let start = at + 1;
            at = start;
            while chars.get(at).is_some_and(|c| *c != '"') {
                at += if chars[at] == '\\' { 2 } else { 1 };
            }
            pieces.push(Piece::Text(chars[start..at].iter().collect()));
            at += 1;
        } else if c == '\'' && (next == Some('\\') || chars.get(at + 2) == Some(&'\'')) {
            // A character; a lifetime has no second quote there.
            at = end_of(&chars, at + 3, &['\'']).min(at + 12);
        } else if c.is_alphanumeric() || c == '_' {
            let start = at;
            while chars
                .get(at)
                .is_some_and(|c| c.is_alphanumeric() || *c == '_')
            {
                at += 1;
            }
            pieces.push(Piece::Code(chars[start..at].iter().collect()));
        } else {
            if !c.is_whitespace() {
                pieces.push(Piece::Code(c.into()));
            }
            at += 1;
        }
    }
    pieces
}

/// Where the text of a raw string begins that begins here, and what ends it.
fn raw_string(chars: &[char], at: usize) -> Option<(usize, Vec<char>)> {
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if chars[at] != 'r' || word_before {
        return None;
    }
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    let opening = at + 1 + hashes;
    let mut closing = vec!['"'];
    closing.extend(std::iter::repeat_n('#', hashes));
    (chars.get(opening) == Some(&'"')).then_some((opening + 1, closing))
}

/// The place after the next of these; the end where there is none.
fn end_of(chars: &[char], from: usize, what: &[char]) -> usize {
    let from = from.min(chars.len());
    let found = chars[from..]
        .windows(what.len())
        .position(|some| some == what);
    found.map_or(chars.len(), |place| from + place + what.len())
}

/// Whether a text holds a word of SQL.
fn is_sql(text: &str) -> bool {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    KEYWORDS.iter().any(|keyword| {
        text.match_indices(keyword).any(|(place, _)| {
            !in_word(text[..place].chars().next_back())
                && !in_word(text[place + keyword.len()..].chars().next())
        })
    })
}

/// The pieces between the bracket that opens here and the one that closes it.
fn inside(pieces: &[Piece]) -> &[Piece] {
    let mut depth = 0_usize;
    for (place, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Code(code) if ["(", "[", "{"].contains(&&**code) => depth += 1,
            Piece::Code(code) if [")", "]", "}"].contains(&&**code) => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &pieces[..place];
        }
    }
    pieces
}

fn is_code(piece: Option<&Piece>, wanted: &str) -> bool {
    matches!(piece, Some(Piece::Code(code)) if code == wanted)
}

/// Whether these pieces begin with a name such as `format!` or `.push_str`, and a bracket; then the
/// pieces from the bracket on.
fn call<'p>(pieces: &'p [Piece], name: &str) -> Option<&'p [Piece]> {
    let words: Vec<&str> = match (name.strip_prefix('.'), name.strip_suffix('!')) {
        (Some(method), _) => vec![".", method],
        (_, Some(makro)) => vec![makro, "!"],
        _ => vec![name],
    };
    let matches = words
        .iter()
        .enumerate()
        .all(|(place, word)| is_code(pieces.get(place), word));
    let rest = pieces.get(words.len()..)?;
    let opens = ["(", "[", "{"]
        .iter()
        .any(|open| is_code(rest.first(), open));
    (matches && opens).then(|| inside(rest))
}

/// Every place of a source where SQL is assembled, by the text that shows it.
fn assembled(source: &str) -> BTreeSet<String> {
    let pieces = pieces(source);
    let mut found = BTreeSet::new();
    for place in 0..pieces.len() {
        let here = &pieces[place..];
        for arguments in ASSEMBLERS.iter().filter_map(|name| call(here, name)) {
            let texts = arguments.iter().filter_map(|piece| match piece {
                Piece::Text(text) if is_sql(text) => Some(text.clone()),
                _ => None,
            });
            found.extend(texts);
        }
        // A text may be sent that shows no keyword, since all of it is interpolated.
        for arguments in SENDERS.iter().filter_map(|name| call(here, name)) {
            let first = arguments.iter().find(|piece| {
                !["(", "&"]
                    .iter()
                    .any(|skipped| is_code(Some(piece), skipped))
            });
            if is_code(first, "format") {
                let text = arguments.iter().find_map(|piece| match piece {
                    Piece::Text(text) => Some(text.clone()),
                    Piece::Code(_) => None,
                });
                found.extend(text);
            }
        }
        // "SELECT …" + rest, rest + "WHERE …", "SELECT …".replace(…), ["SELECT …", …].concat().
        if let Piece::Text(text) = &pieces[place]
            && is_sql(text)
        {
            let before = place.checked_sub(1).and_then(|place| pieces.get(place));
            let added = is_code(before, "+") || is_code(here.get(1), "+");
            let added_to = is_code(before, "=")
                && place
                    .checked_sub(2)
                    .is_some_and(|place| is_code(pieces.get(place), "+"));
            let rest = here.get(1..).unwrap_or_default();
            let changed = is_code(rest.first(), ".")
                && ["replace", "replacen"]
                    .iter()
                    .any(|method| is_code(rest.get(1), method));
            if added || added_to || changed {
                found.insert(text.clone());
            }
        }
        if is_code(here.first(), "[") {
            let listed = inside(here);
            let after = here.get(listed.len() + 1..).unwrap_or_default();
            let joined = is_code(after.first(), ".")
                && ["concat", "join"]
                    .iter()
                    .any(|method| is_code(after.get(1), method));
            let texts = listed.iter().filter_map(|piece| match piece {
                Piece::Text(text) if joined && is_sql(text) => Some(text.clone()),
                _ => None,
            });
            found.extend(texts);
        }
    }
    found
}

#[test]
fn no_sql_is_assembled_at_run_time() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (path, source) in sources() {
        for text in assembled(&source) {
            let exception = EXCEPTIONS
                .iter()
                .position(|(file, holds, _)| *file == path && text.contains(holds));
            match exception {
                Some(number) => {
                    used.insert(number);
                }
                None => wrong.push(format!("{path}: {text}")),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{}",
        wrong.len(),
        wrong.join("\n---\n")
    );
    let stale: Vec<_> = (0..EXCEPTIONS.len())
        .filter(|number| !used.contains(number))
        .map(|number| EXCEPTIONS[number])
        .collect();
    assert!(stale.is_empty(), "nothing needs these: {stale:?}");
}

#[test]
fn sql_that_is_assembled_is_found_however_it_is_written() {
    for planted in [
        r#"let sql = format!("SELECT id FROM {table}");"#,
        r##"pg.query(&format!(r#"DELETE FROM "{table}""#), &[])"##,
        r#"write!(out, " AND name = {name}")?;"#,
        r#"sql.push_str("WHERE id = $1");"#,
        r#"sql.push_str(&format!("{x} ORDER BY id"));"#,
        r#"let sql = columns + " FROM tag";"#,
        r#"sql += "LIMIT 1";"#,
        r#"let sql = "SELECT id FROM TABLE".replace("TABLE", table);"#,
        r#"tx.run(&["LOCK TABLE ", name].concat())"#,
        r#"tx.run(&["LOCK TABLE a;", "LOCK TABLE b;"].join("\n"))"#,
        r#"pg.query_one(&format!("{HEAD}{TAIL}"), &[])"#,
        "let sql = format!(\n    \"SELECT id // no comment\n FROM {table}\"\n);",
        r#"let quote = '"'; let sql = format!("SELECT {id}");"#,
    ] {
        assert!(!assembled(planted).is_empty(), "{planted}");
    }
}

#[test]
fn what_is_no_assembled_sql_is_not_taken_for_it() {
    for innocent in [
        r#"pg.query("SELECT id FROM tag WHERE id = $1", &[&id])"#,
        r#"// format!("SELECT {id}")"#,
        r#"const SQL: &str = concat!("SELECT ", columns!(), " FROM tag");"#,
        r#"format!("the role may not select from {table}")"#,
        r#"format!("SELECTED {n}, UNSET")"#,
        r#"pg.query("SELECT 1", &[&format!("{n}ms")])"#,
        r#"fn f<'a>(x: &'a str) { pg.query("SELECT 'x'", &[]) }"#,
    ] {
        assert!(assembled(innocent).is_empty(), "{innocent}");
    }
}

/// The names below `[dependencies]`, as a source spells them.
fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let manifest: toml::Table = manifest.parse().expect("a manifest");
    let table = manifest["dependencies"].as_table().expect("a table");
    table.keys().map(|name| name.replace('-', "_")).collect()
}

/// Whether a source names a crate: as a path, in a `use`, or as a derive's or an attribute's.
fn names(pieces: &[Piece], dependency: &str) -> bool {
    pieces.windows(3).any(|three| {
        is_code(three.first(), dependency)
            && is_code(three.get(1), ":")
            && is_code(three.get(2), ":")
    }) || pieces
        .windows(2)
        .any(|two| is_code(two.first(), "use") && is_code(two.get(1), dependency))
}

#[test]
fn every_dependency_is_named_by_a_source() {
    let sources: Vec<Vec<Piece>> = sources().iter().map(|(_, source)| pieces(source)).collect();
    let unused: Vec<String> = dependencies()
        .into_iter()
        .filter(|name| !UNNAMED.iter().any(|(unnamed, _)| unnamed == name))
        .filter(|name| !sources.iter().any(|pieces| names(pieces, name)))
        .collect();
    assert!(unused.is_empty(), "no source names {unused:?}");
}

#[test]
fn a_dependency_that_stands_only_in_a_comment_or_a_text_is_not_named() {
    for (source, named) in [
        ("use time::OffsetDateTime;", true),
        ("use time;", true),
        ("let now = time::now();", true),
        ("// time::now()", false),
        (r#"let text = "time::now()";"#, false),
        ("let time = std::thread::sleep(time);", false),
    ] {
        assert_eq!(names(&pieces(source), "time"), named, "{source}");
    }
}
