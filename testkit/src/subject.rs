//! Ways to create a policy, behind one trait, so that faults befall them alike.
//!
//! Quay's present way and the bug report's recommended fix are played here; our own way, which
//! needs the engine, is in `run`. Faults come from the database: a trigger on `tag` that strikes at
//! a chosen row, whoever updates it.

use quay_doctor::config::ConnectionSettings;
use quay_doctor::pg::{PgError, Statements, WriteSession};
use quay_doctor::quay::{NamespaceId, Polarity, StoredPolicy};
use quay_doctor::sandbox::SandboxError;
use quay_doctor::sandbox::quays_way::{self, BATCH, mark_all};

/// What befalls a creation, at the nth row that becomes immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// Nothing.
    None,
    /// The statement fails; the connection survives.
    Statement(u32),
    /// The connection is lost.
    Connection(u32),
    /// The worker dies with its connection: no handler runs.
    Worker(u32),
}

/// How a creation ended, as its caller was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It succeeded.
    Success,
    /// It failed, with these words.
    Failure(String),
    /// It was refused: the policy is there already.
    Duplicate,
}

/// A way to create a namespace's policy.
pub trait Subject: Sync {
    /// Its name, for messages.
    fn name(&self) -> &'static str;

    /// Creates a policy. The blow, where there is one, was prepared by [`prepare`].
    ///
    /// # Errors
    /// [`SandboxError`] where the database fails otherwise than the blow has it.
    fn create(
        &self,
        settings: &ConnectionSettings,
        namespace: (NamespaceId, &str),
        pattern: &str,
        blow: Blow,
    ) -> Result<Told, SandboxError>;

    /// Whatever is meant to be done after a worker has died.
    ///
    /// # Errors
    /// [`SandboxError`] where the database fails.
    fn clean_up(&self, settings: &ConnectionSettings) -> Result<(), SandboxError>;
}

/// Prepares a blow: from here on the nth row of `tag` that becomes immutable is struck, once.
/// `slow_ms` is how long each row takes besides, so that others can act meanwhile.
///
/// # Errors
/// [`SandboxError::Database`] where the trigger cannot be made.
pub fn prepare(session: &mut WriteSession, blow: Blow, slow_ms: u32) -> Result<(), SandboxError> {
    let (at, strike) = match blow {
        Blow::None => (0, "NULL"),
        Blow::Statement(at) => (at, "RAISE 'canceling statement due to a blow'"),
        Blow::Connection(at) | Blow::Worker(at) => {
            (at, "PERFORM pg_terminate_backend(pg_backend_pid())")
        }
    };
    let slow = f64::from(slow_ms) / 1000.0;
    session.run(&format!(
        r"
        DROP TRIGGER IF EXISTS blow ON tag;
        DROP SEQUENCE IF EXISTS rows_made_immutable;
        CREATE SEQUENCE rows_made_immutable;
        CREATE OR REPLACE FUNCTION blow() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_sleep({slow}) WHERE {slow} > 0;
            -- A sequence forgets nothing at a roll-back: the blow falls once.
            IF nextval('rows_made_immutable') = {at} THEN {strike}; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER blow BEFORE UPDATE ON tag FOR EACH ROW
            WHEN (NEW.immutable AND NOT OLD.immutable) EXECUTE FUNCTION blow();
        "
    ))?;
    Ok(())
}

/// Lets an hour pass for every worker's heartbeat: they are known to be dead, and nobody has to
/// wait until that is plain.
///
/// # Errors
/// [`SandboxError::Database`] where there is no journal, or a worker that lives holds its row.
pub fn bury_workers(settings: &ConnectionSettings) -> Result<(), SandboxError> {
    let mut session = WriteSession::open(settings)?;
    // A session that stands in the middle of a statement keeps its rows for ever.
    session.run(
        "SET lock_timeout = '10s';
         UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '1 h'",
    )?;
    Ok(())
}

/// Quay's present way: the row is active from the start (immutability.py:339-396).
#[derive(Clone, Copy, Debug)]
pub struct Present;

/// The bug report's recommended fix: inactive, apply, activate; on an exception the inactive row
/// is deleted.
#[derive(Clone, Copy, Debug)]
pub struct RecommendedFix;

/// Either of the two in batches of another size, so that a small world has as many of them as a
/// large one has of Quay's 500.
#[derive(Clone, Copy, Debug)]
pub struct InBatchesOf {
    /// Rows looked at in one batch.
    pub rows: i64,
    /// Quay's present way, or else the recommended fix.
    pub present: bool,
}

impl Subject for InBatchesOf {
    fn name(&self) -> &'static str {
        if self.present {
            Present.name()
        } else {
            RecommendedFix.name()
        }
    }

    fn create(
        &self,
        settings: &ConnectionSettings,
        (namespace, _): (NamespaceId, &str),
        pattern: &str,
        blow: Blow,
    ) -> Result<Told, SandboxError> {
        play(
            settings,
            namespace,
            (pattern, self.rows),
            blow,
            self.present,
        )
    }

    fn clean_up(&self, settings: &ConnectionSettings) -> Result<(), SandboxError> {
        if self.present {
            Present.clean_up(settings)
        } else {
            RecommendedFix.clean_up(settings)
        }
    }
}

impl Subject for Present {
    fn name(&self) -> &'static str {
        "Quay's present way"
    }

    fn create(
        &self,
        settings: &ConnectionSettings,
        (namespace, _): (NamespaceId, &str),
        pattern: &str,
        blow: Blow,
    ) -> Result<Told, SandboxError> {
        play(settings, namespace, (pattern, BATCH), blow, true)
    }

    fn clean_up(&self, _: &ConnectionSettings) -> Result<(), SandboxError> {
        Ok(())
    }
}

impl Subject for RecommendedFix {
    fn name(&self) -> &'static str {
        "the recommended fix"
    }

    fn create(
        &self,
        settings: &ConnectionSettings,
        (namespace, _): (NamespaceId, &str),
        pattern: &str,
        blow: Blow,
    ) -> Result<Told, SandboxError> {
        play(settings, namespace, (pattern, BATCH), blow, false)
    }

    /// "Clean up orphaned inactive policies": all that the report has for it.
    fn clean_up(&self, settings: &ConnectionSettings) -> Result<(), SandboxError> {
        let mut session = WriteSession::open(settings)?;
        session.run("DELETE FROM namespaceimmutabilitypolicy WHERE NOT active")?;
        Ok(())
    }
}

/// Both of them: they differ in whether the row is active while it is applied.
fn play(
    settings: &ConnectionSettings,
    namespace: NamespaceId,
    (pattern, batch): (&str, i64),
    blow: Blow,
    active: bool,
) -> Result<Told, SandboxError> {
    let mut quay = WriteSession::open(settings)?;
    let policy = StoredPolicy {
        pattern: pattern.to_owned(),
        polarity: Polarity::Matching,
    };
    let text = policy.to_text().0;
    let twin = quay.query_opt(
        "SELECT FROM namespaceimmutabilitypolicy WHERE namespace_id = $1 AND policy = $2 LIMIT 1",
        &[&namespace.0, &text],
    )?;
    if twin.is_some() {
        return Ok(Told::Duplicate);
    }
    let uuid = uuid::Uuid::new_v4().to_string();
    quay.query(
        "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active)
         VALUES ($1, $2, $3, $4)",
        &[&uuid, &namespace.0, &text, &active],
    )?;
    let mut marked = 0;
    let applied = mark_all(
        &mut quay,
        settings,
        namespace,
        (pattern, batch),
        quays_way::Fault::None,
        &mut marked,
    );
    if let Err(error) = applied {
        if !matches!(blow, Blow::Worker(_)) {
            // The handler's own failure is logged and no more.
            let _ = delete(&mut quay, &uuid);
        }
        return Ok(Told::Failure(quays_way::what(&error)));
    }
    if !active {
        quay.query(
            "UPDATE namespaceimmutabilitypolicy SET active = true WHERE uuid = $1 AND NOT active",
            &[&uuid],
        )?;
    }
    Ok(Told::Success)
}

fn delete(quay: &mut WriteSession, uuid: &str) -> Result<(), PgError> {
    quay.query(
        "DELETE FROM namespaceimmutabilitypolicy WHERE uuid = $1",
        &[&uuid],
    )?;
    Ok(())
}
