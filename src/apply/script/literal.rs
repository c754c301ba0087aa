//! Values as SQL text, for a script that nobody binds parameters to: sea-query writes each literal.

use sea_query::{PostgresQueryBuilder, Value, inject_parameters};

use crate::quay::UnixMillis;
use crate::report::harmless;

/// A fixed text whose `$n` are these values. A text among them is a literal that reads the same whatever
/// `standard_conforming_strings` says, that ends on its line, and in which psql finds neither a variable nor
/// a command. It relies on the script's `backslash_quote`.
pub(super) fn filled<const N: usize>(text: &'static str, values: [Value; N]) -> String {
    inject_parameters(text, &values, &PostgresQueryBuilder)
}

/// A time that may be absent.
pub(super) fn millis(time: Option<UnixMillis>) -> Value {
    time.map(|time| time.0).into()
}

/// A text inside a comment: it cannot end the line.
pub(super) fn comment(text: &str) -> String {
    harmless(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_literal_its_line_or_its_comment() {
        let text = |text: &str| filled("$1", [text.into()]);
        assert_eq!(text("v1"), "'v1'");
        assert_eq!(text("it's"), r"E'it\'s'");
        assert_eq!(text(r"a\'b"), r"E'a\\\'b'");
        assert_eq!(text("a\n\\quit"), r"E'a\n\\quit'");
        assert_eq!(text("$1 :run"), "'$1 :run'");
        assert_eq!(comment("a\nDROP TABLE tag"), "a\\u{a}DROP TABLE tag");
    }

    #[test]
    fn what_stands_in_a_text_or_a_comment_of_the_script_is_no_parameter() {
        let script =
            "-- it's $1\nSELECT '$1', E'\\'$1', \"$1\", $1::text, $2, :'fence', $tag$ $1 $tag$";
        assert_eq!(
            filled(script, ["x".into(), Value::Int(None)]),
            "-- it's $1\nSELECT '$1', E'\\'$1', \"$1\", 'x'::text, NULL, :'fence', $tag$ 'x' $tag$"
        );
    }
}
