//! Open questions settled by scope, from a file.

use super::output::valid;
use super::stage::{RELEASE, Stage};

const ORPHANS: &str = r#"
    seed = 3
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 5
    immutable = true
    [[namespace.repository]]
    name = "site"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 7
    immutable = true
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "x.*"
    uuid = "11111111-aaaa-4aaa-8aaa-111111111111"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 11
    immutable = true
"#;

const DECISIONS: &str = r#"
[[decision]]
rule = "orphaned-immutable-tag"
namespace = "acme"
remedy = "release"

[[decision]]
rule = "orphaned-immutable-tag"
namespace = "acme"
repository = "site"
remedy = "keep"

[[decision]]
rule = "stale-inactive-policy"
policy = "11111111-aaaa-4aaa-8aaa-111111111111"
remedy = "delete"
"#;

struct File(tempfile::NamedTempFile);

impl File {
    fn of(text: &str) -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        Self(file)
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("UTF-8")
    }
}

#[test]
fn the_smallest_scope_decides_and_what_nobody_decided_stays_open() {
    let stage = Stage::migrated(ORPHANS);
    let document: toml::Value = toml::from_str(DECISIONS).expect("TOML");
    valid("decisions", &serde_json::to_value(document).expect("JSON"));
    let file = File::of(DECISIONS);
    let decide = ["fix", "--decide", file.path(), "--format", "json"];
    let plan = stage.run(&decide).expect_status(1).json();
    valid("plan", &plan);
    assert_eq!(plan["totals"]["undecided"], 11);
    let idle = plan["idle_decisions"].to_string();
    assert!(
        idle.contains(":15: nothing here violates `stale-inactive-policy`"),
        "{idle}"
    );
    let run = stage
        .run(&[
            "fix",
            "--apply",
            "--decide",
            file.path(),
            "--format",
            "json",
        ])
        .expect_status(1)
        .json();
    assert_eq!(
        (&run["applied"], &run["undecided"]),
        (&12.into(), &11.into())
    );
    let immutable = |repository: &str| {
        stage.count(&format!(
            "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
             WHERE r.name = '{repository}' AND t.immutable"
        ))
    };
    assert_eq!(
        [immutable("shop"), immutable("site"), immutable("portal")],
        [0, 7, 11]
    );
    assert_eq!(stage.count("SELECT count(*) FROM quay_doctor.kept"), 7);
}

#[test]
fn a_decision_outweighs_a_remedy_for_the_whole_rule() {
    let stage = Stage::migrated(ORPHANS);
    let file = File::of(DECISIONS);
    let both = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--decide",
        file.path(),
        "--format",
        "json",
    ];
    let run = stage.run(&both).expect_status(0).json();
    assert_eq!(run["applied"], 23);
    assert_eq!(stage.count("SELECT count(*) FROM tag WHERE immutable"), 7);
}

#[test]
fn a_scope_that_is_not_there_is_an_error_with_its_line_and_the_nearest_name() {
    let stage = Stage::migrated(ORPHANS);
    let before = stage.dump();
    for (from, to, says, meant) in [
        (
            "\"acme\"\nremedy",
            "\"acmee\"\nremedy",
            ":4: there is no namespace `acmee`",
            "`acme`",
        ),
        (
            "\"site\"",
            "\"sitee\"",
            ":10: there is no repository `sitee`",
            "`site`",
        ),
        (
            "111111111111\"",
            "111111111112\"",
            ":15: there is no policy",
            "`11111111-aaaa",
        ),
        ("\"release\"", "\"releas\"", ":5: the rule", "`release`"),
        (
            "\"stale-",
            "\"stalee-",
            ":14: there is no rule",
            "`stale-inactive-policy`",
        ),
    ] {
        let text = DECISIONS.replacen(from, to, 1);
        assert_ne!(text, DECISIONS);
        let file = File::of(&text);
        let refused = stage
            .run(&["fix", "--apply", "--decide", file.path()])
            .expect_status(2);
        let told = refused.stderr.replace("\n  │ ", " ");
        assert!(told.contains(says), "{says}: {told}");
        assert!(told.contains(&format!("did you mean {meant}")), "{told}");
    }
    stage
        .run(&["fix", "--decide", "no/such/file.toml"])
        .expect_status(2);
    assert_eq!(stage.dump(), before);
}

#[test]
fn each_scope_says_which_policy_it_lost() {
    let text = r#"
        [[decision]]
        rule = "orphaned-immutable-tag"
        namespace = "acme"
        repository = "shop"
        remedy = "recreate"
        pattern = "v[0-9]"

        [[decision]]
        rule = "orphaned-immutable-tag"
        namespace = "acme"
        repository = "site"
        remedy = "recreate"
        pattern = "x.*"
        not-matching = true

        [[decision]]
        rule = "orphaned-immutable-tag"
        namespace = "globex"
        remedy = "recreate"
    "#;
    let document: toml::Value = toml::from_str(text).expect("TOML");
    valid("decisions", &serde_json::to_value(document).expect("JSON"));
    let stage = Stage::migrated(ORPHANS);
    let file = File::of(text);
    let decide = [
        "fix",
        "--apply",
        "--decide",
        file.path(),
        "--format",
        "json",
    ];
    let refused = stage.run(&decide).expect_status(2);
    assert!(
        refused.stderr.contains("which policy to create again"),
        "one of them says no pattern: {}",
        refused.stderr
    );
    let mut with_rest = decide.to_vec();
    with_rest.extend(["--pattern", "v.*"]);
    let run = stage.run(&with_rest).expect_status(0).json();
    assert_eq!((&run["applied"], &run["skipped"]), (&3.into(), &0.into()));
    let policies = |text: &str| {
        let found = format!("position('{text}' IN policy) > 0");
        stage.count(&format!(
            "SELECT (SELECT count(*) FROM repositoryimmutabilitypolicy p
                 JOIN repository r ON r.id = p.repository_id
                 WHERE {found} AND r.name IN ('shop', 'site', 'portal'))
             + 10 * (SELECT count(*) FROM namespaceimmutabilitypolicy WHERE {found})"
        ))
    };
    let own = [r#""v[0-9]""#, r#""v.*""#].map(policies);
    assert_eq!(own, [1, 1], "each in its repository");
    // The other one is globex's own, of the namespace.
    assert_eq!(policies(r#""x.*""#), 11);
    stage.run(&["check"]).expect_status(0);
}

#[test]
fn a_pattern_that_quay_would_not_take_is_told_with_its_line() {
    for (pattern, remedy, says) in [
        ("v(", "recreate", "the pattern is not valid"),
        ("v.*", "release", "`release` creates no policy"),
    ] {
        let file = File::of(&format!(
            "[[decision]]\nrule = \"orphaned-immutable-tag\"\nnamespace = \"acme\"\n\
             remedy = \"{remedy}\"\npattern = \"{pattern}\"\n"
        ));
        let ended = quay_doctor_refuses(file.path());
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
        assert!(
            ended.stderr.contains(&format!("{}:", file.path())),
            "{}",
            ended.stderr
        );
    }
}

/// Refused before there is any connection.
fn quay_doctor_refuses(file: &str) -> crate::program::Ended {
    let nowhere = "postgresql://nobody@127.0.0.1:1/none";
    crate::program::run_on(nowhere, &["fix", "--decide", file]).expect_status(2)
}
