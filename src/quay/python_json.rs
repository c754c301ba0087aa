//! JSON as Python writes it (`json.dumps`), and as its `json.loads` reads it: not as strictly as others.
//!
//! Python takes `NaN`, `Infinity` and `-Infinity` for numbers, lone surrogates for characters, and
//! numbers and nesting beyond what a strict reader holds. Quay reads policies with it.

use serde_json::Value;

/// The text that `json.dumps` makes: a space after each comma and colon, everything beyond printable
/// ASCII escaped.
pub fn dumps(value: &Value) -> String {
    let mut text = String::new();
    dump(value, &mut text);
    text
}

fn dump(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(&value.to_string()),
        Value::String(text) => dump_string(text, out),
        Value::Array(values) => {
            out.push('[');
            for (nth, value) in values.iter().enumerate() {
                out.push_str(if nth == 0 { "" } else { ", " });
                dump(value, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            for (nth, (key, value)) in entries.iter().enumerate() {
                out.push_str(if nth == 0 { "" } else { ", " });
                dump_string(key, out);
                out.push_str(": ");
                dump(value, out);
            }
            out.push('}');
        }
    }
}

fn dump_string(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// Nesting up to which a strict reader says "no JSON" for other reasons than depth.
const DEEPEST: usize = 100;

/// Whether Python may read a text that a strict reader has refused.
pub(super) fn python_may_read(text: &str) -> bool {
    let plain = strict(text);
    plain.deepest > DEEPEST || serde_json::from_str::<Value>(&plain.text).is_ok()
}

struct Strict {
    text: String,
    deepest: usize,
}

/// The text with what only Python reads made into what every reader knows: numbers that are none
/// into 0, lone surrogates into U+FFFD.
pub(super) fn made_strict(text: &str) -> String {
    strict(text).text
}

/// The same, with how deep it nests.
fn strict(text: &str) -> Strict {
    let mut strict = Strict {
        text: String::with_capacity(text.len()),
        deepest: 0,
    };
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '"' => string(rest, &mut strict.text),
            '-' | 'N' | 'I' | '0'..='9' => number(rest, &mut strict.text),
            _ => {
                match c {
                    '{' | '[' => depth += 1,
                    '}' | ']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                strict.text.push(c);
                c.len_utf8()
            }
        };
        strict.deepest = strict.deepest.max(depth);
        rest = &rest[taken..];
    }
    strict
}

/// Copies a string, its surrogates replaced; how many bytes it was.
fn string(rest: &str, out: &mut String) -> usize {
    out.push('"');
    let mut at = 1;
    while let Some(c) = rest[at..].chars().next() {
        let escape = rest.get(at..at + 6).filter(|_| c == '\\');
        if escape.is_some_and(is_surrogate) {
            out.push_str("\\ufffd");
            at += 6;
            continue;
        }
        out.push(c);
        at += c.len_utf8();
        if c == '"' {
            break;
        }
        if c == '\\'
            && let Some(escaped) = rest[at..].chars().next()
        {
            out.push(escaped);
            at += escaped.len_utf8();
        }
    }
    at
}

fn is_surrogate(escape: &str) -> bool {
    escape
        .strip_prefix("\\u")
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .is_some_and(|unit| (0xd800..=0xdfff).contains(&unit))
}

/// Copies a number, or zero where only Python knows it; how many bytes it was.
fn number(rest: &str, out: &mut String) -> usize {
    for word in ["-Infinity", "Infinity", "NaN"] {
        if rest.starts_with(word) {
            out.push('0');
            return word.len();
        }
    }
    let is_part = |c: char| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
    let end = rest
        .find(|c| !is_part(c))
        .unwrap_or(rest.len())
        // A capital letter that begins no word: copied, and refused by whoever reads it.
        .max(1);
    let token = &rest[..end];
    let infinite = token.parse::<f64>().is_ok_and(f64::is_infinite);
    let plain = token
        .trim_start_matches('-')
        .starts_with(|c: char| c.is_ascii_digit());
    out.push_str(if infinite && plain { "0" } else { token });
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_python_reads_is_told_from_what_nobody_reads() {
        for text in [
            r#"{"tag_pattern": "v", "x": NaN}"#,
            r#"{"tag_pattern": "v", "tag_pattern_matches": -Infinity}"#,
            r#"{"tag_pattern": "\ud800v"}"#,
            r#"{"tag_pattern": "\udc00\ud800"}"#,
            r#"{"tag_pattern": "v", "x": 1e999}"#,
            &format!("{}1{}", "[".repeat(200), "]".repeat(200)),
        ] {
            assert!(serde_json::from_str::<Value>(text).is_err(), "{text}");
            assert!(python_may_read(text), "{text}");
        }
        for text in [
            "",
            "{",
            "{\"a\": nan}",
            "{\"a\": Nan}",
            "{\"a\": +1}",
            "{'a': 1}",
            "{\"a\": \"\\ud800}",
            "{\"a\": \"\\x\"}",
            "{\"a\": 01}",
            "[1,]",
            "ä",
        ] {
            assert!(!python_may_read(text), "{text}");
        }
    }
}
