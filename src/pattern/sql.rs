//! Simple patterns as SQL, so that PostgreSQL can leave out rows before they travel.
//!
//! The condition holds for exactly the texts that the pattern matches, whatever the column's
//! collation: every comparison says COLLATE "C", which compares bytes. No LIKE, hence no escapes.

use std::fmt::Write as _;

use super::shape::{Gap, Shape, Simple};

/// A condition on a text column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlCondition {
    any_of: Vec<Simple>,
}

/// A condition's text, and the texts for its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlText {
    /// With `$n` where a parameter goes.
    pub text: String,
    /// The parameters' values, all of type text.
    pub parameters: Vec<String>,
}

impl SqlCondition {
    /// The condition of a shape; none if PostgreSQL cannot hold one of its texts.
    pub(super) fn of(shape: &Shape) -> Option<Self> {
        let has_null = |text: &String| text.contains('\0');
        let impossible = shape.any_of.iter().any(|simple| match simple {
            Simple::Literal(text) | Simple::Contains { text, .. } => has_null(text),
            Simple::Affixes { prefix, suffix, .. } => has_null(prefix) || has_null(suffix),
        });
        (!impossible).then(|| Self {
            any_of: shape.any_of.clone(),
        })
    }

    /// The condition on `column` (an SQL expression of the caller's own, such as `tag.name`), its
    /// parameters numbered from `first_parameter`.
    pub fn render(&self, column: &str, first_parameter: usize) -> SqlText {
        let mut writer = Writer {
            column,
            next: first_parameter,
            parameters: Vec::new(),
        };
        let literals: Vec<&str> = self
            .any_of
            .iter()
            .filter_map(|simple| match simple {
                Simple::Literal(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let mut parts = Vec::new();
        if !literals.is_empty() {
            parts.push(writer.one_of(&literals));
        }
        for simple in &self.any_of {
            match simple {
                Simple::Literal(_) => {}
                Simple::Affixes {
                    prefix,
                    gap,
                    suffix,
                } => parts.push(writer.affixes(prefix, *gap, suffix)),
                Simple::Contains { text, line_feeds } => {
                    parts.push(writer.contains(text, *line_feeds));
                }
            }
        }
        let text = match parts.len() {
            1 => parts.remove(0),
            _ => format!("({})", parts.join(" OR ")),
        };
        SqlText {
            text,
            parameters: writer.parameters,
        }
    }
}

struct Writer<'a> {
    column: &'a str,
    next: usize,
    parameters: Vec<String>,
}

impl Writer<'_> {
    fn parameter(&mut self, value: &str) -> String {
        let name = format!("${}", self.next);
        self.next += 1;
        self.parameters.push(value.to_owned());
        name
    }

    /// The plain comparison lets an index be used; the other makes it exact under any collation.
    fn one_of(&mut self, texts: &[&str]) -> String {
        let names: Vec<String> = texts.iter().map(|text| self.parameter(text)).collect();
        let (column, names) = (self.column, names.join(", "));
        format!("({column} IN ({names}) AND {column} COLLATE \"C\" IN ({names}))")
    }

    fn affixes(&mut self, prefix: &str, gap: Gap, suffix: &str) -> String {
        let column = self.column;
        let mut parts = Vec::new();
        if !prefix.is_empty() {
            let name = self.parameter(prefix);
            parts.push(format!("starts_with({column} COLLATE \"C\", {name})"));
        }
        if !suffix.is_empty() {
            let name = self.parameter(suffix);
            parts.push(format!(
                "right({column}, char_length({name}::text)) COLLATE \"C\" = {name}"
            ));
        }
        let fixed = prefix.chars().count() + suffix.chars().count();
        let least = fixed + gap.minimum as usize;
        if gap.minimum > 0 || !(prefix.is_empty() || suffix.is_empty()) {
            parts.push(format!("char_length({column}) >= {least}"));
        }
        if let Some(maximum) = gap.maximum {
            let most = fixed + maximum as usize;
            parts.push(format!("char_length({column}) <= {most}"));
        }
        if !gap.line_feeds {
            parts.push(self.no_line_feed());
        }
        if parts.is_empty() {
            return format!("{column} IS NOT NULL");
        }
        format!("({})", parts.join(" AND "))
    }

    fn contains(&mut self, text: &str, line_feeds: bool) -> String {
        let name = self.parameter(text);
        let column = self.column;
        let mut condition = format!("(strpos({column} COLLATE \"C\", {name}) > 0");
        if !line_feeds {
            let _ = write!(condition, " AND {}", self.no_line_feed());
        }
        condition.push(')');
        condition
    }

    /// The dot takes everything but a line feed. No tag has one, but then nothing in the column's
    /// type says so.
    fn no_line_feed(&self) -> String {
        format!("strpos({} COLLATE \"C\", chr(10)) = 0", self.column)
    }
}
