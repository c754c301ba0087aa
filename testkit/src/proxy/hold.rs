//! A connection that stands still at a moment until the test lets it go, or ends it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::link::Link;

/// Where a held connection is.
#[derive(Debug)]
enum Stage {
    /// The moment has not come.
    Ahead,
    /// It stands there.
    Standing(Arc<Link>),
    /// It stood there, and was let go or ended.
    Over,
    /// Whatever comes may pass.
    Open,
}

#[derive(Debug)]
struct Gate {
    stage: Mutex<Stage>,
    changed: Condvar,
}

/// Holds the first connection that comes to a moment. Both directions stand still, so that the program
/// learns nothing of what happens to its server side until it is let go.
#[derive(Clone, Debug)]
pub struct Hold(Arc<Gate>);

impl PartialEq for Hold {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Hold {}

impl Hold {
    pub(super) fn ahead() -> Self {
        Self(Arc::new(Gate {
            stage: Mutex::new(Stage::Ahead),
            changed: Condvar::new(),
        }))
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        let stage = self.0.stage.lock();
        stage.unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection has come to the moment; whether it is to stand there.
    pub(super) fn reach(&self, link: &Arc<Link>) -> bool {
        let mut stage = self.stage();
        if !matches!(*stage, Stage::Ahead) {
            return false;
        }
        link.sink();
        *stage = Stage::Standing(Arc::clone(link));
        self.0.changed.notify_all();
        true
    }

    /// Whether a connection has come to the moment, and stood there.
    pub fn is_reached(&self) -> bool {
        matches!(*self.stage(), Stage::Standing(_) | Stage::Over)
    }

    /// Waits for a connection to come to the moment, so long at most; whether one has.
    pub fn wait(&self, limit: Duration) -> bool {
        let ahead = |stage: &mut Stage| matches!(stage, Stage::Ahead);
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.stage(), limit, ahead);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.is_reached()
    }

    /// What was held back comes through; a connection that comes later passes.
    pub fn release(&self) {
        if let Some(link) = self.over() {
            link.let_through();
        }
    }

    /// The held connection ends, and what was held back with it; a connection that comes later passes.
    pub fn end(&self) {
        if let Some(link) = self.over() {
            link.end();
        }
    }

    /// Holds nothing from here on; what stood there.
    fn over(&self) -> Option<Arc<Link>> {
        let mut stage = self.stage();
        let next = match *stage {
            Stage::Ahead | Stage::Open => Stage::Open,
            Stage::Standing(_) | Stage::Over => Stage::Over,
        };
        match std::mem::replace(&mut *stage, next) {
            Stage::Standing(link) => Some(link),
            _ => None,
        }
    }
}
