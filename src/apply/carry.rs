//! The corrections of a plan carried out, repository by repository, by a run's lead and its hands.

use std::ops::ControlFlow;
use std::thread::sleep;
use std::time::Duration;

use super::batch::{BatchOutcome, carry_out};
use super::run::{
    ATTEMPTS, NAMED, OfTag, PATIENCE, Site, add, go_on, named, of_tag, open_for_hand, read_ahead,
};
use super::{ApplyError, policies};
use crate::batch::{
    Action, BatchSize, Changed, MOST_REPOSITORIES, Throttle, Yielding, change_rows, come_back,
};
use crate::config::ConnectionSettings;
use crate::correction::{Planned, TagTarget};
use crate::crew::{AtWork, Crew, Failed, together};
use crate::ground::Memory;
use crate::journal::{Part, backend};
use crate::pg::WriteSession;
use crate::quay::{RepositoryId, TagId};
use crate::relations::registry_of;

/// How often a lead that is done looks whether its hands are.
const POLL: Duration = Duration::from_millis(20);

/// Corrections of a repository that shares batches with others.
const SMALL: usize = 200;

/// What is told how many corrections have been dealt with, and says whether the work goes on.
type Reached<'r> = dyn FnMut(u64) -> ControlFlow<()> + 'r;

/// Corrections of one repository each.
type Chunks<'c, 'p> = Crew<&'c [OfTag<'p>]>;

/// Carries out what a plan has of rows: tags first, then policies, which the lead does alone.
pub(super) fn carry_all_out(
    settings: &ConnectionSettings,
    session: &mut WriteSession,
    site: Site<'_>,
    corrections: &[Planned],
    reached: &mut Reached<'_>,
) -> Result<BatchOutcome, ApplyError> {
    let of_tags: Vec<OfTag<'_>> = corrections.iter().filter_map(of_tag).collect();
    let chunks = of_tags.chunk_by(|a, b| a.repository == b.repository);
    let crew = Crew::new(chunks, site.options.jobs);
    let hands = crew.hands();
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
        let mut reached = |done: u64| {
            crew.add(done - told);
            told = done;
            crew.stand_aside();
            crew.go_on()
        };
        let mut share = Share::new(&mut session, site, &crew, &mut reached);
        share.all()?;
        Ok(share.sum)
    };
    let mut done = 0;
    let (led, by_hands) = together(&crew, hands, hand, |at_work| {
        let mut own_reached = |own: u64| match crew.go_on() {
            ControlFlow::Break(()) => ControlFlow::Break(()),
            ControlFlow::Continue(()) => reached(own + crew.by_hands()),
        };
        let mut share = Share::new(session, site, &crew, &mut own_reached);
        share.all()?;
        done = share.done;
        let sum = share.sum;
        wait_for(at_work, &mut || reached(done + crew.by_hands()))?;
        Ok(sum)
    });
    let mut sum = led.map_err(Failed::into_error)?;
    for more in by_hands {
        add(&mut sum.totals, &more.totals);
        sum.exceptions.append(more.exceptions);
        let room = NAMED.saturating_sub(sum.named.len());
        sum.named.extend(more.named.into_iter().take(room));
    }
    done += crew.by_hands();
    for planned in corrections {
        if of_tag(planned).is_none() && planned.correction.operation().is_none() {
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
struct Share<'a, 'c, 'p, 'r> {
    session: &'a mut WriteSession,
    site: Site<'a>,
    crew: &'a Chunks<'c, 'p>,
    reached: &'a mut Reached<'r>,
    size: BatchSize,
    throttle: Throttle,
    yielding: Yielding,
    memory: Memory,
    sum: BatchOutcome,
    /// Corrections that it has dealt with.
    done: u64,
}

impl<'a, 'c, 'p, 'r> Share<'a, 'c, 'p, 'r> {
    fn new(
        session: &'a mut WriteSession,
        site: Site<'a>,
        crew: &'a Chunks<'c, 'p>,
        reached: &'a mut Reached<'r>,
    ) -> Self {
        Self {
            session,
            site,
            crew,
            reached,
            size: BatchSize::new(site.options.batch_time),
            throttle: Throttle::new(site.options.limits, site.run.id),
            yielding: Yielding::default(),
            memory: Memory::default(),
            sum: BatchOutcome::default(),
            done: 0,
        }
    }

    fn next(&self) -> Vec<&'c [OfTag<'p>]> {
        match self.site.part {
            Part::Lead => self.crew.first_few(MOST_REPOSITORIES),
            Part::HandOf(_) => self.crew.last_few(MOST_REPOSITORIES),
        }
    }

    /// Carries out one chunk after the other, until none is left; then comes back for what somebody held.
    fn all(&mut self) -> Result<(), ApplyError> {
        let mut held = Vec::new();
        loop {
            let chunks = self.next();
            let rows: usize = chunks.iter().map(|chunk| chunk.len()).sum();
            if self.site.part == Part::Lead {
                self.crew.dealt(rows as u64);
            }
            if chunks.is_empty() {
                break;
            }
            let (small, large): (Vec<&[OfTag<'p>]>, Vec<&[OfTag<'p>]>) =
                chunks.iter().partition(|chunk| chunk.len() <= SMALL);
            if let [one] = small.as_slice() {
                held.extend(change_rows(self, PATIENCE, one)?);
            } else {
                held.extend(change_rows(self, PATIENCE, &small.concat())?);
            }
            for one in large {
                held.extend(change_rows(self, PATIENCE, one)?);
            }
        }
        let held = come_back(self, ATTEMPTS, held)?;
        self.skip_held(&held)
    }

    /// Somebody does not let go of these rows: they are skipped and named, and the next run finds them again.
    fn skip_held(&mut self, held: &[OfTag<'p>]) -> Result<(), ApplyError> {
        self.sum.totals.skipped += held.len() as u64;
        let tags = held.iter().filter_map(|of| of.planned.correction.tag());
        let first: Vec<TagId> = tags.map(TagTarget::id).take(NAMED).collect();
        self.sum.named.extend(named(self.session, &first)?);
        self.reached_by(held.len())
    }

    fn reached_by(&mut self, more: usize) -> Result<(), ApplyError> {
        self.done += more as u64;
        go_on((self.reached)(self.done))
    }
}

impl<'p> Action for Share<'_, '_, 'p, '_> {
    type Row = OfTag<'p>;
    type Error = ApplyError;

    fn repository(row: &OfTag<'p>) -> RepositoryId {
        row.repository
    }

    fn repositories(&self) -> usize {
        MOST_REPOSITORIES
    }

    fn prepare(&mut self, repositories: &[RepositoryId]) -> Result<(), ApplyError> {
        let schema = self.site.schema;
        read_ahead(self.session, &mut self.memory, repositories, schema)
    }

    fn go_on(&mut self) -> Result<(), ApplyError> {
        go_on((self.reached)(self.done))
    }

    fn change(
        &mut self,
        _repository: RepositoryId,
        rows: &[OfTag<'p>],
        _last: bool,
    ) -> Result<Changed<OfTag<'p>>, ApplyError> {
        let (memory, yielding) = (&mut self.memory, &mut self.yielding);
        let (outcome, changed) = carry_out(self.session, &self.site, (memory, yielding), rows)?;
        add(&mut self.sum.totals, &outcome.totals);
        self.sum.exceptions.append(outcome.exceptions);
        let dealt = rows[..changed.rows].iter();
        let refused = dealt.filter(|row| changed.refused.contains(&row.repository));
        self.done += (changed.rows - changed.held.len() - refused.count()) as u64;
        Ok(changed)
    }

    fn leave(&mut self, row: &OfTag<'p>) -> Result<(), ApplyError> {
        self.sum.totals.skipped += 1;
        if let Some(target) = row.planned.correction.tag() {
            let registry = registry_of(self.session, &[target.repository()])?;
            let duplicates = &mut self.sum.exceptions.duplicates;
            duplicates.add(&registry, &target.subject.row);
        }
        self.reached_by(1)
    }

    fn was_wanted(&mut self) {
        if self.site.part == Part::Lead {
            self.crew.somebody_waits();
        }
    }

    fn size(&mut self) -> &mut BatchSize {
        &mut self.size
    }

    fn throttle(&mut self) -> (&mut Throttle, &mut WriteSession) {
        (&mut self.throttle, self.session)
    }
}
