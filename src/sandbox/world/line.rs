//! One row in the text format of COPY.

use std::io::{self, Write};

/// Collects a row's fields and writes the row. One is used for all rows of a table, so that no row
/// needs memory of its own.
#[derive(Default)]
pub(super) struct Line {
    bytes: Vec<u8>,
    fields: usize,
}

impl Line {
    fn field(&mut self) {
        if self.fields > 0 {
            self.bytes.push(b'\t');
        }
        self.fields += 1;
    }

    /// A number.
    pub(super) fn number(&mut self, value: impl Into<i64>) -> &mut Self {
        self.field();
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "{}", value.into());
        self
    }

    /// A truth value.
    pub(super) fn flag(&mut self, value: bool) -> &mut Self {
        self.field();
        self.bytes.push(if value { b't' } else { b'f' });
        self
    }

    /// NULL.
    pub(super) fn null(&mut self) -> &mut Self {
        self.field();
        self.bytes.extend_from_slice(b"\\N");
        self
    }

    /// A number or NULL.
    pub(super) fn number_or_null(&mut self, value: Option<i64>) -> &mut Self {
        match value {
            Some(value) => self.number(value),
            None => self.null(),
        }
    }

    /// A text. The format's own characters are escaped.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.field();
        for byte in value.bytes() {
            match byte {
                b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                b'\t' => self.bytes.extend_from_slice(b"\\t"),
                b'\n' => self.bytes.extend_from_slice(b"\\n"),
                b'\r' => self.bytes.extend_from_slice(b"\\r"),
                other => self.bytes.push(other),
            }
        }
        self
    }

    /// Writes the row and begins the next.
    pub(super) fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.bytes.push(b'\n');
        out.write_all(&self.bytes)?;
        self.bytes.clear();
        self.fields = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_own_characters_are_escaped() {
        let mut out = Vec::new();
        let mut line = Line::default();
        line.text("").number(7).null().text("a\tb\\N\n").flag(true);
        line.end(&mut out).expect("a row");
        assert_eq!(out, b"\t7\t\\N\ta\\tb\\\\N\\n\tt\n");
    }
}
