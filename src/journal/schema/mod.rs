//! What the live catalog says: whose database this is, which of our migrations it carries.
//!
//! The catalog is asked, not the history table: a history row says what was once done, the catalog
//! what is there now. Everything here needs no more than the right to connect, works on a standby,
//! and writes nothing.

mod read;

use serde::Serialize;

use crate::pg::{PgError, Statements};
use crate::quay::PolicyTable;

/// Our own schema's name.
pub const SCHEMA: &str = "quay_doctor";

/// The tables of migration V1, in the order in which they are created.
pub const TABLES: [&str; 5] = ["operation", "tag_change", "policy_change", "kept", "scan"];

/// The comment that our migrations put on what they add to Quay's tables. What carries it is ours
/// to drop; what does not was brought by Quay, or by an administrator, and stays.
pub const MARK: &str = "Added by quay-doctor; `quay-doctor migrate hand-over` removes it.";

/// The schema as it is at the moment of reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaState {
    /// Whose database this is.
    pub quay: QuaySchema,
    /// Where Quay's own chain of migrations stands.
    pub alembic: AlembicRevisions,
    /// Whether migration V1 is there.
    pub journal: JournalState,
    /// What migrations V2 and V3 are about, on `repositoryimmutabilitypolicy`.
    pub repository_policies: PolicyTableState,
    /// The same on `namespaceimmutabilitypolicy`.
    pub namespace_policies: PolicyTableState,
}

/// Whose database this is, by the tables that the search path shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "missing")]
pub enum QuaySchema {
    /// Not Quay's: these of the tables that every Quay has are missing.
    Foreign(Vec<String>),
    /// Quay's, but older than its immutability policies (before 3.17): these are missing.
    BeforePolicies(Vec<String>),
    /// Quay's, with both policy tables.
    WithPolicies,
}

/// The rows of `alembic_version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "revisions")]
pub enum AlembicRevisions {
    /// There is no such table.
    Absent,
    /// There is, and our role may not read it.
    Unreadable,
    /// Its rows; more than one where the chain has several heads.
    At(Vec<String>),
}

/// Migration V1, by its tables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "tables")]
pub enum JournalState {
    /// None of its tables is there.
    Absent,
    /// Some are there, these are missing.
    Incomplete(Vec<String>),
    /// All are there, and our role may not read these.
    Unreadable(Vec<String>),
    /// All are there and can be read.
    Present,
}

/// One policy table, as far as our migrations are about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyTableState {
    /// The column `active`.
    pub active: Option<LiveColumn>,
    /// The column `created_date`.
    pub created_date: Option<LiveColumn>,
    /// The index of migration V3.
    pub active_index: Option<LiveIndex>,
}

/// Who put an object there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A migration of ours: it carries [`MARK`].
    Ours,
    /// Quay, or an administrator.
    Foreign,
}

/// Whether a column takes NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nullness {
    /// NOT NULL.
    NotNull,
    /// NULL is allowed.
    Nullable,
}

/// A column as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveColumn {
    /// The type, as `format_type` spells it.
    pub type_name: String,
    /// Whether it takes NULL.
    pub nullness: Nullness,
    /// The default, as `pg_get_expr` spells it.
    pub default: Option<String>,
    /// Who put it there.
    pub origin: Origin,
}

/// Whether queries can use an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexValidity {
    /// Built to the end.
    Valid,
    /// Left behind by a concurrent build (or drop) that was cut short.
    Invalid,
}

/// An index (or whatever else has its name) as the catalog has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LiveIndex {
    /// The definition without the schema's name, as `pg_get_indexdef` spells it; for another kind
    /// of relation, a word for the kind.
    pub definition: String,
    /// Whether queries can use it.
    pub validity: IndexValidity,
    /// Who put it there.
    pub origin: Origin,
}

/// How the column `active` can be used by a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActiveColumn {
    /// It is not there: every policy counts as active.
    Absent,
    /// It is boolean NOT NULL, whoever brought it.
    Usable,
    /// It has another shape: what differs.
    Unusable(String),
}

impl SchemaState {
    /// Reads the catalog. Several statements: on a busy database run it in a snapshot.
    ///
    /// # Errors
    /// [`PgError`] where the database does not answer.
    pub fn read(db: &mut impl Statements) -> Result<Self, PgError> {
        Ok(Self {
            quay: read::quay(db)?,
            alembic: read::alembic(db)?,
            journal: read::journal(db)?,
            repository_policies: read::policy_table(db, PolicyTable::Repository)?,
            namespace_policies: read::policy_table(db, PolicyTable::Namespace)?,
        })
    }

    /// One policy table's state.
    pub fn policies(&self, table: PolicyTable) -> &PolicyTableState {
        match table {
            PolicyTable::Repository => &self.repository_policies,
            PolicyTable::Namespace => &self.namespace_policies,
        }
    }

    /// Whether both policy tables have an `active` that a reader can use.
    pub fn knows_active(&self) -> bool {
        PolicyTable::IN_LOCK_ORDER
            .iter()
            .all(|table| self.policies(*table).active() == ActiveColumn::Usable)
    }

    /// Whether the journal can be read.
    pub fn has_journal(&self) -> bool {
        self.journal == JournalState::Present
    }

    /// The migration version that the catalog bears out: the highest of which it carries
    /// everything, and everything of those below. 0 where there is nothing of ours.
    pub fn version(&self) -> i32 {
        let journal = matches!(
            self.journal,
            JournalState::Present | JournalState::Unreadable(_)
        );
        let tables = [&self.repository_policies, &self.namespace_policies];
        let columns = self.knows_active() && tables.iter().all(|t| t.created_date.is_some());
        let indexes = tables.iter().all(|table| {
            let index = table.active_index.as_ref();
            index.is_some_and(|index| index.validity == IndexValidity::Valid)
        });
        match (journal, columns, indexes) {
            (false, ..) => 0,
            (true, false, _) => 1,
            (true, true, false) => 2,
            (true, true, true) => 3,
        }
    }
}

impl PolicyTableState {
    /// How a reader can use `active`.
    pub fn active(&self) -> ActiveColumn {
        let Some(column) = &self.active else {
            return ActiveColumn::Absent;
        };
        match (column.type_name.as_str(), column.nullness) {
            ("boolean", Nullness::NotNull) => ActiveColumn::Usable,
            ("boolean", Nullness::Nullable) => {
                ActiveColumn::Unusable("it is boolean, but not NOT NULL".to_owned())
            }
            (other, _) => ActiveColumn::Unusable(format!("its type is {other}, not boolean")),
        }
    }
}

/// The name that migration V3 gives to a policy table's index.
pub fn active_index_name(table: PolicyTable) -> &'static str {
    match table {
        PolicyTable::Repository => "idx_repository_immutability_policy_active",
        PolicyTable::Namespace => "idx_namespace_immutability_policy_active",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_name: &str, nullness: Nullness) -> LiveColumn {
        LiveColumn {
            type_name: type_name.to_owned(),
            nullness,
            default: None,
            origin: Origin::Foreign,
        }
    }

    fn table(validity: IndexValidity) -> PolicyTableState {
        PolicyTableState {
            active: Some(column("boolean", Nullness::NotNull)),
            created_date: Some(column("timestamp without time zone", Nullness::Nullable)),
            active_index: Some(LiveIndex {
                definition: String::new(),
                validity,
                origin: Origin::Ours,
            }),
        }
    }

    fn state(journal: JournalState, tables: PolicyTableState) -> SchemaState {
        SchemaState {
            quay: QuaySchema::WithPolicies,
            alembic: AlembicRevisions::Absent,
            journal,
            repository_policies: tables.clone(),
            namespace_policies: tables,
        }
    }

    #[test]
    fn the_version_is_the_highest_that_the_catalog_bears_out_without_a_gap() {
        let whole = || table(IndexValidity::Valid);
        assert_eq!(state(JournalState::Present, whole()).version(), 3);
        let unindexed = table(IndexValidity::Invalid);
        assert_eq!(state(JournalState::Present, unindexed).version(), 2);
        let bare = PolicyTableState::default();
        assert_eq!(state(JournalState::Present, bare).version(), 1);
        // Quay brought columns and indexes by itself: nothing of ours is there.
        assert_eq!(state(JournalState::Absent, whole()).version(), 0);
        let torn = JournalState::Incomplete(vec!["scan".to_owned()]);
        assert_eq!(state(torn, whole()).version(), 0);
        // Not readable for this role, but there.
        let closed = JournalState::Unreadable(vec!["scan".to_owned()]);
        assert_eq!(state(closed, whole()).version(), 3);
    }

    #[test]
    fn a_column_called_active_is_usable_only_as_boolean_not_null() {
        let with = |active| PolicyTableState {
            active,
            ..PolicyTableState::default()
        };
        assert_eq!(with(None).active(), ActiveColumn::Absent);
        let sound = with(Some(column("boolean", Nullness::NotNull)));
        assert_eq!(sound.active(), ActiveColumn::Usable);
        for odd in [
            column("boolean", Nullness::Nullable),
            column("integer", Nullness::NotNull),
        ] {
            assert!(matches!(
                with(Some(odd)).active(),
                ActiveColumn::Unusable(_)
            ));
        }
    }
}
