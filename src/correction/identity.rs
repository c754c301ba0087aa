//! Which database a plan was made for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What tells one database from another, as far as a role without privileges may know it.
///
/// Name and oid alone do not: a first database often has the oid 16384. The cluster's identifier
/// tells a restored copy from the original, but some services do not show it; the moment at which
/// the journal was made tells the rest. A physical copy (a standby, a clone of the disks) cannot be
/// told from its original, and for a standby that is as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseIdentity {
    /// `current_database()`.
    pub name: String,
    /// `pg_database.oid`.
    pub oid: u32,
    /// `pg_control_system()`, where the role may call it; text, because JSON's numbers are often
    /// read with 53 bits.
    pub system_identifier: Option<String>,
    /// When migration V1 was applied, as its history says; nothing where there is no journal.
    pub journal: Option<String>,
}

impl DatabaseIdentity {
    /// Whether both can be the same database: what both know is equal.
    pub fn may_be(&self, other: &Self) -> bool {
        let agree = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.name == other.name
            && self.oid == other.oid
            && agree(&self.system_identifier, &other.system_identifier)
            && agree(&self.journal, &other.journal)
    }
}

impl fmt::Display for DatabaseIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (oid {}", self.name.escape_debug(), self.oid)?;
        if let Some(system) = &self.system_identifier {
            write!(f, ", cluster {}", system.escape_debug())?;
        }
        if let Some(journal) = &self.journal {
            write!(f, ", journal of {}", journal.escape_debug())?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(oid: u32, system: Option<&str>, journal: Option<&str>) -> DatabaseIdentity {
        DatabaseIdentity {
            name: "quay".to_owned(),
            oid,
            system_identifier: system.map(str::to_owned),
            journal: journal.map(str::to_owned),
        }
    }

    #[test]
    fn databases_that_differ_in_what_both_know_are_two() {
        let one = identity(16_384, Some("7"), Some("monday"));
        assert!(one.may_be(&one));
        assert!(
            one.may_be(&identity(16_384, None, None)),
            "what one does not know does not speak against it"
        );
        assert!(!one.may_be(&identity(16_385, Some("7"), Some("monday"))));
        assert!(!one.may_be(&identity(16_384, Some("8"), Some("monday"))));
        assert!(!one.may_be(&identity(16_384, Some("7"), Some("tuesday"))));
        let mut renamed = one.clone();
        renamed.name = "stage".to_owned();
        assert!(!one.may_be(&renamed));
    }
}
