//! A migration's script, cut into steps: what each is about, and its statements.
//!
//! A script is plain SQL that psql runs as well. A comment `-- step: …` begins a step and names its
//! subject, so that a step whose subject is there already can be left out.

use std::fmt;

use super::MigrateError;
use crate::quay::PolicyTable;

/// What a step makes, or takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The locks, asked for with NOWAIT.
    Lock,
    /// Our own schema.
    Schema,
    /// The tables in our own schema, with their indexes.
    Tables,
    /// A column on one of Quay's policy tables.
    Column(PolicyTable, PolicyColumn),
    /// The index of one of Quay's policy tables.
    Index(PolicyTable),
}

/// A column that we add to Quay's policy tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PolicyColumn {
    /// `active`.
    Active,
    /// `created_date`.
    CreatedDate,
}

impl PolicyColumn {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::CreatedDate => "created_date",
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            None if text == "lock" => Some(Self::Lock),
            None if text == "tables" => Some(Self::Tables),
            Some(("schema", crate::journal::SCHEMA)) => Some(Self::Schema),
            Some(("column", name)) => {
                let (table, column) = name.split_once('.')?;
                let column = match column {
                    "active" => PolicyColumn::Active,
                    "created_date" => PolicyColumn::CreatedDate,
                    _ => return None,
                };
                Some(Self::Column(policy_table(table)?, column))
            }
            Some(("index", name)) => {
                let (table, index) = name.split_once('.')?;
                let table = policy_table(table)?;
                (index == crate::journal::active_index_name(table)).then_some(Self::Index(table))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock => f.write_str("the locks"),
            Self::Schema => write!(f, "schema {}", crate::journal::SCHEMA),
            Self::Tables => write!(f, "the tables of {}", crate::journal::SCHEMA),
            Self::Column(table, column) => {
                write!(f, "column {}.{}", table.name(), column.name())
            }
            Self::Index(table) => write!(f, "index {}", crate::journal::active_index_name(*table)),
        }
    }
}

fn policy_table(name: &str) -> Option<PolicyTable> {
    PolicyTable::IN_LOCK_ORDER
        .into_iter()
        .find(|table| table.name() == name)
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) subject: Subject,
    /// Its statements, each with its comments and its semicolon.
    pub(super) statements: Vec<String>,
}

/// A script, read.
pub(super) struct Script {
    steps: Vec<Step>,
}

impl Script {
    /// Cuts a script into steps. A statement ends at a line that ends in a semicolon; our scripts
    /// hold no function bodies and no text over several lines.
    pub(super) fn parse(text: &str) -> Result<Self, MigrateError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut statement = String::new();
        for line in text.lines() {
            if let Some(subject) = line.strip_prefix("-- step: ") {
                let subject = Subject::parse(subject.trim()).ok_or_else(|| bad(line))?;
                steps.push(Step {
                    subject,
                    statements: Vec::new(),
                });
                statement.clear();
                continue;
            }
            let trimmed = line.trim();
            let is_comment = trimmed.starts_with("--");
            if trimmed.is_empty() {
                continue;
            }
            let Some(step) = steps.last_mut() else {
                // The head of the file is for its reader.
                if is_comment {
                    continue;
                }
                return Err(bad(line));
            };
            statement.push_str(line);
            statement.push('\n');
            if !is_comment && trimmed.ends_with(';') {
                step.statements.push(statement.trim_end().to_owned());
                statement.clear();
            }
        }
        let unfinished = statement.lines().find(|line| !line.starts_with("--"));
        match unfinished {
            Some(line) => Err(bad(line)),
            None => Ok(Self { steps }),
        }
    }

    pub(super) fn into_steps(self) -> Vec<Step> {
        self.steps
    }
}

fn bad(line: &str) -> MigrateError {
    MigrateError::BadScript {
        line: line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::catalogue::MIGRATIONS;

    fn without_comments(text: &str) -> Vec<&str> {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("--"))
            .collect()
    }

    #[test]
    fn every_line_of_every_script_arrives_in_one_of_its_steps() {
        for known in &MIGRATIONS {
            for text in [known.up, known.down] {
                let steps = Script::parse(text).unwrap().into_steps();
                let joined: Vec<String> = steps.into_iter().flat_map(|s| s.statements).collect();
                assert_eq!(without_comments(text), without_comments(&joined.join("\n")));
            }
        }
    }

    #[test]
    fn statements_end_at_their_semicolon_and_not_at_one_in_a_comment() {
        let text = "-- head;\n-- step: lock\n-- why;\nSELECT\n    1;\nSELECT 2;\n";
        let steps = Script::parse(text).unwrap().into_steps();
        assert_eq!(
            steps[0].statements,
            ["-- why;\nSELECT\n    1;", "SELECT 2;"]
        );
    }

    #[test]
    fn a_script_that_cannot_be_cut_is_refused() {
        for text in [
            "SELECT 1;\n",
            "-- step: lock\nSELECT 1\n",
            "-- step: something else\nSELECT 1;\n",
            "-- step: column tag.immutable\nSELECT 1;\n",
            "-- step: index repositoryimmutabilitypolicy.other\nSELECT 1;\n",
        ] {
            assert!(Script::parse(text).is_err(), "{text}");
        }
    }
}
