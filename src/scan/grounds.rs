//! The grounds of a judgement: everything that is read before the first tag.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::ScanError;
use crate::evaluate::{PolicyBook, PolicyStanding, Registry};
use crate::journal::{
    ActiveColumn, AlembicRevisions, OperationRow, QuaySchema, SchemaState, policy_standings,
    unfinished_operations,
};
use crate::pg::{Columns, Statements};
use crate::quay::{PolicyTable, PolicyUuid};
use crate::relations::{
    AuditLog, PoliciesOf, PolicySchema, Selection, add_sources, audit_log, census, policies,
    server_clock, unreadable_names,
};

/// What the database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// `server_version`, as the server spells it.
    pub server_version: String,
    /// Quay's Alembic revisions; empty where they cannot be read.
    pub alembic: Vec<String>,
    /// The version of our migrations that the catalog bears out.
    pub migration: i32,
    /// Whether it is a standby.
    pub standby: bool,
}

/// Everything that tags are judged by, from one snapshot.
pub struct Grounds {
    /// What the database says of itself.
    pub database: Database,
    /// What the catalog carries.
    pub schema: SchemaState,
    /// The server's clock.
    pub now: DateTime<Utc>,
    /// Namespaces and repositories that are selected.
    pub registry: Registry,
    /// Their policies.
    pub policies: PolicyBook,
    /// Operations that have not ended.
    pub operations: Vec<OperationRow>,
    /// What the audit log holds.
    pub audit: AuditLog,
    /// What the journal knows about policies.
    pub standings: HashMap<PolicyUuid, PolicyStanding>,
}

impl Grounds {
    /// Reads the grounds.
    ///
    /// # Errors
    /// [`ScanError`] where this is no database that can be judged, a name is unknown, or the
    /// server does not answer.
    pub fn read(pg: &mut impl Statements, selection: &Selection) -> Result<Self, ScanError> {
        let schema = SchemaState::read(pg)?;
        can_be_judged(&schema)?;
        let rows = unreadable_names(pg, UNREADABLE_LISTED)?;
        if !rows.is_empty() {
            return Err(ScanError::Unreadable { rows });
        }
        let now = server_clock(pg)?;
        let mut registry = census(pg, selection)?;
        known(selection, &registry)?;
        add_sources(pg, &mut registry)?;
        let of = policies_of(selection, &registry);
        let rows = policies(pg, PolicySchema::from(&schema), &of)?;
        let (operations, standings) = if schema.asks_journal()? {
            let operations = unfinished_operations(pg)?;
            let standings = policy_standings(pg, &operations)?;
            (operations, standings)
        } else {
            (Vec::new(), HashMap::new())
        };
        let about = pg.query_one(
            "SELECT current_setting('server_version'), pg_is_in_recovery()",
            &[],
        )?;
        let alembic = match &schema.alembic {
            AlembicRevisions::At(revisions) => revisions.clone(),
            AlembicRevisions::Absent | AlembicRevisions::Unreadable => Vec::new(),
        };
        Ok(Self {
            database: Database {
                server_version: about.read(0)?,
                alembic,
                migration: schema.version(),
                standby: about.read(1)?,
            },
            schema,
            now,
            registry,
            policies: PolicyBook::new(rows),
            operations,
            audit: audit_log(pg)?,
            standings,
        })
    }

    /// Says of which policies the operator has accepted that they cannot be decided; those that
    /// are not there.
    pub fn accept(&mut self, accepted: &HashSet<PolicyUuid>) -> Vec<PolicyUuid> {
        self.policies = std::mem::take(&mut self.policies).accepting(accepted);
        let known: HashSet<&PolicyUuid> = self.policies.rows().iter().map(|r| &r.uuid).collect();
        let mut gone: Vec<PolicyUuid> = accepted
            .iter()
            .filter(|uuid| !known.contains(uuid))
            .cloned()
            .collect();
        gone.sort();
        gone
    }

    /// What the journal knows about a policy.
    pub fn standing(&self, uuid: &PolicyUuid) -> PolicyStanding {
        self.standings.get(uuid).cloned().unwrap_or_default()
    }
}

/// How many rows with unreadable names are listed.
const UNREADABLE_LISTED: u32 = 10;

fn can_be_judged(schema: &SchemaState) -> Result<(), ScanError> {
    match &schema.quay {
        QuaySchema::WithPolicies => {}
        QuaySchema::Foreign(missing) => {
            return Err(ScanError::NotQuay {
                missing: missing.clone(),
            });
        }
        QuaySchema::BeforePolicies(missing) => {
            return Err(ScanError::TooOld {
                missing: missing.clone(),
            });
        }
    }
    for table in PolicyTable::IN_LOCK_ORDER {
        if let ActiveColumn::Unusable(reason) = schema.policies(table).active() {
            return Err(ScanError::UnusableActive {
                table: table.name(),
                reason,
            });
        }
    }
    Ok(())
}

fn known(selection: &Selection, registry: &Registry) -> Result<(), ScanError> {
    if let Some(name) = &selection.namespace
        && registry.namespaces.is_empty()
    {
        return Err(ScanError::Unknown {
            what: "namespace",
            name: name.clone(),
        });
    }
    if let Some(name) = &selection.repository
        && registry.repositories.is_empty()
    {
        return Err(ScanError::Unknown {
            what: "repository",
            name: name.clone(),
        });
    }
    Ok(())
}

fn policies_of(selection: &Selection, registry: &Registry) -> PoliciesOf {
    if *selection == Selection::default() {
        return PoliciesOf::All;
    }
    PoliciesOf::Scopes {
        repositories: registry.repositories.keys().copied().collect(),
        namespaces: registry.namespaces.keys().copied().collect(),
    }
}
