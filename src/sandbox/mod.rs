//! Throw-away PostgreSQL clusters and Quay-shaped data in them, for `demo` and for every test.
//!
//! A [`Cluster`] is a server of its own in a temporary folder, on a free port and a Unix socket.
//! It is gone when the value is dropped and also when the process dies, by whatever means. This
//! room never touches a server that it did not start, and it knows no rule and no migration.
//!
//! ```no_run
//! use quay_doctor::pg::WriteSession;
//! use quay_doctor::sandbox::{Cluster, SandboxError, fixture, world::World};
//!
//! # fn main() -> Result<(), SandboxError> {
//! let cluster = Cluster::builder().setting("max_connections", "20").start()?;
//! cluster.create_database("quay")?;
//! let mut session = WriteSession::open(&cluster.settings("quay")?)?;
//! fixture::load_schema(&mut session)?;
//! World::acme()?.seed(&mut session, chrono::Utc::now())?;
//! # Ok(())
//! # }
//! ```

mod account;
mod bounded;
mod builder;
mod cluster;
mod error;
pub mod fixture;
mod folder;
mod programs;
pub mod quays_way;
mod server;
mod standby;
mod watchdog;
pub mod world;

pub use builder::ClusterBuilder;
pub use cluster::{Cluster, KeptCluster};
pub use error::SandboxError;
pub use programs::{Program, Programs};
pub use server::StopMode;
pub use standby::Standby;
