//! What a verb tells the loop: which rows there are, and what one transaction does with them.

use std::time::Duration;

use super::size::BatchSize;
use super::throttle::{Throttle, ThrottleError};
use crate::pg::{FaultClass, PgError, WriteSession};
use crate::quay::RepositoryId;

/// Of how many repositories a batch takes rows at most: advisory locks lie in the server's table of locks, which all
/// sessions share.
pub const MOST_REPOSITORIES: usize = 64;

/// What a verb does with its rows, batch by batch.
pub trait Action {
    /// A row that is to be changed.
    type Row: Clone;
    /// What keeps a batch from being done.
    type Error: BatchError;

    /// The repository whose lock a row's change needs.
    fn repository(row: &Self::Row) -> RepositoryId;

    /// Of how many repositories a batch may take rows.
    fn repositories(&self) -> usize {
        1
    }

    /// Reads ahead, with nothing locked, what batches in these repositories need and others would wait for.
    ///
    /// # Errors
    /// Where the server does not answer.
    fn prepare(&mut self, repositories: &[RepositoryId]) -> Result<(), Self::Error>;

    /// Asked before each batch and in every wait, with nothing locked: says that the worker lives.
    ///
    /// # Errors
    /// Where the work is to end.
    fn go_on(&mut self) -> Result<(), Self::Error>;

    /// Changes rows in one transaction, which waits for the lock of no other repository than the first row's; fewer than
    /// all of them, from the first on, where somebody waits for a repository. `last` says that no row that was given to the loop comes after these.
    ///
    /// # Errors
    /// Nothing of the batch has been done then, unless the connection was lost.
    fn change(
        &mut self,
        repository: RepositoryId,
        rows: &[Self::Row],
        last: bool,
    ) -> Result<Changed<Self::Row>, Self::Error>;

    /// Leaves a row as it is, and remembers it by name: its new expiration is one that another row of
    /// its name has.
    ///
    /// # Errors
    /// Where the server does not answer.
    fn leave(&mut self, row: &Self::Row) -> Result<(), Self::Error>;

    /// Somebody waited for the repository of the last batch.
    fn was_wanted(&mut self);

    /// How many rows the next batch takes.
    fn size(&mut self) -> &mut BatchSize;

    /// What slows the work down, and the session to ask about it.
    fn throttle(&mut self) -> (&mut Throttle, &mut WriteSession);
}

/// What a batch has dealt with.
#[derive(Debug)]
pub struct Changed<Row> {
    /// So many of its first rows.
    pub rows: usize,
    /// Those of them that somebody else holds.
    pub held: Vec<Row>,
    /// Repositories of them whose locks somebody else has: their rows are still to be changed.
    pub refused: Vec<RepositoryId>,
    /// How long it took until its locks were held and what it is judged by was known.
    pub entering: Duration,
    /// Whether somebody waits for a repository.
    pub wanted: bool,
}

/// What the loop has to know of an error.
pub trait BatchError: std::error::Error + From<PgError> + From<ThrottleError> {
    /// What the database's failure means, where it is one.
    fn fault(&self) -> Option<FaultClass>;

    /// Whether a row's new expiration is one that another row of its name has
    /// (`tag_repository_id_name_lifetime_end_ms` is unique).
    fn is_duplicate_key(&self) -> bool;

    /// Whether fewer rows may go through where more did not.
    fn is_too_much(&self) -> bool {
        self.fault() == Some(FaultClass::StatementTimeout)
    }

    /// Whether somebody cancelled a statement.
    fn is_cancelled(&self) -> bool {
        self.fault() == Some(FaultClass::Cancelled)
    }

    /// Whether the same transaction may go through a little later.
    fn passes(&self) -> bool {
        matches!(
            self.fault(),
            Some(FaultClass::LockTimeout | FaultClass::Retryable)
        )
    }
}
