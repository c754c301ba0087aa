//! Values as SQL text, where no parameter can be bound: in what is printed for psql, and in statements that
//! take none. sea-query writes each literal.

use sea_query::{PostgresQueryBuilder, Value, inject_parameters};

/// A fixed text whose `$n` are these values. A text among them becomes a literal that reads the same whatever
/// `standard_conforming_strings` says, that ends on its line, and in which psql finds neither a variable nor
/// a command. Where it holds a quote, `backslash_quote` must not be off; it is `safe_encoding` unless
/// somebody has set it.
pub fn filled<const N: usize>(text: &'static str, values: [Value; N]) -> String {
    inject_parameters(text, &values, &PostgresQueryBuilder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_end_its_literal_or_its_line() {
        let text = |text: &str| filled("$1", [text.into()]);
        assert_eq!(text("v1"), "'v1'");
        assert_eq!(text("it's"), r"E'it\'s'");
        assert_eq!(text(r"a\'b"), r"E'a\\\'b'");
        assert_eq!(text("a\n\\quit"), r"E'a\n\\quit'");
        assert_eq!(text("$1 :run"), "'$1 :run'");
    }

    #[test]
    fn what_stands_in_a_text_or_a_comment_is_no_parameter() {
        let script =
            "-- it's $1\nSELECT '$1', E'\\'$1', \"$1\", $1::text, $2, :'fence', $tag$ $1 $tag$";
        assert_eq!(
            filled(script, ["x".into(), Value::Int(None)]),
            "-- it's $1\nSELECT '$1', E'\\'$1', \"$1\", 'x'::text, NULL, :'fence', $tag$ 'x' $tag$"
        );
    }
}
