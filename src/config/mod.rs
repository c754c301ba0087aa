//! What the operator asked for: flags, environment, files and Quay's own config.yaml.
//!
//! Two steps: raw as typed, then valid as meant. A complaint names the place that decided. This
//! room reads the environment and files; it never connects, and knows nothing of the driver.

mod connection;
mod conninfo;
mod environment;
mod error;
mod features;
mod keyword;
mod origin;
mod parameters;
mod password_file;
mod quay_config;
mod secret;
mod service_file;
mod target;
mod tls;
mod url;

pub use connection::{
    ChannelBinding, ConnectionSettings, DatabaseChoice, HostOrder, TargetSession, TcpSettings,
};
pub use environment::Environment;
pub use error::ConfigError;
pub use features::{Feature, FeatureFlags, QuayFeatures};
pub use origin::Origin;
pub use quay_config::QuayConfig;
pub use secret::Secret;
pub use target::{Host, Password, Target};
pub use tls::{Roots, TlsFile, TlsMode, TlsSettings, TlsStart, TlsVersion};
