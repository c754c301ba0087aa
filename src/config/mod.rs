//! What the operator asked for: flags, environment, quay-doctor.toml and Quay's own config.yaml.
//!
//! Two steps: raw as typed, then valid as meant. A complaint names the place that decided. This
//! room reads the environment and files; it never connects, and knows nothing of the driver.
//!
//! Connections are libpq's, keyword by keyword, and tests compare them with psql. On purpose
//! otherwise:
//! * nothing at all names no database, where libpq takes the one that is called like the user;
//! * `connect_timeout` is 10 s where none is given, and a dead peer is noticed within a minute;
//! * a variable that is set to nothing counts as not set;
//! * an `@` in a host or database name must be encoded, since it is a sign of a password that is
//!   not, and a complaint would print the rest of it;
//! * a certificate's common name is never compared with the host, only its subjectAltName;
//! * what would protect more than we can is refused and not passed over: encrypted keys,
//!   `sslcrldir`, `requirepeer`, `require_auth`, `gssencmode=require`.

mod answer_limit;
mod connection;
mod conninfo;
mod environment;
mod error;
mod features;
mod file;
pub mod key;
mod keyword;
mod layers;
mod origin;
mod parameters;
mod password_file;
mod quay_config;
mod secret;
mod service_file;
mod session;
mod suggestion;
mod target;
mod tls;
mod url;

pub use answer_limit::AnswerLimit;
pub use connection::{ConnectionSettings, DatabaseChoice};
pub use environment::Environment;
pub use error::ConfigError;
pub use features::{Feature, FeatureFlags, QuayFeatures};
pub use key::Key;
pub use layers::{DatabaseOptions, Given, Layers, Shown};
pub use origin::Origin;
pub use quay_config::QuayConfig;
pub use secret::Secret;
pub use session::{ChannelBinding, HostOrder, TargetSession, TcpSettings};
pub use suggestion::{line_of, meant_by, nearest};
pub use target::{Host, Password, Target};
pub use tls::{Roots, TlsFile, TlsMode, TlsSettings, TlsStart, TlsVersion};
