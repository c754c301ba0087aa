//! What the live catalog says: whose database this is, which of our migrations it carries.
//!
//! The catalog is asked, not the history table: a history row says what was once done, the catalog
//! what is there now. Everything here needs no more than the right to connect, works on a standby,
//! and writes nothing.

mod read;

use serde::Serialize;

use crate::journal::JournalError;
use crate::pg::{PgError, Statements};
use crate::quay::PolicyTable;

/// Our own schema's name.
pub const SCHEMA: &str = "quay_doctor";

/// The tables of migration V1, in the order in which they are created.
pub const TABLES: [&str; 5] = ["operation", "tag_change", "policy_change", "kept", "scan"];

/// The comment that our migrations put on what they add to Quay's tables. What carries it is ours
/// to drop; what does not was brought by Quay, or by an administrator, and stays.
pub const MARK: &str = "Added by quay-doctor; `quay-doctor migrate hand-over` removes it.";

/// The revisions of Quay's own chain that this version was tested with (the head at commit
/// ffba0c70e2d8).
pub const TESTED_REVISIONS: [&str; 1] = ["9fa37f66a9b6"];

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

    /// Refuses a database whose journal is not there, or cannot be read: which of both it is, is told.
    ///
    /// # Errors
    /// [`JournalError`] where there is nothing that can be read.
    pub fn needs_journal(&self) -> Result<(), JournalError> {
        match &self.journal {
            JournalState::Present => Ok(()),
            JournalState::Absent => Err(JournalError::Absent),
            JournalState::Incomplete(tables) => Err(JournalError::Incomplete {
                tables: tables.join(", "),
            }),
            JournalState::Unreadable(tables) => Err(JournalError::NotReadable {
                tables: tables.join(", "),
            }),
        }
    }

    /// Whether there is a journal to ask. One that is there and cannot be read is not taken for none: what it knows may
    /// change the answer.
    ///
    /// # Errors
    /// [`JournalError::NotReadable`]
    pub fn asks_journal(&self) -> Result<bool, JournalError> {
        match self.needs_journal() {
            Err(error @ JournalError::NotReadable { .. }) => Err(error),
            needed => Ok(needed.is_ok()),
        }
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
        let indexes = PolicyTable::IN_LOCK_ORDER.iter().all(|table| {
            let index = self.policies(*table).active_index.as_ref();
            index.is_some_and(|index| index.is_as_promised(*table))
        });
        match (journal, columns, indexes) {
            (false, ..) => 0,
            (true, false, _) => 1,
            (true, true, false) => 2,
            (true, true, true) => 3,
        }
    }
}

impl LiveIndex {
    /// Whether it is the index of migration V3, and queries can use it.
    pub fn is_as_promised(&self, table: PolicyTable) -> bool {
        self.validity == IndexValidity::Valid && self.definition == active_index_definition(table)
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

impl AlembicRevisions {
    /// The revision in a word, for a message.
    pub fn describe(&self) -> String {
        match self {
            Self::Absent => "no alembic_version table".to_owned(),
            Self::Unreadable => "not readable for this role".to_owned(),
            Self::At(revisions) if revisions.is_empty() => "no revision recorded".to_owned(),
            Self::At(revisions) => revisions.join(", "),
        }
    }

    /// A warning where this is not a revision that this version was tested with. Whoever shows it
    /// has compared the columns it needs first: they decide, the revision does not.
    pub fn untested(&self) -> Option<String> {
        match self {
            Self::At(revisions)
                if revisions.len() == 1 && TESTED_REVISIONS.contains(&revisions[0].as_str()) =>
            {
                None
            }
            other => Some(format!(
                "Quay's Alembic revision is not one that this version was tested with ({})",
                other.describe()
            )),
        }
    }
}

/// The definition that migration V3 promises for it, as [`LiveIndex::definition`] spells it.
pub fn active_index_definition(table: PolicyTable) -> &'static str {
    match table {
        PolicyTable::Repository => {
            "CREATE INDEX idx_repository_immutability_policy_active \
             ON repositoryimmutabilitypolicy USING btree (repository_id, active)"
        }
        PolicyTable::Namespace => {
            "CREATE INDEX idx_namespace_immutability_policy_active \
             ON namespaceimmutabilitypolicy USING btree (namespace_id, active)"
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

    fn table(table: PolicyTable, validity: IndexValidity) -> PolicyTableState {
        PolicyTableState {
            active: Some(column("boolean", Nullness::NotNull)),
            created_date: Some(column("timestamp without time zone", Nullness::Nullable)),
            active_index: Some(LiveIndex {
                definition: active_index_definition(table).to_owned(),
                validity,
                origin: Origin::Ours,
            }),
        }
    }

    fn state(journal: JournalState, validity: IndexValidity) -> SchemaState {
        SchemaState {
            quay: QuaySchema::WithPolicies,
            alembic: AlembicRevisions::Absent,
            journal,
            repository_policies: table(PolicyTable::Repository, validity),
            namespace_policies: table(PolicyTable::Namespace, validity),
        }
    }

    #[test]
    fn the_version_is_the_highest_that_the_catalog_bears_out_without_a_gap() {
        let valid = IndexValidity::Valid;
        assert_eq!(state(JournalState::Present, valid).version(), 3);
        let unindexed = state(JournalState::Present, IndexValidity::Invalid);
        assert_eq!(unindexed.version(), 2);
        let mut bare = state(JournalState::Present, valid);
        bare.namespace_policies = PolicyTableState::default();
        assert_eq!(bare.version(), 1);
        // Quay brought columns and indexes by itself: nothing of ours is there.
        assert_eq!(state(JournalState::Absent, valid).version(), 0);
        let torn = JournalState::Incomplete(vec!["scan".to_owned()]);
        assert_eq!(state(torn, valid).version(), 0);
        // Not readable for this role, but there.
        let closed = JournalState::Unreadable(vec!["scan".to_owned()]);
        assert_eq!(state(closed, valid).version(), 3);
    }

    #[test]
    fn an_index_of_the_right_name_counts_only_with_the_right_columns() {
        let mut swapped = state(JournalState::Present, IndexValidity::Valid);
        let other = active_index_definition(PolicyTable::Namespace).to_owned();
        swapped
            .repository_policies
            .active_index
            .as_mut()
            .unwrap()
            .definition = other;
        assert_eq!(swapped.version(), 2);
    }

    #[test]
    fn only_a_single_tested_revision_goes_without_a_warning() {
        let at = |revisions: &[&str]| {
            AlembicRevisions::At(revisions.iter().map(|r| (*r).to_owned()).collect())
        };
        assert_eq!(at(&TESTED_REVISIONS[..1]).untested(), None);
        for odd in [
            at(&[]),
            at(&["0123456789ab"]),
            at(&[TESTED_REVISIONS[0], "0123456789ab"]),
            AlembicRevisions::Absent,
            AlembicRevisions::Unreadable,
        ] {
            assert!(odd.untested().is_some(), "{odd:?}");
        }
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
