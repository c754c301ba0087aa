//! What a connection's open transaction has run, so that a COMMIT can be told from another.

/// Text by which statements are told apart: case, double quotes and white space do not count.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(
            word.chars()
                .filter(|character| *character != '"')
                .map(|character| character.to_ascii_lowercase()),
        );
    }
    plain
}

/// A statement that is about to go out, and where in its transaction it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'t> {
    /// Its [`plain`] text.
    pub(super) text: &'t str,
    /// The plain texts of the statements before it in its transaction; none outside one.
    pub(super) before: Option<&'t [String]>,
    /// Whether it is the first of which its transaction hears.
    pub(super) opens: bool,
}

impl Seen<'_> {
    pub(super) fn is_commit(&self) -> bool {
        self.text == "commit"
    }
}

/// The statements of one connection's transaction.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// None outside a transaction.
    texts: Option<Vec<String>>,
    /// Whether it has heard of a statement, prepared or bound.
    is_opened: bool,
}

impl Transaction {
    /// A statement that is about to be prepared or bound, by its plain text.
    pub(super) fn named<'t>(&'t mut self, text: &'t str) -> Seen<'t> {
        let opens = self.texts.as_ref().is_some_and(Vec::is_empty) && !self.is_opened;
        self.is_opened = true;
        Seen {
            text,
            before: self.texts.as_deref(),
            opens,
        }
    }

    /// The next statement, by its plain text.
    pub(super) fn seen<'t>(&'t self, text: &'t str) -> Seen<'t> {
        Seen {
            text,
            before: self.texts.as_deref(),
            opens: false,
        }
    }

    /// Remembers a statement that goes out; the statements of the transaction that it ends.
    pub(super) fn add(&mut self, text: String) -> Option<Vec<String>> {
        let begins = text.starts_with("begin") || text.starts_with("start transaction");
        let ends = matches!(text.as_str(), "commit" | "rollback");
        if begins {
            *self = Self {
                texts: Some(Vec::new()),
                is_opened: false,
            };
        } else if ends {
            return self.texts.take();
        } else if let Some(texts) = &mut self.texts {
            texts.push(text);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_quotes_and_white_space_do_not_count() {
        assert_eq!(
            plain("\n  UPDATE \"quay_doctor\".\"operation\"\n\tSET phase = $1 "),
            "update quay_doctor.operation set phase = $1"
        );
    }

    #[test]
    fn a_commit_ends_what_its_transaction_has_run() {
        let mut transaction = Transaction::default();
        let mut ended = Vec::new();
        for text in [
            "select 1",
            "start transaction",
            "select 2",
            "update t",
            "commit",
            "select 3",
        ] {
            for nth in 0..2 {
                let opens = transaction.named(text).opens;
                assert_eq!(opens, text == "select 2" && nth == 0, "{text}");
            }
            ended.extend(transaction.add(text.to_owned()));
        }
        assert_eq!(ended, [["select 2", "update t"]]);
    }
}
