//! refinery's history table, read with care: rows that someone has edited end in an error.
//!
//! refinery's own driver panics on a checksum or a time that it cannot read, and its query fails
//! where there is no table yet. The rows are decoded here instead.

use chrono::{DateTime, Timelike, Utc};

use super::MigrateError;
use super::catalogue::{self, MIGRATIONS};
use crate::pg::{PgError, Row, Statements, filled};

/// The history table. In our own schema, so that Quay's holds nothing of it.
pub(super) const TABLE: &str = "quay_doctor.refinery_schema_history";

/// The query with refinery's columns in refinery's order. At most so many rows are looked at: the
/// table has as many as there are migrations, unless someone fills it.
const QUERY: &str = "SELECT version, name, applied_on, checksum
    FROM quay_doctor.refinery_schema_history ORDER BY version LIMIT 1000";

/// What the history records: every row known, none edited, no gap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct History {
    pub(super) applied: Vec<Applied>,
}

/// One row of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) version: i32,
    pub(super) name: String,
    pub(super) applied_on: DateTime<Utc>,
    pub(super) checksum: u64,
}

impl History {
    /// Reads the table and holds it against the migrations that this program has. No table is an
    /// empty history.
    pub(super) fn read(db: &mut impl Statements) -> Result<Self, MigrateError> {
        let applied = rows(db)?;
        compare(&applied)?;
        Ok(Self { applied })
    }

    /// The highest version recorded; 0 where there is none.
    pub(super) fn version(&self) -> i32 {
        self.applied
            .last()
            .map_or(catalogue::NOTHING, |row| row.version)
    }

    /// The row of a version.
    pub(super) fn row(&self, version: i32) -> Option<&Applied> {
        self.applied.iter().find(|row| row.version == version)
    }
}

/// The rows of the history; none where there is no table.
fn rows(db: &mut impl Statements) -> Result<Vec<Applied>, MigrateError> {
    // Not by to_regclass, which fails for a role that may not use the schema.
    let there = db.query_one(
        "SELECT EXISTS (
             SELECT FROM pg_class AS class
             JOIN pg_namespace AS schema ON schema.oid = class.relnamespace
             WHERE schema.nspname || '.' || class.relname = $1)",
        &[&TABLE],
    )?;
    if !there.try_get::<_, bool>(0).map_err(PgError::from)? {
        return Ok(Vec::new());
    }
    db.query(QUERY, &[])?.iter().map(decode).collect()
}

fn decode(row: &Row) -> Result<Applied, MigrateError> {
    let version: Option<i32> = row.try_get(0).ok();
    let unreadable = |what: &str| MigrateError::HistoryUnreadable {
        version: version.map_or_else(|| "unknown".to_owned(), |version| version.to_string()),
        what: what.to_owned(),
        expected: expected(version),
    };
    let text = |column: usize, name: &str| {
        let value: Option<String> = row
            .try_get(column)
            .map_err(|_| unreadable(&format!("its {name} is no text")))?;
        value.ok_or_else(|| unreadable(&format!("its {name} is NULL")))
    };
    let Some(version) = version else {
        return Err(unreadable("its version is NULL or no integer"));
    };
    let (name, applied_on, checksum) = (text(1, "name")?, text(2, "time")?, text(3, "checksum")?);
    Ok(Applied {
        version,
        name,
        applied_on: moment(&applied_on)
            .ok_or_else(|| unreadable(&format!("its time {applied_on:?} is none by RFC 3339")))?,
        checksum: checksum
            .parse()
            .map_err(|_| unreadable(&format!("its checksum {checksum:?} is no number")))?,
    })
}

/// A time that refinery's own driver can read, too, where it would panic at any other: RFC 3339 in
/// ASCII, and no leap second, which it takes at the end of a month alone.
fn moment(text: &str) -> Option<DateTime<Utc>> {
    let moment = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (text.is_ascii() && moment.nanosecond() < 1_000_000_000).then_some(moment)
}

/// What the row of a version should hold, as far as this program knows.
fn expected(version: Option<i32>) -> String {
    let known = version
        .and_then(catalogue::find)
        .and_then(|known| Some((known, known.checksum().ok()?)));
    match known {
        Some((known, checksum)) => format!(
            "version {}, name '{}', applied_on a time by RFC 3339, checksum '{checksum}'",
            known.version, known.name
        ),
        None => "version, name, applied_on by RFC 3339 and checksum, none of them NULL".to_owned(),
    }
}

/// Holds the rows against our migrations, in their order.
fn compare(applied: &[Applied]) -> Result<(), MigrateError> {
    for row in applied {
        let Some(known) = catalogue::find(row.version) else {
            return Err(MigrateError::NewerProgram {
                version: row.version,
                name: row.name.clone(),
            });
        };
        let ours = known.checksum()?;
        if (row.name.as_str(), row.checksum) != (known.name, ours) {
            return Err(MigrateError::Divergent {
                version: row.version,
                recorded_name: row.name.clone(),
                recorded: row.checksum,
                name: known.name.to_owned(),
                ours,
            });
        }
    }
    for (known, row) in MIGRATIONS.iter().zip(applied) {
        if row.version != known.version {
            return Err(MigrateError::HistoryGap {
                version: known.version,
                repair: insert(known)?,
            });
        }
    }
    Ok(())
}

/// The statement that records a migration as applied now, as refinery would.
pub(super) fn insert(known: &catalogue::Embedded) -> Result<String, MigrateError> {
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let values = [
        known.version.into(),
        known.name.into(),
        now.into(),
        known.checksum()?.to_string().into(),
    ];
    Ok(filled(
        "INSERT INTO quay_doctor.refinery_schema_history (version, name, applied_on, checksum)
    VALUES ($1, $2, $3, $4);",
        values,
    ))
}

/// The statement that makes the table, as refinery would.
pub(super) const CREATE_TABLE: &str =
    "CREATE TABLE IF NOT EXISTS quay_doctor.refinery_schema_history (
    version int4 PRIMARY KEY,
    name varchar(255),
    applied_on varchar(255),
    checksum varchar(255));";

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i32) -> Applied {
        let known = catalogue::find(version).unwrap();
        Applied {
            version,
            name: known.name.to_owned(),
            applied_on: DateTime::UNIX_EPOCH,
            checksum: known.checksum().unwrap(),
        }
    }

    #[test]
    fn a_time_is_read_where_refinery_reads_it_and_nowhere_else() {
        for text in [
            "2026-11-30T22:10:06Z",
            "2026-11-30T22:10:06.123456789Z",
            "2026-11-30T22:10:06.5z",
            "2026-11-30 23:10:06+01:00",
        ] {
            assert!(moment(text).is_some(), "{text}");
        }
        for text in [
            "",
            "yesterday",
            "2026-11-30",
            "2026-11-30T22:10:06",
            "2026-11-30T24:00:00Z",
            "2026-11-30T22:10:60Z",
            "2026-11-30T22:10:06\u{2212}01:00",
            "2026-11-30T22:10:06Z ",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn our_own_rows_in_their_order_are_accepted() {
        for last in 0..=catalogue::LATEST {
            let rows: Vec<Applied> = (1..=last).map(row).collect();
            assert!(compare(&rows).is_ok(), "up to {last}");
        }
    }

    #[test]
    fn a_gap_names_the_version_that_is_missing() {
        let gap = compare(&[row(1), row(3)]);
        assert!(matches!(
            gap,
            Err(MigrateError::HistoryGap { version: 2, .. })
        ));
        let headless = compare(&[row(2)]);
        assert!(matches!(
            headless,
            Err(MigrateError::HistoryGap { version: 1, .. })
        ));
    }

    #[test]
    fn a_row_with_another_checksum_or_name_is_told_with_both() {
        let mut edited = row(1);
        edited.checksum = 7;
        let ours = row(1).checksum;
        let text = compare(&[edited]).unwrap_err().to_string();
        assert!(
            text.contains("checksum 7,") && text.contains(&ours.to_string()),
            "{text}"
        );
        let mut renamed = row(1);
        renamed.name = "other".to_owned();
        assert!(matches!(
            compare(&[renamed]),
            Err(MigrateError::Divergent { .. })
        ));
    }

    #[test]
    fn a_version_of_the_future_is_left_to_the_program_that_knows_it() {
        let mut later = row(3);
        later.version = 4;
        let told = compare(&[row(1), row(2), row(3), later]);
        assert!(matches!(
            told,
            Err(MigrateError::NewerProgram { version: 4, .. })
        ));
    }

    #[test]
    fn the_row_that_repairs_a_history_is_one_that_we_read_again() {
        let statement = insert(&MIGRATIONS[0]).unwrap();
        let time = statement.split('\'').nth(3).unwrap();
        assert!(moment(time).is_some(), "{statement}");
    }
}
