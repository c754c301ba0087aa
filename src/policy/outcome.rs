//! How an operation ended.

use std::fmt;

use crate::evaluate::{Registry, TagRow};
use crate::journal::{PolicyOperation, Sums};
use crate::quay::{OperationId, PolicyUuid};

/// The end that an operation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// As it was meant.
    Done,
    /// As if it had never been.
    RolledBack,
    /// There was nothing to do: an equal active policy is there.
    AlreadyThere,
}

/// How many names are kept.
const NAMED: usize = 20;

/// Tags whose expiry has passed meanwhile and was not written back: they would have died at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastExpiries {
    /// How many.
    pub tags: u64,
    /// The first of them, as `namespace/repository:tag`; the history of the operation has them all.
    pub named: Vec<String>,
}

impl PastExpiries {
    pub(super) fn add(&mut self, registry: &Registry, row: &TagRow) {
        self.tags += 1;
        if self.named.len() < NAMED {
            let (namespace, repository) = registry.repository_names(row.repository);
            self.named
                .push(format!("{namespace}/{repository}:{}", row.name));
        }
    }

    /// Those of a hand.
    pub(super) fn append(&mut self, more: Self) {
        self.tags += more.tags;
        let room = NAMED.saturating_sub(self.named.len());
        self.named.extend(more.named.into_iter().take(room));
    }

    /// So many, whose names only the history has.
    pub fn of_number(tags: u64) -> Self {
        Self {
            tags,
            named: Vec::new(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tags == 0
    }
}

/// The names; and how many more there are.
impl fmt::Display for PastExpiries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.named.is_empty() {
            return f.write_str("its history names them");
        }
        f.write_str(&self.named.join(", "))?;
        match self.tags.saturating_sub(self.named.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The operation; none where there was nothing to do.
    pub operation: Option<OperationId>,
    /// The policy.
    pub policy: PolicyUuid,
    /// The end.
    pub ended: Ended,
    /// `atomic` or `phased`.
    pub strategy: String,
    /// The sums, over all workers that it had.
    pub sums: Sums,
    /// Tags whose expiry has passed and was not written back.
    pub past_expiries: PastExpiries,
    /// How long this worker took.
    pub seconds: f64,
}

impl Outcome {
    pub(super) fn of(operation: &PolicyOperation, ended: Ended, seconds: f64) -> Self {
        Self {
            operation: Some(operation.id),
            policy: operation.policy.clone(),
            ended,
            strategy: operation.options.strategy.clone(),
            sums: operation.sums,
            past_expiries: PastExpiries::default(),
            seconds,
        }
    }
}
