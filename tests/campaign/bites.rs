//! Every protection is needed: of a program that lacks one of them, the campaign finds what goes wrong.
//!
//! Schedules are drawn as ever, but where the protection lies. `make mutants` looks for one that ends
//! inconsistently on a program without it, and has to end well on ours; `make test` runs the one that was
//! found.

use std::path::Path;
use std::time::Instant;

use proptest::strategy::ValueTree;
use testkit::moments::Boundary;
use testkit::shared::TestDatabase;

use super::drawn;
use super::fault::Fault;
use super::operation::Wanted;
use super::others::{ActSpec, Doing, PusherSpec};
use super::run::ours;
use super::schedule::{Of, Schedule, Then};
use super::world::{Arena, REPOSITORIES};
use crate::{mutant, program};

/// A pattern that every tag matches.
const EVERYTHING: usize = 4;

/// A protection, and schedules that lie where it is needed.
struct Protection {
    /// As mutants have it: several where others stand before it and would be enough.
    name: &'static str,
    /// A schedule that ended inconsistently without it.
    found: u64,
    tries: u64,
    schedule: fn(&mut fastrand::Rng, &mut Schedule),
}

/// A creation over the whole namespace, in batches.
fn creation(schedule: &mut Schedule) {
    schedule.world.policies.clear();
    schedule.wanted = Wanted::Create {
        repository: None,
        pattern: EVERYTHING,
        inactive: false,
        atomic: false,
    };
    schedule.pushers.clear();
    schedule.acts.clear();
    schedule.then = Then::RollBack;
    schedule.aware = true;
}

fn many(of: impl FnMut(usize) -> Doing) -> Vec<ActSpec> {
    (0..8)
        .map(of)
        .enumerate()
        .map(|(nth, doing)| ActSpec {
            doing,
            // At the pause, or when it is over.
            after: 1_000 + nth as u64,
        })
        .collect()
}

/// Pushers that take their time between evaluation and insertion.
fn slow_pushers(random: &mut fastrand::Rng, schedule: &mut Schedule, pause_ms: u64) {
    schedule.pushers = (0..4)
        .map(|_| PusherSpec {
            clock: 0,
            locks: false,
            pause_ms,
            seed: random.u64(..),
        })
        .collect();
}

/// Before a COMMIT goes out, or before its answer comes back.
fn boundary(random: &mut fastrand::Rng, among: std::ops::Range<u32>) -> Boundary {
    Boundary(random.u32(among))
}

fn paused(random: &mut fastrand::Rng, among: std::ops::Range<u32>) -> Fault {
    Fault::Paused {
        at: boundary(random, among),
        killed: None,
    }
}

impl Protection {
    fn drawn(&self, seed: u64) -> Schedule {
        let mut schedule = drawn(&Of::Every.schedules(), seed).current();
        let mut random = fastrand::Rng::with_seed(seed);
        creation(&mut schedule);
        (self.schedule)(&mut random, &mut schedule);
        schedule
    }

    /// Finds a schedule that ends inconsistently on the program under test, which lacks the protection.
    fn bites(&self, arena: &Arena) -> Schedule {
        let begun = Instant::now();
        for seed in std::iter::once(self.found).chain(0..self.tries) {
            let schedule = self.drawn(seed);
            let came = ours(arena, &schedule, &program::path());
            if came.verdict.is_consistent() {
                continue;
            }
            eprintln!(
                "without {}: schedule {seed} after {:.0} s: {}",
                self.name,
                begun.elapsed().as_secs_f64(),
                came.verdict
            );
            return schedule;
        }
        panic!("nothing goes wrong without {}", self.name);
    }
}

/// A schedule that ends inconsistently without a protection ends well with it.
fn bites(protection: &Protection) {
    let db = TestDatabase::quay().expect("a database");
    let arena = Arena::prepare(&db.tcp_url(), false).expect("a registry");
    mutant::rule(protection.name, |on| {
        let schedule = if on {
            protection.drawn(protection.found)
        } else {
            protection.bites(&arena)
        };
        let with = ours(&arena, &schedule, Path::new(program::BUILT));
        assert!(
            with.verdict.is_consistent(),
            "it is inconsistent with it as well: {schedule:#?}\n{}\n{:#?}",
            with.verdict,
            with.ended
        );
    });
}

#[test]
fn without_the_journal_in_the_transaction_of_the_change_a_kill_leaves_orphans() {
    bites(&Protection {
        name: "journal-with-change",
        found: 1,
        tries: 100,
        schedule: |random, schedule| {
            schedule.fault = Fault::Killed(boundary(random, 3..16));
        },
    });
}

#[test]
fn without_a_lock_on_the_before_image_a_stale_expiry_is_restored() {
    bites(&Protection {
        name: "locked-image",
        found: 2,
        tries: 160,
        schedule: |random, schedule| {
            schedule.fault = Fault::PausedInBatch {
                nth: random.u32(1..6),
                rows_read: true,
                killed: Some(boundary(random, 12..26)),
            };
            schedule.acts = many(|_| Doing::Expire(random.usize(..40), true));
        },
    });
}

#[test]
fn without_settling_at_activation_a_late_push_is_unprotected() {
    bites(&Protection {
        name: "settle-at-activation",
        found: 2,
        tries: 100,
        schedule: |random, schedule| {
            schedule.fault = Fault::Pushers;
            slow_pushers(random, schedule, 500);
        },
    });
}

#[test]
fn settling_by_what_pg_stat_activity_shows_a_plain_role_waits_for_nobody() {
    bites(&Protection {
        name: "settle-by-locks",
        found: 1,
        tries: 100,
        schedule: |random, schedule| {
            schedule.fault = Fault::Pushers;
            slow_pushers(random, schedule, 500);
        },
    });
}

#[test]
fn without_settling_at_a_roll_back_a_late_push_is_an_orphan() {
    bites(&Protection {
        name: "settle-at-roll-back",
        found: 0,
        tries: 120,
        schedule: |random, schedule| {
            schedule.fault = Fault::WorkFails {
                row: random.u32(2..14),
            };
            schedule.aware = false;
            slow_pushers(random, schedule, 500);
        },
    });
}

#[test]
fn undoing_before_the_policy_row_is_deleted_leaves_what_was_pushed_under_it() {
    bites(&Protection {
        name: "delete-before-undo",
        found: 0,
        tries: 120,
        schedule: |random, schedule| {
            schedule.fault = Fault::WorkFails {
                row: random.u32(2..14),
            };
            schedule.aware = false;
            slow_pushers(random, schedule, 30);
        },
    });
}

#[test]
fn without_a_look_at_our_own_row_a_policy_that_was_deleted_leaves_its_tags() {
    bites(&Protection {
        name: "own-row",
        found: 3,
        tries: 100,
        schedule: |random, schedule| {
            schedule.fault = paused(random, 12..30);
            schedule.acts = vec![ActSpec {
                doing: Doing::DeletePolicy,
                after: 1_000,
            }];
        },
    });
}

#[test]
fn without_share_mode_a_policy_that_is_added_while_tags_are_released_covers_nothing() {
    bites(&Protection {
        name: "share-mode",
        found: 0,
        tries: 120,
        schedule: |random, schedule| {
            schedule.world.policies = vec![super::world::PolicySpec {
                repository: None,
                pattern: 0,
                active: true,
            }];
            schedule.wanted = Wanted::Delete { keep: false };
            schedule.fault = paused(random, 2..16);
            schedule.acts = vec![ActSpec {
                doing: Doing::PostPolicy(EVERYTHING),
                after: 1_000,
            }];
        },
    });
}

#[test]
fn without_a_clock_margin_a_tag_that_a_fast_clock_deleted_comes_back() {
    bites(&Protection {
        name: "clock-margin",
        found: 1,
        tries: 120,
        schedule: |random, schedule| {
            schedule.fault = paused(random, 2..10);
            schedule.acts = many(|_| Doing::Delete(random.usize(..40)));
        },
    });
}

#[test]
fn waiting_for_rows_under_the_repositorys_lock_deadlocks_with_quays_delete() {
    bites(&Protection {
        name: "skip-locked",
        found: 26,
        tries: 160,
        schedule: |random, schedule| {
            // One batch of everything: whichever tag is deleted, its row is in it.
            schedule.wanted = Wanted::Create {
                repository: None,
                pattern: EVERYTHING,
                inactive: false,
                atomic: true,
            };
            schedule.fault = Fault::PausedInBatch {
                nth: REPOSITORIES as u32,
                rows_read: false,
                killed: None,
            };
            schedule.acts = many(|_| Doing::Delete(random.usize(..40)));
        },
    });
}

#[test]
fn a_sweep_of_new_rows_only_misses_a_push_with_an_old_id() {
    bites(&Protection {
        name: "whole-sweep",
        found: 0,
        tries: 100,
        schedule: |random, schedule| {
            schedule.fault = paused(random, 6..24);
            schedule.acts = many(|nth| Doing::LatePush(nth % 5, nth));
        },
    });
}

#[test]
fn without_the_word_of_journal_and_log_a_sweep_marks_what_an_administrator_took_off() {
    bites(&Protection {
        // Two words for it, of which either would be enough here.
        name: "taken-off,taken-off-by-log",
        found: 0,
        tries: 120,
        schedule: |random, schedule| {
            schedule.fault = paused(random, 6..22);
            schedule.acts = many(|_| Doing::TakeOff(random.usize(..40)));
        },
    });
}

#[test]
fn without_the_fence_a_frozen_worker_that_was_taken_over_goes_on_writing() {
    bites(&Protection {
        // Two stand before it: whoever lives is not taken over, and whoever was stops at the row of the
        // policy, which is gone.
        name: "fence,liveness,own-row",
        found: 6,
        tries: 120,
        schedule: |random, schedule| {
            let at = boundary(random, 3..20);
            schedule.fault = Fault::Frozen {
                at,
                killed: Some(Boundary(at.0 + random.u32(1..8))),
            };
        },
    });
}
