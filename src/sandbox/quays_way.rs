//! How Quay itself creates a namespace's policy, with a fault in the middle: the bug, played.
//!
//! After immutability.py:223-275 and 339-396: the policy is committed; then matching tags are
//! marked, 500 at a time in id order, one autocommit statement to mark and another to clear
//! expiry; on an exception the policy is deleted. No journal, no lock, no transaction around it.

use super::SandboxError;
use crate::config::ConnectionSettings;
use crate::pattern::{self, Compiled};
use crate::pg::{Columns, PgError, Statements, WriteSession};
use crate::quay::NamespaceId;

/// Quay's batch: rows looked at, not rows marked.
pub const BATCH: i64 = 500;

/// What happens in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// A statement runs into `statement_timeout`, after so many tags; the connection survives.
    TimeOut {
        /// Tags.
        after: u64,
    },
    /// The connection is lost, after so many tags.
    ConnectionLost {
        /// Tags.
        after: u64,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The policy's uuid.
    pub uuid: String,
    /// How many tags had been marked.
    pub marked: u64,
    /// What Quay saw go wrong.
    pub error: Option<String>,
    /// What became of the policy.
    pub policy: PolicyFate,
}

/// What became of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFate {
    /// It is there, and looks complete.
    Kept,
    /// Quay's handler deleted it.
    Deleted,
}

/// Creates a policy as Quay does.
///
/// # Errors
/// [`SandboxError`] where the database fails otherwise than the fault has it.
pub fn create_namespace_policy(
    settings: &ConnectionSettings,
    namespace: NamespaceId,
    tag_pattern: &str,
    fault: Fault,
) -> Result<Ending, SandboxError> {
    let mut quay = WriteSession::open(settings)?;
    quay.run("SET statement_timeout = '500ms'")?;
    let uuid = uuid::Uuid::new_v4().to_string();
    let policy = serde_json::json!({ "tag_pattern": tag_pattern, "tag_pattern_matches": true });
    quay.query(
        "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy) VALUES ($1, $2, $3)",
        &[&uuid, &namespace.0, &policy.to_string()],
    )?;
    let mut marked = 0;
    let pass = mark_all(
        &mut quay,
        settings,
        namespace,
        (tag_pattern, BATCH),
        fault,
        &mut marked,
    );
    let (error, policy) = match pass {
        Ok(()) => (None, PolicyFate::Kept),
        Err(error) => {
            // Quay's handler: it logs, deletes, and raises. On a lost connection it cannot delete.
            let deleted = quay.query(
                "DELETE FROM namespaceimmutabilitypolicy WHERE uuid = $1",
                &[&uuid],
            );
            let fate = if deleted.is_ok() {
                PolicyFate::Deleted
            } else {
                PolicyFate::Kept
            };
            (Some(what(&error)), fate)
        }
    };
    Ok(Ending {
        uuid,
        marked,
        error,
        policy,
    })
}

/// Marks every matching tag of a namespace in batches, as Quay does, until the fault strikes; `marked` counts the tags.
///
/// # Errors
/// [`PgError`] as the fault, or the database, has it.
pub fn mark_all(
    quay: &mut WriteSession,
    settings: &ConnectionSettings,
    namespace: NamespaceId,
    (tag_pattern, batch): (&str, i64),
    fault: Fault,
    marked: &mut u64,
) -> Result<(), PgError> {
    let Compiled::Valid(matcher) = pattern::compile(tag_pattern) else {
        return Ok(());
    };
    let mut last = 0;
    loop {
        let rows = quay.query(
            r"
            SELECT t.id, t.name
            FROM tag t JOIN repository r ON r.id = t.repository_id
            WHERE r.namespace_user_id = $1 AND NOT t.hidden AND NOT t.immutable AND t.id > $2
                AND (t.lifetime_end_ms IS NULL
                    OR t.lifetime_end_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
            ORDER BY t.id
            LIMIT $3
            ",
            &[&namespace.0, &last, &batch],
        )?;
        let mut ids: Vec<i32> = Vec::with_capacity(rows.len());
        for row in &rows {
            last = row.read(0)?;
            if matcher.decide(row.read(1)?).unwrap_or(false) {
                ids.push(last);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let _held = befall(quay, settings, fault, *marked, &ids)?;
        quay.query(
            "UPDATE tag SET immutable = true WHERE id = ANY ($1)",
            &[&ids],
        )?;
        *marked += ids.len() as u64;
        quay.query(
            "UPDATE tag SET lifetime_end_ms = NULL WHERE id = ANY ($1) AND lifetime_end_ms IS NOT NULL",
            &[&ids],
        )?;
    }
}

/// Lets the fault befall Quay once it has marked enough. A time-out needs somebody in the way:
/// that session is returned, and holds the batch's rows until it is dropped.
fn befall(
    quay: &mut WriteSession,
    settings: &ConnectionSettings,
    fault: Fault,
    marked: u64,
    ids: &[i32],
) -> Result<Option<WriteSession>, PgError> {
    match fault {
        Fault::TimeOut { after } if marked >= after => {
            let mut other = WriteSession::open(settings)?;
            other.run("BEGIN")?;
            other.query("SELECT FROM tag WHERE id = ANY ($1) FOR UPDATE", &[&ids])?;
            Ok(Some(other))
        }
        Fault::ConnectionLost { after } if marked >= after => {
            let pid: i32 = quay.query_one("SELECT pg_backend_pid()", &[])?.read(0)?;
            let mut other = WriteSession::open(settings)?;
            other.query("SELECT pg_terminate_backend($1, 5000)", &[&pid])?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

/// The words with which Quay would log an error: the server's, or ours if the server could say nothing.
pub fn what(error: &PgError) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
