//! A policy's stored text, read as Quay reads it.
//!
//! Quay stores `json.dumps` of {"tag_pattern", "tag_pattern_matches"} and evaluates with
//! `config.get("tag_pattern_matches", True)` and Python's truth values (immutability.py:128-137).
//! It is parsed here and never by PostgreSQL: the text may hold `\u0000`, on which a cast to jsonb
//! fails.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::python_json::{dumps, python_may_read};

/// The text of a policy row, exactly as stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PolicyText(pub String);

/// Whether the pattern's matches become immutable, or everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Polarity {
    /// `tag_pattern_matches` is true or absent.
    Matching,
    /// `tag_pattern_matches` is false: tags that do not match become immutable.
    NotMatching,
}

impl Polarity {
    /// The verdict on a tag, from the pattern's.
    pub fn applies(self, pattern_matches: bool) -> bool {
        pattern_matches == (self == Self::Matching)
    }
}

/// A policy that Quay can evaluate. Whether its pattern compiles is the dialect's question: to
/// Quay a pattern that does not is one that matches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredPolicy {
    /// `tag_pattern`, as stored.
    pub pattern: String,
    /// `tag_pattern_matches`, as Python understands it.
    pub polarity: Polarity,
}

/// Why Quay fails on a stored policy, and with it every push into the scope that no earlier
/// policy has decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Error)]
pub enum Unusable {
    /// Empty text, or text that is not JSON.
    #[error("its text is not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("its text is JSON, but not an object")]
    NotAnObject,
    /// `tag_pattern` is missing, null or no string.
    #[error("it has no tag_pattern that is a string")]
    NoPattern,
    /// JSON to Python alone: what Quay makes of it is not told here, and it may well work.
    #[error(
        "its text is JSON to Python alone (NaN, a lone surrogate, a number or nesting without bounds)"
    )]
    PythonOnly,
}

impl PolicyText {
    /// Reads the text as Quay does. Duplicate keys: the last wins, as in Python.
    ///
    /// # Errors
    /// Where Quay itself raises on evaluation, or, with [`Unusable::PythonOnly`], may not.
    pub fn parse(&self) -> Result<StoredPolicy, Unusable> {
        let value: Value = serde_json::from_str(&self.0).map_err(|_| {
            if python_may_read(&self.0) {
                Unusable::PythonOnly
            } else {
                Unusable::NotJson
            }
        })?;
        let Value::Object(object) = value else {
            return Err(Unusable::NotAnObject);
        };
        let Some(Value::String(pattern)) = object.get("tag_pattern") else {
            return Err(Unusable::NoPattern);
        };
        let polarity = match object.get("tag_pattern_matches").map(python_truth) {
            None | Some(true) => Polarity::Matching,
            Some(false) => Polarity::NotMatching,
        };
        Ok(StoredPolicy {
            pattern: pattern.clone(),
            polarity,
        })
    }
}

impl StoredPolicy {
    /// The text that Quay itself would store: `json.dumps` of both keys, everything beyond
    /// printable ASCII escaped.
    pub fn to_text(&self) -> PolicyText {
        PolicyText(dumps(&serde_json::json!({
            "tag_pattern": self.pattern,
            "tag_pattern_matches": self.polarity == Polarity::Matching,
        })))
    }
}

/// Python's `bool(value)`: the string "false" is true, null and 0 are false.
fn python_truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<StoredPolicy, Unusable> {
        PolicyText(text.to_owned()).parse()
    }

    #[test]
    fn odd_polarities_are_pythons_truth_values() {
        for (value, polarity) in [
            ("true", Polarity::Matching),
            ("false", Polarity::NotMatching),
            ("null", Polarity::NotMatching),
            ("0", Polarity::NotMatching),
            ("0.0", Polarity::NotMatching),
            ("1", Polarity::Matching),
            ("\"false\"", Polarity::Matching),
            ("\"\"", Polarity::NotMatching),
            ("[]", Polarity::NotMatching),
        ] {
            let text = format!(r#"{{"tag_pattern": "v.*", "tag_pattern_matches": {value}}}"#);
            assert_eq!(parse(&text).map(|p| p.polarity), Ok(polarity), "{value}");
        }
        assert_eq!(
            parse(r#"{"tag_pattern": "v.*"}"#).map(|p| p.polarity),
            Ok(Polarity::Matching)
        );
    }

    #[test]
    fn texts_on_which_quay_raises_are_unusable() {
        assert_eq!(parse(""), Err(Unusable::NotJson));
        assert_eq!(parse("{"), Err(Unusable::NotJson));
        assert_eq!(parse("[]"), Err(Unusable::NotAnObject));
        assert_eq!(parse("null"), Err(Unusable::NotAnObject));
        assert_eq!(parse("\"v\""), Err(Unusable::NotAnObject));
        assert_eq!(parse("{}"), Err(Unusable::NoPattern));
        assert_eq!(parse(r#"{"tag_pattern": null}"#), Err(Unusable::NoPattern));
        assert_eq!(parse(r#"{"tag_pattern": 7}"#), Err(Unusable::NoPattern));
        let python = parse(r#"{"tag_pattern": "v", "tag_pattern_matches": NaN}"#);
        assert_eq!(python, Err(Unusable::PythonOnly));
    }

    #[test]
    fn the_stored_text_is_what_python_would_dump() {
        // json.dumps({"tag_pattern": 'v"\\.é\U0001f600\x7f\n', "tag_pattern_matches": False})
        let policy = StoredPolicy {
            pattern: "v\"\\.\u{e9}\u{1f600}\u{7f}\n".to_owned(),
            polarity: Polarity::NotMatching,
        };
        let text = policy.to_text();
        assert_eq!(
            text.0,
            r#"{"tag_pattern": "v\"\\.\u00e9\ud83d\ude00\u007f\n", "tag_pattern_matches": false}"#
        );
        assert_eq!(text.parse(), Ok(policy));
    }

    #[test]
    fn of_duplicate_keys_the_last_wins() {
        let policy = parse(r#"{"tag_pattern": "a", "tag_pattern": "b"}"#);
        assert_eq!(policy.map(|p| p.pattern), Ok("b".to_owned()));
    }
}
