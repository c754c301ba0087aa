//! Settings as they were given: keyword, text, and the place that gave it.

use std::collections::BTreeMap;
use std::fmt;

use super::keyword::{self, Handling};
use super::{ConfigError, Environment, Origin};

/// Keywords with their texts. The nearest place is read first; a later one only fills gaps, which
/// is libpq's precedence: connection string, service, environment.
#[derive(Clone, Default)]
pub(super) struct Parameters {
    given: BTreeMap<&'static str, (String, Origin)>,
}

impl Parameters {
    /// Fills a gap.
    pub fn fill(&mut self, name: &'static str, value: &str, origin: &Origin) {
        self.given
            .entry(name)
            .or_insert_with(|| (value.to_owned(), origin.clone()));
    }

    /// Sets a keyword whatever stood there; within one connection string the last one counts.
    pub fn set(&mut self, name: &'static str, value: &str, origin: &Origin) {
        self.given.insert(name, (value.to_owned(), origin.clone()));
    }

    /// Takes the words of one connection string.
    pub fn set_words(
        &mut self,
        words: &[(String, String)],
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in words {
            match keyword::find(name) {
                Some(keyword) => self.set(keyword.name, value, origin),
                // JDBC's way to say it, which libpq understands in URLs.
                None if name == "ssl" && value == "true" => self.set("sslmode", "require", origin),
                None => return Err(ConfigError::unknown_keyword(origin, name)),
            }
        }
        Ok(())
    }

    /// Fills what is missing from the environment.
    pub fn fill_from_environment(&mut self, environment: &Environment) {
        for (keyword, variable) in keyword::with_variables() {
            if let Some(value) = environment.get(variable) {
                self.fill(keyword.name, value, &Origin::Variable(variable));
            }
        }
        // Older than sslmode, and still read by libpq.
        let variable = "PGREQUIRESSL";
        if environment
            .get(variable)
            .is_some_and(|v| v.starts_with('1'))
        {
            self.fill("sslmode", "require", &Origin::Variable(variable));
        }
    }

    /// The text of a keyword; one that is empty counts as not given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_with_origin(name).map(|(value, _)| value)
    }

    /// The text of a keyword and the place that gave it.
    pub fn get_with_origin(&self, name: &str) -> Option<(&str, &Origin)> {
        let (value, origin) = self.given.get(name)?;
        (!value.is_empty()).then_some((value.as_str(), origin))
    }

    /// Everything that is given, by name.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &str, &Origin)> {
        let given = self
            .given
            .iter()
            .filter(|(_, (value, _))| !value.is_empty());
        given.map(|(name, (value, origin))| (*name, value.as_str(), origin))
    }

    /// Reads a keyword that has a value of a kind; `None` where it is not given. An empty text is
    /// no such value, and is complained about.
    pub fn read<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((value, origin)) = self.given.get(name) else {
            return Ok(None);
        };
        match parse(value) {
            Ok(value) => Ok(Some(value)),
            Err(reason) => Err(ConfigError::bad_setting(name, origin, reason)),
        }
    }

    /// The same for a keyword whose empty text means that it is not given.
    pub fn read_unless_empty<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        match self.get(name) {
            Some(_) => self.read(name, parse),
            None => Ok(None),
        }
    }

    /// Refuses what asks for more than we do.
    pub fn refuse_unsupported(&self) -> Result<(), ConfigError> {
        for name in self.given.keys().copied() {
            let Some(Handling::Refused { unless }) = keyword::find(name).map(|k| k.handling) else {
                continue;
            };
            self.read_unless_empty(name, |value| match unless {
                _ if unless.contains(&value) => Ok(()),
                [] => Err("quay-doctor does not support it; leave it out".to_owned()),
                some => Err(format!("quay-doctor supports only: {}", some.join(", "))),
            })?;
        }
        Ok(())
    }
}

/// Names only: a password is among the values.
impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.given.keys()).finish()
    }
}

/// One of a fixed set of words; the complaint lists them and never repeats what was given.
pub(super) fn one_of<T: Copy>(words: &[(&str, T)]) -> impl Fn(&str) -> Result<T, String> {
    move |value| {
        words
            .iter()
            .find(|(word, _)| *word == value)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
                format!("it must be one of {}", known.join(", "))
            })
    }
}

/// A whole number; libpq allows blanks around it.
pub(super) fn whole_number(value: &str) -> Result<i32, String> {
    value
        .trim()
        .parse()
        .map_err(|_| "it must be a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nearer_place_wins_over_a_farther_one() {
        let mut parameters = Parameters::default();
        parameters.set("port", "1", &Origin::Caller);
        let environment = Environment::empty().with("PGPORT", "2").with("PGUSER", "u");
        parameters.fill_from_environment(&environment);
        assert_eq!(parameters.get("port"), Some("1"));
        assert_eq!(parameters.get("user"), Some("u"));
    }

    #[test]
    fn protection_that_we_do_not_have_is_refused_and_not_ignored() {
        let mut parameters = Parameters::default();
        parameters.set("gssencmode", "prefer", &Origin::Caller);
        assert!(parameters.refuse_unsupported().is_ok());
        parameters.set("gssencmode", "require", &Origin::Caller);
        let complaint = parameters.refuse_unsupported().unwrap_err().to_string();
        assert!(complaint.contains("gssencmode"), "{complaint}");
    }
}
