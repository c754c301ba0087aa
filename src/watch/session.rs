//! The session that holds the scanner's lock, and looks at what is cheap to see between scans.

use super::WatchPlan;
use crate::config::ConnectionSettings;
use crate::journal::{RecordedScan, scanner_held, scanner_holder, take_scanner};
use crate::pg::{PgError, ReadSession};
use crate::run::{OperationView, RunError, operations_under_way, recent_scans};

/// Whether this process scans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has the lock; whether it has just got it.
    Ours { fresh: bool },
    /// Another backend has it.
    Theirs(Option<i32>),
}

/// A read-only session without an open transaction.
pub(super) struct Contact {
    session: ReadSession,
    leads: bool,
}

impl Contact {
    pub(super) fn open(settings: &ConnectionSettings) -> Result<Self, PgError> {
        let session = ReadSession::open(settings)?;
        Ok(Self {
            session,
            leads: false,
        })
    }

    /// Whose turn it is. A lock that we had may be gone with a backend that a pooler took away.
    pub(super) fn turn(&mut self) -> Result<Turn, PgError> {
        if self.leads && scanner_held(&mut self.session)? {
            return Ok(Turn::Ours { fresh: false });
        }
        self.leads = take_scanner(&mut self.session)?;
        if self.leads {
            return Ok(Turn::Ours { fresh: true });
        }
        Ok(Turn::Theirs(scanner_holder(&mut self.session)?))
    }

    /// Operations that have not ended.
    pub(super) fn operations(&mut self) -> Result<Vec<OperationView>, RunError> {
        operations_under_way(&mut self.session)
    }

    /// The newest recorded scans.
    pub(super) fn history(
        &mut self,
        plan: &WatchPlan,
        limit: u32,
    ) -> Result<Vec<RecordedScan>, RunError> {
        recent_scans(&mut self.session, &plan.request, limit)
    }
}
