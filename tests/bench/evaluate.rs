//! What an evaluation takes among many policies, through the library.

use std::time::Instant;

use quay_doctor::ConnectionSettings;
use quay_doctor::journal::SchemaState;
use quay_doctor::pg::WriteSession;
use quay_doctor::policy::PolicyEvaluator;
use quay_doctor::quay::{NamespaceId, RepositoryId};
use testkit::shared::TestDatabase;

use super::figures::{Aim, Figure};
use super::stage::{median, runs};
use crate::program;

/// Namespaces by their ids, each with so many policies, of which so many are active.
const NAMESPACES: [(i32, u32, u32); 4] = [
    (2001, 1_000, 10),
    (2002, 10, 10),
    (2003, 1_000, 1_000),
    (2004, 1, 1),
];

/// Evaluations of one measurement.
const EVALUATIONS: u32 = 500;

fn seed(session: &mut WriteSession) {
    // 20,000 policies of others, one in ten active, as where many teams have theirs.
    session
        .run(
            r#"
            INSERT INTO "user" (id, username, email, verified, organization, robot, invoice_email,
                last_invalid_login)
            SELECT n, 'ns' || n, 'ns' || n, true, true, false, false, now()
            FROM generate_series(10001, 12000) n;
            INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active)
            SELECT gen_random_uuid(), n, '{"tag_pattern": "x' || k || '"}', k = 5
            FROM generate_series(10001, 12000) n, generate_series(1, 10) k ORDER BY md5(concat(n, k));
            "#,
        )
        .expect("others");
    for (id, policies, active) in NAMESPACES {
        session
            .run(&format!(
                r#"
                INSERT INTO "user" (id, username, email, verified, organization, robot,
                    invoice_email, last_invalid_login)
                VALUES ({id}, 'ns{id}', 'ns{id}', true, true, false, false, now());
                INSERT INTO repository (id, namespace_user_id, name, visibility_id, badge_token)
                VALUES ({id}, {id}, 'r', 1, '');
                INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active)
                SELECT gen_random_uuid(), {id},
                    format('{{"tag_pattern": "w%s\\..*", "tag_pattern_matches": true}}', k),
                    k <= {active}
                FROM generate_series(1, {policies}) k ORDER BY md5(k::text);
                "#
            ))
            .expect("policies");
    }
    session.run("VACUUM ANALYZE").expect("a vacuum");
}

/// Microseconds of one evaluation.
fn evaluate(session: &mut WriteSession, evaluator: &mut PolicyEvaluator, id: i32) -> f64 {
    let begun = Instant::now();
    for _ in 0..EVALUATIONS {
        let decided = evaluator
            .evaluate(session, RepositoryId(id), NamespaceId(id), &["v1.2"])
            .expect("a decision");
        assert_eq!(decided[0].immutable, Some(false));
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(EVALUATIONS)
}

#[test]
#[ignore = "a measurement: make bench"]
fn bench_an_evaluation_among_many_policies() {
    let db = TestDatabase::quay().expect("a database");
    program::run_on(&db.tcp_url(), &["migrate", "up"]).expect_status(0);
    let settings = ConnectionSettings::resolve(Some(&db.tcp_url())).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    seed(&mut session);
    let schema = SchemaState::read(&mut session).expect("a schema");
    let mut of = |[one, other]: [i32; 2]| {
        let (mut ones, mut others) = (Vec::new(), Vec::new());
        let (mut for_one, mut for_other) =
            (PolicyEvaluator::new(&schema), PolicyEvaluator::new(&schema));
        for run in 0..=runs() {
            let times = (
                evaluate(&mut session, &mut for_one, one),
                evaluate(&mut session, &mut for_other, other),
            );
            // The first is the one that compiles.
            if run > 0 {
                ones.push(times.0);
                others.push(times.1);
            }
        }
        (median(&mut ones), median(&mut others))
    };
    let (many, few) = of([2001, 2002]);
    Figure::of(
        "`policy evaluate` as a library, 1,000 policies, 990 of them inactive",
        many,
        "µs",
    )
    .beside("10 policies, all active", few)
    .aims(Aim::AtMost(1.1));
    let (many, one) = of([2003, 2004]);
    Figure::of("the same, 1,000 active policies, warm", many, "µs")
        .beside("1 policy", one)
        .aims(Aim::AtMost(3.0));
}
