//! A pusher: what Quay does to the database at a push, in the flavours that are met in the field.
//!
//! After `retarget_tag` (oci/tag.py:455-621), in one transaction: take the clock; take the lock on
//! the repository's tags (v3.18.0 and later); find the live tag of the name and refuse where it is
//! immutable; end it; evaluate the repository's policies and then the namespace's; insert the new
//! row. A push that a policy made immutable is logged.

use std::time::Duration;

use quay_doctor::config::ConnectionSettings;
use quay_doctor::pattern::{self, Compiled};
use quay_doctor::pg::{Columns, PgError, Statements, WriteSession, WriteTransaction};
use quay_doctor::quay::{PolicyText, RepositoryId, TagId, retarget_lock_key};
use quay_doctor::sandbox::SandboxError;

/// SQLSTATE of a row that a unique index forbids.
const UNIQUE_VIOLATION: &str = "23505";

/// Which policies a Quay enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforces {
    /// Active ones: it knows the column.
    Active,
    /// Every row: it does not.
    Every,
}

/// Whether a Quay serialises changes of a repository's tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locking {
    /// v3.18.0 and later.
    Repository,
    /// Before that.
    None,
}

/// Which Quay it is that pushes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flavour {
    /// Which policies it enforces.
    pub enforces: Enforces,
    /// Whether it takes the lock.
    pub locking: Locking,
    /// How far its clock is ahead, in milliseconds; negative where it is behind.
    pub clock_ahead_ms: i64,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// A new row, and whether a policy made it immutable.
    New(TagId, bool),
    /// The tag is immutable.
    Refused,
    /// Two rows of the name would end in the same millisecond, which Quay's unique index forbids:
    /// the client pushes again.
    Collided,
}

/// One of Quay's workers, with a connection of its own.
pub struct Pusher {
    session: WriteSession,
    flavour: Flavour,
}

impl Pusher {
    /// Connects.
    ///
    /// # Errors
    /// [`SandboxError::Database`] where the server does not answer.
    pub fn open(settings: &ConnectionSettings, flavour: Flavour) -> Result<Self, SandboxError> {
        let session = WriteSession::open(settings)?;
        Ok(Self { session, flavour })
    }

    /// Pushes a tag. `pause` lies between evaluation and insertion: a layer is slow to come, the
    /// worker is not scheduled.
    ///
    /// # Errors
    /// [`SandboxError::Database`] where a statement fails; nothing has then been pushed.
    pub fn push(
        &mut self,
        repository: RepositoryId,
        name: &str,
        pause: Option<Duration>,
    ) -> Result<Pushed, SandboxError> {
        let flavour = self.flavour;
        let mut tx = self.session.begin()?;
        let now = clock(&mut tx)? + flavour.clock_ahead_ms;
        if flavour.locking == Locking::Repository {
            tx.query_one(
                "SELECT pg_advisory_xact_lock($1)",
                &[&retarget_lock_key(repository)],
            )?;
        }
        let live = tx.query_opt(
            r"
            SELECT id, immutable
            FROM tag
            WHERE repository_id = $1 AND name = $2 AND NOT hidden
                AND (lifetime_end_ms IS NULL OR lifetime_end_ms > $3)
            ORDER BY id DESC
            LIMIT 1
            ",
            &[&repository.0, &name, &now],
        )?;
        if let Some(live) = live {
            if live.read(1)? {
                return Ok(Pushed::Refused);
            }
            let id: i32 = live.read(0)?;
            let ended = tx.execute(
                "UPDATE tag SET lifetime_end_ms = $2 WHERE id = $1",
                &[&id, &now],
            );
            match ended {
                Err(error) if error.sqlstate() == Some(UNIQUE_VIOLATION) => {
                    return Ok(Pushed::Collided);
                }
                other => other?,
            };
        }
        let namespace: i32 = tx
            .query_one(
                "SELECT namespace_user_id FROM repository WHERE id = $1",
                &[&repository.0],
            )?
            .read(0)?;
        let immutable = decide(&mut tx, flavour.enforces, repository, namespace, name)?;
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
        let row = tx.query_one(
            r"
            INSERT INTO tag
                (name, repository_id, lifetime_start_ms, hidden, reversion, tag_kind_id, immutable)
            VALUES ($1, $2, $3, false, false, (SELECT id FROM tagkind WHERE name = 'tag'), $4)
            RETURNING id
            ",
            &[&name, &repository.0, &now, &immutable],
        )?;
        if immutable {
            log(&mut tx, namespace, name)?;
        }
        tx.commit()?;
        Ok(Pushed::New(TagId(row.read(0)?), immutable))
    }
}

fn clock(tx: &mut WriteTransaction<'_>) -> Result<i64, PgError> {
    tx.query_one(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        &[],
    )?
    .read(0)
}

fn decide(
    tx: &mut WriteTransaction<'_>,
    enforces: Enforces,
    repository: RepositoryId,
    namespace: i32,
    name: &str,
) -> Result<bool, PgError> {
    let only = match enforces {
        Enforces::Active => "AND active",
        Enforces::Every => "",
    };
    for (table, column, scope) in [
        (
            "repositoryimmutabilitypolicy",
            "repository_id",
            repository.0,
        ),
        ("namespaceimmutabilitypolicy", "namespace_id", namespace),
    ] {
        let sql = format!("SELECT policy FROM {table} WHERE {column} = $1 {only} ORDER BY id");
        for row in tx.query(&sql, &[&scope])? {
            if makes_immutable(&PolicyText(row.read(0)?), name) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// What a policy's text says of a name.
pub fn makes_immutable(text: &PolicyText, name: &str) -> bool {
    let Ok(policy) = text.parse() else {
        return false;
    };
    let matches = match pattern::compile(&policy.pattern) {
        Compiled::Valid(matcher) => matcher.decide(name).unwrap_or(false),
        _ => false,
    };
    policy.polarity.applies(matches)
}

/// The entry that Quay writes; by a defect of its own it names no repository.
fn log(tx: &mut WriteTransaction<'_>, namespace: i32, name: &str) -> Result<(), PgError> {
    let metadata = serde_json::json!({
        "tag": name, "namespace": null, "repo": null, "immutable": true,
    });
    tx.execute(
        r"
        INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
        SELECT id, $1, timezone('utc', clock_timestamp()), $2
        FROM logentrykind
        WHERE name = 'tag_made_immutable_by_policy'
        ",
        &[&namespace, &metadata.to_string()],
    )?;
    Ok(())
}
