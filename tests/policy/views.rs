//! Looking: list, show, evaluate, dry run.

use serde_json::json;

use super::scene::{GLOBEX, MATCHING, Scene};

#[test]
fn list_and_show_give_quays_view_and_ours() {
    let scene = Scene::small();
    scene.create("x.*", &["--inactive"]).expect_status(0);
    scene
        .create(
            "y.*",
            &["--repository", "tool", "--not-matching", "--inactive"],
        )
        .expect_status(0);
    let all = scene.policy(&["list"]).expect_status(0).json();
    let all = all["policies"].as_array().expect("policies").clone();
    assert_eq!(all.len(), 3);
    let globex = all.iter().find(|p| p["uuid"] == GLOBEX).expect("globex's");
    assert_eq!(
        globex,
        &json!({"uuid": GLOBEX, "tagPattern": "v.*", "tagPatternMatches": true, "active": true,
                "state": "active", "created": null,
                "scope": {"namespace": "globex", "repository": null}, "operation": null})
    );
    let of_tool = all
        .iter()
        .find(|p| p["scope"]["repository"] == "tool")
        .expect("tool's");
    assert_eq!(of_tool["tagPatternMatches"], json!(false));
    assert!(
        of_tool["created"].is_string(),
        "our rows are dated: {of_tool}"
    );
    let listed = |args: &[&str]| {
        let mut all = vec!["list"];
        all.extend(args);
        scene.policy(&all).expect_status(0).json()["policies"]
            .as_array()
            .expect("policies")
            .len()
    };
    assert_eq!(listed(&["--state", "active"]), 1);
    assert_eq!(listed(&["--state", "inactive"]), 2);
    assert_eq!(listed(&["--state", "applying"]), 0);
    assert_eq!(listed(&["--namespace", "acme"]), 2);
    assert_eq!(listed(&["--namespace", "acme", "--repository", "tool"]), 1);
    assert_eq!(listed(&["--namespace", "acme", "--repository", "web"]), 0);
    scene
        .policy(&["list", "--namespace", "nobody"])
        .expect_status(2);
    scene
        .policy(&["list", "--namespace", "acme", "--repository", "nothing"])
        .expect_status(2);
    scene
        .policy(&["show", "33333333-3333-4333-8333-333333333333"])
        .expect_status(2);
    let table = scene.run(&["policy", "list"]).expect_status(0).stdout;
    assert!(
        table.contains("INACTIVE") && table.contains("active"),
        "{table}"
    );
}

#[test]
fn an_operation_at_work_and_one_that_was_interrupted_show_in_the_list() {
    let scene = Scene::small();
    let args = super::scene::policy(&[
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ]);
    let (_hold, run) = scene.held(testkit::moments::AFTER_COMMIT, &args);
    let listed = |state: &str| {
        let json = scene
            .policy(&["list", "--state", state])
            .expect_status(0)
            .json();
        json["policies"].as_array().expect("policies").clone()
    };
    assert_eq!(listed("applying").len(), 1);
    scene.run(&["recover", "--list"]).expect_status(3);
    // The same pattern again: a live twin is reported, another polarity is a duplicate of it.
    let twin = scene.create("v.*", &[]).expect_status(3);
    assert!(twin.stderr.contains("at work"), "{}", twin.stderr);
    scene.create("v.*", &["--not-matching"]).expect_status(2);
    scene.run(&["recover", "--wait", "200ms"]).expect_status(3);
    run.kill();
    scene.bury();
    let interrupted = listed("interrupted");
    assert_eq!(interrupted.len(), 1);
    let uuid = interrupted[0]["uuid"].as_str().expect("a uuid");
    for args in [
        ["delete", uuid, "--tags", "keep"].as_slice(),
        &["deactivate", uuid, "--tags", "keep", "--yes"],
        &["activate", uuid],
        &[
            "update",
            uuid,
            "--pattern",
            "w.*",
            "--unmatched-tags",
            "keep",
        ],
    ] {
        let refused = scene.policy(args).expect_status(2);
        assert!(refused.stderr.contains("recover"), "{}", refused.stderr);
    }
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag WHERE immutable"), 9);
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let scene = Scene::small();
    let before = scene.state();
    let impact = scene.create("v.*", &["--dry-run"]).expect_status(0).json();
    assert_eq!(impact["become_immutable"], MATCHING);
    assert_eq!(
        impact["by_repository"],
        json!({"shop": 6, "tool": 2, "web": 3})
    );
    assert_eq!(impact["expiring"], 3);
    assert_eq!(impact["already_immutable"], 2);
    assert_eq!(scene.state(), before);
    assert_eq!(scene.count("SELECT count(*) FROM quay_doctor.operation"), 0);
}

#[test]
fn evaluation_names_the_policy_that_decides_and_asks_only_active_ones() {
    let scene = Scene::small();
    let decide = |tags: &[&str]| {
        let mut args = vec![
            "evaluate",
            "--namespace",
            "globex",
            "--repository",
            "portal",
            "--tag",
        ];
        args.extend(tags);
        scene.policy(&args).expect_status(0).json()["decisions"].clone()
    };
    let decided = decide(&["v9", "latest"]);
    assert_eq!(
        decided[0],
        json!({"tag": "v9", "immutable": true, "policy": GLOBEX, "undecided": null})
    );
    assert_eq!(decided[1]["immutable"], json!(false));
    // A repository's policy is asked first.
    let own = scene
        .policy(&[
            "create",
            "--namespace",
            "globex",
            "--repository",
            "portal",
            "--pattern",
            "v9.*",
        ])
        .expect_status(0)
        .json();
    assert_eq!(decide(&["v9"])[0]["policy"], own["policy"]);
    scene
        .policy(&["deactivate", GLOBEX, "--yes", "--tags", "keep"])
        .expect_status(0);
    assert_eq!(decide(&["v1"])[0]["immutable"], json!(false));
    scene
        .policy(&[
            "evaluate",
            "--namespace",
            "globex",
            "--repository",
            "nothing",
            "--tag",
            "v1",
        ])
        .expect_status(2);
}
