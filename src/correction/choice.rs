//! Which remedy is taken for which rule.

use std::collections::BTreeMap;

use super::{Decisions, PlanError};
use crate::evaluate::Subject;
use crate::quay::StoredPolicy;
use crate::rules::{Catalogue, Doer, RemedyKind, Rule, RuleId};

/// The operator's choices, `--remedy RULE=NAME`; the last one for a rule counts. A decision by scope,
/// `--decide FILE`, outweighs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    by_rule: BTreeMap<RuleId, RemedyKind>,
    decisions: Decisions,
    /// What `recreate` creates where no decision says it, `--pattern`.
    recreate: Option<StoredPolicy>,
}

/// Whose choice a remedy is. The rule's own is taken only where nothing speaks against it; what
/// somebody asked for is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// The rule's.
    Default,
    /// The operator's.
    Chosen,
}

impl Choices {
    /// Reads the choices.
    ///
    /// # Errors
    /// [`PlanError`], or the catalogue's own for a rule that does not exist.
    pub fn parse<E>(texts: &[String], catalogue: &Catalogue) -> Result<Self, E>
    where
        E: From<PlanError> + From<crate::rules::RuleError>,
    {
        let mut choices = Self::default();
        for text in texts {
            let Some((rule, name)) = text.split_once('=') else {
                return Err(PlanError::Malformed(text.clone()).into());
            };
            let rule = catalogue.get(rule)?;
            choices.by_rule.insert(rule.id.clone(), remedy(rule, name)?);
        }
        Ok(choices)
    }

    /// Adds decisions by scope.
    pub fn decided(mut self, decisions: Decisions) -> Self {
        self.decisions = decisions;
        self
    }

    /// The same with what a lost policy is to be: `recreate` wants one, and nothing else does.
    ///
    /// # Errors
    /// [`PlanError::PatternMissing`] or [`PlanError::PatternUnused`].
    pub fn recreating(mut self, policy: Option<StoredPolicy>) -> Result<Self, PlanError> {
        let recreate = RemedyKind::Recreate;
        let mut chosen = self.by_rule.values();
        let wanted = chosen.any(|remedy| *remedy == recreate) || self.decisions.want_a_pattern();
        match (&policy, wanted) {
            (None, true) => Err(PlanError::PatternMissing),
            (Some(_), false) => Err(PlanError::PatternUnused),
            _ => {
                self.recreate = policy;
                Ok(self)
            }
        }
    }

    /// The decisions by scope.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The remedy for a subject of a rule, whose choice it is, and which decision by scope says so.
    pub(super) fn remedy_on(
        &self,
        rule: &Rule,
        subject: &Subject,
    ) -> Option<(RemedyKind, Origin, Option<usize>)> {
        if let Some((index, remedy)) = self.decisions.on(&rule.id, subject) {
            return Some((remedy, Origin::Chosen, Some(index)));
        }
        if let Some(remedy) = self.by_rule.get(&rule.id) {
            return Some((*remedy, Origin::Chosen, None));
        }
        let default = rule.default_remedy()?;
        Some((default.name, Origin::Default, None))
    }

    /// The remedy for a rule: the one that was chosen, or the rule's own safe one.
    pub fn remedy(&self, rule: &Rule) -> Option<RemedyKind> {
        self.remedy_with_origin(rule).map(|(remedy, _)| remedy)
    }

    pub(super) fn remedy_with_origin(&self, rule: &Rule) -> Option<(RemedyKind, Origin)> {
        let chosen = self.by_rule.get(&rule.id).copied();
        let default = || rule.default_remedy().map(|remedy| remedy.name);
        chosen
            .map(|remedy| (remedy, Origin::Chosen))
            .or_else(|| default().map(|remedy| (remedy, Origin::Default)))
    }

    /// What `recreate` creates, where a decision by scope asked for it, or none did: what that
    /// decision says, else what is said for all.
    pub(super) fn recreate(&self, by: Option<usize>) -> Option<&StoredPolicy> {
        by.and_then(|index| self.decisions.recreate(index))
            .or(self.recreate.as_ref())
    }
}

pub(super) fn remedy(rule: &Rule, name: &str) -> Result<RemedyKind, PlanError> {
    let found = rule
        .remedies
        .iter()
        .find(|remedy| remedy.name.to_string() == name)
        .ok_or_else(|| PlanError::NoSuchRemedy {
            rule: rule.id.0.clone(),
            name: name.to_owned(),
            remedies: rule
                .remedies
                .iter()
                .map(|remedy| remedy.name.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    match found.by {
        Doer::Fix => Ok(found.name),
        Doer::Policy => Err(PlanError::PolicyOperation {
            rule: rule.id.0.clone(),
            name: name.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quay::Polarity;
    use crate::rules::RuleError;

    #[derive(Debug)]
    enum Either {
        Plan(PlanError),
        Rule(#[allow(dead_code)] RuleError),
    }
    impl From<PlanError> for Either {
        fn from(error: PlanError) -> Self {
            Self::Plan(error)
        }
    }
    impl From<RuleError> for Either {
        fn from(error: RuleError) -> Self {
            Self::Rule(error)
        }
    }

    fn parse(text: &str) -> Result<Choices, Either> {
        let catalogue = Catalogue::built_in().expect("valid");
        Choices::parse(&[text.to_owned()], &catalogue)
    }

    #[test]
    fn protection_is_never_taken_away_unasked() {
        let catalogue = Catalogue::built_in().expect("valid");
        let orphaned = catalogue.get("orphaned-immutable-tag").expect("there");
        assert_eq!(Choices::default().remedy(orphaned), None);
        let chosen = parse("orphaned-immutable-tag=release").expect("valid");
        assert_eq!(chosen.remedy(orphaned), Some(RemedyKind::Release));
    }

    #[test]
    fn a_choice_that_means_nothing_is_refused() {
        assert!(matches!(
            parse("release"),
            Err(Either::Plan(PlanError::Malformed(_)))
        ));
        assert!(matches!(parse("no-rule=release"), Err(Either::Rule(_))));
        assert!(matches!(
            parse("unprotected-tag=release"),
            Err(Either::Plan(PlanError::NoSuchRemedy { .. }))
        ));
        assert!(matches!(
            parse("slow-pattern=update"),
            Err(Either::Plan(PlanError::PolicyOperation { .. }))
        ));
    }

    #[test]
    fn recreate_and_its_pattern_come_together() {
        let policy = StoredPolicy {
            pattern: "v.*".to_owned(),
            polarity: Polarity::Matching,
        };
        let recreate = || parse("orphaned-immutable-tag=recreate").expect("valid");
        let release = parse("orphaned-immutable-tag=release").expect("valid");
        assert!(matches!(
            recreate().recreating(None),
            Err(PlanError::PatternMissing)
        ));
        assert!(matches!(
            release.recreating(Some(policy.clone())),
            Err(PlanError::PatternUnused)
        ));
        let choices = recreate().recreating(Some(policy.clone())).expect("both");
        assert_eq!(choices.recreate(None), Some(&policy));
    }
}
