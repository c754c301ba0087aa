//! Character properties (`\p{...}`, `[[:...:]]`): their names, and the ASCII characters they hold.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::chars::ASCII_RELATIVES;
use super::error::{Complaint, Undecidable};

/// One line a property: `NAMES: VALUE NAMES =ascii +relatives, ...`, values in the order of their
/// numbers, both sets in hexadecimal. Read off the Python module `regex` 2026.2.28 (Unicode 17).
const TABLE: &str = include_str!("properties.txt");

/// A property's value, by its number in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PropertyValue {
    property: u16,
    value: u16,
}

/// A name could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookupFailure {
    /// The engine rejects it.
    Unknown(Complaint),
    /// The engine may accept it, or fail in a way of its own.
    NotModelled(Undecidable),
}

impl From<Complaint> for LookupFailure {
    fn from(complaint: Complaint) -> Self {
        Self::Unknown(complaint)
    }
}

struct Property {
    values: HashMap<&'static str, u16>,
    members: Vec<Members>,
}

/// The characters of one value, as far as they matter for ASCII tags.
#[derive(Clone, Copy, Default)]
struct Members {
    ascii: u128,
    /// Bit n for the n-th of `ASCII_RELATIVES`.
    relatives: u8,
}

struct Table {
    names: HashMap<&'static str, u16>,
    properties: Vec<Property>,
}

static PROPERTIES: LazyLock<Table> = LazyLock::new(read_table);

fn read_table() -> Table {
    let mut table = Table {
        names: HashMap::new(),
        properties: Vec::new(),
    };
    for (number, line) in TABLE.lines().enumerate() {
        let (names, values) = line.split_once(": ").unwrap_or((line, ""));
        for name in names.split(' ') {
            table.names.insert(name, number as u16);
        }
        table.properties.push(read_values(values));
    }
    table
}

fn read_values(line: &'static str) -> Property {
    let mut property = Property {
        values: HashMap::new(),
        members: Vec::new(),
    };
    for (number, value) in line.split(", ").enumerate() {
        let mut members = Members::default();
        for word in value.split(' ') {
            if let Some(hex) = word.strip_prefix('=') {
                members.ascii = u128::from_str_radix(hex, 16).unwrap_or(0);
            } else if let Some(hex) = word.strip_prefix('+') {
                members.relatives = u8::from_str_radix(hex, 16).unwrap_or(0);
            } else {
                property.values.insert(word, number as u16);
            }
        }
        property.members.push(members);
    }
    property
}

impl PropertyValue {
    fn members(self) -> Members {
        PROPERTIES
            .properties
            .get(usize::from(self.property))
            .and_then(|property| property.members.get(usize::from(self.value)))
            .copied()
            .unwrap_or_default()
    }

    /// Whether a character has it; known for ASCII and its relatives, else false.
    pub fn holds(self, character: u32) -> bool {
        let members = self.members();
        if character < 128 {
            return members.ascii >> character & 1 == 1;
        }
        ASCII_RELATIVES
            .iter()
            .position(|&(relative, _)| relative == character)
            .is_some_and(|place| members.relatives >> place & 1 == 1)
    }

    /// Whether an ASCII character has it where case is ignored and the property stands alone.
    ///
    /// The engine then takes any cased letter for Lu, Ll, Lt, Uppercase and Lowercase.
    pub fn holds_ignoring_case(self, character: u32) -> bool {
        if self.is_about_case() {
            u8::try_from(character).is_ok_and(|byte| byte.is_ascii_alphabetic())
        } else {
            self.holds(character)
        }
    }

    /// Whether the engine treats it in a way of its own where case is ignored.
    pub fn is_about_case(self) -> bool {
        [("GC", "LU"), ("GC", "LL"), ("GC", "LT")]
            .iter()
            .any(|&(property, value)| find(property, value) == Some(self))
            || ["UPPERCASE", "LOWERCASE"]
                .iter()
                .any(|name| PROPERTIES.names.get(name) == Some(&self.property))
    }
}

fn find(property: &str, value: &str) -> Option<PropertyValue> {
    let number = *PROPERTIES.names.get(property)?;
    let value = *PROPERTIES
        .properties
        .get(usize::from(number))?
        .values
        .get(value)?;
    Some(PropertyValue {
        property: number,
        value,
    })
}

/// Finds the property that a shorthand (`\d`, `\s`, `\w`, `\h`) stands for.
pub fn shorthand(letter: char) -> Option<PropertyValue> {
    match letter {
        'd' => find("GC", "DIGIT"),
        'h' => find("BLANK", "YES"),
        's' => find("SPACE", "YES"),
        'w' => find("WORD", "YES"),
        _ => None,
    }
}

/// Looks a property up by the names in a pattern. The answer's second half: whether it is to be
/// understood positively.
pub fn lookup(
    property: Option<&str>,
    value: &str,
    positive: bool,
    posix: bool,
) -> Result<(PropertyValue, bool), LookupFailure> {
    let property = match property {
        Some(name) if !name.is_empty() => Some(standardise(name)?),
        _ => None,
    };
    let mut value = standardise(value)?;
    let mut positive = positive;
    if property.as_deref() == Some("GENERALCATEGORY") && value == "ASSIGNED" {
        value = "UNASSIGNED".to_owned();
        positive = !positive;
    }
    if posix
        && property.is_none()
        && ["ALNUM", "DIGIT", "PUNCT", "XDIGIT"].contains(&value.as_str())
    {
        value = format!("POSIX{value}");
    }
    match property {
        Some(property) if PROPERTIES.names.contains_key(property.as_str()) => {
            let found = find(&property, &value).ok_or(Complaint::UnknownPropertyValue)?;
            Ok((found, positive))
        }
        Some(_) => Err(Complaint::UnknownProperty.into()),
        None => lookup_value(&value, positive).ok_or(Complaint::UnknownProperty.into()),
    }
}

/// A name alone may be a category, a script, a block or a yes-or-no property.
fn lookup_value(value: &str, positive: bool) -> Option<(PropertyValue, bool)> {
    for property in ["GC", "SCRIPT", "BLOCK"] {
        if let Some(found) = find(property, value) {
            return Some((found, positive));
        }
    }
    if let Some(&number) = PROPERTIES.names.get(value) {
        let yes_or_no = PROPERTIES
            .properties
            .get(usize::from(number))
            .is_some_and(|property| property.values.len() == 8 && property.members.len() == 2);
        let found = PropertyValue {
            property: number,
            value: u16::from(yes_or_no),
        };
        return Some((found, positive == yes_or_no));
    }
    if let Some(rest) = value.strip_prefix("IS") {
        if let Some(found) = find(rest, "YES") {
            return Some((
                PropertyValue {
                    property: found.property,
                    value: 1,
                },
                positive,
            ));
        }
        if let Some(found) = find("SCRIPT", rest) {
            return Some((found, positive));
        }
    }
    let rest = value.strip_prefix("IN")?;
    Some((find("BLOCK", rest)?, positive))
}

/// The module's loose form of a name; numbers become fractions in lowest terms.
fn standardise(name: &str) -> Result<String, LookupFailure> {
    let looks_numeric = name
        .trim()
        .trim_start_matches('-')
        .starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if looks_numeric {
        return numeric(name).ok_or(LookupFailure::NotModelled(Undecidable::NumericProperty));
    }
    let loose: String = name
        .chars()
        .filter(|c| !matches!(c, '_' | '-' | ' '))
        .map(|c| c.to_ascii_uppercase())
        .collect();
    if ["INF", "INFINITY"].contains(&loose.as_str()) {
        // Python turns these into a number, and the number into an error of its own.
        return Err(LookupFailure::NotModelled(Undecidable::NumericProperty));
    }
    Ok(loose)
}

/// Plain whole numbers and fractions; none for everything that would need Python's own floats.
fn numeric(name: &str) -> Option<String> {
    let (sign, digits) = match name.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", name),
    };
    let (above, below) = digits.split_once('/').unwrap_or((digits, "1"));
    let plain = |part: &str| {
        !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit())
    };
    if !plain(above) || !plain(below) {
        return None;
    }
    let (above, below): (u64, u64) = (above.parse().ok()?, below.parse().ok()?);
    if below == 0 || above > 1_000_000 && below != 1 {
        return None;
    }
    let divisor = greatest_common_divisor(above, below);
    let (above, below) = (above / divisor, below / divisor);
    Some(if below == 1 {
        format!("{sign}{above}")
    } else {
        format!("{sign}{above}/{below}")
    })
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 {
        a.max(1)
    } else {
        greatest_common_divisor(b, a % b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii(name: &str) -> String {
        let (value, positive) = lookup(None, name, true, false).unwrap();
        assert!(positive);
        (0_u8..128)
            .filter(|&c| value.holds(u32::from(c)))
            .map(char::from)
            .collect()
    }

    #[test]
    fn names_are_loose() {
        assert_eq!(ascii("Nd"), "0123456789");
        assert_eq!(ascii("decimal_Number"), "0123456789");
        assert_eq!(ascii("Pc"), "_");
        assert_eq!(ascii("IsAlphabetic").len(), 52);
    }

    #[test]
    fn unknown_names_are_complaints() {
        assert_eq!(
            lookup(None, "Foo", true, false),
            Err(LookupFailure::Unknown(Complaint::UnknownProperty))
        );
        assert_eq!(
            lookup(Some("Script"), "Foo", true, false),
            Err(LookupFailure::Unknown(Complaint::UnknownPropertyValue))
        );
    }

    #[test]
    fn fractions_are_reduced() {
        assert_eq!(numeric("2/4").as_deref(), Some("1/2"));
        assert_eq!(numeric("-1/2").as_deref(), Some("-1/2"));
        assert_eq!(numeric("007").as_deref(), Some("7"));
        assert_eq!(numeric("1.5"), None);
    }
}
