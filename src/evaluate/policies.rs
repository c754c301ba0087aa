//! The policies of a registry by scope, their patterns compiled once, and their decision on a tag.

use std::collections::{HashMap, HashSet};

use std::sync::{Arc, OnceLock};

use super::{Acceptance, Activity, PolicyRow, Reading, Registry, Why};
use crate::pattern::{self, Compiled, SqlCondition};
use crate::quay::{
    NamespaceId, Polarity, PolicyRowId, PolicyText, PolicyUuid, RepositoryId, Scope,
};

/// Every policy row of a snapshot.
#[derive(Default)]
pub struct PolicyBook {
    narrowing: Option<SqlCondition>,
    rows: Vec<PolicyRow>,
    readings: Vec<OnceLock<Reading>>,
    /// Places of active rows, in the order in which Quay evaluates them.
    active: HashMap<Scope, Vec<usize>>,
    accepted: HashSet<PolicyUuid>,
}

/// Whether the active policies make a tag immutable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision<'b> {
    /// This policy does; of several the first in Quay's order that decides.
    Immutable(&'b PolicyRow),
    /// None does.
    Mutable,
    /// None surely does, and this one may.
    Unknown(Why),
}

impl PolicyBook {
    /// Sorts the rows by scope and compiles their patterns, each text once.
    pub fn new(rows: Vec<PolicyRow>) -> Self {
        let mut compiled: HashMap<String, Arc<Compiled>> = HashMap::new();
        Self::with(rows, |text| {
            let pattern = compiled.entry(text.to_owned());
            Arc::clone(pattern.or_insert_with_key(|text| Arc::new(pattern::compile(text))))
        })
    }

    /// The same with patterns that the caller compiles, and may keep. Only those of active
    /// policies are compiled before somebody asks.
    pub fn with(rows: Vec<PolicyRow>, mut compile: impl FnMut(&str) -> Arc<Compiled>) -> Self {
        let mut active: HashMap<Scope, Vec<usize>> = HashMap::new();
        let mut readings = Vec::with_capacity(rows.len());
        for (place, row) in rows.iter().enumerate() {
            let reading = OnceLock::new();
            if row.activity == Activity::Active {
                active.entry(row.scope).or_default().push(place);
                reading.get_or_init(|| Reading::of(&row.text, &mut compile));
            }
            readings.push(reading);
        }
        Self {
            narrowing: None,
            rows,
            readings,
            active,
            accepted: HashSet::new(),
        }
    }

    /// The same, with policies of which the operator has accepted that they cannot be decided.
    pub fn accepting(mut self, accepted: &HashSet<PolicyUuid>) -> Self {
        self.accepted = accepted.clone();
        self
    }

    /// A book of one active policy that may not be in any table: what a text would decide.
    pub fn of_one(scope: Scope, text: PolicyText) -> Self {
        let narrowing = text.parse().ok().and_then(|policy| {
            match (policy.polarity, pattern::compile(&policy.pattern)) {
                (Polarity::Matching, Compiled::Valid(matcher)) => matcher.sql(),
                _ => None,
            }
        });
        let row = PolicyRow {
            id: PolicyRowId(0),
            uuid: PolicyUuid(String::new()),
            scope,
            namespace: NamespaceId(0),
            text,
            activity: Activity::Active,
            created: None,
        };
        Self {
            narrowing,
            ..Self::new(vec![row])
        }
    }

    /// A condition in SQL that holds for exactly the names that this book of one policy makes
    /// immutable, where there is one.
    pub fn narrowing(&self) -> Option<&SqlCondition> {
        self.narrowing.as_ref()
    }

    /// Every policy, active or not.
    pub fn rows(&self) -> &[PolicyRow] {
        &self.rows
    }

    /// Every policy with what became of its text.
    pub fn read_rows(&self) -> impl Iterator<Item = (&PolicyRow, &Reading)> {
        (0..self.rows.len()).map(|place| self.read_row(place))
    }

    fn read_row(&self, place: usize) -> (&PolicyRow, &Reading) {
        let row = &self.rows[place];
        let compile = |text: &str| Arc::new(pattern::compile(text));
        (
            row,
            self.readings[place].get_or_init(|| Reading::of(&row.text, compile)),
        )
    }

    /// Whether the operator has accepted that this policy cannot be decided.
    pub fn is_accepted(&self, row: &PolicyRow) -> bool {
        self.accepted.contains(&row.uuid)
    }

    /// Whether this book holds exactly these rows for these scopes, so that it decides there as
    /// they would. Both are in the order in which policies are read.
    pub fn holds(&self, scopes: &HashSet<Scope>, rows: &[PolicyRow]) -> bool {
        self.rows
            .iter()
            .filter(|row| scopes.contains(&row.scope))
            .eq(rows)
    }

    /// Decides as a push would: the repository's policies, then the namespace's, active ones only
    /// (immutability.py:641-672). One that matches settles it, whatever the others are.
    pub fn decide(
        &self,
        repository: RepositoryId,
        namespace: Option<NamespaceId>,
        tag: &str,
    ) -> Decision<'_> {
        self.decide_by(repository, namespace, tag, |_| true)
    }

    /// The same, as if only some policies were there.
    pub fn decide_by(
        &self,
        repository: RepositoryId,
        namespace: Option<NamespaceId>,
        tag: &str,
        counts: impl Fn(&PolicyRow) -> bool,
    ) -> Decision<'_> {
        let mut unknown: Option<Why> = None;
        for (row, reading) in self.active_on(repository, namespace) {
            if !counts(row) {
                continue;
            }
            match reading.decide(tag) {
                Ok(true) => return Decision::Immutable(row),
                Ok(false) => {}
                Err(why) => {
                    let why = why.about(row, self.acceptance(row));
                    // What is not accepted outweighs what is.
                    if unknown.as_ref().is_none_or(Why::is_accepted) {
                        unknown = Some(why);
                    }
                }
            }
        }
        unknown.map_or(Decision::Mutable, Decision::Unknown)
    }

    /// The scopes that have active policies.
    pub(super) fn active_scopes(&self) -> impl Iterator<Item = Scope> {
        self.active.keys().copied()
    }

    /// The active policies of a scope.
    pub(super) fn active_of(&self, scope: Scope) -> impl Iterator<Item = (&PolicyRow, &Reading)> {
        let places = self.active.get(&scope).into_iter().flatten();
        places.map(|place| self.read_row(*place))
    }

    /// The active policies that a push into the repository meets, in their order.
    pub fn active_on(
        &self,
        repository: RepositoryId,
        namespace: Option<NamespaceId>,
    ) -> impl Iterator<Item = (&PolicyRow, &Reading)> {
        let of_repository = self.active.get(&Scope::Repository(repository));
        let of_namespace = namespace.and_then(|id| self.active.get(&Scope::Namespace(id)));
        of_repository
            .into_iter()
            .chain(of_namespace)
            .flatten()
            .map(|place| self.read_row(*place))
    }

    /// Whether the operator has accepted that this policy cannot be decided, in a word.
    pub(super) fn acceptance(&self, row: &PolicyRow) -> Acceptance {
        if self.is_accepted(row) {
            Acceptance::Accepted
        } else {
            Acceptance::NotAccepted
        }
    }

    /// Of the policies of one scope with this one's pattern, the one that would be kept where it
    /// is another: an active one before an inactive one, then the lowest id.
    pub fn elder_twin(&self, row: &PolicyRow, reading: &Reading) -> Option<&PolicyRow> {
        let pattern = reading.pattern()?;
        self.read_rows()
            .filter(|(other, read)| other.scope == row.scope && read.pattern() == Some(pattern))
            .map(|(other, _)| other)
            .min_by_key(|other| (other.activity == Activity::Inactive, other.id))
            .filter(|kept| kept.id != row.id)
    }

    /// The active policy of the repository's namespace that decides the same by the same pattern.
    pub fn covering(
        &self,
        row: &PolicyRow,
        reading: &Reading,
        registry: &Registry,
    ) -> Option<&PolicyRow> {
        let Scope::Repository(repository) = row.scope else {
            return None;
        };
        let namespace = registry.namespace_of(repository)?;
        self.read_rows()
            .filter(|(other, _)| {
                other.scope == Scope::Namespace(namespace) && other.activity == Activity::Active
            })
            .find(|(_, read)| reading.decides_like(read))
            .map(|(other, _)| other)
    }
}
