//! Operations: what is or was done, by whom, how far, and whether its worker lives.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::JournalError;
use super::liveness::LIVENESS_CLASS;
use crate::evaluate::{PolicyStanding, WorkerLife};
use crate::pg::{Columns, Statements};
use crate::quay::{OperationId, PolicyText, PolicyUuid, RepositoryId, Scope};

/// Who does something and why: stated by the operator, kept for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `--actor`, or the operating system's user.
    pub actor: String,
    /// `--reason`.
    pub reason: Option<String>,
    /// Host and process, for whoever looks for the worker.
    pub worker: String,
}

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A fix run.
    Fix,
    /// `policy create`.
    Create,
    /// `policy update`.
    Update,
    /// `policy delete`.
    Delete,
    /// `policy activate`.
    Activate,
    /// `policy deactivate`.
    Deactivate,
}

impl Kind {
    /// `operation.kind`.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::Fix => "fix",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
        }
    }

    pub(super) fn from_column(text: &str) -> Result<Self, JournalError> {
        Ok(match text {
            "fix" => Self::Fix,
            "create" => Self::Create,
            "update" => Self::Update,
            "delete" => Self::Delete,
            "activate" => Self::Activate,
            "deactivate" => Self::Deactivate,
            other => return Err(JournalError::Unreadable(format!("kind `{other}`"))),
        })
    }
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Changing what there was when it began.
    Applying,
    /// Looking for what came meanwhile.
    Sweeping,
    /// Making tags mutable that the policy no longer covers.
    Releasing,
    /// Taking its own changes back.
    Undoing,
    /// Ended, as meant.
    Done,
    /// Ended, as if it had never been.
    RolledBack,
}

impl Phase {
    /// `operation.phase`.
    pub fn as_column(self) -> &'static str {
        match self {
            Self::Applying => "applying",
            Self::Sweeping => "sweeping",
            Self::Releasing => "releasing",
            Self::Undoing => "undoing",
            Self::Done => "done",
            Self::RolledBack => "rolled_back",
        }
    }

    pub(super) fn from_column(text: &str) -> Result<Self, JournalError> {
        Ok(match text {
            "applying" => Self::Applying,
            "sweeping" => Self::Sweeping,
            "releasing" => Self::Releasing,
            "undoing" => Self::Undoing,
            "done" => Self::Done,
            "rolled_back" => Self::RolledBack,
            other => return Err(JournalError::Unreadable(format!("phase `{other}`"))),
        })
    }
}

/// An operation that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Its id.
    pub id: OperationId,
    /// What it is.
    pub kind: Kind,
    /// How far it is.
    pub phase: Phase,
    /// What it is about; a fix run is about no single scope.
    pub scope: Option<Scope>,
    /// The policy that it is about.
    pub policy: Option<PolicyUuid>,
    /// The inactive row that stages an update.
    pub staged: Option<PolicyUuid>,
    /// The policy's text as it is to be and as it was, where it has them: an update works on what either of them covers.
    pub texts: Vec<PolicyText>,
    /// What says that its worker lives.
    pub sign: LifeSign,
    /// Who works, or worked, on it.
    pub worker: String,
    /// Since when.
    pub started: DateTime<Utc>,
}

/// What says that an operation's worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeSign {
    /// It holds the operation's lock.
    Lock,
    /// Nobody holds the lock, and it was heard of a moment ago: it may be reconnecting, or has just
    /// died. A fix run never reconnects.
    Reconnecting,
    /// On a standby, where the primary's locks do not show: it was heard of a moment ago.
    Replayed,
    /// Nothing.
    None,
}

impl LifeSign {
    /// What is assumed by it: whoever may be reconnecting is not disturbed.
    pub fn life(self) -> WorkerLife {
        match self {
            Self::Lock | Self::Reconnecting | Self::Replayed => WorkerLife::Alive,
            Self::None => WorkerLife::Gone,
        }
    }
}

impl OperationRow {
    /// Whether its worker lives, as far as is known.
    pub fn life(&self) -> WorkerLife {
        self.sign.life()
    }
}

/// How long a heartbeat counts where the lock cannot be seen (on a standby), or is for a moment
/// not held (the worker is reconnecting): three times the interval at which it is written.
const HEARTBEAT_FRESH: &str = "15 seconds";

/// Every operation that has not ended, with its worker's life: by its lock, or by a fresh
/// heartbeat. A heartbeat is compared with the server's clock; on a standby, where locks of the
/// primary do not show, with the time of the last replayed transaction, which stands still once the
/// standby is promoted. One from the future tells of another clock (that of the server before a
/// failover), and nothing of a worker. A fix run ends with its connection: elsewhere than on a
/// standby its heartbeat says nothing.
///
/// # Errors
/// [`JournalError`] where a row cannot be understood or the server does not answer.
pub fn unfinished_operations(pg: &mut impl Statements) -> Result<Vec<OperationRow>, JournalError> {
    let rows = pg.query(
        r"
        SELECT o.id, o.kind, o.phase, o.scope_kind, o.scope_id, o.policy_uuid,
            array_remove(ARRAY[o.policy_after, o.policy_before], NULL), o.worker, o.started_at,
            CASE
                WHEN EXISTS (
                    SELECT FROM pg_locks l
                    WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted
                        AND l.classid = $1::int::oid
                        AND l.objid = (o.id & 2147483647)::int::oid
                        AND l.database =
                            (SELECT oid FROM pg_database WHERE datname = current_database())
                ) THEN 'lock'
                WHEN abs(extract(epoch FROM clock.now - o.heartbeat_at))
                    >= extract(epoch FROM $2::text::interval) THEN 'none'
                WHEN pg_is_in_recovery() THEN 'replayed'
                WHEN o.kind = 'fix' THEN 'none'
                ELSE 'reconnecting'
            END,
            o.options ->> 'staged'
        FROM quay_doctor.operation o
        CROSS JOIN (
            SELECT CASE WHEN pg_is_in_recovery()
                THEN coalesce(pg_last_xact_replay_timestamp(), clock_timestamp())
                ELSE clock_timestamp()
            END AS now
        ) AS clock
        WHERE o.finished_at IS NULL
        ORDER BY o.id
        ",
        &[&LIVENESS_CLASS, &HEARTBEAT_FRESH],
    )?;
    let mut operations = Vec::with_capacity(rows.len());
    for row in &rows {
        let scope_id: Option<i32> = row.read(4)?;
        let kind: &str = row.read(1)?;
        let phase: &str = row.read(2)?;
        let scope_kind: Option<&str> = row.read(3)?;
        operations.push(OperationRow {
            id: OperationId(row.read(0)?),
            kind: Kind::from_column(kind)?,
            phase: Phase::from_column(phase)?,
            scope: scope(scope_kind, scope_id)?,
            policy: row.read::<Option<String>>(5)?.map(PolicyUuid),
            texts: row
                .read::<Vec<String>>(6)?
                .into_iter()
                .map(PolicyText)
                .collect(),
            worker: row.read(7)?,
            started: row.read(8)?,
            staged: row.read::<Option<String>>(10)?.map(PolicyUuid),
            sign: match row.read(9)? {
                "lock" => LifeSign::Lock,
                "reconnecting" => LifeSign::Reconnecting,
                "replayed" => LifeSign::Replayed,
                _ => LifeSign::None,
            },
        });
    }
    Ok(operations)
}

pub(super) fn scope(kind: Option<&str>, id: Option<i32>) -> Result<Option<Scope>, JournalError> {
    match (kind, id) {
        (None, None) => Ok(None),
        (Some("namespace"), Some(id)) => Ok(Some(Scope::Namespace(crate::quay::NamespaceId(id)))),
        (Some("repository"), Some(id)) => Ok(Some(Scope::Repository(RepositoryId(id)))),
        other => Err(JournalError::Unreadable(format!("scope {other:?}"))),
    }
}

/// What the journal knows about policies: which unfinished operation owns one, and which an
/// operation left inactive on purpose.
///
/// # Errors
/// [`JournalError`] where the server does not answer.
pub fn policy_standings(
    pg: &mut impl Statements,
    unfinished: &[OperationRow],
) -> Result<HashMap<PolicyUuid, PolicyStanding>, JournalError> {
    let mut standings: HashMap<PolicyUuid, PolicyStanding> = HashMap::new();
    // The newest finished operation on a policy says how it was meant to be left.
    let staged = pg.query(
        r"
        SELECT DISTINCT ON (policy_uuid) policy_uuid, kind, coalesce(options ->> 'inactive', 'false')
        FROM quay_doctor.operation
        WHERE phase = 'done' AND policy_uuid IS NOT NULL
        ORDER BY policy_uuid, id DESC
        ",
        &[],
    )?;
    for row in &staged {
        let kind: &str = row.read(1)?;
        let inactive: &str = row.read(2)?;
        if kind == "deactivate" || inactive == "true" {
            let uuid = PolicyUuid(row.read(0)?);
            standings.entry(uuid).or_default().staged = true;
        }
    }
    for operation in unfinished {
        for uuid in operation.policy.iter().chain(&operation.staged) {
            standings.entry(uuid.clone()).or_default().owner =
                Some((operation.id, operation.life()));
        }
    }
    Ok(standings)
}
