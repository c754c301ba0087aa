//! The rules that are built in, and the choice among them.

use super::{Rule, RuleError, RuleId};
use crate::config::nearest;

/// The rule files, as they stand in `checks/`, by name; `build.rs` lists them.
const BUILT_IN: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/built_in_rules.rs"));

/// A set of rules, in the order in which they are reported.
#[derive(Clone, Debug)]
pub struct Catalogue {
    rules: Vec<Rule>,
}

impl Catalogue {
    /// Every built-in rule.
    ///
    /// # Errors
    /// [`RuleError`] where a built-in file is wrong; a test makes sure that none is.
    pub fn built_in() -> Result<Self, RuleError> {
        Self::new(
            BUILT_IN
                .iter()
                .map(|(file, text)| Rule::parse(file, text))
                .collect::<Result<_, _>>()?,
        )
    }

    /// The worst first, then by name.
    fn new(mut rules: Vec<Rule>) -> Result<Self, RuleError> {
        rules.sort_by(|a, b| (b.severity, &a.id).cmp(&(a.severity, &b.id)));
        Ok(Self { rules })
    }

    /// The built-in rules and others: those of a user.
    ///
    /// # Errors
    /// [`RuleError::Invalid`] where a name is taken.
    pub fn and(self, more: Vec<Rule>) -> Result<Self, RuleError> {
        let mut rules = self.rules;
        for rule in more {
            if rules.iter().any(|known| known.id == rule.id) {
                return Err(RuleError::Invalid {
                    file: format!("{}.toml", rule.id),
                    reason: format!("there is a rule `{}` already", rule.id),
                });
            }
            rules.push(rule);
        }
        Self::new(rules)
    }

    /// Only the rules with these names; all of them where none is named.
    ///
    /// # Errors
    /// [`RuleError::Unknown`] for a name that no rule has.
    pub fn choose(self, names: &[String]) -> Result<Self, RuleError> {
        if names.is_empty() {
            return Ok(self);
        }
        for name in names {
            self.get(name)?;
        }
        let rules = self
            .rules
            .into_iter()
            .filter(|rule| names.contains(&rule.id.0))
            .collect();
        Ok(Self { rules })
    }

    /// The rule of this name.
    ///
    /// # Errors
    /// [`RuleError::Unknown`], with the nearest name.
    pub fn get(&self, name: &str) -> Result<&Rule, RuleError> {
        self.rules
            .iter()
            .find(|rule| rule.id.0 == name)
            .ok_or_else(|| self.unknown(name))
    }

    /// The rules.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn unknown(&self, name: &str) -> RuleError {
        let names = || self.rules.iter().map(|rule| rule.id.0.as_str());
        let help = match nearest(name, names()) {
            Some(id) => format!("did you mean `{id}`?"),
            None => format!("the rules are: {}", names().collect::<Vec<_>>().join(", ")),
        };
        RuleError::Unknown {
            id: name.to_owned(),
            help,
        }
    }
}

impl From<RuleId> for String {
    fn from(id: RuleId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_in_checks_is_built_in_and_valid() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/checks");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("checks/ is there")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .filter(|name| name.ends_with(".toml"))
            .map(|name| format!("checks/{name}"))
            .collect();
        files.sort();
        let built_in: Vec<&str> = BUILT_IN.iter().map(|(file, _)| *file).collect();
        assert_eq!(files, built_in);
        Catalogue::built_in().expect("every built-in rule is valid");
    }

    #[test]
    fn a_mistyped_rule_is_answered_with_the_nearest() {
        let catalogue = Catalogue::built_in().expect("valid");
        let error = catalogue.choose(&["orphaned-imutable-tag".to_owned()]);
        let Err(RuleError::Unknown { help, .. }) = error else {
            panic!("an unknown rule was accepted");
        };
        assert_eq!(help, "did you mean `orphaned-immutable-tag`?");
    }
}
