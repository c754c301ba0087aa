//! What can keep the demo from its end.

use miette::Diagnostic;
use thiserror::Error;

use crate::migrate::MigrateError;
use crate::pg::PgError;
use crate::run::RunError;
use crate::sandbox::SandboxError;

/// The demo could not go to its end.
#[derive(Debug, Error, Diagnostic)]
pub enum DemoError {
    /// The throw-away server.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sandbox(#[from] SandboxError),
    /// The migrations.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Migrate(#[from] Box<MigrateError>),
    /// Check or fix.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// The database.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pg(#[from] PgError),
    /// Something did not come out as the story has it.
    #[error("the story did not come out as it should: {0}")]
    #[diagnostic(help("this is a defect of quay-doctor: please report it"))]
    Unexpected(String),
    /// Somebody pressed Ctrl-C.
    #[error("the demo was interrupted")]
    #[diagnostic(help("its server and everything in it is gone"))]
    Interrupted,
}
