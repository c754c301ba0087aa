//! Values as SQL text, for a script that nobody binds parameters to.

use crate::quay::UnixMillis;
use crate::report::harmless;

/// A text as a literal that reads the same whatever `standard_conforming_strings` says, and in
/// which psql finds neither a variable nor a command.
pub(super) fn text(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        // The space keeps the E from growing together with a word before it.
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// A text that may be absent.
pub(super) fn optional_text(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), text)
}

/// A number that may be absent.
pub(super) fn optional(number: Option<impl std::fmt::Display>) -> String {
    number.map_or_else(|| "NULL".to_owned(), |number| number.to_string())
}

/// A time that may be absent.
pub(super) fn millis(time: Option<UnixMillis>) -> String {
    optional(time.map(|time| time.0))
}

/// A text inside a comment: it cannot end the line.
pub(super) fn comment(text: &str) -> String {
    harmless(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_literal_or_its_comment() {
        assert_eq!(text("v1"), "'v1'");
        assert_eq!(text("it's"), "'it''s'");
        assert_eq!(text("a\\'b"), " E'a\\\\''b'");
        assert_eq!(comment("a\nDROP TABLE tag"), "a\\u{a}DROP TABLE tag");
    }
}
