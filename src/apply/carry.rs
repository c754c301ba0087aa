//! The corrections of a plan carried out, repository by repository, by a run's lead and its hands.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::Duration;

use super::batch::{BatchOutcome, carry_out};
use super::pace::{Pace, Took};
use super::run::{
    ATTEMPTS, Site, add, again, back_off, go_on, open_for_hand, read_ahead, repository,
    too_much_at_once,
};
use super::{ApplyError, policies};
use crate::config::ConnectionSettings;
use crate::correction::Planned;
use crate::crew::{AtWork, Crew, Failed, together};
use crate::ground::Memory;
use crate::journal::{Part, backend};
use crate::pg::WriteSession;
use crate::quay::RepositoryId;

/// How often a lead that is done looks whether its hands are.
const POLL: Duration = Duration::from_millis(20);

/// What is told how many corrections have been dealt with, and says whether the work goes on.
type Reached<'r> = dyn FnMut(u64) -> ControlFlow<()> + 'r;

/// Corrections of one repository each.
type Chunks<'p> = Crew<&'p [Planned]>;

/// Carries out what a plan has of rows: tags first, then policies, which the lead does alone.
pub(super) fn carry_all_out(
    settings: &ConnectionSettings,
    session: &mut WriteSession,
    site: Site<'_>,
    corrections: &[Planned],
    reached: &mut Reached<'_>,
) -> Result<BatchOutcome, ApplyError> {
    let same = |a: &Planned, b: &Planned| repository(a) == repository(b);
    let (of_tags, others): (Vec<&[Planned]>, Vec<&[Planned]>) = corrections
        .chunk_by(same)
        .partition(|chunk| chunk.first().and_then(repository).is_some());
    let crew = Crew::new(of_tags);
    let hands = crew.hands(site.options.jobs);
    let lead = backend(session)?;
    let hand = || -> Result<BatchOutcome, ApplyError> {
        let Some(mut session) = open_for_hand(settings, site.run.id, &crew) else {
            return Ok(BatchOutcome::default());
        };
        let site = Site {
            part: Part::HandOf(lead),
            ..site
        };
        let mut told = 0;
        let mut share = Share::new(&mut session, site, &crew);
        share.all(&mut |done| {
            // A round counts rows that others hold, and the next takes them off again.
            crew.add(done.saturating_sub(told));
            told = told.max(done);
            if crew.is_ended() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        Ok(share.sum)
    };
    let mut done = 0;
    let (led, by_hands) = together(&crew, hands, hand, |at_work| {
        let mut share = Share::new(session, site, &crew);
        share.all(&mut |own| {
            if crew.is_ended() {
                return ControlFlow::Break(());
            }
            reached(own + crew.by_hands())
        })?;
        done = share.done;
        wait_for(at_work, &mut || reached(done + crew.by_hands()))?;
        Ok(share.sum)
    });
    let mut sum = led.map_err(Failed::into_error)?;
    for more in by_hands {
        add(&mut sum.totals, &more.totals);
        sum.past_expiries += more.past_expiries;
    }
    done += crew.by_hands();
    for planned in others.into_iter().flatten() {
        if planned.correction.operation().is_none() {
            let totals = policies::correct(session, &site, planned)?;
            add(&mut sum.totals, &totals);
            done += 1;
            go_on(reached(done))?;
        }
    }
    Ok(sum)
}

/// Waits until a run's hands have ended.
pub(super) fn wait_for(
    at_work: AtWork<'_>,
    reached: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(), ApplyError> {
    while at_work() {
        go_on(reached())?;
        sleep(POLL);
    }
    Ok(())
}

/// What one session of a run does.
struct Share<'a, 'p> {
    session: &'a mut WriteSession,
    site: Site<'a>,
    crew: &'a Chunks<'p>,
    pace: Pace,
    memory: Memory,
    sum: BatchOutcome,
    /// Corrections that it has dealt with.
    done: u64,
}

impl<'a, 'p> Share<'a, 'p> {
    fn new(session: &'a mut WriteSession, site: Site<'a>, crew: &'a Chunks<'p>) -> Self {
        Self {
            session,
            site,
            crew,
            pace: Pace::new(site.options.batch_time),
            memory: Memory::default(),
            sum: BatchOutcome::default(),
            done: 0,
        }
    }

    fn next(&self) -> Option<&'p [Planned]> {
        match self.site.part {
            Part::Lead => self.crew.first(),
            Part::HandOf(_) => self.crew.last(),
        }
    }

    /// Carries out one chunk after the other, until none is left.
    fn all(&mut self, reached: &mut Reached<'_>) -> Result<(), ApplyError> {
        while let Some(chunk) = self.next() {
            let Some(repository) = chunk.first().and_then(repository) else {
                continue;
            };
            if self.site.part == Part::Lead {
                self.crew.dealt(chunk.len() as u64);
            }
            read_ahead(self.session, &mut self.memory, repository, self.site.schema)?;
            self.repository(repository, chunk, reached)?;
        }
        Ok(())
    }

    /// All rounds over a repository's corrections, until nobody holds a row of them.
    fn repository(
        &mut self,
        repository: RepositoryId,
        chunk: &[Planned],
        reached: &mut Reached<'_>,
    ) -> Result<(), ApplyError> {
        let mut rest = Cow::Borrowed(chunk);
        let mut rounds = 0;
        while !rest.is_empty() {
            let held = self.one_round(repository, &rest, reached)?;
            self.done += (rest.len() - held.len()) as u64;
            go_on(reached(self.done))?;
            rounds += 1;
            if rounds > ATTEMPTS {
                // Still in somebody else's hands; the next run finds them again.
                self.sum.totals.skipped += held.len() as u64;
                break;
            }
            if !held.is_empty() {
                sleep(back_off(rounds));
            }
            rest = Cow::Owned(held);
        }
        Ok(())
    }

    /// One round over a repository's corrections; those whose rows somebody else holds.
    fn one_round(
        &mut self,
        repository: RepositoryId,
        planned: &[Planned],
        reached: &mut Reached<'_>,
    ) -> Result<Vec<Planned>, ApplyError> {
        let mut held = Vec::new();
        let mut next = 0;
        let mut attempts = 0;
        while next < planned.len() {
            let batch = &planned[next..planned.len().min(next + self.pace.rows())];
            match carry_out(
                self.session,
                &self.site,
                &mut self.memory,
                repository,
                batch,
            ) {
                Ok(outcome) => {
                    let took = Took {
                        entering: outcome.entering,
                        whole: Duration::from_millis(outcome.totals.longest_batch_ms),
                    };
                    self.pace.learn(batch.len(), took);
                    next += batch.len();
                    attempts = 0;
                    add(&mut self.sum.totals, &outcome.totals);
                    self.sum.past_expiries += outcome.past_expiries;
                    held.extend(outcome.held);
                    go_on(reached(self.done + next as u64))?;
                }
                Err(error) if too_much_at_once(&error) && batch.len() > 1 => self.pace.halve(),
                Err(error) if error.is_duplicate_key() => {
                    // One row, and its expiry is another row's of the same name: left as it is.
                    self.sum.totals.skipped += 1;
                    next += 1;
                }
                Err(error) if again(&error, attempts) => {
                    attempts += 1;
                    sleep(back_off(attempts));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(held)
    }
}
