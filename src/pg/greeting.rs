//! What a server says of itself before a session is open: the process id by which its backend could
//! be cancelled, which the driver keeps to itself.
//!
//! A server names the process that answers. A pooler makes a number up, since it has no process to
//! name (PgBouncer: random bytes), and so can be told from a server.

/// Reads along from the first byte of the stream to the id, and no further. The messages stand in
/// PostgreSQL's documentation, "Message Formats": a letter, a length that counts itself, a body.
#[derive(Debug, Default)]
pub(super) struct Greeting {
    /// How much of the present body is of no interest.
    skip: usize,
    /// The head of a message, and of the one that is looked for also the id.
    head: Vec<u8>,
    over: bool,
}

/// A letter and a length.
const HEAD: usize = 5;
/// BackendKeyData.
const KEY: u8 = b'K';
/// ReadyForQuery: the greeting is over.
const READY: u8 = b'Z';

impl Greeting {
    /// Reads on; the process id, where these bytes complete it.
    pub fn read(&mut self, bytes: &[u8]) -> Option<i32> {
        let mut bytes = bytes.iter();
        while !self.over {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes.nth(skipped.checked_sub(1)?);
                continue;
            }
            self.head.push(*bytes.next()?);
            if let Some(id) = self.look() {
                self.over = true;
                return Some(id);
            }
        }
        None
    }

    /// Looks at a head that is whole.
    fn look(&mut self) -> Option<i32> {
        let [kind, a, b, c, d, id @ ..] = self.head.as_slice() else {
            return None;
        };
        if *kind == KEY {
            return id.try_into().ok().map(i32::from_be_bytes);
        }
        self.over = *kind == READY;
        let length = u32::from_be_bytes([*a, *b, *c, *d]);
        self.skip = usize::try_from(length).ok()?.saturating_sub(HEAD - 1);
        self.head.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Greeting;

    /// As a server speaks that wants no password: admitted, two parameters, key, ready, and an answer
    /// that looks like a key.
    const SPOKEN: &[u8] = b"R\0\0\0\x08\0\0\0\0\
        S\0\0\0\x0fTimeZone\0K\0\
        S\0\0\0\x06K\0\
        K\0\0\0\x0c\0\0\x30\x39abcd\
        Z\0\0\0\x05I\
        K\0\0\0\x0c\0\0\0\x01abcd";

    #[test]
    fn the_id_is_found_wherever_the_stream_is_cut() {
        for size in 1..SPOKEN.len() {
            let mut greeting = Greeting::default();
            let found: Vec<_> = SPOKEN
                .chunks(size)
                .filter_map(|bytes| greeting.read(bytes))
                .collect();
            assert_eq!(found, [12_345], "pieces of {size}");
        }
    }

    #[test]
    fn a_greeting_without_a_key_is_over_when_the_server_is_ready() {
        let mut greeting = Greeting::default();
        assert_eq!(greeting.read(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I"), None);
        assert_eq!(greeting.read(b"K\0\0\0\x0c\0\0\0\x01abcd"), None);
    }
}
