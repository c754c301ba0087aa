//! What an operation is asked for.

use std::time::Duration;

use serde::Serialize;

use crate::batch::Limits;
use crate::crew::Jobs;
use crate::evaluate::Features;
use crate::journal::{Identity, TagsChoice};
use crate::quay::{Polarity, PolicyUuid, RunId};

/// Which scope, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The namespace.
    pub namespace: String,
    /// The repository, for a repository's policy.
    pub repository: Option<String>,
}

/// A policy's configuration, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPattern {
    /// The pattern.
    pub pattern: String,
    /// Whether its matches become immutable, or everything else.
    pub polarity: Polarity,
    /// Accept a pattern that may run into Quay's time-out.
    pub allow_slow: bool,
}

/// A policy to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Where.
    pub pick: Pick,
    /// What.
    pub new: NewPattern,
    /// Stage it on purpose: written, not applied, not active.
    pub inactive: bool,
    /// An equal active policy that is there already is as good.
    pub if_absent: bool,
}

/// A policy to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Which.
    pub policy: PolicyUuid,
    /// Its new configuration.
    pub new: NewPattern,
    /// What becomes of tags that only the old configuration covered.
    pub unmatched: TagsChoice,
}

/// How a scope is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Small scopes atomic, large ones phased.
    Auto,
    /// One transaction for everything up to activation.
    Atomic,
    /// Batch by batch.
    Phased,
}

impl Strategy {
    /// The name, as options take it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Atomic => "atomic",
            Self::Phased => "phased",
        }
    }
}

/// What a lost connection or an interrupt leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFault {
    /// Reconnect and go on; leave the rest for `recover` where that fails.
    Resume,
    /// Reconnect and take everything back.
    RollBack,
    /// Leave everything for `recover`.
    Stop,
}

/// What keeps a tag immutable that an operation made so, when the operation is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndoRule {
    /// It was rolled back: nobody asked for the tag to lose the protection of another policy.
    ByItself,
    /// Somebody takes it back with its run: only a label, a user's act or a declaration counts.
    AsAsked,
}

/// How an operation is carried out.
#[derive(Clone, Debug)]
pub struct PolicyOptions {
    /// Who, and why.
    pub who: Identity,
    /// What was stated about Quay.
    pub features: Features,
    /// Whether the Quay in front of the database knows the column `active`.
    pub quay_knows_active: Option<bool>,
    /// Whether Quay's audit log is written.
    pub audit: bool,
    /// How the scope is walked.
    pub strategy: Strategy,
    /// What a lost connection or an interrupt leads to.
    pub on_fault: OnFault,
    /// How long a batch may hold its locks, as an aim.
    pub batch_time: Duration,
    /// How many sessions change tags at the same time, each in other repositories.
    pub jobs: Jobs,
    /// How far clocks may be apart.
    pub clock_margin: Duration,
    /// How long to wait for transactions that still read the policies as they were.
    pub settle_timeout: Duration,
    /// How long to try to reconnect.
    pub reconnect_for: Duration,
    /// Write an expiry back even where it has passed.
    pub restore_past_expiry: bool,
    /// What slows the work down.
    pub limits: Limits,
    /// The fix run that conducts it: `fix undo` takes both back.
    pub parent: Option<RunId>,
    /// What keeps a mark from being taken back.
    pub undo: UndoRule,
}

impl PolicyOptions {
    /// The defaults, for this identity.
    pub fn new(who: Identity) -> Self {
        Self {
            who,
            features: Features::default(),
            quay_knows_active: None,
            audit: true,
            strategy: Strategy::Auto,
            on_fault: OnFault::Resume,
            batch_time: Duration::from_millis(50),
            jobs: Jobs::default(),
            clock_margin: Duration::from_secs(60),
            settle_timeout: Duration::from_secs(30),
            reconnect_for: Duration::from_secs(120),
            restore_past_expiry: false,
            limits: Limits::default(),
            parent: None,
            undo: UndoRule::ByItself,
        }
    }
}
