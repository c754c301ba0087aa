//! Evidence: what accounts for a tag whose state no policy accounts for.

use std::fmt;

use chrono::NaiveDateTime;
use serde::Serialize;

use crate::quay::{AuditEntryId, OperationId};
use crate::rules::{Evidence, Rule};

/// One piece of evidence about one tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Found {
    /// The manifest, or every child of it, carries `quay.immutable=true`.
    Label,
    /// An audit entry: a user set the tag's immutability.
    SetByUser(Act),
    /// An audit entry: an administrator took the tag's immutability off.
    TakenOffByAdministrator(Act),
    /// Declared to be meant.
    Kept {
        /// By whom.
        actor: String,
        /// Why.
        reason: Option<String>,
    },
    /// A live operation is at work on the tag.
    LiveOperation {
        /// Its id.
        operation: OperationId,
    },
    /// An operation covers the tag that was interrupted. It excuses nothing; the tag is its, until it has ended.
    InterruptedOperation {
        /// Its id.
        operation: OperationId,
    },
    /// The operator has accepted that the policy cannot be decided.
    Accepted,
}

/// A user's act, as the audit log has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Act {
    /// `logentry3.id`.
    pub entry: AuditEntryId,
    /// `datetime`: naive, in the application server's own zone.
    pub at: NaiveDateTime,
    /// `metadata_json.username`.
    pub user: Option<String>,
}

impl Found {
    /// The kind, as rule files name it; none of what excuses nothing.
    pub fn evidence(&self) -> Option<Evidence> {
        Some(match self {
            Self::Label => Evidence::Label,
            Self::SetByUser(_) => Evidence::SetByUser,
            Self::TakenOffByAdministrator(_) => Evidence::TakenOffByAdministrator,
            Self::Kept { .. } => Evidence::Kept,
            Self::LiveOperation { .. } => Evidence::LiveOperation,
            Self::InterruptedOperation { .. } => return None,
            Self::Accepted => Evidence::Accepted,
        })
    }
}

impl Found {
    /// Whether a rule takes it for an excuse.
    pub fn excuses(&self, rule: &Rule) -> bool {
        self.evidence()
            .is_some_and(|evidence| rule.excused_by.contains(&evidence))
    }

    /// The operation that covers the tag and was interrupted, where that is what was found.
    pub fn interrupted(&self) -> Option<OperationId> {
        match self {
            Self::InterruptedOperation { operation } => Some(*operation),
            _ => None,
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let act = |f: &mut fmt::Formatter<'_>, what: &str, act: &Act| {
            let user = act.user.as_deref().unwrap_or("somebody");
            write!(f, "{user} {what} on {} (audit entry {})", act.at, act.entry)
        };
        match self {
            Self::Label => f.write_str("its manifest carries the label quay.immutable=true"),
            Self::SetByUser(a) => act(f, "made it immutable", a),
            Self::TakenOffByAdministrator(a) => act(f, "took its immutability off", a),
            Self::Kept { actor, reason } => {
                write!(f, "{actor} declared that it stays immutable")?;
                reason.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
            Self::LiveOperation { operation } => {
                write!(f, "operation {operation} is at work on it")
            }
            Self::InterruptedOperation { operation } => {
                write!(f, "operation {operation} covers it, and was interrupted")
            }
            Self::Accepted => f.write_str("accepted by --accept-undecided"),
        }
    }
}

/// All the evidence about one tag.
pub type Account = Vec<Found>;
