//! A policy deleted and its tags released, an update that releases what it no longer covers, and a roll-back by
//! `recover`, each beside one bare UPDATE of the same rows; with many other policies in the namespace, and with
//! a long audit log.
//!
//! `QUAY_DOCTOR_TAGS` is another number of tags, `QUAY_DOCTOR_ENTRIES` another number of unrelated entries.

use std::process::Command;
use std::time::Instant;

use quay_doctor::sandbox::Cluster;
use serde_json::Value;

use super::figures::{Aim, Figure};
use super::stage::{
    bare_update, cluster, copy, measured, median, number, runs, session, template, world,
};

const POLICY: &str = r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
    SELECT '99999999-9999-4999-8999-999999999999', id, '{"tag_pattern": "v.*"}'
    FROM "user" WHERE username = 'acme'"#;

const UUID: &str = "99999999-9999-4999-8999-999999999999";

/// Policies of the same namespace that match none of its tags.
const OTHERS: &str = r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
    SELECT gen_random_uuid()::text, id, format('{"tag_pattern": "other%s-\\d+.*"}', n)
    FROM "user", generate_series(1, 1000) n WHERE username = 'acme'"#;

/// What changes tags, and what has to be done before.
struct Verb {
    what: &'static str,
    before: &'static [&'static str],
    args: &'static [&'static str],
    sql: &'static str,
}

const VERBS: [Verb; 3] = [
    Verb {
        what: "`policy delete --tags release`",
        before: &[],
        args: &["policy", "delete", UUID, "--tags", "release", "--no-audit"],
        sql: "",
    },
    Verb {
        what: "`policy update --unmatched-tags release`",
        before: &[],
        args: &[
            "policy",
            "update",
            UUID,
            "--pattern",
            "nothing",
            "--unmatched-tags",
            "release",
            "--no-audit",
            "--immutable-tags-can-expire",
            "false",
        ],
        sql: "",
    },
    Verb {
        what: "a roll-back by `recover`",
        before: &[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v.*.*",
            "--no-audit",
            "--immutable-tags-can-expire",
            "false",
            "--strategy",
            "phased",
        ],
        args: &["recover", "--no-audit"],
        sql: "UPDATE quay_doctor.operation SET phase = 'undoing', finished_at = NULL,
                  heartbeat_at = now() - interval '1 hour';
              DELETE FROM namespaceimmutabilitypolicy WHERE policy::text LIKE '%v.*.*%'",
    },
];

fn run(url: &str, args: &[&str]) -> (f64, Value) {
    let begun = Instant::now();
    let output = Command::new(measured())
        .args(["--database-url", url, "--format", "json", "--quiet"])
        .args(args)
        .output()
        .expect("the program starts");
    let took = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{output:?}");
    (took, serde_json::from_slice(&output.stdout).expect("JSON"))
}

impl Verb {
    /// A registry where all tags are immutable by the policy, or by the operation that is to be rolled back.
    fn world(&self, cluster: &Cluster, tags: u32, more: &str) {
        let immutable = self.before.is_empty();
        template(cluster, &world("v{hex}", tags, &immutable.to_string()));
        let url = cluster.url("template_of_runs");
        let mut session = session(&url);
        if immutable {
            session.run(POLICY).expect("a policy");
        } else {
            run(&url, self.before);
            session.run(self.sql).expect("an operation to roll back");
        }
        if !more.is_empty() {
            session.run(more).expect("more");
        }
        session.run("VACUUM ANALYZE").expect("a vacuum");
    }

    fn takes(&self, cluster: &Cluster, name: &str) -> f64 {
        let (took, said) = run(&copy(cluster, name), self.args);
        eprintln!("{}, {name}: {took:.1} s: {said}", self.what);
        took
    }
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_releases_by_policy_operations() {
    let tags = number("QUAY_DOCTOR_TAGS", 1_000_000);
    let entries = format!(
        r#"INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, ip, metadata_json)
           SELECT (SELECT min(id) FROM logentrykind), u.id, 1 + n % 4, now(), '10.0.0.1', '{{"tag": "other"}}'
           FROM "user" u, generate_series(1, {}) n WHERE username = 'acme'"#,
        number("QUAY_DOCTOR_ENTRIES", 1_000_000)
    );
    let cluster = cluster();
    for verb in &VERBS {
        verb.world(&cluster, tags, "");
        let (mut bare, mut ours) = (vec![], vec![]);
        for _ in 0..runs() {
            bare.push(bare_update(&copy(&cluster, "bare"), false));
            ours.push(verb.takes(&cluster, "alone"));
        }
        let plain = median(&mut ours);
        Figure::of(&format!("{}, {tags} tags", verb.what), plain, "s")
            .beside("one bare UPDATE in id order", median(&mut bare))
            .aims(Aim::AtMost(1.1));
        for (more, told) in [
            (OTHERS, "a thousand other policies in the namespace"),
            (entries.as_str(), "a million unrelated audit entries"),
        ] {
            verb.world(&cluster, tags, more);
            let mut with: Vec<f64> = (0..runs()).map(|_| verb.takes(&cluster, told)).collect();
            Figure::of(
                &format!("{} with {told}", verb.what),
                median(&mut with),
                "s",
            )
            .beside("the same without", plain)
            .aims(Aim::AtMost(1.2));
        }
    }
}
