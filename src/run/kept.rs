//! Which violations are listed where there are more than the limit: each rule has its share.

use std::collections::BTreeMap;

use crate::evaluate::Violation;
use crate::rules::RuleId;

/// The first violations of each rule, no more together than the limit. A rule with many leaves room for
/// one with few, whichever is found first: of a rule that is violated something can be seen.
pub(super) struct Kept {
    limit: usize,
    count: usize,
    by_rule: BTreeMap<RuleId, Vec<Violation>>,
    truncated: bool,
}

impl Kept {
    pub(super) fn of(limit: usize) -> Self {
        Self {
            limit,
            count: 0,
            by_rule: BTreeMap::new(),
            truncated: false,
        }
    }

    pub(super) fn add(&mut self, violation: Violation) {
        if self.count >= self.limit {
            self.truncated = true;
            if !self.makes_room_for(&violation.rule) {
                return;
            }
        }
        self.count += 1;
        match self.by_rule.get_mut(&violation.rule) {
            Some(kept) => kept.push(violation),
            None => {
                self.by_rule.insert(violation.rule.clone(), vec![violation]);
            }
        }
    }

    /// The rule with the most gives its last one up, where a rule would then not have more than it.
    fn makes_room_for(&mut self, rule: &RuleId) -> bool {
        let has = self.by_rule.get(rule).map_or(0, Vec::len);
        let Some(most) = self.by_rule.values_mut().max_by_key(|kept| kept.len()) else {
            return false;
        };
        let room = most.len() > has + 1;
        if room {
            most.pop();
            self.count -= 1;
        }
        room
    }

    /// What was kept, rule by rule, and whether that is not all.
    pub(super) fn into_parts(self) -> (Vec<Violation>, bool) {
        let all = self.by_rule.into_values().flatten().collect();
        (all, self.truncated)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evaluate::{RowSubject, Subject};
    use crate::rules::Severity;

    fn violation(rule: u8) -> Violation {
        Violation {
            rule: RuleId(format!("rule-{rule}")),
            severity: Severity::Error,
            subject: Subject::Row(RowSubject {
                number: 1,
                namespace: String::new(),
                repository: None,
                name: String::new(),
            }),
            message: String::new(),
            evidence: Vec::new(),
            remedies: Vec::new(),
        }
    }

    proptest! {
        /// Nobody has less than an equal share unless all that it has is kept, and nothing is left free.
        #[test]
        fn each_rule_has_its_share_in_whatever_order_they_come(
            rules in prop::collection::vec(0u8..6, 0..120),
            limit in 0usize..40,
        ) {
            let mut kept = Kept::of(limit);
            let mut found = BTreeMap::<RuleId, usize>::new();
            for rule in &rules {
                let one = violation(*rule);
                *found.entry(one.rule.clone()).or_default() += 1;
                kept.add(one);
            }
            let (all, truncated) = kept.into_parts();
            prop_assert_eq!(all.len(), limit.min(rules.len()));
            prop_assert_eq!(truncated, rules.len() > limit);
            let of = |rule: &RuleId| all.iter().filter(|one| one.rule == *rule).count();
            let most = found.keys().map(of).max().unwrap_or(0);
            for (rule, count) in &found {
                let has = of(rule);
                prop_assert!(has == *count || has + 1 >= most, "{rule}: {has} of {count}, {most}");
            }
        }
    }
}
