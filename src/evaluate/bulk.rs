//! Many tags at once: what is plainly sound is only counted, the rest is named.
//!
//! What a rule says of a tag follows from five things: whether it is dead, whether it is immutable,
//! whether it has an end, what the policies decide, and what is the same for all tags. So each of the
//! twenty-four cases is judged once; a tag is then a decision and a look into a table. Only a tag that
//! some rule may complain of is looked at as a row.

use super::scope_sets::{Matched, ScopeSets, Scratches};
use super::{
    Evaluator, Grace, Moment, PolicyBook, Registry, RuleOutcome, TagRow, Truth, Verdict, Why, judge,
};
use crate::pattern::Openings;
use crate::quay::{Expiry, Immutability, RepositoryId, TagId, UnixMillis};
use crate::rules::{Fact, Rule, SubjectKind};

/// What a block says of a tag besides its name: its repository, and three bits: whether it is dead,
/// whether it is immutable, whether it has an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub i32);

impl Mark {
    /// The mark of a row as of a moment.
    pub fn of(row: &TagRow, now: UnixMillis) -> Self {
        let dead = i32::from(row.expiry.0.is_some_and(|end| end <= now));
        let immutable = i32::from(row.immutability.as_column());
        let ends = i32::from(row.expiry.0.is_some());
        Self(row.repository.0 << 3 | dead << 2 | immutable << 1 | ends)
    }

    /// Its repository.
    pub fn repository(self) -> RepositoryId {
        RepositoryId(self.0 >> 3)
    }

    fn dead(self) -> bool {
        self.0 & 4 != 0
    }

    fn immutable(self) -> bool {
        self.0 & 2 != 0
    }

    fn ends(self) -> bool {
        self.0 & 1 != 0
    }
}

/// A tag that some rule may complain of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Suspect {
    /// Its mark.
    pub mark: Mark,
    /// Its name.
    pub name: String,
}

/// How many cases there are: eight marks, three decisions.
const CASES: usize = 24;

/// Judges tags by the block; one for each reader.
pub struct Bulk<'a> {
    evaluator: Evaluator<'a>,
    sets: &'a ScopeSets<'a>,
    scratches: Scratches,
    moment: Moment,
    cases: [Case; CASES],
    counts: [u64; CASES],
    /// Whether any rule about live tags asks what the policies decide, and any about dead ones.
    asks: [bool; 2],
    suspects: Vec<Suspect>,
}

/// Which mutable tags some rule may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MutableTags {
    /// None.
    None,
    /// Those that a policy may match, and which therefore begin so.
    Beginning(Openings),
    /// Any.
    All,
}

/// What follows from a case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Case {
    /// For each of these rules it is a sound subject; for no other it is one.
    Plain(Vec<usize>),
    /// Some rule may complain.
    Look,
}

impl<'a> Bulk<'a> {
    /// A judge with empty sums.
    pub fn new(
        rules: &'a [Rule],
        (registry, policies): (&'a Registry, &'a PolicyBook),
        sets: &'a ScopeSets<'a>,
        (moment, grace): (Moment, Grace),
    ) -> Self {
        let evaluator = Evaluator::new(rules, registry, policies, moment).with_grace(grace);
        let cases = std::array::from_fn(|number| case(&evaluator, rules, number));
        Self {
            asks: [Fact::Live, Fact::Dead].map(|life| {
                rules.iter().any(|rule| {
                    rule.condition.contains(&life) && rule.names(Fact::MatchedByActivePolicy)
                })
            }),
            evaluator,
            sets,
            scratches: sets.scratches(),
            moment,
            cases,
            counts: [0; CASES],
            suspects: Vec::new(),
        }
    }

    /// Which mutable tags have to be taken: of the others no rule says anything.
    pub fn mutable_tags(&self) -> MutableTags {
        let silent =
            |number: usize| matches!(&self.cases[number], Case::Plain(rules) if rules.is_empty());
        let mutable = |number: &usize| !Mark(*number as i32 & 7).immutable();
        let unmatched = |number: &usize| *number < 8 * Matched::Yes as usize;
        if (0..CASES).filter(mutable).all(silent) {
            MutableTags::None
        } else if (0..CASES).filter(mutable).filter(unmatched).all(silent) {
            MutableTags::Beginning(self.sets.openings())
        } else {
            MutableTags::All
        }
    }

    /// Takes a tag.
    pub fn take(&mut self, mark: Mark, name: &str) {
        let matched = if self.asks[usize::from(mark.dead())] {
            self.sets
                .decide(mark.repository(), name, &mut self.scratches)
        } else {
            Matched::No
        };
        let number = (mark.0 & 7) as usize + 8 * matched as usize;
        match &self.cases[number] {
            Case::Plain(_) => self.counts[number] += 1,
            Case::Look => self.look(mark, name),
        }
    }

    /// A tag that no rule surely complains of is counted here, too: it may be undecided.
    fn look(&mut self, mark: Mark, name: &str) {
        let row = self.stand_in(mark, name);
        if !self.evaluator.tag_unless_violated(&row) {
            let name = name.to_owned();
            self.suspects.push(Suspect { mark, name });
        }
    }

    /// A row that every fact takes for the tag's own.
    fn stand_in(&self, mark: Mark, name: &str) -> TagRow {
        let now = self.moment.millis();
        let end = if mark.dead() {
            now
        } else {
            UnixMillis(now.0.saturating_add(1))
        };
        TagRow {
            id: TagId(0),
            repository: mark.repository(),
            name: name.to_owned(),
            manifest: None,
            start: UnixMillis(0),
            expiry: Expiry(mark.ends().then_some(end)),
            immutability: Immutability::from_column(mark.immutable()),
            hidden: false,
        }
    }

    /// The suspects since the last time.
    pub fn drain(&mut self) -> Vec<Suspect> {
        std::mem::take(&mut self.suspects)
    }

    /// The sums of what was counted here; suspects are in none of them.
    pub fn into_outcomes(self) -> Vec<RuleOutcome> {
        let mut outcomes = self.evaluator.into_outcomes();
        for (case, count) in self.cases.iter().zip(self.counts) {
            let Case::Plain(rules) = case else { continue };
            for rule in rules {
                outcomes[*rule].subjects += count;
            }
        }
        outcomes
    }
}

/// Judges one case by every rule about tags.
fn case(evaluator: &Evaluator<'_>, rules: &[Rule], number: usize) -> Case {
    let mut sound = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if !evaluator.applies(index, rule, SubjectKind::Tag) {
            continue;
        }
        match judge(rule, |fact| truth(evaluator, fact, number)) {
            Verdict::NotASubject => {}
            Verdict::Sound => sound.push(index),
            Verdict::Violated | Verdict::Undecided(_) => return Case::Look,
        }
    }
    Case::Plain(sound)
}

/// A fact in a case. What depends on more than the case is unknown, and so looked at.
fn truth(evaluator: &Evaluator<'_>, fact: Fact, number: usize) -> Truth {
    let mark = Mark(number as i32 & 7);
    match (fact, number / 8) {
        (Fact::Live, _) => (!mark.dead()).into(),
        (Fact::Dead, _) => mark.dead().into(),
        (Fact::Immutable, _) => mark.immutable().into(),
        (Fact::Mutable, _) => (!mark.immutable()).into(),
        (Fact::Expiring, _) => mark.ends().into(),
        (Fact::MatchedByActivePolicy, 0) => Truth::No,
        (Fact::MatchedByActivePolicy, 1) => Truth::Yes,
        (Fact::ImmutableTagsCanExpire, _) => evaluator.can_expire(),
        _ => Truth::Unknown(Why::Repository),
    }
}
