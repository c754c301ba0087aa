//! The environment that settings are read from, as a value.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// The variables, the user's name and the home directory that a resolution may look at. A value
/// and not the process's own state, so that a test says which environment it means.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    os_user: Option<String>,
}

impl Environment {
    /// An environment in which nothing is set.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The environment of this process. Values that are not UTF-8 count as not set.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self {
            variables,
            os_user: whoami::username().ok(),
        }
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// The same with another user of the operating system.
    #[must_use]
    pub fn with_os_user(mut self, name: &str) -> Self {
        self.os_user = Some(name.to_owned());
        self
    }

    /// A variable. One that is set to nothing counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        (!value.is_empty()).then_some(value.as_str())
    }

    /// Whether it says which database is meant. `PGUSER` alone, or a port, does not.
    pub fn names_a_database(&self) -> bool {
        [
            "DATABASE_URL",
            "PGHOST",
            "PGHOSTADDR",
            "PGDATABASE",
            "PGSERVICE",
        ]
        .iter()
        .any(|name| self.get(name).is_some())
    }

    /// The name of the operating system's user: libpq's default for the role.
    pub fn os_user(&self) -> Option<&str> {
        self.os_user.as_deref()
    }

    /// A file below the home directory.
    pub(super) fn home_file(&self, name: &str) -> Option<PathBuf> {
        Some(PathBuf::from(self.get("HOME")?).join(name))
    }
}

/// Names only: `PGPASSWORD` and `DATABASE_URL` are among the values.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_shows_names_and_no_values() {
        let environment = Environment::empty().with("PGPASSWORD", "hunter2");
        let shown = format!("{environment:?}");
        assert!(shown.contains("PGPASSWORD") && !shown.contains("hunter2"));
    }

    #[test]
    fn a_variable_set_to_nothing_is_not_set() {
        let environment = Environment::empty().with("PGHOST", "");
        assert_eq!(environment.get("PGHOST"), None);
    }
}
