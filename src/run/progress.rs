//! How far long work is, for whoever watches.

/// Told how far work is. The library never prints; whoever calls it may.
pub trait Progress {
    /// A stretch of work begins; `total` is an estimate, 0 where there is none.
    fn begin(&mut self, what: &str, total: u64);
    /// So many units are done in all.
    fn reached(&mut self, done: u64);
    /// The stretch has ended.
    fn end(&mut self);
    /// Whether somebody wants the work to end after what is at hand.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn begin(&mut self, _what: &str, _total: u64) {}
    fn reached(&mut self, _done: u64) {}
    fn end(&mut self) {}
}
