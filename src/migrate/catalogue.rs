//! The migrations themselves: the one place that lists them, with their scripts built in.

use refinery::Migration;

use super::MigrateError;
use super::script::{Script, Step};

/// The version without any migration.
pub(super) const NOTHING: i32 = 0;

/// The version that `hand-over` goes back to: ours alone, nothing on Quay's tables.
pub(super) const JOURNAL_ONLY: i32 = 1;

/// How a migration is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// On our own schema, in one transaction with its history row.
    OwnSchema,
    /// On Quay's policy tables, in one transaction with its history row, under locks that are
    /// asked for and never waited for.
    PolicyTables,
    /// On Quay's policy tables, outside a transaction; the history row follows once the result
    /// has been looked at.
    Concurrently,
}

/// One migration: a script up, its script down, and how they are carried out.
#[derive(Debug)]
pub struct Embedded {
    /// 1, 2, 3, …
    pub version: i32,
    /// The part of the file's name that says what it is about.
    pub name: &'static str,
    /// How it is carried out.
    pub(super) way: Way,
    /// The text of `V<version>__<name>.sql`.
    pub up: &'static str,
    /// The text of `V<version>__<name>.down.sql`.
    pub down: &'static str,
}

/// Builds an entry from the parts of its files' names.
macro_rules! embedded {
    ($version:literal, $name:literal, $way:ident) => {
        Embedded {
            version: $version,
            name: $name,
            way: Way::$way,
            up: include_str!(concat!("../../migrations/V", $version, "__", $name, ".sql")),
            down: include_str!(concat!(
                "../../migrations/V",
                $version,
                "__",
                $name,
                ".down.sql"
            )),
        }
    };
}

/// Every migration, oldest first. To add one: two files in `migrations/` and one line here.
pub const MIGRATIONS: [Embedded; 3] = [
    embedded!(1, "journal", OwnSchema),
    embedded!(2, "active", PolicyTables),
    embedded!(3, "active_indexes", Concurrently),
];

/// The newest version.
pub(super) const LATEST: i32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

impl Embedded {
    /// The migration as refinery knows it, with its checksum over version, name and script.
    pub(super) fn to_refinery(&self) -> Result<Migration, MigrateError> {
        let file_stem = format!("V{}__{}", self.version, self.name);
        Ok(Migration::unapplied(&file_stem, self.up)?)
    }

    /// The same, with these statements to run in place of the script. refinery's type lets nobody
    /// set the two apart, except in its serialised form.
    pub(super) fn with_statements(&self, statements: &[String]) -> Result<Migration, MigrateError> {
        let mut document = serde_json::to_value(self.to_refinery()?)?;
        document["sql"] = statements.join("\n").into();
        Ok(serde_json::from_value(document)?)
    }

    /// The checksum that a history row of this migration must carry.
    pub fn checksum(&self) -> Result<u64, MigrateError> {
        Ok(self.to_refinery()?.checksum())
    }

    /// The script up, step by step.
    pub(super) fn steps_up(&self) -> Result<Vec<Step>, MigrateError> {
        Script::parse(self.up).map(Script::into_steps)
    }

    /// The script down, step by step.
    pub(super) fn steps_down(&self) -> Result<Vec<Step>, MigrateError> {
        Script::parse(self.down).map(Script::into_steps)
    }
}

/// The migration of a version.
pub(super) fn find(version: i32) -> Option<&'static Embedded> {
    MIGRATIONS.iter().find(|known| known.version == version)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::journal::MARK;
    use crate::migrate::script::Subject;

    #[test]
    fn every_file_in_the_folder_is_listed_and_every_up_has_its_down() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let listed: BTreeSet<String> = MIGRATIONS
            .iter()
            .flat_map(|known| {
                let stem = format!("V{}__{}", known.version, known.name);
                [format!("{stem}.sql"), format!("{stem}.down.sql")]
            })
            .collect();
        assert_eq!(files, listed);
    }

    #[test]
    fn versions_count_up_from_one_without_a_gap() {
        let versions = MIGRATIONS.iter().map(|known| known.version);
        assert!(versions.eq(1..=LATEST));
    }

    #[test]
    fn refinery_reads_every_name_as_it_is_listed() {
        for known in &MIGRATIONS {
            let read = known.to_refinery().unwrap();
            assert_eq!((read.version(), read.name()), (known.version, known.name));
        }
    }

    #[test]
    fn refinery_runs_the_statements_at_hand_under_the_checksum_of_the_whole_script() {
        for known in &MIGRATIONS {
            let statements = ["SELECT 1;".to_owned(), "SELECT 2;".to_owned()];
            let at_hand = known.with_statements(&statements).unwrap();
            assert_eq!(at_hand.sql(), Some("SELECT 1;\nSELECT 2;"));
            assert_eq!(at_hand, known.to_refinery().unwrap());
        }
    }

    #[test]
    fn what_is_added_to_quays_tables_carries_the_mark_that_it_is_ours() {
        for known in MIGRATIONS
            .iter()
            .filter(|known| known.way != Way::OwnSchema)
        {
            for step in known.steps_up().unwrap() {
                if matches!(step.subject, Subject::Column(..) | Subject::Index(_)) {
                    let last = step.statements.last().unwrap();
                    assert!(last.contains("COMMENT ON") && last.contains(MARK), "{last}");
                }
            }
        }
    }

    #[test]
    fn a_down_script_has_a_step_for_everything_that_its_up_script_made() {
        for known in &MIGRATIONS {
            let made = |steps: Vec<Step>| -> BTreeSet<_> {
                steps.into_iter().map(|step| step.subject).collect()
            };
            let (up, down) = (
                made(known.steps_up().unwrap()),
                made(known.steps_down().unwrap()),
            );
            let missing: Vec<_> = up.difference(&down).collect();
            assert!(missing.is_empty(), "V{}: {missing:?}", known.version);
        }
    }
}
