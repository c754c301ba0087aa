//! Scans under live pushes and a policy creation: what is reported is real, and nothing real is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use quay_doctor::evaluate::{Features, Stated, Subject};
use quay_doctor::pg::{Columns, Statements};
use quay_doctor::quay::RepositoryId;
use quay_doctor::rules::Catalogue;
use quay_doctor::{
    CheckReport, CheckRequest, ConnectionSettings, Create, NewPattern, NoProgress, Phase, Pick,
    Polarity, PolicyError, Selection, Strategy, Watcher, check, policy_create,
};
use testkit::pusher::{Enforces, Flavour, Locking};

use crate::policy::pushers::{AWARE, PATTERNS, options, push_about};
use crate::policy::scene::Scene;
use crate::scale::cases;

/// acme is pushed to, and gets a policy. What is wrong stands where nobody pushes: an orphan of
/// acme's, and globex's orphans and unprotected tags.
const WORLD: &str = r#"
    seed = 31
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "app-{n}"
    count = 4
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 20
    [[namespace.repository.tags]]
    name = "w{n}"
    count = 10
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "orphan"
    immutable = true
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 3
    [[namespace.repository.tags]]
    name = "x{n}"
    count = 2
    immutable = true
"#;

/// Rounds: a creation each, and as many scans as fit into it.
const ROUNDS: u32 = 30;

/// The most scans that a creation is watched by, should it take very long.
const MOST_SCANS: u32 = 200;

/// Of each rule, what is reported: tags by repository and name.
type Reported = BTreeMap<String, BTreeSet<(String, String)>>;

fn reported(report: &CheckReport) -> Reported {
    let mut reported = Reported::new();
    for violation in &report.violations {
        let what = match &violation.subject {
            Subject::Tag(tag) => (tag.repository.clone(), tag.row.name.clone()),
            other => (String::new(), format!("{other:?}")),
        };
        let rule = violation.rule.to_string();
        reported.entry(rule).or_default().insert(what);
    }
    reported
}

/// Writes down every state of a tag that is immutable and ends.
const WATCH: &str = "
    CREATE TABLE saved.ended (tag_id integer, lifetime_end_ms bigint);
    CREATE FUNCTION saved.watch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.immutable AND NEW.lifetime_end_ms IS NOT NULL THEN
            INSERT INTO saved.ended VALUES (NEW.id, NEW.lifetime_end_ms);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER watch AFTER INSERT OR UPDATE ON tag
        FOR EACH ROW EXECUTE FUNCTION saved.watch()";

/// Tags that were immutable and dead at some moment. A Quay that takes no lock on the repository
/// ends a tag that it found mutable, and that was made immutable since; no operation can be blamed
/// for it, and none mends it.
fn ended_immutable(scene: &Scene) -> BTreeSet<(String, String)> {
    let sql = "SELECT DISTINCT r.name, t.name FROM saved.ended e
               JOIN tag t ON t.id = e.tag_id JOIN repository r ON r.id = t.repository_id
               WHERE e.lifetime_end_ms <= extract(epoch FROM clock_timestamp()) * 1000";
    let rows = scene.session().query(sql, &[]).expect("rows");
    let named = rows.iter().map(|row| {
        let (repository, name): (String, String) =
            (row.read(0).expect("a name"), row.read(1).expect("a name"));
        (repository, name)
    });
    named.collect()
}

/// What is wrong from the first moment to the last. Of live tags and of policies nothing else ever
/// is: whenever a tag of acme is not as the active policies have it, the operation lives that sees
/// to it.
fn real(everything: bool) -> Reported {
    let named = |names: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        let names = names.iter();
        names
            .map(|(place, name)| ((*place).to_owned(), (*name).to_owned()))
            .collect()
    };
    let mut orphans = named(&["app-1", "app-2", "app-3", "app-4"].map(|app| (app, "orphan")));
    let mut real = Reported::new();
    if everything {
        orphans.extend(named(&[("portal", "x1"), ("portal", "x2")]));
        real.insert(
            "unprotected-tag".to_owned(),
            named(&[("portal", "v1.1"), ("portal", "v1.2"), ("portal", "v1.3")]),
        );
    }
    real.insert("orphaned-immutable-tag".to_owned(), orphans);
    real
}

/// A scan of everything (by blocks), or of acme alone (row by row).
fn scan(settings: &ConnectionSettings, everything: bool) -> CheckReport {
    let mut request = CheckRequest::of(Catalogue::built_in().expect("rules"));
    request.features = Features {
        immutable_tags: Stated::On,
        can_expire: Stated::Off,
    };
    // Or whatever a young policy is about would be settling, and nothing could be reported.
    request.grace = Duration::ZERO;
    if !everything {
        request.selection = Selection {
            namespace: Some("acme".to_owned()),
            repository: None,
        };
    }
    check(settings, &request, &mut NoProgress).expect("a report")
}

/// Breaks a creation off, where it is to be, between the batches of the first repository and the
/// second: it is then rolled back.
struct BreaksOff {
    wanted: bool,
    now: bool,
}

impl Watcher for BreaksOff {
    fn expected(&mut self, _tags: u64) {}
    fn reached(&mut self, phase: Phase, _changed: u64) {
        self.now = self.wanted && phase == Phase::Applying;
        self.wanted = false;
    }
    fn interrupted(&self) -> bool {
        self.now
    }
}

/// Creates a policy of acme's; some creations are broken off and rolled back.
fn create(settings: &ConnectionSettings, seed: u64, knows_active: bool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut options = options(knows_active);
    options.batch_time = Duration::from_millis(random.u64(1..10));
    options.strategy = if random.u32(..4) == 0 {
        Strategy::Atomic
    } else {
        Strategy::Phased
    };
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
    let mut watcher = BreaksOff {
        wanted: options.strategy == Strategy::Phased && random.u32(..3) == 0,
        now: false,
    };
    let broken_off = watcher.wanted;
    match policy_create(settings, &request, &options, &mut watcher) {
        Ok(_) => assert!(!broken_off, "seed {seed}"),
        Err(PolicyError::RolledBack { .. }) => assert!(broken_off, "seed {seed}"),
        // After its activation it is left without a worker. That is real; so none comes so far.
        Err(error) => panic!("seed {seed}: {error:?}"),
    }
}

/// What the rounds met.
#[derive(Debug, Default)]
struct Met {
    scans: u32,
    pending: u64,
    uncollectable: u32,
}

fn round(scene: &Scene, flavours: [Flavour; 4], seed: u64, met: &mut Met) {
    let settings = scene.db.settings().expect("settings");
    let repositories = [1, 2, 3, 4].map(RepositoryId);
    let knows_active = flavours.iter().all(|f| f.enforces == Enforces::Active);
    let (stop, pushed) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for (nth, flavour) in (0_u64..).zip(flavours) {
            let (settings, stop, pushed) = (&settings, &stop, &pushed);
            scope.spawn(move || {
                push_about(
                    settings,
                    flavour,
                    &repositories,
                    (stop, pushed),
                    seed * 4 + nth,
                );
            });
        }
        let creation = scope.spawn(|| create(&settings, seed, knows_active));
        let mut reports = Vec::new();
        for nth in 0..MOST_SCANS {
            let last = creation.is_finished();
            let everything = (u64::from(nth) + seed).is_multiple_of(2);
            reports.push((everything, scan(&settings, everything)));
            if last {
                break;
            }
        }
        let ended = creation.join();
        // Before anything can fail, or the pushers would never stop.
        stop.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|fault| std::panic::resume_unwind(fault));
        let ended_immutable = ended_immutable(scene);
        for (everything, report) in reports {
            met.scans += 1;
            met.pending += report.total_settling();
            let mut reported = reported(&report);
            for dead in reported.remove("uncollectable-tag").into_iter().flatten() {
                assert!(ended_immutable.contains(&dead), "seed {seed}: {dead:?}");
                met.uncollectable += 1;
            }
            assert_eq!(reported, real(everything), "seed {seed}");
            assert!(!report.is_undecided(), "seed {seed}: {:#?}", report.rules);
        }
    });
    assert!(pushed.into_inner() > 0, "seed {seed}: nobody pushed");
}

#[test]
fn a_scan_under_pushers_and_a_creation_reports_what_is_real_and_nothing_else() {
    let scene = Scene::of(WORLD);
    assert_eq!(
        scene.text("SELECT string_agg(id || name, ' ' ORDER BY id) FROM repository WHERE id < 5"),
        "1app-1 2app-2 3app-3 4app-4"
    );
    scene.save();
    scene.sql(WATCH);
    let old = Flavour {
        enforces: Enforces::Every,
        locking: Locking::None,
        ..AWARE
    };
    let mut met = Met::default();
    for seed in 0..u64::from(cases(ROUNDS)) {
        scene.reset();
        scene.sql("DELETE FROM saved.ended");
        let flavours = match seed % 2 {
            0 => [AWARE; 4],
            _ => [AWARE, old, AWARE, old],
        };
        round(&scene, flavours, seed, &mut met);
    }
    eprintln!("{met:?}");
    // Some scans came upon work in progress, or nothing was shown.
    assert!(met.pending > 0, "{met:?}");
}
