//! Who wrote each version of each tag, kept by the server itself: a trigger that notes every change in the order in
//! which rows were had, and whether the role under test made it.

use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::quay::{RepositoryId, TagId};
use quay_doctor::sandbox::SandboxError;

/// Immutability and expiration.
pub type Image = (bool, Option<i64>);

/// One version of a tag that somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its place among all writes: of one row, the order of its versions.
    pub nth: i64,
    /// The tag.
    pub tag: TagId,
    /// Its repository.
    pub repository: RepositoryId,
    /// Its name.
    pub name: String,
    /// Whether the program under test wrote it; otherwise Quay did.
    pub ours: bool,
    /// What it was; nothing where it is new.
    pub was: Option<Image>,
    /// What it became.
    pub is: Image,
}

/// Lays the ledger beside Quay's tables, for a program that runs as `role`. Rows that are rolled back leave nothing.
///
/// # Errors
/// [`SandboxError::Database`] where the trigger cannot be made.
pub fn lay(session: &mut WriteSession, role: &str) -> Result<(), SandboxError> {
    session.run(
        r"
        CREATE SCHEMA ledger;
        CREATE TABLE ledger.write (
            nth bigserial PRIMARY KEY, tag int, repository int, name text, role text,
            was_immutable bool, was_end bigint, immutable bool, ends bigint);
        CREATE FUNCTION ledger.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO ledger.write (tag, repository, name, role, was_immutable, was_end, immutable, ends)
            VALUES (NEW.id, NEW.repository_id, NEW.name, session_user,
                CASE WHEN TG_OP = 'UPDATE' THEN OLD.immutable END,
                CASE WHEN TG_OP = 'UPDATE' THEN OLD.lifetime_end_ms END,
                NEW.immutable, NEW.lifetime_end_ms);
            RETURN NULL;
        END $$;
        CREATE TRIGGER ledger AFTER INSERT OR UPDATE ON tag FOR EACH ROW EXECUTE FUNCTION ledger.note();
        CREATE TABLE ledger.program (role text);
        ",
    )?;
    session.query("INSERT INTO ledger.program VALUES ($1)", &[&role])?;
    Ok(())
}

/// Forgets everything.
///
/// # Errors
/// [`SandboxError::Database`] where the server does not answer.
pub fn forget(session: &mut WriteSession) -> Result<(), SandboxError> {
    Ok(session.run("DELETE FROM ledger.write")?)
}

/// Everything that was written, in order.
///
/// # Errors
/// [`SandboxError::Database`] where the server does not answer.
pub fn read(session: &mut impl Statements) -> Result<Vec<Write>, SandboxError> {
    let mut writes = Vec::new();
    for row in session.query(
        "SELECT nth, tag, repository, name, EXISTS (SELECT FROM ledger.program p WHERE p.role = w.role),
             was_immutable, was_end, immutable, ends
         FROM ledger.write w ORDER BY nth",
        &[],
    )? {
        let was: Option<bool> = row.read(5)?;
        writes.push(Write {
            nth: row.read(0)?,
            tag: TagId(row.read(1)?),
            repository: RepositoryId(row.read(2)?),
            name: row.read(3)?,
            ours: row.read(4)?,
            was: match was {
                Some(immutable) => Some((immutable, row.read(6)?)),
                None => None,
            },
            is: (row.read(7)?, row.read(8)?),
        });
    }
    Ok(writes)
}
