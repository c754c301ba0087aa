//! Character names (`\N{...}`), as far as they lead to ASCII.

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This character.
    Character(u32),
    /// Certainly no character.
    Nothing,
    /// Perhaps a character outside ASCII.
    NotModelled,
}

/// Letters and digits are named by rule; these are the others, from 0x20 on.
const SYMBOLS: &[(char, &str)] = &[
    (' ', "SPACE"),
    ('!', "EXCLAMATION MARK"),
    ('"', "QUOTATION MARK"),
    ('#', "NUMBER SIGN"),
    ('$', "DOLLAR SIGN"),
    ('%', "PERCENT SIGN"),
    ('&', "AMPERSAND"),
    ('\'', "APOSTROPHE"),
    ('(', "LEFT PARENTHESIS"),
    (')', "RIGHT PARENTHESIS"),
    ('*', "ASTERISK"),
    ('+', "PLUS SIGN"),
    (',', "COMMA"),
    ('-', "HYPHEN-MINUS"),
    ('.', "FULL STOP"),
    ('/', "SOLIDUS"),
    (':', "COLON"),
    (';', "SEMICOLON"),
    ('<', "LESS-THAN SIGN"),
    ('=', "EQUALS SIGN"),
    ('>', "GREATER-THAN SIGN"),
    ('?', "QUESTION MARK"),
    ('@', "COMMERCIAL AT"),
    ('[', "LEFT SQUARE BRACKET"),
    ('\\', "REVERSE SOLIDUS"),
    (']', "RIGHT SQUARE BRACKET"),
    ('^', "CIRCUMFLEX ACCENT"),
    ('_', "LOW LINE"),
    ('`', "GRAVE ACCENT"),
    ('{', "LEFT CURLY BRACKET"),
    ('|', "VERTICAL LINE"),
    ('}', "RIGHT CURLY BRACKET"),
    ('~', "TILDE"),
];

const DIGITS: [&str; 10] = [
    "ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE",
];

/// Looks a name up; case does not matter.
pub fn find(name: &str) -> Found {
    let name = name.to_ascii_uppercase();
    if let Some((character, _)) = SYMBOLS.iter().find(|(_, symbol)| *symbol == name) {
        return Found::Character(u32::from(*character));
    }
    if let Some(digit) = name.strip_prefix("DIGIT ")
        && let Some(value) = DIGITS.iter().position(|&word| word == digit)
    {
        return Found::Character(0x30 + value as u32);
    }
    for (prefix, base) in [("LATIN SMALL LETTER ", 'a'), ("LATIN CAPITAL LETTER ", 'A')] {
        if let Some(&[letter @ b'A'..=b'Z']) = name.strip_prefix(prefix).map(str::as_bytes) {
            return Found::Character(u32::from(base) + u32::from(letter - b'A'));
        }
    }
    // No name is empty, ends in a space or hyphen, or has two spaces in a row.
    if name.is_empty() || name.trim() != name || name.contains("  ") || name.ends_with('-') {
        return Found::Nothing;
    }
    Found::NotModelled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_names_are_known() {
        assert_eq!(find("latin small letter a"), Found::Character(0x61));
        assert_eq!(find("DIGIT SEVEN"), Found::Character(0x37));
        assert_eq!(find("Hyphen-Minus"), Found::Character(0x2d));
        assert_eq!(find(""), Found::Nothing);
        assert_eq!(find("EM DASH"), Found::NotModelled);
    }
}
