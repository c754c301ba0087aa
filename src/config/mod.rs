//! What the operator asked for: flags, environment, files and Quay's own config.yaml.
//!
//! Two steps: raw as typed, then valid as meant. A complaint names the place that decided. This
//! room reads the environment and files; it never connects.

mod connection;
mod error;
mod secret;

pub use connection::ConnectionSettings;
pub use error::ConfigError;
pub use secret::Secret;
