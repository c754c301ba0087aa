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
    /// Rule 3: our own row is compared in every batch.
    OwnRow,
    /// Rule 4: policy tables in SHARE mode while protection is taken away.
    ShareMode,
    /// Rule 5: an expiry within the clocks' margin is left alone.
    ClockMargin,
    /// Rule 5: a name that is alive twice is left alone.
    Twins,
    /// Rule 7: the fence is compared.
    Fence,
    /// Rule 9: undo only where a row is as we left it.
    AsWeLeftIt,
    /// Rule 10: a tag that an administrator took immutability off is left alone.
    TakenOff,
    /// Rule 10: the sweep walks the whole scope, not only new rows.
    WholeSweep,
    /// A roll-back deletes the policy row before it undoes.
    DeleteBeforeUndo,
}

#[cfg(feature = "testkit")]
impl Safeguard {
    fn name(self) -> &'static str {
        match self {
            Self::SettleAtActivation => "settle-at-activation",
            Self::SettleAtRollBack => "settle-at-roll-back",
            Self::OwnRow => "own-row",
            Self::ShareMode => "share-mode",
            Self::ClockMargin => "clock-margin",
            Self::Twins => "twins",
            Self::Fence => "fence",
            Self::AsWeLeftIt => "as-we-left-it",
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

/// A named point of an operation. `QUAY_DOCTOR_KILL_AT=name` kills the process here as SIGKILL
/// would; `QUAY_DOCTOR_HOLD_AT=name=file` holds it here until the file exists, and says so by
/// making `file.held`.
#[cfg(feature = "testkit")]
pub(super) fn point(name: &str) {
    if std::env::var("QUAY_DOCTOR_KILL_AT").is_ok_and(|at| at == name) {
        std::process::abort();
    }
    let Ok(hold) = std::env::var("QUAY_DOCTOR_HOLD_AT") else {
        return;
    };
    let Some((_, file)) = hold.split_once('=').filter(|(at, _)| *at == name) else {
        return;
    };
    let _ = std::fs::write(format!("{file}.held"), name);
    for _ in 0..6_000 {
        if std::path::Path::new(file).exists() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
