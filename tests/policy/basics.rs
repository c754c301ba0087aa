//! What operations do where nothing goes wrong.

use serde_json::json;

use super::scene::{GLOBEX, MATCHING, Scene};

/// Entries that an operation of ours wrote, in order: kind and metadata.
fn audit(scene: &Scene) -> Vec<(String, serde_json::Value)> {
    use quay_doctor::pg::{Columns, Statements};
    scene
        .session()
        .query(
            "SELECT k.name, l.metadata_json FROM logentry3 l JOIN logentrykind k ON k.id = l.kind_id
             WHERE l.metadata_json LIKE '%quay_doctor_operation%' ORDER BY l.id",
            &[],
        )
        .expect("rows")
        .iter()
        .map(|row| {
            let metadata: &str = row.read(1).expect("text");
            (
                row.read(0).expect("a name"),
                serde_json::from_str(metadata).expect("JSON"),
            )
        })
        .collect()
}

#[test]
fn a_creation_says_what_it_did_and_did_what_it_says() {
    for strategy in ["phased", "atomic"] {
        let scene = Scene::small();
        let done = scene
            .create("v.*", &["--strategy", strategy])
            .expect_status(0)
            .json();
        assert_eq!(done["phase"], "done");
        assert_eq!(done["strategy"], strategy);
        assert_eq!(done["tags_matched"], MATCHING);
        assert_eq!(done["tags_changed"], MATCHING);
        assert_eq!(done["expirations_cleared"], 3);
        for key in ["operation", "batches", "longest_batch_ms", "seconds"] {
            assert!(done[key].is_number(), "{key} in {done}");
        }
        let uuid = done["policy"].as_str().expect("a uuid");
        assert_eq!(
            scene.text("SELECT string_agg(concat_ws(' ', uuid, policy, active), ',') FROM namespaceimmutabilitypolicy WHERE namespace_id <> (SELECT id FROM \"user\" WHERE username = 'globex')"),
            format!(r#"{uuid} {{"tag_pattern": "v.*", "tag_pattern_matches": true}} t"#)
        );
        let wrong = "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
            JOIN \"user\" u ON u.id = r.namespace_user_id
            WHERE u.username = 'acme' AND t.name LIKE 'v%' AND t.name NOT LIKE 'v0%'
                AND (NOT t.immutable OR t.lifetime_end_ms IS NOT NULL)";
        assert_eq!(
            scene.count(wrong),
            0,
            "every live match is immutable, none expires"
        );
        assert_eq!(scene.count("SELECT count(*) FROM tag WHERE immutable AND (name LIKE 'v0%' OR name LIKE 'n%' OR name = 'latest')"), 0);
        assert_eq!(
            scene.count("SELECT count(*) FROM quay_doctor.tag_change c JOIN tag t ON t.id = c.tag_id
                WHERE c.undone_at IS NULL AND c.immutable_after AND NOT c.immutable_before
                    AND (c.lifetime_end_ms_before IS NOT NULL) = (t.name LIKE 'v2%' OR t.name LIKE 'v4%')"),
            MATCHING,
            "the journal has every before-image"
        );
        let entries = audit(&scene);
        let of_operation = &done["operation"];
        assert_eq!(
            entries,
            [
                (
                    "create_immutability_policy".to_owned(),
                    json!({"namespace": "acme", "tag_pattern": "v.*", "tag_pattern_matches": true,
                           "quay_doctor_operation": of_operation}),
                ),
                (
                    "tags_made_immutable_by_policy".to_owned(),
                    json!({"namespace": "acme", "tag_pattern": "v.*", "tag_pattern_matches": true,
                           "count": MATCHING, "quay_doctor_operation": of_operation}),
                ),
            ]
        );
        scene.check();
        assert_eq!(scene.unfinished(), 0);
    }
}

#[test]
fn a_repositorys_policy_touches_no_other_repository_and_names_it_in_the_log() {
    let scene = Scene::small();
    scene
        .create("nightly-.*", &["--repository", "tool", "--not-matching"])
        .expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(r.name || ':' || t.name, ' ' ORDER BY t.id) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE r.name IN ('shop', 'tool', 'web') AND t.immutable"),
        "tool:v1.1 tool:v1.2 tool:v7.1 tool:v8.1"
    );
    assert_eq!(
        scene.text("SELECT string_agg(concat_ws(' ', policy, active, namespace_id = (SELECT id FROM \"user\" WHERE username = 'acme')), ',') FROM repositoryimmutabilitypolicy"),
        r#"{"tag_pattern": "nightly-.*", "tag_pattern_matches": false} t t"#
    );
    let entries = audit(&scene);
    assert_eq!(entries[0].0, "create_immutability_policy");
    assert_eq!(entries[0].1["repo"], "tool");
    assert_eq!(
        scene.count("SELECT count(*) FROM logentry3 l JOIN repository r ON r.id = l.repository_id WHERE r.name = 'tool' AND metadata_json LIKE '%quay_doctor%'"),
        2
    );
}

#[test]
fn no_audit_writes_none() {
    let scene = Scene::small();
    scene.create("v.*", &["--no-audit"]).expect_status(0);
    scene
        .policy(&["delete", GLOBEX, "--tags", "release", "--no-audit"])
        .expect_status(0);
    assert_eq!(audit(&scene), []);
}

#[test]
fn the_stored_text_is_byte_for_byte_what_python_dumps() {
    let scene = Scene::small();
    let patterns = [
        r"v\d+\.\d+",
        "é+ü*",
        "\u{1f600}.*",
        "a\"b'c",
        "tab\\t|x",
        "\u{7f}?",
        "a\u{2028}b",
        "[/<>&]",
    ];
    for (n, pattern) in patterns.iter().enumerate() {
        let more: &[&str] = if n % 2 == 0 { &[] } else { &["--not-matching"] };
        let mut args = vec!["--inactive"];
        args.extend(more);
        scene
            .create(&format!("  {pattern} "), &args)
            .expect_status(0);
        let program = "import json,sys; print(json.dumps({'tag_pattern': sys.argv[1], 'tag_pattern_matches': sys.argv[2] == '0'}), end='')";
        let python = std::process::Command::new("python3")
            .args(["-c", program, pattern, &(n % 2).to_string()])
            .output();
        let Ok(python) = python else {
            testkit::skipped("there is no python3 to compare with");
            return;
        };
        assert!(python.status.success(), "{python:?}");
        assert_eq!(
            scene.text("SELECT policy FROM namespaceimmutabilitypolicy ORDER BY id DESC LIMIT 1"),
            String::from_utf8(python.stdout).expect("ASCII"),
            "{pattern}"
        );
    }
}

#[test]
fn inactive_means_written_and_nothing_else_until_it_is_activated() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    // No expiry is at stake yet, so nothing has to be stated.
    let staged = scene
        .run(&[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v.*",
            "--inactive",
            "--format",
            "json",
        ])
        .expect_status(0)
        .json();
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
    assert_eq!(
        audit(&scene),
        [],
        "Quay would log nothing: no policy is in force"
    );
    let uuid = staged["policy"].as_str().expect("a uuid");
    let shown = scene.policy(&["show", uuid]).expect_status(0).json();
    assert_eq!(
        (&shown["active"], &shown["state"], &shown["operation"]),
        (&json!(false), &json!("inactive"), &json!(null))
    );
    scene.check();
    let done = scene.policy(&["activate", uuid]).expect_status(0).json();
    assert_eq!(done["tags_changed"], MATCHING);
    assert_eq!(done["policy"], uuid);
    assert_eq!(scene.policy(&["show", uuid]).json()["active"], json!(true));
    assert_eq!(audit(&scene).len(), 2);
    scene.check();
    scene.policy(&["activate", uuid]).expect_status(2);
}

#[test]
fn an_update_keeps_the_uuid_and_releases_or_keeps_what_it_no_longer_covers() {
    for choice in ["keep", "release"] {
        let scene = Scene::small();
        let id = scene.count("SELECT id FROM namespaceimmutabilitypolicy");
        scene
            .policy(&[
                "update",
                GLOBEX,
                "--pattern",
                "(latest|v1.*)",
                "--unmatched-tags",
                choice,
            ])
            .expect_status(0);
        assert_eq!(
            scene.text("SELECT string_agg(concat_ws(' ', id, uuid, policy, active), ',') FROM namespaceimmutabilitypolicy"),
            format!(r#"{id} {GLOBEX} {{"tag_pattern": "(latest|v1.*)", "tag_pattern_matches": true}} t"#)
        );
        let immutable = |pattern: &str| {
            scene.count(&format!("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE r.name IN ('portal', 'site') AND t.immutable AND t.name LIKE '{pattern}'"))
        };
        assert_eq!((immutable("v1%"), immutable("latest")), (4, 1));
        assert_eq!(immutable("v5%"), if choice == "keep" { 3 } else { 0 });
        let kinds: Vec<String> = audit(&scene).into_iter().map(|(kind, _)| kind).collect();
        let mut wanted = vec![
            "update_immutability_policy",
            "tags_made_immutable_by_policy",
        ];
        if choice == "release" {
            wanted.extend(["change_tag_immutability"; 3]);
        }
        assert_eq!(kinds, wanted);
        assert_eq!(
            scene.count("SELECT count(*) FROM quay_doctor.kept WHERE withdrawn_at IS NULL"),
            i64::from(choice == "keep")
        );
        scene.check();
    }
}

#[test]
fn a_change_of_polarity_alone_is_an_update() {
    let scene = Scene::small();
    scene
        .policy(&[
            "update",
            GLOBEX,
            "--pattern",
            "v.*",
            "--not-matching",
            "--unmatched-tags",
            "release",
        ])
        .expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(DISTINCT t.name, ' ') FROM tag t JOIN repository r ON r.id = t.repository_id WHERE r.name IN ('portal', 'site') AND t.immutable"),
        "latest"
    );
    scene.check();
}

#[test]
fn a_deletion_keeps_or_releases_and_a_release_brings_known_expiries_back() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let uuid = |done: &serde_json::Value| done["policy"].as_str().expect("a uuid").to_owned();
    let first = uuid(&scene.create("v.*", &[]).expect_status(0).json());
    scene
        .policy(&["delete", &first, "--tags", "release"])
        .expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags,
        "released tags are as they were, expiry and all; a user's and a label's stay"
    );
    let (kind, says) = audit(&scene)
        .into_iter()
        .find(|(kind, _)| kind == "delete_immutability_policy")
        .expect("an entry");
    assert_eq!(
        (kind.as_str(), &says["policy_uuid"]),
        ("delete_immutability_policy", &json!(first))
    );
    let second = uuid(&scene.create("v.*", &[]).expect_status(0).json());
    scene
        .policy(&["delete", &second, "--tags", "keep"])
        .expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND r.name IN ('shop', 'tool', 'web')"), MATCHING + 2);
    scene.check();
    scene
        .policy(&["delete", &second, "--tags", "keep"])
        .expect_status(2);
}

#[test]
fn deactivation_wants_yes_and_leaves_an_inactive_row() {
    let scene = Scene::small();
    let before = scene.state();
    let refused = scene
        .policy(&["deactivate", GLOBEX, "--tags", "release"])
        .expect_status(2);
    assert!(
        refused.stderr.contains("goes on enforcing"),
        "{}",
        refused.stderr
    );
    assert_eq!(scene.state(), before);
    scene
        .policy(&["deactivate", GLOBEX, "--tags", "release", "--yes"])
        .expect_status(0);
    assert_eq!(
        scene.text("SELECT active FROM namespaceimmutabilitypolicy"),
        "false"
    );
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND r.name IN ('portal', 'site')"), 0);
    scene.check();
    scene
        .policy(&["deactivate", GLOBEX, "--tags", "release", "--yes"])
        .expect_status(2);
    scene.policy(&["activate", GLOBEX]).expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND r.name IN ('portal', 'site')"), 7);
}
