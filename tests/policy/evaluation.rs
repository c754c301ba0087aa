//! Evaluation among very many policies: the new index is used, and inactive rows cost nothing.

use quay_doctor::journal::SchemaState;
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::policy::PolicyEvaluator;
use quay_doctor::quay::{NamespaceId, RepositoryId};

use super::scene::Scene;

/// 10,000 namespaces with ten policies each, one of them active; the fourth namespace has 1,000
/// more, of which ten are active. Rows lie in no order, as they do where policies were made over
/// years.
const POLICIES: &str = r#"
    INSERT INTO "user" (id, username, email, verified, organization, robot, invoice_email,
        invalid_login_attempts, last_invalid_login, removed_tag_expiration_s, enabled)
    SELECT 1000 + n, 'ns' || n, 'ns' || n || '@example.org', true, true, false, false, 0, now(), 0, true
    FROM generate_series(1, 10000) n;
    INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, active)
    SELECT gen_random_uuid()::text, namespace,
        format('{"tag_pattern": "%s%s\\..*", "tag_pattern_matches": true}', letter, k), active
    FROM (
        SELECT 1000 + n AS namespace, 'v' AS letter, k, k = 5 AS active
        FROM generate_series(1, 10) k, generate_series(1, 10000) n
        UNION ALL
        SELECT 1004, 'w', k, k % 100 = 0 FROM generate_series(1, 1000) k
    ) policies
    ORDER BY md5(concat(namespace, letter, k));
    CREATE SCHEMA alone;
    CREATE TABLE alone.namespaceimmutabilitypolicy (LIKE public.namespaceimmutabilitypolicy INCLUDING ALL);
    INSERT INTO alone.namespaceimmutabilitypolicy
        SELECT * FROM public.namespaceimmutabilitypolicy WHERE active ORDER BY id;
"#;

/// The plan of a statement that was run, with every block that it touched.
struct Explained {
    text: String,
    blocks: i64,
}

fn explain(
    session: &mut WriteSession,
    schemas: &str,
    statement: &str,
    namespace: i32,
) -> Explained {
    session
        .run(&format!("SET search_path = {schemas}"))
        .expect("a path");
    let statement = statement
        .replace("$1", "1")
        .replace("$2", &namespace.to_string())
        .replace("$3", "NULL");
    // Once before, so that what is read of the catalogue is not counted.
    session.query(&statement, &[]).expect("rows");
    let row = session
        .query_one(
            &format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"),
            &[],
        )
        .expect("a plan");
    let plan: serde_json::Value = row.read(0).expect("JSON");
    let of = |key: &str| plan[0]["Plan"][key].as_i64().expect("a count");
    Explained {
        blocks: of("Shared Hit Blocks") + of("Shared Read Blocks"),
        text: plan.to_string(),
    }
}

#[test]
fn among_100_000_policies_a_push_reads_the_new_index_and_no_more_than_the_active_rows() {
    let scene = Scene::small();
    scene.sql(POLICIES);
    scene.sql("VACUUM ANALYZE");
    let mut session = scene.session();
    let schema = SchemaState::read(&mut session).expect("a schema");
    let statement = PolicyEvaluator::new(&schema).statement().to_owned();
    assert!(statement.contains("AND active"), "{statement}");
    let without = statement.replace("AND active", "");
    for (namespace, saves) in [(1004, 100), (1777, 5)] {
        let with = explain(&mut session, "public", &statement, namespace);
        let alone = explain(&mut session, "alone, public", &statement, namespace);
        let all = explain(&mut session, "public", &without, namespace);
        eprintln!(
            "namespace {namespace}: {} blocks with the flag, {} where there is nothing but active rows, {} without the flag",
            with.blocks, alone.blocks, all.blocks
        );
        assert!(
            with.text
                .contains("idx_namespace_immutability_policy_active"),
            "{}",
            with.text
        );
        assert!(!with.text.contains("Seq Scan\",\"Parent Relationship\":\"Member\",\"Parallel Aware\":false,\"Async Capable\":false,\"Relation Name\":\"namespaceimmutabilitypolicy"), "{}", with.text);
        assert!(
            with.blocks <= alone.blocks,
            "{} > {}: {}",
            with.blocks,
            alone.blocks,
            with.text
        );
        assert!(
            all.blocks >= with.blocks + saves,
            "{} and {}",
            with.blocks,
            all.blocks
        );
    }
}

#[test]
fn with_more_than_1_000_policies_each_decision_is_one_query_and_right() {
    let scene = Scene::small();
    scene.sql(POLICIES);
    scene.sql("ANALYZE");
    let mut session = scene.session();
    let schema = SchemaState::read(&mut session).expect("a schema");
    let mut evaluator = PolicyEvaluator::new(&schema);
    let (repository, namespace) = (RepositoryId(1), NamespaceId(1004));
    for (tag, immutable) in [
        ("w100.1", true),
        ("w1000.1", true),
        ("w101.1", false),
        ("v5.0", true),
        ("v4.0", false),
        ("latest", false),
    ] {
        let decided = evaluator
            .evaluate(&mut session, repository, namespace, &[tag])
            .expect("a decision");
        assert_eq!(decided[0].immutable, Some(immutable), "{tag}");
    }
    // What was inactive decides as soon as it is active.
    scene.sql("UPDATE namespaceimmutabilitypolicy SET active = true WHERE policy LIKE '%w101%' AND namespace_id = 1004");
    let decided = evaluator
        .evaluate(&mut session, repository, namespace, &["w101.1"])
        .expect("a decision");
    assert_eq!(decided[0].immutable, Some(true));
}

#[test]
fn an_evaluator_that_remembers_decides_as_one_that_does_not() {
    let scene = Scene::small();
    let mut session = scene.session();
    let schema = SchemaState::read(&mut session).expect("a schema");
    let mut remembers = PolicyEvaluator::new(&schema);
    let policies = [
        "SELECT",
        "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
         SELECT 'one', id, '{\"tag_pattern\": \"v1.*\", \"tag_pattern_matches\": true}' FROM \"user\" WHERE username = 'acme'",
        "UPDATE namespaceimmutabilitypolicy SET policy = '{\"tag_pattern\": \"v2.*\", \"tag_pattern_matches\": true}'",
        "INSERT INTO repositoryimmutabilitypolicy (uuid, repository_id, namespace_id, policy)
         SELECT 'two', r.id, r.namespace_user_id, '{\"tag_pattern\": \"v1.*\", \"tag_pattern_matches\": true}'
         FROM repository r WHERE r.name = 'shop'",
        "UPDATE namespaceimmutabilitypolicy SET active = false",
        "UPDATE namespaceimmutabilitypolicy SET active = true; UPDATE repositoryimmutabilitypolicy SET uuid = 'three'",
        "DELETE FROM repositoryimmutabilitypolicy",
        "DELETE FROM namespaceimmutabilitypolicy",
    ];
    let of = |column: &str| {
        let sql = format!("SELECT {column} FROM repository WHERE name = 'shop'");
        i32::try_from(scene.count(&sql)).expect("an id")
    };
    let (repository, namespace) = (RepositoryId(of("id")), NamespaceId(of("namespace_user_id")));
    let tags = ["v1.0", "v2.0", "latest"];
    let mut seen = std::collections::HashSet::new();
    for sql in policies {
        scene.sql(sql);
        for _ in 0..2 {
            let mut fresh = PolicyEvaluator::new(&schema);
            let fresh = fresh.evaluate(&mut session, repository, namespace, &tags);
            let decided = remembers.evaluate(&mut session, repository, namespace, &tags);
            let decided = decided.expect("decisions");
            assert_eq!(decided, fresh.expect("decisions"), "after {sql}");
            seen.insert(format!("{decided:?}"));
        }
    }
    assert!(seen.len() >= 5, "they differ: {seen:?}");
}
