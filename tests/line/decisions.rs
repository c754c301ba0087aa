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
