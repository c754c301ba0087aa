//! What is refused, with status 2, and then nothing has been changed.

use super::scene::{GLOBEX, Scene};

/// Asserts that a command is refused in these words and changes nothing.
#[track_caller]
fn refused(scene: &Scene, args: &[&str], words: &str) {
    let before = scene.state();
    let ended = scene.policy(args).expect_status(2);
    let flat = ended
        .stderr
        .split_whitespace()
        .filter(|w| *w != "│")
        .collect::<Vec<_>>()
        .join(" ");
    assert!(flat.contains(words), "no {words:?} in {flat}");
    assert_eq!(scene.state(), before, "{args:?}");
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.operation"),
        0,
        "{args:?}"
    );
}

#[test]
fn a_pattern_that_quay_refuses_or_nobody_can_decide_is_refused() {
    let scene = Scene::small();
    let long = "x".repeat(257);
    for (pattern, words) in [
        ("", "empty"),
        ("   ", "empty"),
        (long.as_str(), "257 characters"),
        ("(", "not valid"),
        ("*a", "not valid"),
        ("(a|a)*c", "--allow-slow"),
    ] {
        refused(
            &scene,
            &["create", "--namespace", "acme", "--pattern", pattern],
            words,
        );
        refused(
            &scene,
            &[
                "update",
                GLOBEX,
                "--unmatched-tags",
                "keep",
                "--pattern",
                pattern,
            ],
            words,
        );
        refused(
            &scene,
            &[
                "create",
                "--namespace",
                "acme",
                "--dry-run",
                "--pattern",
                pattern,
            ],
            words,
        );
    }
    // Exactly 256 characters, after trimming, are Quay's limit; characters, not bytes.
    scene
        .create(&format!(" {} ", "é".repeat(256)), &["--inactive"])
        .expect_status(0);
    scene
        .create("(a|a)*c", &["--inactive", "--allow-slow"])
        .expect_status(0);
}

#[test]
fn a_scope_that_quay_refuses_or_that_is_not_there_is_refused() {
    let scene = Scene::small();
    for (scope, words) in [
        (
            ["--namespace", "nobody"].as_slice(),
            "no namespace `nobody`",
        ),
        (&["--namespace", "ACME"], "no namespace `ACME`"),
        (&["--namespace", "acme+robot"], "is a robot"),
        (&["--namespace", "closed"], "is disabled"),
        (&["--namespace", "mirrored"], "mirrored organisation"),
        (
            &["--namespace", "acme", "--repository", "nothing"],
            "no repository `nothing`",
        ),
        (
            &["--namespace", "acme", "--repository", "portal"],
            "no repository `portal`",
        ),
    ] {
        let mut args = vec!["create", "--pattern", "v.*"];
        args.extend(scope);
        refused(&scene, &args, words);
    }
    // A user's own namespace counts, and so does a repository of a mirrored organisation.
    for scope in [
        ["--namespace", "alice"].as_slice(),
        &["--namespace", "mirrored", "--repository", "copy"],
    ] {
        let mut args = vec!["create", "--pattern", "v.*"];
        args.extend(scope);
        scene.policy(&args).expect_status(0);
    }
}

#[test]
fn a_duplicate_is_refused_whatever_its_polarity_and_if_absent_takes_only_an_equal_active_one() {
    let scene = Scene::small();
    let in_globex = |more: &[&'static str]| {
        let mut args = vec!["create", "--namespace", "globex", "--pattern", "v.*"];
        args.extend(more);
        args
    };
    refused(
        &scene,
        &in_globex(&[]),
        "has the pattern `v.*` there already",
    );
    refused(
        &scene,
        &in_globex(&["--not-matching"]),
        "the other way round",
    );
    refused(
        &scene,
        &in_globex(&["--not-matching", "--if-absent"]),
        "the other way round",
    );
    let there = scene
        .policy(&in_globex(&["--if-absent"]))
        .expect_status(0)
        .json();
    assert_eq!(
        (there["phase"].as_str(), there["policy"].as_str()),
        (Some("already_there"), Some(GLOBEX))
    );
    scene.sql("UPDATE namespaceimmutabilitypolicy SET active = false");
    refused(&scene, &in_globex(&["--if-absent"]), "is inactive");
    // Another scope, and another pattern of the same meaning, are no duplicates to Quay.
    scene
        .policy(&[
            "create",
            "--namespace",
            "globex",
            "--repository",
            "site",
            "--pattern",
            "v.*",
        ])
        .expect_status(0);
    scene
        .policy(&["create", "--namespace", "globex", "--pattern", "v.*$"])
        .expect_status(0);
}

#[test]
fn an_update_into_another_policys_pattern_is_refused() {
    let scene = Scene::small();
    scene.sql("INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
        SELECT '22222222-2222-4222-8222-222222222222', id, '{\"tag_pattern\": \"w.*\", \"tag_pattern_matches\": false}' FROM \"user\" WHERE username = 'globex'");
    refused(
        &scene,
        &[
            "update",
            GLOBEX,
            "--pattern",
            "w.*",
            "--unmatched-tags",
            "keep",
        ],
        "has the pattern `w.*` already",
    );
    refused(
        &scene,
        &[
            "update",
            GLOBEX,
            "--pattern",
            "v.*",
            "--unmatched-tags",
            "keep",
        ],
        "like that already",
    );
    refused(
        &scene,
        &[
            "update",
            "nonsense",
            "--pattern",
            "q.*",
            "--unmatched-tags",
            "keep",
        ],
        "no policy nonsense",
    );
    refused(
        &scene,
        &["delete", "nonsense", "--tags", "keep"],
        "no policy nonsense",
    );
    refused(&scene, &["activate", GLOBEX], "is active");
    scene.sql("UPDATE namespaceimmutabilitypolicy SET active = false");
    refused(
        &scene,
        &[
            "update",
            GLOBEX,
            "--pattern",
            "q.*",
            "--unmatched-tags",
            "keep",
        ],
        "is inactive",
    );
}

#[test]
fn an_expiry_at_stake_wants_the_flag_and_names_it() {
    let scene = Scene::small();
    let before = scene.state();
    let create = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
    ];
    let ended = scene.run(&create).expect_status(2);
    assert!(
        ended.stderr.contains("--immutable-tags-can-expire"),
        "{}",
        ended.stderr
    );
    assert!(
        ended.stderr.contains('3'),
        "it counts them: {}",
        ended.stderr
    );
    assert_eq!(scene.state(), before);
    // None at stake: nothing has to be stated.
    scene
        .run(&[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v1.*",
        ])
        .expect_status(0);
    // May expire: nothing is cleared.
    let mut may = create.to_vec();
    may.extend(["--immutable-tags-can-expire", "true", "--format", "json"]);
    let done = scene.run(&may).expect_status(0).json();
    assert_eq!(done["expirations_cleared"], 0);
    assert_eq!(
        scene.count("SELECT count(*) FROM tag WHERE immutable AND lifetime_end_ms IS NOT NULL"),
        3
    );
}

#[test]
fn without_the_schema_it_says_which_command_brings_it() {
    let scene = Scene::unmigrated(super::scene::SMALL);
    let ended = scene.create("v.*", &[]).expect_status(2);
    assert!(ended.stderr.contains("migrate up"), "{}", ended.stderr);
    scene.run(&["migrate", "up", "--to", "1"]).expect_status(0);
    let ended = scene.create("v.*", &[]).expect_status(2);
    assert!(ended.stderr.contains("migrate up"), "{}", ended.stderr);
    // Looking works at any time.
    assert_eq!(
        scene.policy(&["list"]).expect_status(0).json()["policies"][0]["active"],
        true
    );
}

#[test]
fn no_connection_is_three_and_never_a_clean_answer() {
    let url = "postgresql://nobody@127.0.0.1:1/quay";
    let ended = crate::program::run_on(url, &["policy", "list"]);
    ended.expect_status(3);
    crate::program::run_on(
        url,
        &["policy", "create", "--namespace", "a", "--pattern", "v"],
    )
    .expect_status(3);
    crate::program::run_on(url, &["recover"]).expect_status(3);
}
