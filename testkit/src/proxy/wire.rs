//! PostgreSQL's messages, as far as a proxy has to know them: where one ends, which of them carry a
//! statement's text, and which end an exchange.
//!
//! After "Message Formats" of PostgreSQL's manual. A client's first messages have no kind, only a
//! length and a code; the server answers two of those by one byte.

use std::collections::HashMap;

/// A message may be so long; a longer one ends the connection.
pub(super) const LONGEST: usize = 64 << 20;

/// The client asks for TLS, or for GSSAPI: the answer is one byte.
const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;

/// One message, or what cannot be told apart any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The kind; 0 for a client's first messages, for an answer of one byte, and once everything
    /// is encrypted.
    pub(super) kind: u8,
    /// All of it, the kind and the length too.
    pub(super) bytes: Vec<u8>,
}

impl Message {
    fn body(&self) -> &[u8] {
        self.bytes.get(5..).unwrap_or_default()
    }

    /// Whether a client's message asks the question that one byte answers.
    pub(super) fn asks_for_protection(&self) -> bool {
        self.kind == 0 && matches!(number(&self.bytes, 4), Some(SSL_REQUEST | GSS_REQUEST))
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

/// What a stream consists of from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// A client's first messages: a length and no kind.
    Opening,
    /// One byte, from the server.
    OneByte,
    /// Messages with a kind.
    Messages,
    /// TLS: nothing can be told apart.
    Encrypted,
}

/// Splits one direction of a connection into messages.
#[derive(Debug)]
pub(super) struct Splitter {
    pending: Vec<u8>,
    pub(super) content: Content,
}

impl Splitter {
    pub(super) fn new(content: Content) -> Self {
        Self {
            pending: Vec::new(),
            content,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next message, where it is there as a whole.
    ///
    /// # Errors
    /// Where its length cannot be, or is too much.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Nonsense> {
        let (kind, length) = match self.content {
            Content::OneByte => (0, 1),
            Content::Encrypted => (0, self.pending.len().max(1)),
            Content::Opening => match number(&self.pending, 0) {
                None => return Ok(None),
                Some(length) => (0, sensible(length, 8)?),
            },
            Content::Messages => match (self.pending.first(), number(&self.pending, 1)) {
                (Some(kind), Some(length)) => (*kind, sensible(length, 4)? + 1),
                _ => return Ok(None),
            },
        };
        if self.pending.len() < length {
            return Ok(None);
        }
        let rest = self.pending.split_off(length);
        let bytes = std::mem::replace(&mut self.pending, rest);
        Ok(Some(Message { kind, bytes }))
    }
}

/// A length that no message of PostgreSQL's has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nonsense;

fn sensible(length: u32, least: usize) -> Result<usize, Nonsense> {
    let length = length as usize;
    if (least..=LONGEST).contains(&length) {
        Ok(length)
    } else {
        Err(Nonsense)
    }
}

/// What a client's message means to the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A statement with this text is to be prepared or bound.
    Names(String),
    /// A statement with this text is to run now.
    Runs(String),
    /// The end of an exchange: the server answers with everything it has, and that it is ready.
    Ends,
    /// A statement, and the end of its exchange.
    RunsAndEnds(String),
    /// Anything else.
    Other,
}

/// The statements that a client has prepared, and bound: an execution names only those.
#[derive(Debug, Default)]
pub(super) struct Statements {
    prepared: HashMap<Vec<u8>, String>,
    bound: HashMap<Vec<u8>, String>,
}

impl Statements {
    /// What a client's message means; remembers what later ones refer to.
    pub(super) fn understand(&mut self, message: &Message) -> Meaning {
        let mut words = message.body().split(|byte| *byte == 0);
        let mut word = || words.next().unwrap_or_default();
        match message.kind {
            b'Q' => Meaning::RunsAndEnds(text(word())),
            b'P' => {
                let (name, sql) = (word().to_vec(), text(word()));
                self.prepared.insert(name, sql.clone());
                Meaning::Names(sql)
            }
            b'B' => {
                let (portal, name) = (word().to_vec(), word());
                let sql = self.prepared.get(name).cloned().unwrap_or_default();
                self.bound.insert(portal, sql.clone());
                Meaning::Names(sql)
            }
            b'E' => Meaning::Runs(self.bound.get(word()).cloned().unwrap_or_default()),
            b'C' if message.body().first() == Some(&b'S') => {
                self.prepared.remove(word().get(1..).unwrap_or_default());
                Meaning::Other
            }
            // A function call has an exchange of its own.
            b'S' | b'F' => Meaning::Ends,
            _ => Meaning::Other,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_stream_is_split_alike_however_it_is_cut_up() {
        let mut stream = vec![0, 0, 0, 8];
        stream.extend(SSL_REQUEST.to_be_bytes());
        stream.extend([0, 0, 0, 9, 0, 3, 0, 0, 0]);
        let typed = [message(b'Q', b"COMMIT\0"), message(b'S', b"")].concat();
        for step in 1..12 {
            let mut splitter = Splitter::new(Content::Opening);
            let mut seen = Vec::new();
            for piece in [&stream[..], &typed[..]].concat().chunks(step) {
                splitter.feed(piece);
                while let Ok(Some(message)) = splitter.next() {
                    if message.kind == 0 && !message.asks_for_protection() {
                        splitter.content = Content::Messages;
                    }
                    seen.push((message.kind, message.bytes.len()));
                }
            }
            assert_eq!(seen, [(0, 8), (0, 9), (b'Q', 12), (b'S', 5)], "{step}");
        }
    }

    #[test]
    fn an_execution_has_the_text_that_was_prepared_for_it() {
        let mut statements = Statements::default();
        let mut means = |kind, body: &[u8]| {
            statements.understand(&Message {
                kind,
                bytes: message(kind, body),
            })
        };
        for (name, text) in [("s1", "SELECT 1"), ("s2", "SELECT 2")] {
            let body = format!("{name}\0{text}\0\0\0");
            assert_eq!(means(b'P', body.as_bytes()), Meaning::Names(text.into()));
        }
        assert_eq!(
            means(b'B', b"\0s1\0\0\0\0\0\0\0"),
            Meaning::Names("SELECT 1".into())
        );
        assert_eq!(means(b'E', b"\0\0\0\0\0"), Meaning::Runs("SELECT 1".into()));
        assert_eq!(
            means(b'B', b"\0s2\0\0\0\0\0\0\0"),
            Meaning::Names("SELECT 2".into())
        );
        assert_eq!(means(b'E', b"\0\0\0\0\0"), Meaning::Runs("SELECT 2".into()));
        assert_eq!(means(b'C', b"Ss2\0"), Meaning::Other);
        assert_eq!(means(b'S', b""), Meaning::Ends);
        assert_eq!(
            means(b'Q', b"COMMIT\0"),
            Meaning::RunsAndEnds("COMMIT".into())
        );
    }

    #[test]
    fn a_length_that_cannot_be_is_no_message() {
        let mut splitter = Splitter::new(Content::Messages);
        splitter.feed(&[b'Q', 0, 0, 0, 3, 0]);
        assert_eq!(splitter.next(), Err(Nonsense));
        let mut splitter = Splitter::new(Content::Messages);
        splitter.feed(&[b'Q', 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(splitter.next(), Err(Nonsense));
    }
}
