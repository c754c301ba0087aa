//! The text of a pattern with a reading position: skips white space and comments under `(?x)`.

/// Where the parser is in a pattern. Positions count characters, not bytes.
#[derive(Clone, Debug)]
pub struct Source {
    text: Vec<char>,
    /// The next character to read.
    pub position: usize,
    /// Whether white space and `#` comments are skipped.
    pub ignore_space: bool,
}

impl Source {
    /// Starts at the first character.
    pub fn new(pattern: &str) -> Self {
        Self {
            text: pattern.chars().collect(),
            position: 0,
            ignore_space: false,
        }
    }

    /// Reads one character; none at the end.
    pub fn get(&mut self) -> Option<char> {
        self.position = self.skipped(self.position);
        self.take()
    }

    /// Reads one character, white space included.
    pub fn get_raw(&mut self) -> Option<char> {
        self.take()
    }

    /// The character that `get` would read.
    pub fn peek(&self) -> Option<char> {
        self.text.get(self.skipped(self.position)).copied()
    }

    /// Reads over `expected` if it comes next, else stays.
    pub fn accept(&mut self, expected: &str) -> bool {
        let mut position = self.position;
        for wanted in expected.chars() {
            position = self.skipped(position);
            if self.text.get(position) != Some(&wanted) {
                return false;
            }
            position += 1;
        }
        self.position = position;
        true
    }

    /// Reads the characters for which `wanted` holds.
    pub fn get_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        loop {
            self.position = self.skipped(self.position);
            match self.text.get(self.position) {
                Some(&character) if wanted(character) => {
                    taken.push(character);
                    self.position += 1;
                }
                _ => return taken,
            }
        }
    }

    /// As `get_while`, but white space counts.
    pub fn get_while_raw(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let skipping = std::mem::replace(&mut self.ignore_space, false);
        let taken = self.get_while(wanted);
        self.ignore_space = skipping;
        taken
    }

    /// Whether nothing is left to read.
    pub fn at_end(&self) -> bool {
        self.skipped(self.position) >= self.text.len()
    }

    fn take(&mut self) -> Option<char> {
        let character = self.text.get(self.position).copied();
        if character.is_some() {
            self.position += 1;
        }
        character
    }

    /// The position after white space and comments, if they are skipped at all.
    fn skipped(&self, mut position: usize) -> usize {
        if !self.ignore_space {
            return position;
        }
        while let Some(&character) = self.text.get(position) {
            if is_python_space(character) {
                position += 1;
            } else if character == '#' {
                // A comment ends before its line break, or swallows the rest.
                position = self.text[position..]
                    .iter()
                    .position(|&c| c == '\n')
                    .map_or(self.text.len(), |ahead| position + ahead);
            } else {
                break;
            }
        }
        position
    }
}

/// Python's `str.isspace`: Zs, and the bidirectional types WS, B and S.
fn is_python_space(character: char) -> bool {
    matches!(character,
        '\t'..='\r' | '\u{1c}'..='\u{20}' | '\u{85}' | '\u{a0}' | '\u{1680}'
        | '\u{2000}'..='\u{200a}' | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_runs_to_the_end_of_its_line() {
        let mut source = Source::new("a # b\n c");
        source.ignore_space = true;
        assert_eq!(source.get(), Some('a'));
        assert_eq!(source.get(), Some('c'));
        assert!(source.at_end());
    }

    #[test]
    fn a_word_that_does_not_come_next_moves_nothing() {
        let mut source = Source::new("ab");
        assert!(!source.accept("ac"));
        assert_eq!(source.position, 0);
        assert!(source.accept("ab"));
        assert!(source.at_end());
    }
}
