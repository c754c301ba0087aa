//! One part of several: every subject is in exactly one of them, whoever counts and whenever.

use std::fmt;
use std::str::FromStr;

use crate::quay::{OperationId, Scope};

/// The `index`th of `of` parts, from 0. A tag is in its repository's part, so that what accounts
/// for it is read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: i32,
    of: i32,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Shard {
    /// Whether it is the only part.
    pub fn is_everything(self) -> bool {
        self.of == 1
    }

    /// The part's number and how many there are, for SQL.
    pub(super) fn parts(self) -> (i32, i32) {
        (self.index, self.of)
    }

    /// Whether the policies of a scope are in it.
    pub fn holds_scope(self, scope: Scope) -> bool {
        let id = match scope {
            Scope::Namespace(id) => id.0,
            Scope::Repository(id) => id.0,
        };
        id.rem_euclid(self.of) == self.index
    }

    /// Whether an operation is in it.
    pub fn holds_operation(self, id: OperationId) -> bool {
        id.0.rem_euclid(i64::from(self.of)) == i64::from(self.index)
    }

    /// Whether what belongs to no place is in it.
    pub fn is_first(self) -> bool {
        self.index == 0
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((index, of)) if 0 <= index && index < of => Ok(Self { index, of }),
            _ => Err("it has the form I/N, I from 0 to N-1".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quay::RepositoryId;

    #[test]
    fn everything_is_in_exactly_one_shard() {
        for of in 1..5 {
            for id in 0..20 {
                let shards: Vec<Shard> = (0..of).map(|index| Shard { index, of }).collect();
                let scope = Scope::Repository(RepositoryId(id));
                assert_eq!(shards.iter().filter(|s| s.holds_scope(scope)).count(), 1);
                let operation = OperationId(i64::from(id));
                let holders = shards.iter().filter(|s| s.holds_operation(operation));
                assert_eq!(holders.count(), 1);
            }
        }
    }

    #[test]
    fn a_shard_is_one_of_those_there_are() {
        assert_eq!("1/3".parse(), Ok(Shard { index: 1, of: 3 }));
        for wrong in ["3/3", "-1/3", "1", "a/b", "0/0", ""] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
