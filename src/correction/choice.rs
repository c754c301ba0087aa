//! Which remedy is taken for which rule.

use std::collections::BTreeMap;

use super::{Decisions, PlanError};
use crate::evaluate::Subject;
use crate::rules::{Catalogue, Doer, RemedyKind, Rule, RuleId};

/// The operator's choices, `--remedy RULE=NAME`; the last one for a rule counts. A decision by scope,
/// `--decide FILE`, outweighs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    by_rule: BTreeMap<RuleId, RemedyKind>,
    decisions: Decisions,
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

    /// The decisions by scope.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The remedy for a subject of a rule, and which decision by scope says so.
    pub(super) fn remedy_on(
        &self,
        rule: &Rule,
        subject: &Subject,
    ) -> Option<(RemedyKind, Option<usize>)> {
        if let Some((index, remedy)) = self.decisions.on(&rule.id, subject) {
            return Some((remedy, Some(index)));
        }
        self.remedy(rule).map(|remedy| (remedy, None))
    }

    /// The remedy for a rule: the one that was chosen, or the rule's own safe one.
    pub fn remedy(&self, rule: &Rule) -> Option<RemedyKind> {
        self.by_rule
            .get(&rule.id)
            .copied()
            .or_else(|| rule.default_remedy().map(|remedy| remedy.name))
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
    let (rule, name) = (rule.id.0.clone(), name.to_owned());
    match found.by {
        Doer::Fix => Ok(found.name),
        Doer::Policy => Err(PlanError::PolicyOperation { rule, name }),
        Doer::Recover => Err(PlanError::Recovery { rule, name }),
        Doer::NotYet => Err(PlanError::NotYet { rule, name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            parse("orphaned-immutable-tag=recreate"),
            Err(Either::Plan(PlanError::PolicyOperation { .. }))
        ));
        assert!(matches!(
            parse("interrupted-operation=resume"),
            Err(Either::Plan(PlanError::Recovery { .. }))
        ));
        assert!(matches!(
            parse("misplaced-policy=mend-namespace"),
            Err(Either::Plan(PlanError::NotYet { .. }))
        ));
    }
}
