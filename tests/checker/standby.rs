//! A standby that cancels the scan to replay changes: the scan begins anew, and not for ever.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};

use quay_doctor::pg::{Columns, FaultClass, ReadSession, Statements, WriteSession};
use quay_doctor::rules::{Catalogue, Rule};
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, Program, Programs, Standby, fixture};
use quay_doctor::{CheckReport, CheckRequest, Event, Progress, RunError, check_telling};
use testkit::skipped;

use crate::line::stage::BOTH_FAILURES;
use crate::policy::running::Running;
use crate::program;

/// The longest that a conflict is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A primary, and a standby that lets no query delay it.
struct Pair {
    primary: Cluster,
    standby: Standby,
}

impl Pair {
    /// None where this package of PostgreSQL cannot make a standby.
    fn new() -> Option<Self> {
        let programs = Programs::find().expect("programs");
        if !programs.has(Program::PgBasebackup) {
            skipped("this package of PostgreSQL has no pg_basebackup");
            return None;
        }
        let mut primary = Cluster::builder()
            .setting("max_standby_streaming_delay", "0")
            .setting("max_standby_archive_delay", "0")
            .setting("hot_standby_feedback", "off")
            .setting("autovacuum", "off")
            .start()
            .expect("a cluster");
        primary.create_database("quay").expect("a database");
        let settings = primary.settings("quay").expect("settings");
        let mut session = WriteSession::open(&settings).expect("a session");
        fixture::load_schema(&mut session).expect("Quay's tables");
        // Few rows a page, so that several readers share the scan, and are not through with it when
        // the first message of theirs is heard.
        session
            .run("ALTER TABLE tag SET (fillfactor = 10)")
            .expect("an option");
        World::parse(BOTH_FAILURES)
            .expect("a description")
            .seed(&mut session, chrono::Utc::now())
            .expect("a world");
        let many = "INSERT INTO tag (name, repository_id, lifetime_start_ms, hidden, reversion,
                        tag_kind_id, immutable)
                    SELECT rpad('x' || n, 240, '-'), 1, 1, false, false, 1, false
                    FROM generate_series(1, 20000) AS n";
        session.run(many).expect("more tags");
        let standby = primary.standby().expect("a standby");
        standby.wait_until_caught_up().expect("caught up");
        Some(Self { primary, standby })
    }

    fn conflicts(&self) -> i64 {
        let settings = self.standby.settings("postgres").expect("settings");
        let mut session = ReadSession::open(&settings).expect("a session");
        let sql = "SELECT confl_snapshot FROM pg_stat_database_conflicts WHERE datname = 'quay'";
        let row = session.query_one(sql, &[]).expect("a row");
        row.read(0).expect("a bigint")
    }

    /// Removes rows on the primary that a snapshot on the standby still sees, until the standby
    /// has cancelled who reads them.
    fn conflict(&self) {
        let settings = self.primary.settings("quay").expect("settings");
        let mut session = WriteSession::open(&settings).expect("a session");
        let (before, begun) = (self.conflicts(), Instant::now());
        while self.conflicts() == before {
            assert!(begun.elapsed() < PATIENCE, "the standby cancels nobody");
            session
                .run("UPDATE tag SET reversion = NOT reversion WHERE name LIKE 'v%'")
                .expect("an update");
            session.run("VACUUM tag").expect("a vacuum");
            self.standby.wait_until_caught_up().expect("caught up");
        }
    }

    /// Waits until a query of the standby's is asleep.
    fn wait_for_sleeper(&self) {
        let settings = self.standby.settings("postgres").expect("settings");
        let mut watching = ReadSession::open(&settings).expect("a session");
        let begun = Instant::now();
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        while watching
            .query_one(asleep, &[])
            .expect("a row")
            .read::<i64>(0)
            .expect("a count")
            == 0
        {
            assert!(begun.elapsed() < PATIENCE, "the rule's query never began");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A check on the standby, which comes into conflict so often; and how often it began anew.
    fn check(&self, when: When, times: u32) -> (Result<CheckReport, RunError>, u32) {
        let settings = self.standby.settings("quay").expect("settings");
        let request = CheckRequest::of(Catalogue::built_in().expect("rules"));
        let mut progress = Disturbed {
            pair: self,
            when,
            left: times,
            fresh: false,
        };
        let anew = RefCell::new(0);
        let ended = check_telling(&settings, &request, &mut progress, &mut |event| {
            *anew.borrow_mut() += u32::from(matches!(event, Event::BegunAnew));
            ControlFlow::Continue(())
        });
        (ended, anew.into_inner())
    }
}

/// When the conflict comes.
#[derive(Clone, Copy, PartialEq)]
enum When {
    /// The session that holds the snapshot is about to export it.
    Early,
    /// The readers are at work.
    Reading,
}

/// Comes into conflict, as long as some are left: one an attempt. An attempt notices it when a reader
/// goes on to its next range of pages.
struct Disturbed<'p> {
    pair: &'p Pair,
    when: When,
    left: u32,
    fresh: bool,
}

impl Disturbed<'_> {
    fn at(&mut self, when: When) {
        if self.when == when && self.left > 0 && self.fresh {
            self.left -= 1;
            self.fresh = false;
            self.pair.conflict();
        }
    }
}

impl Progress for Disturbed<'_> {
    fn begin(&mut self, _what: &str, _total: u64) {
        self.fresh = true;
        self.at(When::Early);
    }
    fn reached(&mut self, _done: u64) {
        self.at(When::Reading);
    }
    fn end(&mut self) {}
}

#[test]
fn a_scan_that_a_standby_cancels_begins_anew_three_times_and_no_more() {
    let Some(pair) = Pair::new() else { return };
    let (undisturbed, anew) = pair.check(When::Early, 0);
    let undisturbed = undisturbed.expect("a report");
    assert_eq!((anew, undisturbed.total_violations()), (0, 520));
    for when in [When::Early, When::Reading] {
        for times in [1, 3] {
            let (report, anew) = pair.check(when, times);
            let report = report.expect("a report");
            assert_eq!(anew, times);
            let told = report
                .notes
                .iter()
                .filter(|note| note.contains("begun anew"));
            assert_eq!(told.count(), 1, "{:?}", report.notes);
            assert_eq!(report.rules, undisturbed.rules, "{times}");
            assert_eq!(report.violations.len(), undisturbed.violations.len());
        }
        let (ended, anew) = pair.check(when, 4);
        let error = ended.expect_err("four conflicts");
        assert_eq!(
            error.class(),
            Some(FaultClass::RecoveryConflict),
            "{error:?}"
        );
        assert_eq!(anew, 3);
        assert!(!error.is_usage(), "exit status 3");
    }
}

/// Waits, as a long query does, for as long as it takes the standby to cancel it.
const SLOW: &str = r#"
    id = "slow"
    severity = "warning"
    summary = "s"
    reason = "r"
    subject = "row"
    message = "m"
    [query]
    time-limit = "2m"
    sql = "SELECT 1 AS n FROM pg_sleep(100)"
"#;

#[test]
fn a_rule_of_ones_own_that_a_standby_cancels_is_no_failed_rule() {
    let Some(pair) = Pair::new() else { return };
    let settings = pair.standby.settings("quay").expect("settings");
    let slow = Rule::parse("slow.toml", SLOW).expect("a rule");
    let rules = Catalogue::built_in().expect("rules").and(vec![slow]);
    let rules = rules.expect("rules").choose(&["slow".to_owned()]);
    let request = CheckRequest::of(rules.expect("one rule"));
    thread::scope(|scope| {
        let check = scope.spawn(|| {
            check_telling(
                &settings,
                &request,
                &mut quay_doctor::NoProgress,
                &mut |event| {
                    match event {
                        // Once is enough: what follows would be as slow.
                        Event::BegunAnew => ControlFlow::Break(()),
                        Event::Found(_) => ControlFlow::Continue(()),
                    }
                },
            )
        });
        pair.wait_for_sleeper();
        pair.conflict();
        let ended = check.join().expect("no panic");
        let error = ended.expect_err("begun anew, and not wanted");
        assert_eq!(
            error.class(),
            Some(FaultClass::RecoveryConflict),
            "{error:?}"
        );
    });
}

#[test]
fn the_program_ends_with_3_where_a_standby_cancels_it_once_more_than_it_begins_anew() {
    let Some(pair) = Pair::new() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("slow.toml"), SLOW).expect("a rule");
    let url = pair.standby.url("quay");
    let checks = folder.path().display().to_string();
    let args = [
        "--database-url",
        &url,
        "check",
        "--checks",
        &checks,
        "--rule",
        "slow",
    ];
    let mut run = Running::start(program::command(&args));
    for conflict in 0..4 {
        assert!(!run.has_ended(), "after {conflict} conflicts");
        pair.wait_for_sleeper();
        pair.conflict();
    }
    let ended = run.end().expect_status(3);
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert!(
        ended.stderr.contains("max_standby_streaming_delay"),
        "{ended:?}"
    );
}
