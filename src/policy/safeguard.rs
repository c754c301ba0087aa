//! The protocol's safeguards, by name, and the named points at which a worker can be killed.
//!
//! In a release build every safeguard is on and every point is nothing. With the feature `testkit`
//! a test may switch one off, and see what goes wrong without it.

/// A rule of the protocol that a test can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safeguard {
    /// Rule 1: wait after activation for whoever still reads the policies as they were.
    SettleAtActivation,
    /// Rule 1: the same after a roll-back has deleted the row.
    SettleAtRollBack,
    /// Rule 1: the same before tags are released that a policy covered until now.
    SettleBeforeRelease,
    /// Rule 1: whoever is waited for is seen in pg_locks, not in pg_stat_activity.
    SettleByLocks,
    /// Rule 2: a before-image comes from a locking read.
    LockedImage,
    /// Rule 2: a change and its before-image commit together.
    JournalWithChange,
    /// Rule 3: our own row is compared in every batch.
    OwnRow,
    /// Rule 3: a release goes on to its end where the updated policy is deleted meanwhile.
    ReleaseToTheEnd,
    /// Rule 4: policy tables in SHARE mode while protection is taken away.
    ShareMode,
    /// Rule 5: an expiry within the clocks' margin is left alone.
    ClockMargin,
    /// Rule 5: a name that is alive twice is left alone.
    Twins,
    /// Rule 6: a row that somebody else holds is not waited for.
    SkipLocked,
    /// Rule 7: an operation whose worker lives is left to it.
    Liveness,
    /// Rule 7: the fence is compared.
    Fence,
    /// Rule 8: a roll-back looks at what was pushed since the operation began.
    PushedSince,
    /// Rule 9: undo only where a row is as we left it.
    AsWeLeftIt,
    /// Rule 9: undo only what nobody's later change of the journal covers.
    NewestOnly,
    /// Rule 10: a tag that an administrator took immutability off is left alone.
    TakenOff,
    /// A roll-back does not take an administrator's exemption away, whatever policy covers the tag.
    Exempted,
    /// Rule 10: the same of a tag that was immutable from its push on, as Quay's log tells it.
    TakenOffByLog,
    /// Rule 10: the sweep walks the whole scope, not only new rows.
    WholeSweep,
    /// Rule 11: a batch that times out is split.
    SplitBatch,
    /// Rule 12: a small scope is done in one transaction.
    SmallAtOnce,
    /// Rule 13: what an unfinished operation owns is refused to others.
    Owned,
    /// A roll-back deletes the policy row before it undoes.
    DeleteBeforeUndo,
}

#[cfg(feature = "testkit")]
impl Safeguard {
    fn name(self) -> &'static str {
        match self {
            Self::SettleAtActivation => "settle-at-activation",
            Self::SettleAtRollBack => "settle-at-roll-back",
            Self::SettleBeforeRelease => "settle-before-release",
            Self::SettleByLocks => "settle-by-locks",
            Self::JournalWithChange => "journal-with-change",
            Self::Liveness => "liveness",
            Self::PushedSince => "pushed-since",
            Self::SplitBatch => "split-batch",
            Self::SmallAtOnce => "small-at-once",
            Self::Owned => "owned",
            Self::LockedImage => "locked-image",
            Self::OwnRow => "own-row",
            Self::ReleaseToTheEnd => "release-to-the-end",
            Self::ShareMode => "share-mode",
            Self::ClockMargin => "clock-margin",
            Self::Twins => "twins",
            Self::SkipLocked => "skip-locked",
            Self::Fence => "fence",
            Self::AsWeLeftIt => "as-we-left-it",
            Self::NewestOnly => "newest-only",
            Self::Exempted => "exempted",
            Self::TakenOffByLog => "taken-off-by-log",
            Self::TakenOff => "taken-off",
            Self::WholeSweep => "whole-sweep",
            Self::DeleteBeforeUndo => "delete-before-undo",
        }
    }

    /// Whether the safeguard is on.
    pub(super) fn is_on(self) -> bool {
        std::env::var("QUAY_DOCTOR_SWITCH_OFF")
            .map_or(true, |off| off.split(',').all(|name| name != self.name()))
    }
}

#[cfg(not(feature = "testkit"))]
impl Safeguard {
    /// Whether the safeguard is on: always.
    #[allow(clippy::unused_self)]
    pub(super) const fn is_on(self) -> bool {
        true
    }
}

/// A named point of an operation: nothing, but that a test may kill or hold the worker here.
#[cfg(not(feature = "testkit"))]
pub(super) const fn point(_name: &str) {}

/// A named point of an operation. `QUAY_DOCTOR_KILL_AT=name:n` kills the process when it gets here
/// for the nth time, as SIGKILL would; `any:n` at the nth point, whichever that is.
/// `QUAY_DOCTOR_HOLD_AT=name:n=file` holds it here until the file exists, and says so by making
/// `file.held`; several stand side by side with `;`. Without a number the first time is meant.
#[cfg(feature = "testkit")]
pub(super) fn point(name: &str) {
    testkit::point(name);
}

#[cfg(feature = "testkit")]
mod testkit {
    use std::collections::HashMap;
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    /// How often each point was reached.
    static REACHED: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);

    pub(super) fn point(name: &str) {
        let kill = std::env::var("QUAY_DOCTOR_KILL_AT").ok();
        let hold = std::env::var("QUAY_DOCTOR_HOLD_AT").ok();
        if kill.is_none() && hold.is_none() {
            return;
        }
        let (this, any) = (count(name), count("any"));
        let is_here = |at: &str| {
            let (wanted, times) = at.split_once(':').unwrap_or((at, "1"));
            let times = times.parse::<u32>().ok();
            (wanted == name && times == Some(this)) || (wanted == "any" && times == Some(any))
        };
        if kill.is_some_and(|at| is_here(&at)) {
            std::process::abort();
        }
        for hold in hold.iter().flat_map(|holds| holds.split(';')) {
            if let Some((_, file)) = hold.split_once('=').filter(|(at, _)| is_here(at)) {
                wait_for(name, file);
            }
        }
    }

    fn count(name: &str) -> u32 {
        let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
        let times = reached
            .get_or_insert_default()
            .entry(name.to_owned())
            .or_default();
        *times += 1;
        *times
    }

    fn wait_for(name: &str, file: &str) {
        let _ = std::fs::write(format!("{file}.held"), name);
        for _ in 0..6_000 {
            if Path::new(file).exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
