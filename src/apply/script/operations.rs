//! Corrections that no script can make, as the commands that can.

use std::io::{self, Write};

use super::literal::comment;
use crate::correction::{Operation, Recovery};
use crate::quay::Polarity;

/// Prints the command, and why it is one.
pub(super) fn print(out: &mut dyn Write, operation: &Operation) -> io::Result<()> {
    let words: Vec<String> = command(operation).iter().map(|word| quoted(word)).collect();
    writeln!(
        out,
        "-- {sentence}\n\
         -- This is no plain SQL: between its transactions it waits for whoever still decides by the\n\
         -- policies as they were, and a fault in its middle is for `quay-doctor recover`. Run:\n\
         --     {command}\n",
        sentence = comment(&operation.sentence()),
        command = comment(&words.join(" ")),
    )
}

/// The words of the command line.
fn command(operation: &Operation) -> Vec<String> {
    let mut words = vec!["quay-doctor"];
    let number;
    match operation {
        Operation::Recreate(lost) => {
            words.extend(["policy", "create", "--namespace", &lost.namespace]);
            if let Some(repository) = &lost.repository {
                words.extend(["--repository", repository]);
            }
            words.extend(["--pattern", &lost.policy.pattern]);
            if lost.policy.polarity == Polarity::NotMatching {
                words.push("--not-matching");
            }
            words.push("--if-absent");
        }
        Operation::Activate(policy, _) => words.extend(["policy", "activate", &policy.uuid.0]),
        Operation::Deactivate(policy) => {
            words.extend(["policy", "deactivate", &policy.uuid.0, "--tags", "keep"]);
        }
        Operation::Delete(policy) => {
            words.extend(["policy", "delete", &policy.uuid.0, "--tags", "keep"]);
        }
        Operation::Recover(interrupted, recovery) => {
            number = interrupted.id.to_string();
            words.extend(["recover", &number]);
            words.push(match recovery {
                Recovery::Resume => "--resume",
                Recovery::RollBack => "--roll-back",
            });
        }
    }
    words.into_iter().map(str::to_owned).collect()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_is_one_word_for_a_shell() {
        assert_eq!(quoted("acme"), "acme");
        assert_eq!(quoted("v.*"), "'v.*'");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
        assert_eq!(quoted(""), "''");
    }
}
