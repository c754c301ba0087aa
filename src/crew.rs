//! A crew: the lead of a piece of work and its hands, who share out what stands in a list.
//!
//! The lead takes from the front: a cursor that it keeps says that everything before is done. Hands
//! take from the back, where no cursor comes before the work is over. They stay away until there is
//! enough to do, and whoever fails ends the work of all. Nothing here knows a database.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Work that is worth a second session: some seconds of it.
const ENOUGH: u64 = 10_000;
/// How many sessions change tags at the same time, and from how many rows on there is more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jobs {
    sessions: usize,
    from_rows: u64,
}

impl Jobs {
    /// As many sessions as were asked for, however little there is to do.
    pub fn exactly(sessions: usize) -> Self {
        Self {
            sessions,
            from_rows: 1,
        }
    }

    /// How many sessions there are at most.
    pub fn sessions(self) -> usize {
        self.sessions
    }

    /// From how many rows on there is more than one session.
    pub fn from_rows(self) -> u64 {
        self.from_rows
    }
}

impl Default for Jobs {
    /// Two sessions where that is worth the second connection.
    fn default() -> Self {
        Self {
            sessions: 2,
            from_rows: ENOUGH,
        }
    }
}

/// Of what is left everybody takes so small a part at a time that there is enough for all.
const PARTS: usize = 8;

/// How many are taken at once of so many that are left.
fn few(left: usize, most: usize) -> usize {
    most.min(left / PARTS).max(1).min(left)
}

/// How long hands stand aside after somebody had to wait for what the lead holds.
const ASIDE: Duration = Duration::from_secs(1);

/// How often it is looked whether something is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// Where a crew is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The lead works alone.
    Alone,
    /// The hands have been called.
    Called,
    /// All was shared out before there was enough for two.
    Dismissed,
    /// Somebody failed, or the lead is done.
    Ended,
}

#[derive(Debug)]
struct State<T> {
    left: VecDeque<T>,
    stage: Stage,
    /// When somebody else last waited for the lead.
    waited: Option<Instant>,
}

/// What a lead and its hands share.
#[derive(Debug)]
pub struct Crew<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    jobs: Jobs,
    /// Rows that the lead has dealt with.
    led: AtomicU64,
    /// Rows that the hands have changed.
    by_hands: AtomicU64,
}

impl<T> Crew<T> {
    /// A crew with this to do.
    pub fn new(left: impl IntoIterator<Item = T>, jobs: Jobs) -> Self {
        Self {
            state: Mutex::new(State {
                left: left.into_iter().collect(),
                stage: Stage::Alone,
                waited: None,
            }),
            changed: Condvar::new(),
            jobs,
            led: AtomicU64::new(0),
            by_hands: AtomicU64::new(0),
        }
    }

    /// How many hands can have something to do beside the lead.
    pub fn hands(&self) -> usize {
        let others = self.lock().left.len().saturating_sub(1);
        self.jobs.sessions().saturating_sub(1).min(others)
    }

    /// What the lead does next.
    pub fn first(&self) -> Option<T> {
        self.first_few(1).pop()
    }

    /// The same, at most so many at once where many are left.
    pub fn first_few(&self, most: usize) -> Vec<T> {
        let mut state = self.lock();
        let few = few(state.left.len(), most);
        let first: Vec<T> = state.left.drain(..few).collect();
        if first.is_empty() && state.stage == Stage::Alone {
            state.stage = Stage::Dismissed;
            self.changed.notify_all();
        }
        first
    }

    /// What a hand does next.
    pub fn last(&self) -> Option<T> {
        self.last_few(1).pop()
    }

    /// The same, at most so many at once where many are left.
    pub fn last_few(&self, most: usize) -> Vec<T> {
        let mut state = self.lock();
        match state.stage {
            Stage::Called => {
                let left = state.left.len();
                let few = few(left, most);
                state.left.drain(left - few..).collect()
            }
            Stage::Alone | Stage::Dismissed | Stage::Ended => Vec::new(),
        }
    }

    /// Has something brought that may take long, such as a connection, and waits for it no longer than
    /// there is something left to do with it.
    pub fn fetch<R: Send + 'static>(
        &self,
        bring: impl FnOnce() -> R + Send + 'static,
    ) -> Option<R> {
        let (here, brought) = channel();
        // Where nobody wants it any more it is dropped by its own thread.
        thread::spawn(move || here.send(bring()));
        loop {
            match brought.recv_timeout(LOOK) {
                Ok(it) => return Some(it),
                Err(RecvTimeoutError::Timeout) if self.has_left() => {}
                Err(_) => return None,
            }
        }
    }

    fn has_left(&self) -> bool {
        let state = self.lock();
        state.stage == Stage::Called && !state.left.is_empty()
    }

    /// Counts what the lead has dealt with, and calls the hands once that is much.
    pub fn dealt(&self, rows: u64) {
        if self.led.fetch_add(rows, Ordering::Relaxed) + rows < self.jobs.from_rows() {
            return;
        }
        let mut state = self.lock();
        if state.stage == Stage::Alone {
            state.stage = Stage::Called;
            self.changed.notify_all();
        }
    }

    /// Counts what a hand has changed.
    pub fn add(&self, rows: u64) {
        self.by_hands.fetch_add(rows, Ordering::Relaxed);
    }

    /// What the hands have changed so far.
    pub fn by_hands(&self) -> u64 {
        self.by_hands.load(Ordering::Relaxed)
    }

    /// Ends the work; whether it had not been ended before.
    pub fn end(&self) -> bool {
        let mut state = self.lock();
        let first = state.stage != Stage::Ended;
        state.stage = Stage::Ended;
        self.changed.notify_all();
        first
    }

    /// Whether the work was ended.
    pub fn is_ended(&self) -> bool {
        self.lock().stage == Stage::Ended
    }

    /// Whether a hand's work goes on.
    pub fn go_on(&self) -> ControlFlow<()> {
        if self.is_ended() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Remembers that somebody waited for what the lead holds.
    pub fn somebody_waits(&self) {
        self.lock().waited = Some(Instant::now());
    }

    /// Where others wait for the lead, its hands stand aside: as long as that is so, or the work ends.
    pub fn stand_aside(&self) {
        let mut state = self.lock();
        while let Some(left) = aside(&state) {
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until a hand is called; false where it never will be.
    fn is_called(&self) -> bool {
        let mut state = self.lock();
        while state.stage == Stage::Alone {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.stage == Stage::Called
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<E> Failed<E> {
    /// The error, whoever it was.
    pub fn into_error(self) -> E {
        match self {
            Self::Lead(error) | Self::Hand(error) => error,
        }
    }
}

/// How long hands still stand aside.
fn aside<T>(state: &State<T>) -> Option<Duration> {
    let left = ASIDE.checked_sub(state.waited?.elapsed())?;
    (state.stage == Stage::Called && !left.is_zero()).then_some(left)
}

/// Ends a crew's work when its lead goes, whichever way: a hand never waits for nobody.
struct Lead<'c, T>(&'c Crew<T>);

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Whether a hand is still at work.
pub type AtWork<'a> = &'a dyn Fn() -> bool;

/// Who failed first, and so ended the work of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed<E> {
    /// The lead.
    Lead(E),
    /// One of its hands.
    Hand(E),
}

/// Works together: `lead` on this thread, so many of `hand` on others, each once it is called. All
/// have ended when this returns. The error is the first; what came of hands that did not fail is
/// told either way.
pub fn together<T: Send, L, H: Send, E: Send>(
    crew: &Crew<T>,
    hands: usize,
    hand: impl Fn() -> Result<H, E> + Sync,
    lead: impl FnOnce(AtWork<'_>) -> Result<L, E>,
) -> (Result<L, Failed<E>>, Vec<H>) {
    let one = || {
        let called = crew.is_called();
        called.then(|| hand().map_err(|error| (crew.end(), error)))
    };
    thread::scope(|scope| {
        let lead_is_there = Lead(crew);
        let threads: Vec<_> = (0..hands).map(|_| scope.spawn(one)).collect();
        let at_work = || threads.iter().any(|thread| !thread.is_finished());
        let mut led = lead(&at_work).map_err(Failed::Lead);
        let lead_was_first = led.is_err() && crew.end();
        drop(lead_is_there);
        let mut done = Vec::new();
        for thread in threads {
            match thread.join() {
                Ok(None) => {}
                Ok(Some(Ok(came))) => done.push(came),
                Ok(Some(Err((first, error)))) => {
                    if first && !lead_was_first {
                        led = Err(Failed::Hand(error));
                    }
                }
                Err(panic) => resume_unwind(panic),
            }
        }
        (led, done)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crew whose hands are called by the first row.
    fn eager(left: impl IntoIterator<Item = u32>) -> Crew<u32> {
        Crew::new(left, Jobs::exactly(2))
    }

    #[test]
    fn everything_is_done_once_the_leads_from_the_front_and_the_hands_from_the_back() {
        for hands in 0..4 {
            let crew = eager(0..1_000);
            crew.dealt(1);
            let hand =
                || -> Result<Vec<u32>, ()> { Ok(std::iter::from_fn(|| crew.last()).collect()) };
            let (led, by_hands) = together(&crew, hands, hand, |at_work| {
                let led: Vec<u32> = std::iter::from_fn(|| crew.first()).collect();
                while at_work() {}
                Ok(led)
            });
            let led = led.expect("no error");
            assert!(led.is_sorted());
            let behind = led.last().copied();
            let mut all = led;
            for share in by_hands {
                assert!(share.is_sorted_by(|a, b| a > b));
                assert!(share.iter().all(|item| Some(*item) > behind));
                all.extend(share);
            }
            all.sort_unstable();
            assert_eq!(all, (0..1_000).collect::<Vec<_>>());
        }
    }

    #[test]
    fn hands_stay_away_until_there_is_enough() {
        let crew = Crew::new(0..10, Jobs::default());
        crew.dealt(ENOUGH - 1);
        assert_eq!(crew.last(), None);
        let never = || -> Result<(), ()> { panic!("a hand was called") };
        let (led, by_hands) = together(&crew, 3, never, |at_work| {
            while crew.first().is_some() {}
            while at_work() {}
            Ok(())
        });
        assert_eq!((led, by_hands), (Ok(()), Vec::new()));
    }

    #[test]
    fn there_are_no_more_hands_than_sessions_and_work_for_them() {
        for (left, sessions, hands) in [
            (0, 4, 0),
            (1, 4, 0),
            (2, 4, 1),
            (9, 4, 3),
            (9, 1, 0),
            (9, 0, 0),
        ] {
            assert_eq!(
                Crew::new(0..left, Jobs::exactly(sessions)).hands(),
                hands,
                "{left} {sessions}"
            );
        }
    }

    #[test]
    fn who_fails_first_ends_the_work_of_all_and_says_why() {
        let crew = eager(0..1_000_000);
        crew.dealt(1);
        let (led, _) = together(
            &crew,
            2,
            || Err::<(), _>("a hand's"),
            |_| {
                while !crew.is_ended() {
                    crew.first();
                }
                Err::<(), _>("ended")
            },
        );
        assert_eq!(led, Err(Failed::Hand("a hand's")));
        let crew = eager(0..1_000_000);
        crew.dealt(1);
        let hand = || {
            while !crew.is_ended() {}
            Err::<(), _>("ended")
        };
        let (led, _) = together(&crew, 2, hand, |_| Err::<(), _>("the lead's"));
        assert_eq!(led, Err(Failed::Lead("the lead's")));
        assert_eq!(crew.last(), None);
    }

    #[test]
    fn what_is_brought_is_waited_for_as_long_as_there_is_something_to_do_with_it() {
        let crew = eager(0..2);
        crew.dealt(1);
        assert_eq!(crew.fetch(|| 7), Some(7));
        assert_eq!(crew.fetch(|| -> u32 { panic!("on purpose") }), None);
        let (never, waited) = channel::<()>();
        let fetched = thread::scope(|scope| {
            let waits = scope.spawn(|| crew.fetch(move || waited.recv().is_ok()));
            while crew.first().is_some() {}
            waits.join()
        });
        assert_eq!(fetched.expect("no panic"), None);
        drop(never);
    }

    #[test]
    fn a_lead_that_panics_leaves_no_hand_waiting() {
        let crew = eager(0..10);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            together(
                &crew,
                2,
                || Ok::<(), ()>(()),
                |_| -> Result<(), ()> { panic!("on purpose") },
            )
        }));
        assert!(panicked.is_err());
    }

    #[test]
    fn hands_stand_aside_where_somebody_waits_and_no_longer_than_the_work_goes_on() {
        let crew = eager(0..10);
        crew.stand_aside();
        crew.dealt(1);
        crew.somebody_waits();
        assert!(aside(&crew.lock()).is_some());
        crew.end();
        assert!(aside(&crew.lock()).is_none());
        crew.stand_aside();
    }
}
