//! The policies of a registry by scope, their patterns compiled once, and their decision on a tag.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Activity, PolicyRow, Why};
use crate::pattern::{self, Compiled, SqlCondition};
use crate::quay::{
    NamespaceId, Polarity, PolicyRowId, PolicyText, PolicyUuid, RepositoryId, Scope,
};

/// Every policy row of a snapshot.
#[derive(Default)]
pub struct PolicyBook {
    narrowing: Option<SqlCondition>,
    rows: Vec<PolicyRow>,
    active: HashMap<Scope, Vec<ActivePolicy>>,
}

/// An active policy, ready to decide.
struct ActivePolicy {
    row: usize,
    reading: Reading,
}

/// What becomes of a stored policy when Quay evaluates it.
enum Reading {
    Decides(Arc<Compiled>, Polarity),
    /// Quay raises.
    Raises(String),
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
    /// Sorts the rows by scope and compiles the patterns of the active ones, each text once.
    pub fn new(rows: Vec<PolicyRow>) -> Self {
        let mut compiled: HashMap<String, Arc<Compiled>> = HashMap::new();
        Self::with(rows, |text| {
            let pattern = compiled.entry(text.to_owned());
            Arc::clone(pattern.or_insert_with_key(|text| Arc::new(pattern::compile(text))))
        })
    }

    /// The same with patterns that the caller compiles, and may keep.
    pub fn with(rows: Vec<PolicyRow>, mut compile: impl FnMut(&str) -> Arc<Compiled>) -> Self {
        let mut active: HashMap<Scope, Vec<ActivePolicy>> = HashMap::new();
        for (index, row) in rows.iter().enumerate() {
            if row.activity != Activity::Active {
                continue;
            }
            let reading = match row.text.parse() {
                Ok(policy) => Reading::Decides(compile(&policy.pattern), policy.polarity),
                Err(unusable) => Reading::Raises(unusable.to_string()),
            };
            active.entry(row.scope).or_default().push(ActivePolicy {
                row: index,
                reading,
            });
        }
        Self {
            narrowing: None,
            rows,
            active,
        }
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
        let of_repository = self.active.get(&Scope::Repository(repository));
        let of_namespace = namespace.and_then(|id| self.active.get(&Scope::Namespace(id)));
        let mut unknown = None;
        for policy in of_repository.into_iter().chain(of_namespace).flatten() {
            let row = &self.rows[policy.row];
            match policy.reading.decide(row, tag) {
                Ok(true) => return Decision::Immutable(row),
                Ok(false) => {}
                Err(why) => unknown = unknown.or(Some(why)),
            }
        }
        unknown.map_or(Decision::Mutable, Decision::Unknown)
    }
}

impl Reading {
    fn decide(&self, row: &PolicyRow, tag: &str) -> Result<bool, Why> {
        let undecided = |reason: String| Why::Pattern {
            policy: row.uuid.0.clone(),
            reason,
        };
        match self {
            Self::Raises(reason) => Err(Why::Policy {
                policy: row.uuid.0.clone(),
                reason: reason.clone(),
            }),
            Self::Decides(compiled, polarity) => {
                let matches = match compiled.as_ref() {
                    Compiled::Valid(matcher) => matcher
                        .decide(tag)
                        .map_err(|why| undecided(why.to_string()))?,
                    // To Quay a pattern that does not compile is one that matches nothing.
                    Compiled::Invalid(_) => false,
                    Compiled::Undecidable(why) => return Err(undecided(why.to_string())),
                };
                Ok(polarity.applies(matches))
            }
        }
    }
}
