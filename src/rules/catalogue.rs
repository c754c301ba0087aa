//! The rules that are built in, and the choice among them.

use super::{Rule, RuleError, RuleId};

/// The rule files, as they stand in `checks/`. A test holds that none is forgotten.
const BUILT_IN: [(&str, &str); 3] = [
    (
        "checks/orphaned-immutable-tag.toml",
        include_str!("../../checks/orphaned-immutable-tag.toml"),
    ),
    (
        "checks/unprotected-tag.toml",
        include_str!("../../checks/unprotected-tag.toml"),
    ),
    (
        "checks/stale-inactive-policy.toml",
        include_str!("../../checks/stale-inactive-policy.toml"),
    ),
];

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
        let rules = BUILT_IN
            .iter()
            .map(|(file, text)| Rule::parse(file, text))
            .collect::<Result<_, _>>()?;
        Ok(Self { rules })
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
        let nearest = self
            .rules
            .iter()
            .map(|rule| (distance(name, &rule.id.0), &rule.id))
            .min();
        let help = match nearest {
            Some((distance, id)) if distance <= id.0.len() / 3 => format!("did you mean `{id}`?"),
            _ => {
                let names: Vec<&str> = self.rules.iter().map(|rule| rule.id.0.as_str()).collect();
                format!("the rules are: {}", names.join(", "))
            }
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

/// The number of single-character edits between two names (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, l) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(l != *r);
            current.push(
                replaced
                    .min(previous[column + 1] + 1)
                    .min(current[column] + 1),
            );
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
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
        let mut built_in: Vec<&str> = BUILT_IN.iter().map(|(file, _)| *file).collect();
        built_in.sort_unstable();
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
