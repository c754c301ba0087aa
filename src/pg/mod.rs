//! The database: sessions, read snapshots, write transactions, locks, fault classes.
//!
//! The only room that names the driver. A session is read-only unless it was opened as a
//! [`WriteSession`], and only `apply`, `migrate`, `policy` and `sandbox` open one: "who can write?"
//! is answered by one search. Nothing here knows a table of Quay's.

mod answer;
mod connect;
mod error;
mod greeting;
mod handshake;
mod pooler;
mod prepared;
mod profile;
mod refusal;
mod session;
mod snapshot;
mod stream;
mod timed;
mod tls;
mod verifier;
mod write;

pub use error::{FaultClass, PgError};
pub use postgres::Row;
pub use postgres::types::{FromSql, ToSql};
pub use profile::{Purpose, as_script};
pub use session::{Columns, ReadSession, Statements};
pub use snapshot::{READS_ONLY, ReadSnapshot, SnapshotName};
pub use stream::Streams;
pub use timed::milliseconds;
pub use write::{WriteSession, WriteTransaction};
