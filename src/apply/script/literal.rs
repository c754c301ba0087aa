//! Values of the script that are more than a literal.

use sea_query::Value;

use crate::quay::UnixMillis;
use crate::report::harmless;

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
    fn a_text_cannot_end_its_comment() {
        assert_eq!(comment("a\nDROP TABLE tag"), "a\\u{a}DROP TABLE tag");
    }
}
