//! The fault proxy: what it lets through, and what it loses.

use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Columns, PgError, Statements, WriteSession};
use testkit::proxy::{Effect, FaultProxy, Heal, Rule, Way, When, Which};
use testkit::shared::TestDatabase;

/// The longest that a test waits for something that is about to happen.
const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    db: TestDatabase,
    proxy: FaultProxy,
}

impl Stage {
    fn new() -> Self {
        let db = TestDatabase::empty().expect("a database");
        let proxy = FaultProxy::before(&db.tcp_url()).expect("a proxy");
        let stage = Self { db, proxy };
        stage
            .beside()
            .run("CREATE TABLE told (id int)")
            .expect("a table");
        stage
    }

    /// A session through the proxy.
    fn through(&self) -> Result<WriteSession, PgError> {
        let settings = ConnectionSettings::resolve(Some(&self.proxy.url())).expect("settings");
        WriteSession::open(&settings)
    }

    /// A session past it.
    fn beside(&self) -> WriteSession {
        self.db.write_session().expect("a session")
    }

    fn told(&self) -> i64 {
        let row = self
            .beside()
            .query_one("SELECT count(*) FROM told", &[])
            .expect("a row");
        row.read(0).expect("a number")
    }
}

/// One transaction with a prepared statement in it.
fn tell(session: &mut WriteSession, id: i32) -> Result<(), PgError> {
    let mut tx = session.begin()?;
    tx.execute("INSERT INTO told VALUES ($1)", &[&id])?;
    tx.commit()
}

#[test]
fn without_a_rule_everything_comes_through_and_is_counted() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    let before = stage.proxy.traffic();
    for id in 0..3 {
        tell(&mut session, id).expect("a transaction");
    }
    let rows = session
        .query(
            "SELECT repeat('x', 300000) FROM generate_series(1, 10)",
            &[],
        )
        .expect("much");
    assert_eq!(rows.len(), 10);
    let after = stage.proxy.traffic();
    assert_eq!(after.statements_with("COMMIT"), 3);
    assert_eq!(after.statements_with("INSERT INTO told"), 3, "{after:?}");
    assert_eq!(after.connections, 1);
    assert!(after.to_program - before.to_program > 3_000_000);
    assert_eq!((stage.told(), stage.proxy.struck()), (3, 0));
}

#[test]
fn rows_that_are_copied_in_upset_no_count_of_answers() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    let mut tx = session.begin().expect("a transaction");
    let copied = tx
        .copy_in("COPY told FROM STDIN", |to| to.write_all(b"1\n2\n"))
        .expect("rows");
    assert_eq!(copied, 2);
    tx.commit().expect("a commit");
    stage.proxy.arm(Rule::lost_commit(2));
    tell(&mut session, 3).expect("the first answer comes");
    tell(&mut session, 4).expect_err("the second is lost");
    assert_eq!(stage.told(), 4);
}

#[test]
fn a_commit_whose_answer_is_lost_was_carried_out() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    stage.proxy.arm(Rule::lost_commit(2));
    tell(&mut session, 1).expect("the first answer comes");
    let error = tell(&mut session, 2).expect_err("the second is lost");
    assert!(
        matches!(error.class(), quay_doctor::pg::FaultClass::Connection),
        "{error:?}"
    );
    assert_eq!(stage.told(), 2);
    assert_eq!((stage.proxy.struck(), stage.proxy.waiting()), (1, 0));
    tell(&mut stage.through().expect("a new one"), 3).expect("once");
}

#[test]
fn a_commit_that_is_lost_itself_was_not() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    stage.proxy.arm(Rule::lost_statement("COMMIT", 1));
    tell(&mut session, 1).expect_err("lost");
    assert_eq!(stage.told(), 0);
}

#[test]
fn the_answer_to_a_prepared_statement_is_lost_alone() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    stage.proxy.arm(Rule::lost_answer("INSERT INTO told", 2));
    tell(&mut session, 1).expect("the first");
    tell(&mut session, 2).expect_err("the second");
    assert_eq!(stage.told(), 1, "its transaction was not committed");
}

#[test]
fn the_stream_can_be_cut_after_any_byte_in_either_direction() {
    let stage = Stage::new();
    let run = || -> Result<(), PgError> { tell(&mut stage.through()?, 1) };
    run().expect("undisturbed");
    let whole = stage.proxy.traffic();
    let mut lost = 0;
    for (way, bytes) in [
        (Way::ToServer, whole.to_server),
        (Way::ToProgram, whole.to_program),
    ] {
        assert!(bytes > 100);
        for after in (0..bytes).step_by(7) {
            stage.proxy.disarm();
            let (before, told) = (stage.proxy.traffic(), stage.told());
            stage.proxy.arm(Rule::cut_after(way, after));
            let ended = run();
            let now = stage.proxy.traffic();
            // The last bytes are the good-bye, which nobody waits for.
            if stage.proxy.waiting() == 0 && ended.is_err() {
                lost += 1;
                let went = match way {
                    Way::ToServer => now.to_server - before.to_server,
                    Way::ToProgram => now.to_program - before.to_program,
                };
                // `prefer` may have tried once more, after the cut.
                assert!(went >= after, "{way:?} {after}: {went}");
            } else {
                assert_eq!(stage.told(), told + 1, "{way:?} {after}: {ended:?}");
            }
        }
    }
    assert!(lost > 20, "{lost} runs were cut off");
}

#[test]
fn a_black_hole_keeps_the_connection_and_delivers_late() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    stage
        .proxy
        .arm(Rule::lost_commit(1).with(Effect::BlackHole));
    std::thread::scope(|scope| {
        let telling = scope.spawn(move || tell(&mut session, 1));
        let begun = Instant::now();
        while stage.told() == 0 {
            assert!(begun.elapsed() < PATIENCE);
        }
        std::thread::sleep(Duration::from_millis(200));
        assert!(!telling.is_finished(), "nobody has told it");
        stage.proxy.heal(Heal::Deliver);
        telling.join().expect("no panic").expect("told late");
    });
    assert_eq!(stage.told(), 1);
}

#[test]
fn what_is_held_stands_still_alone_until_it_is_let_go() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    let second = When::Statement(Which::CommitOf("insert into \"told\"".to_owned()), 2);
    let hold = stage.proxy.hold(second);
    std::thread::scope(|scope| {
        let telling = scope.spawn(move || {
            tell(&mut session, 1)?;
            tell(&mut session, 2)
        });
        assert!(hold.wait(PATIENCE), "it comes there");
        assert_eq!(stage.told(), 1);
        tell(&mut stage.through().expect("another"), 3).expect("nobody else stands still");
        assert!(hold.is_reached() && !telling.is_finished());
        hold.release();
        telling.join().expect("no panic").expect("let go");
    });
    assert_eq!(stage.told(), 3);
    assert!(hold.is_reached(), "it was");
}

#[test]
fn what_is_held_can_be_ended_before_and_after_the_server_has_done_it() {
    for (done, side) in [
        (0, When::Statement as fn(Which, u64) -> When),
        (1, When::Answer),
    ] {
        let stage = Stage::new();
        let mut session = stage.through().expect("a session");
        let hold = stage.proxy.hold(side(Which::CommitOf(String::new()), 1));
        std::thread::scope(|scope| {
            let telling = scope.spawn(move || tell(&mut session, 1));
            assert!(hold.wait(PATIENCE), "it comes there");
            hold.end();
            telling.join().expect("no panic").expect_err("lost");
        });
        assert_eq!(stage.told(), done);
    }
}

#[test]
fn the_first_statement_of_a_transaction_is_held_before_it_locks_anything() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    let locks = "SELECT FROM told FOR SHARE";
    let hold = stage
        .proxy
        .hold(When::Statement(Which::Opening("for share".to_owned()), 1));
    std::thread::scope(|scope| {
        let asking = scope.spawn(move || -> Result<(), PgError> {
            let mut tx = session.begin()?;
            tx.query("SELECT 1", &[])?;
            tx.query(locks, &[])?;
            tx.commit()?;
            let mut tx = session.begin()?;
            tx.query(locks, &[])?;
            tx.commit()
        });
        assert!(hold.wait(PATIENCE), "it comes there");
        let mut beside = stage.beside();
        beside
            .run("SET lock_timeout = '1s'; BEGIN; LOCK TABLE told; COMMIT")
            .expect("nobody holds it");
        hold.release();
        asking.join().expect("no panic").expect("let go");
    });
}

#[test]
fn what_was_let_go_before_it_came_passes() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    let hold = stage
        .proxy
        .hold(When::Statement(Which::CommitOf(String::new()), 1));
    hold.release();
    tell(&mut session, 1).expect("it passes");
    assert!(!hold.is_reached());
    assert_eq!(
        stage.proxy.traffic().commits,
        [["insert into told values ($1)"]]
    );
}

#[test]
fn a_black_hole_can_end_as_a_lost_connection() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    std::thread::scope(|scope| {
        stage.proxy.black_hole();
        let telling = scope.spawn(move || tell(&mut session, 1));
        std::thread::sleep(Duration::from_millis(200));
        assert!(!telling.is_finished());
        stage.proxy.heal(Heal::End);
        telling.join().expect("no panic").expect_err("lost");
    });
    assert_eq!(stage.told(), 0);
}

#[test]
fn a_delay_only_delays() {
    let stage = Stage::new();
    let mut session = stage.through().expect("a session");
    let late = Duration::from_millis(300);
    stage.proxy.arm(Rule {
        when: When::Statement(Which::Containing("INSERT".to_owned()), 1),
        effect: Effect::Delay(late),
    });
    let begun = Instant::now();
    tell(&mut session, 1).expect("late, but there");
    assert!(begun.elapsed() >= late);
    assert_eq!(stage.told(), 1);
}

#[test]
fn a_proxy_that_refuses_lets_nobody_in_and_lets_them_in_again() {
    let stage = Stage::new();
    stage.proxy.refuse(true);
    assert!(stage.through().is_err());
    stage.proxy.refuse(false);
    tell(&mut stage.through().expect("a session"), 1).expect("a transaction");
}

#[test]
fn a_proxy_before_no_server_ends_connections_and_can_be_led_to_one() {
    let stage = Stage::new();
    let url = stage.db.tcp_url();
    let port = url::Url::parse(&url)
        .ok()
        .and_then(|url| url.port())
        .expect("a port");
    stage.proxy.lead_to(1);
    assert!(stage.through().is_err());
    stage.proxy.lead_to(port);
    tell(&mut stage.through().expect("a session"), 1).expect("a transaction");
}
