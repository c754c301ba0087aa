//! How long readers of the policy tables wait while `migrate up` runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quay_doctor::pg::Statements;
use testkit::shared::TestDatabase;

use super::figures::{Aim, Figure};
use super::stage::{median, runs, session};
use crate::program;

/// The longest wait of four readers of the policies, in milliseconds, while something is done.
fn longest_wait(url: &str, work: impl FnOnce()) -> f64 {
    let (stop, longest) = (AtomicBool::new(false), Mutex::new(0.0_f64));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut session = session(url);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let read = session.query(
                        "SELECT policy FROM namespaceimmutabilitypolicy WHERE namespace_id = $1",
                        &[&1_i32],
                    );
                    read.expect("policies");
                    let took = begun.elapsed().as_secs_f64() * 1000.0;
                    let mut longest = longest.lock().expect("a number");
                    *longest = longest.max(took);
                    drop(longest);
                    thread::sleep(Duration::from_millis(1));
                }
            });
        }
        work();
        stop.store(true, Ordering::Relaxed);
    });
    longest.into_inner().expect("a number")
}

#[test]
#[ignore = "a measurement: make bench"]
fn bench_readers_while_migrations_run() {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..runs() {
        let db = TestDatabase::quay().expect("a database");
        session(&db.tcp_url())
            .run(
                r#"INSERT INTO "user" (id, username, email, verified, organization, robot,
                       invoice_email, last_invalid_login)
                   VALUES (1, 'acme', 'acme', true, true, false, false, now());
                   INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
                   SELECT gen_random_uuid(), 1, format('{"tag_pattern": "v%s", "tag_pattern_matches": true}', n)
                   FROM generate_series(1, 1000) n"#,
            )
            .expect("policies");
        let begun = Instant::now();
        with.push(longest_wait(&db.tcp_url(), || {
            program::run_on(&db.tcp_url(), &["migrate", "up"]).expect_status(0);
        }));
        let took = begun.elapsed();
        without.push(longest_wait(&db.tcp_url(), || thread::sleep(took)));
    }
    let (with, without) = (median(&mut with), median(&mut without));
    let what = format!(
        "longest wait of a reader while `migrate up` runs over 1,000 policies, beyond the {without:.1} ms without"
    );
    Figure::of(&what, (with - without).max(0.0), "ms")
        .beside("50 ms", 50.0)
        .aims(Aim::AtMost(1.0));
}
