//! Policies that come and go under live pushes: at the end every live tag is immutable exactly if
//! an active policy says so.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use quay_doctor::pg::{Columns, Statements};
use quay_doctor::quay::{PolicyText, RepositoryId};
use quay_doctor::{
    ConnectionSettings, Create, Features, Identity, NewPattern, OnFault, Phase, Pick, Polarity,
    PolicyError, PolicyOptions, Stated, Strategy, TagsChoice, Watcher, policy_create,
    policy_delete,
};
use testkit::pusher::{Enforces, Flavour, Locking, Pushed, Pusher, makes_immutable};

use super::scene::Scene;
use crate::scale::cases;

const WORLD: &str = r#"
    seed = 21
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "app-{n}"
    count = 2
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 8
    [[namespace.repository.tags]]
    name = "w{n}"
    count = 4
    life = "expiring"
    expires_in = "30d"
"#;

/// Seeds of each of the four tests.
const SEEDS: u32 = 12;

pub const PATTERNS: [&str; 4] = ["v.*", "w[1-4]", "(v1|w2).*", "[vw]2?[0-5]"];

/// Wants the operation to end when it was told so often how far it is.
struct Impatient(u32);

impl Watcher for Impatient {
    fn expected(&mut self, _tags: u64) {}
    fn reached(&mut self, _: Phase, _: u64) {
        self.0 = self.0.saturating_sub(1);
    }

    fn interrupted(&self) -> bool {
        self.0 == 0
    }
}

pub fn options(knows_active: bool) -> PolicyOptions {
    let mut options = PolicyOptions::new(Identity {
        actor: "tester".to_owned(),
        reason: None,
        worker: "a test".to_owned(),
    });
    options.features = Features {
        immutable_tags: Stated::On,
        can_expire: Stated::Off,
    };
    options.quay_knows_active = Some(knows_active);
    options.on_fault = OnFault::RollBack;
    options.clock_margin = Duration::from_secs(60);
    options
}

/// Pushes names at random until it is told to stop; how many new rows there were.
pub fn push_about(
    settings: &ConnectionSettings,
    flavour: Flavour,
    repositories: &[RepositoryId],
    (stop, pushed): (&AtomicBool, &AtomicU32),
    seed: u64,
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut pusher = Pusher::open(settings, flavour).expect("a connection");
    while !stop.load(Ordering::Relaxed) {
        let repository = repositories[random.usize(..repositories.len())];
        let name = format!(
            "{}{}",
            random.choice(['v', 'w']).expect("one"),
            random.u32(1..40)
        );
        // Most are quick; some stand for a while between their evaluation and their row.
        let pause = match random.u32(..40) {
            0 => Some(Duration::from_millis(random.u64(200..400))),
            1..20 => Some(Duration::from_micros(random.u64(0..2_000))),
            _ => None,
        };
        match pusher.push(repository, &name, pause) {
            Ok(Pushed::New(..)) => {
                pushed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Pushed::Refused | Pushed::Collided) => {}
            Err(error) => panic!("Quay was disturbed: {error:?}"),
        }
        // As fast as a busy registry, not as fast as a loop.
        thread::sleep(Duration::from_micros(random.u64(200..3_000)));
    }
}

/// Creates, rolls back and deletes; how many creations ended which way.
fn operate(
    scene: &Scene,
    settings: &ConnectionSettings,
    random: &mut fastrand::Rng,
    knows_active: bool,
) -> [u32; 2] {
    let mut ended = [0, 0];
    let mut options = options(knows_active);
    for _ in 0..2 {
        // One row a batch, after the first, or a few: pushes fall between batches.
        options.batch_time = Duration::from_millis(random.u64(1..20));
        options.strategy = random
            .choice([Strategy::Phased, Strategy::Phased, Strategy::Atomic])
            .expect("one");
        let request = Create {
            pick: Pick {
                namespace: "acme".to_owned(),
                repository: None,
            },
            new: NewPattern {
                pattern: random.choice(PATTERNS).expect("one").to_owned(),
                polarity: Polarity::Matching,
                allow_slow: false,
            },
            inactive: false,
            if_absent: false,
        };
        let patience = if random.u32(..3) == 0 {
            u32::MAX
        } else {
            random.u32(1..5)
        };
        let mut watcher = Impatient(patience);
        match policy_create(settings, &request, &options, &mut watcher) {
            Ok(done) => {
                ended[0] += 1;
                if random.u32(..3) == 0 {
                    policy_delete(
                        settings,
                        &done.policy,
                        TagsChoice::Release,
                        &options,
                        &mut Impatient(u32::MAX),
                    )
                    .expect("a deletion");
                }
            }
            Err(PolicyError::RolledBack { .. }) => ended[1] += 1,
            Err(PolicyError::Refused { .. }) => {}
            // Interrupted after activation: there is no way back, and recover goes on.
            Err(PolicyError::LeftForRecover { .. }) => {
                scene.bury();
                scene.run(&["recover"]).expect_status(0);
                ended[0] += 1;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    ended
}

/// Live tags that are not as the active policies have it. A row that a fast clock has ended in the
/// near future is dead to Quay.
fn exceptions(scene: &Scene) -> Vec<String> {
    let mut session = scene.session();
    let policies: Vec<PolicyText> = session
        .query(
            "SELECT policy FROM namespaceimmutabilitypolicy WHERE active",
            &[],
        )
        .expect("policies")
        .iter()
        .map(|row| PolicyText(row.read(0).expect("text")))
        .collect();
    let mut wrong = Vec::new();
    for row in session
        .query(
            "SELECT id, name, immutable, lifetime_end_ms FROM tag
             WHERE NOT hidden AND (lifetime_end_ms IS NULL
                 OR lifetime_end_ms > (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 3600000)",
            &[],
        )
        .expect("tags")
    {
        let (id, name, immutable): (i32, &str, bool) =
            (row.read(0).expect("id"), row.read(1).expect("name"), row.read(2).expect("flag"));
        let end: Option<i64> = row.read(3).expect("an end");
        let by_policy = policies.iter().any(|text| makes_immutable(text, name));
        if by_policy != immutable || (immutable && end.is_some()) {
            wrong.push(format!("{id} {name}: immutable {immutable}, by policy {by_policy}, end {end:?}"));
        }
    }
    wrong
}

/// Stops the pushers once it is dropped, also by a test that fails: it would wait for them without end.
pub struct Stopping<'s>(pub &'s AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn under_pushers(flavours: [Flavour; 4]) {
    let scene = Scene::of(WORLD);
    let settings = scene.db.settings().expect("settings");
    scene.save();
    let repositories: Vec<RepositoryId> = scene
        .session()
        .query("SELECT id FROM repository ORDER BY id", &[])
        .expect("repositories")
        .iter()
        .map(|row| RepositoryId(row.read(0).expect("an id")))
        .collect();
    let knows_active = flavours
        .iter()
        .all(|flavour| flavour.enforces == Enforces::Active);
    let mut ended = [0, 0];
    let pushed = AtomicU32::new(0);
    for seed in 0..u64::from(cases(SEEDS)) {
        scene.reset();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stopping = Stopping(&stop);
            for (nth, flavour) in (0_u64..).zip(flavours) {
                let (settings, repositories, stop, pushed) =
                    (&settings, &repositories, &stop, &pushed);
                scope.spawn(move || {
                    push_about(
                        settings,
                        flavour,
                        repositories,
                        (stop, pushed),
                        seed * 4 + nth,
                    )
                });
            }
            let mut random = fastrand::Rng::with_seed(seed);
            let done = operate(&scene, &settings, &mut random, knows_active);
            ended = [ended[0] + done[0], ended[1] + done[1]];
            drop(stopping);
        });
        let wrong = exceptions(&scene);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
        assert_eq!(scene.unfinished(), 0, "seed {seed}");
    }
    eprintln!(
        "{ended:?} creations done and rolled back, {} pushes",
        pushed.into_inner()
    );
    if cases(SEEDS) >= SEEDS {
        assert!(ended.iter().all(|times| *times > 1), "{ended:?}");
    }
}

pub const AWARE: Flavour = Flavour {
    enforces: Enforces::Active,
    locking: Locking::Repository,
    clock_ahead_ms: 0,
};

#[test]
fn under_pushers_that_know_active_and_take_the_lock_no_tag_is_wrong_at_the_end() {
    under_pushers([AWARE; 4]);
}

#[test]
fn under_pushers_that_know_active_and_take_no_lock_no_tag_is_wrong_at_the_end() {
    under_pushers(
        [Flavour {
            locking: Locking::None,
            ..AWARE
        }; 4],
    );
}

#[test]
fn under_pushers_that_do_not_know_active_no_tag_is_wrong_at_the_end() {
    under_pushers([
        Flavour {
            enforces: Enforces::Every,
            ..AWARE
        },
        Flavour {
            enforces: Enforces::Every,
            locking: Locking::None,
            ..AWARE
        },
        Flavour {
            enforces: Enforces::Every,
            ..AWARE
        },
        Flavour {
            enforces: Enforces::Every,
            locking: Locking::None,
            ..AWARE
        },
    ]);
}

#[test]
fn under_pushers_of_every_kind_with_clocks_apart_no_tag_is_wrong_at_the_end() {
    under_pushers([
        Flavour {
            clock_ahead_ms: 5_000,
            ..AWARE
        },
        Flavour {
            clock_ahead_ms: -5_000,
            locking: Locking::None,
            ..AWARE
        },
        Flavour {
            clock_ahead_ms: 700,
            enforces: Enforces::Every,
            ..AWARE
        },
        Flavour {
            clock_ahead_ms: -300,
            enforces: Enforces::Every,
            ..AWARE
        },
    ]);
}

#[test]
fn the_look_at_the_end_finds_what_is_wrong_either_way() {
    let scene = Scene::of(WORLD);
    scene.create("v[1-3]", &[]).expect_status(0);
    assert_eq!(exceptions(&scene), [""; 0]);
    scene.sql(
        "UPDATE tag SET immutable = NOT immutable WHERE name IN ('v2', 'v4') AND repository_id = 1",
    );
    assert_eq!(exceptions(&scene).len(), 2, "{:?}", exceptions(&scene));
}
