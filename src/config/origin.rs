//! Where a setting came from, so that a complaint can name the place that decided.

use std::fmt;
use std::path::PathBuf;

/// The place that gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command line, named as it is typed.
    Option(&'static str),
    /// A variable of the environment.
    Variable(&'static str),
    /// A section of a libpq service file.
    Service {
        /// The section's name.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// libpq's password file.
    PasswordFile(PathBuf),
    /// Quay's config.yaml.
    QuayConfig(PathBuf),
    /// Quay's config.yaml is there and does not state it: Quay's own default.
    QuayDefault(PathBuf),
    /// quay-doctor.toml.
    File {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// The caller of the library.
    Caller,
    /// Nobody: our default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => f.write_str(name),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
            Self::Service { name, file } => write!(f, "service {name} in {}", file.display()),
            Self::PasswordFile(file) => write!(f, "the password file {}", file.display()),
            Self::QuayConfig(file) => write!(f, "{}", file.display()),
            Self::QuayDefault(file) => {
                write!(
                    f,
                    "Quay's default, which {} does not change",
                    file.display()
                )
            }
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Caller => f.write_str("the connection string"),
            Self::Default => f.write_str("the default"),
        }
    }
}
