//! Hands: other sessions of the same worker that walk other repositories beside its own.
//!
//! One repository a batch leaves the others free, and most of a batch is the server's work on one of
//! its processors. A hand's batch is a batch like any other, with two differences: it looks that its
//! lead's session has the liveness lock, and its compare-and-set leaves the cursor alone. The lead
//! goes to no other phase before its hands have ended.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::target::Target;
use super::walk::{HeldRows, Rounds, Work};
use super::worker::{Watcher, Worker, add, open};
use super::{PolicyError, PolicyOptions};
use crate::config::ConnectionSettings;
use crate::crew::{AtWork, Crew, Failed, Jobs, together};
use crate::journal::{
    BackendPid, Cursor, JournalError, Part, Phase, PolicyOperation, Sums, backend, become_hand,
    end_hands, operation,
};
use crate::quay::{PolicyText, RepositoryId};
use crate::report::{Exceptions, NamedTags};

/// How often a lead that is done looks whether its hands are.
const POLL: Duration = Duration::from_millis(20);

/// What a hand is given.
struct Hand<'a> {
    settings: &'a ConnectionSettings,
    options: &'a PolicyOptions,
    operation: PolicyOperation,
    target: Target,
    crew: &'a Arc<Crew<RepositoryId>>,
    lead: BackendPid,
    work: Work,
    text: &'a PolicyText,
    rounds: Rounds,
}

/// What a hand did.
#[derive(Default)]
struct Came {
    sums: Sums,
    exceptions: Exceptions,
    not_written: NamedTags,
    held: HeldRows,
}

/// Tells a crew what its hand has done, and the hand when to end.
struct Told<'a> {
    crew: &'a Crew<RepositoryId>,
    changed: u64,
}

impl Watcher for Told<'_> {
    fn expected(&mut self, _tags: u64) {}

    fn reached(&mut self, _phase: Phase, changed: u64) {
        self.crew.add(changed.saturating_sub(self.changed));
        self.changed = changed;
    }

    fn interrupted(&self) -> bool {
        self.crew.is_ended()
    }
}

impl Worker<'_> {
    /// Walks the repositories that are left, with hands where there is enough to do.
    pub(super) fn share_out(
        &mut self,
        work: Work,
        text: &PolicyText,
        from: Option<&Cursor>,
    ) -> Result<HeldRows, PolicyError> {
        let crew = Arc::clone(&self.crew);
        let hands = crew.hands();
        if hands == 0 {
            return self.walk_each(work, text, from);
        }
        let hand = Hand {
            settings: self.settings,
            options: self.options,
            operation: PolicyOperation {
                sums: Sums::default(),
                ..self.operation.clone()
            },
            target: self.target.clone(),
            crew: &crew,
            lead: backend(&mut self.session)?,
            work,
            text,
            rounds: self.rounds,
        };
        let (walked, came) = together(
            &crew,
            hands,
            || hand.work(),
            |at_work| {
                let held = self.walk_each(work, text, from)?;
                self.wait_for(at_work)?;
                Ok(held)
            },
        );
        let mut held_by_hands = Vec::new();
        for each in came {
            held_by_hands.extend(each.held);
            add(&mut self.operation.sums, &each.sums);
            self.exceptions.append(each.exceptions);
            self.not_written.append(each.not_written);
        }
        match walked {
            Ok(mut held) => {
                held.extend(held_by_hands);
                Ok(held)
            }
            Err(Failed::Hand(error)) if error.is_connection() => {
                tracing::warn!(%error, "a second session was lost; the work goes on without");
                self.go_on_alone(work, text)
            }
            Err(failed) => Err(failed.into_error()),
        }
    }

    /// After a hand has lost its connection: what it had under way is waited for, and its repositories
    /// are the lead's.
    fn go_on_alone(&mut self, work: Work, text: &PolicyText) -> Result<HeldRows, PolicyError> {
        let id = self.operation.id;
        if !end_hands(&mut self.session, id)? {
            return Err(PolicyError::LivenessLost(id));
        }
        let row = operation(&mut self.session, id)?.ok_or(PolicyError::NeverBegun(id))?;
        if row.fence != self.operation.fence {
            return Err(JournalError::Fenced(id).into());
        }
        self.go_on_from(row);
        self.jobs = Jobs::exactly(1);
        self.walk(work, text, self.rounds)
    }

    /// Waits until its hands have ended, and says meanwhile that the worker lives.
    fn wait_for(&mut self, at_work: AtWork<'_>) -> Result<(), PolicyError> {
        while at_work() {
            if self.wants_end() {
                return Err(PolicyError::Interrupted);
            }
            self.beat_if_due()?;
            self.tell();
            sleep(POLL);
        }
        Ok(())
    }
}

impl Hand<'_> {
    /// Walks what is shared out to it. Without a connection the lead goes on alone.
    fn work(&self) -> Result<Came, PolicyError> {
        let (settings, id) = (self.settings.clone(), self.operation.id);
        // A pool that has nothing left makes whoever asks wait, and the lead may be done before.
        let opened = self.crew.fetch(move || -> Result<_, PolicyError> {
            let (mut session, schema) = open(&settings)?;
            become_hand(&mut session, id)?;
            Ok((session, schema))
        });
        let (session, schema) = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(error)) => {
                tracing::warn!(%error, "no second session can be had; the work goes on without");
                return Ok(Came::default());
            }
            None => return Ok(Came::default()),
        };
        let mut told = Told {
            crew: self.crew,
            changed: 0,
        };
        let mut worker = Worker::new(
            self.settings,
            (session, schema),
            self.operation.clone(),
            self.target.clone(),
            self.options,
            &mut told,
        );
        worker.part = Part::HandOf(self.lead);
        worker.crew = Arc::clone(self.crew);
        worker.rounds = self.rounds;
        let held = worker.walk_each(self.work, self.text, None)?;
        Ok(Came {
            sums: worker.operation.sums,
            exceptions: worker.exceptions,
            not_written: worker.not_written,
            held,
        })
    }
}
