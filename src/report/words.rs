//! Words of every rendering: sentences about violations, numbers, and harmless names.

use super::harmless;
use crate::evaluate::{Subject, Violation};

/// Writing to a `String` cannot fail; this says so once.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => { { let _ = writeln!($out, $($arg)*); } };
}
pub(super) use line;

/// The sentence about a violation, its subject first; the subject's name is as it is.
pub(super) fn sentence(violation: &Violation) -> String {
    format!("{} {}", subject(&violation.subject), violation.message)
}

/// A subject, as a sentence begins with it; its name is as it is.
pub fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Tag(tag) => format!("{}/{}:{}", tag.namespace, tag.repository, tag.row.name),
        Subject::Policy(policy) => {
            format!("policy {} (pattern {})", policy.uuid, policy.pattern)
        }
        Subject::Operation(operation) => {
            format!("operation {} ({})", operation.id, operation.kind)
        }
        Subject::Row(row) => row.name.clone(),
    }
}

/// Namespace and repository of a subject, for a heading; harmless.
pub fn place_of(namespace: &str, repository: &str) -> String {
    match (namespace, repository) {
        ("", "") => "the database".to_owned(),
        (namespace, "") => harmless(namespace),
        (namespace, repository) => format!("{}/{}", harmless(namespace), harmless(repository)),
    }
}

/// A number with its noun.
pub fn plural(count: u64, noun: &str) -> String {
    let number = thousands(count);
    match (count, noun.strip_suffix('y')) {
        (1, _) => format!("{number} {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

/// A number in groups of three digits.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_nouns_agree() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(plural(1, "policy"), "1 policy");
        assert_eq!(plural(2_000, "policy"), "2,000 policies");
        assert_eq!(plural(0, "violation"), "0 violations");
    }
}
