//! What accounts for a tag is never corrected away.

use super::stage::{RELEASE, Stage};

const ACCOUNTED_FOR: &str = r#"
    seed = 11
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "golden-{n}"
    count = 4
    immutable = true
    evidence = "set-by-user"
    [[namespace.repository.tags]]
    name = "signed-{n}"
    count = 3
    immutable = true
    evidence = "label"
    [[namespace.repository.tags]]
    name = "v{n}"
    count = 2
    evidence = "taken-off"
"#;

#[test]
fn a_label_and_a_users_act_account_for_tags_and_nothing_touches_them() {
    let stage = Stage::migrated(ACCOUNTED_FOR);
    stage.run(&["check"]).expect_status(0);
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["explained"], 7);
    assert_eq!(stage.rule("unprotected-tag", &[])["explained"], 2);
    let before = stage.dump();
    stage
        .run(&["fix", "--apply", "--remedy", RELEASE])
        .expect_status(0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn strictly_seen_explained_tags_are_violations_with_their_evidence() {
    let stage = Stage::migrated(ACCOUNTED_FOR);
    let report = stage
        .run(&["check", "--strict", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(report["totals"]["violations"], 9);
    for violation in report["violations"].as_array().expect("violations") {
        assert_eq!(
            violation["evidence"].as_array().map(Vec::len),
            Some(1),
            "{violation}"
        );
    }
}

#[test]
fn an_entry_of_ours_is_no_users_act() {
    let stage = Stage::migrated(super::stage::BOTH_FAILURES);
    let args = [
        "fix",
        "--apply",
        "--remedy",
        RELEASE,
        "--immutable-tags-can-expire",
        "false",
        "--format",
        "json",
    ];
    let run = stage.run(&args).expect_status(0).json();
    assert_eq!(
        stage.count(
            "SELECT count(*) FROM logentry3 WHERE metadata_json LIKE '%quay_doctor_operation%'"
        ),
        520
    );
    stage
        .run(&["fix", "undo", &run["run"].to_string()])
        .expect_status(0);
    // 300 entries say "made mutable", 300 "made immutable", all of them ours.
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["violations"], 300);
    assert_eq!(stage.rule("unprotected-tag", &[])["violations"], 220);
}

#[test]
fn an_entry_older_than_the_tag_by_more_than_a_day_accounts_for_nothing() {
    let stage = Stage::migrated(ACCOUNTED_FOR);
    stage.sql("UPDATE logentry3 SET datetime = datetime - interval '3 years'");
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["violations"], 4);
    assert_eq!(stage.rule("unprotected-tag", &[])["violations"], 2);
}

#[test]
fn a_label_of_every_child_accounts_for_a_manifest_list_and_of_some_does_not() {
    let stage = Stage::migrated(ACCOUNTED_FOR);
    // The lists have no label of their own; their child is the first signed manifest.
    stage.sql(
        "INSERT INTO manifest (repository_id, digest, media_type_id, manifest_bytes)
         SELECT repository_id, 'sha256:list' || id, media_type_id, '' FROM manifest
         WHERE id IN (SELECT manifest_id FROM tag WHERE name LIKE 'golden%');
         INSERT INTO manifestchild (repository_id, manifest_id, child_manifest_id)
         SELECT l.repository_id, l.id, ml.manifest_id
         FROM manifest l, (SELECT min(manifest_id) AS manifest_id FROM manifestlabel) ml
         WHERE l.digest LIKE 'sha256:list%';
         UPDATE tag SET manifest_id = (SELECT min(id) FROM manifest WHERE digest LIKE 'sha256:list%')
         WHERE name LIKE 'golden%';
         DELETE FROM logentry3",
    );
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["explained"], 7);
    stage.sql(
        "INSERT INTO manifestchild (repository_id, manifest_id, child_manifest_id)
         SELECT l.repository_id, l.id, (SELECT max(id) FROM manifest WHERE digest LIKE 'sha256:list%')
         FROM manifest l WHERE l.digest LIKE 'sha256:list%'",
    );
    assert_eq!(stage.rule("orphaned-immutable-tag", &[])["violations"], 4);
}

#[test]
fn a_released_tag_gets_the_expiry_that_the_journal_knows() {
    let stage = Stage::migrated(super::stage::BOTH_FAILURES);
    let ends = "SELECT coalesce(sum(lifetime_end_ms), 0)::bigint FROM tag WHERE name LIKE 'v3.%'";
    let before = stage.count(ends);
    assert!(before > 0);
    stage
        .run(&["fix", "--apply", "--immutable-tags-can-expire", "false"])
        .expect_status(1);
    assert_eq!(stage.count(ends), 0);
    // Quay's users delete the policy: its tags are orphans, and the journal knows their expiry.
    stage.sql("DELETE FROM namespaceimmutabilitypolicy");
    stage
        .run(&["fix", "--apply", "--remedy", RELEASE])
        .expect_status(0);
    assert_eq!(stage.count(ends), before);
}

#[test]
fn an_expiry_that_has_passed_is_not_written_unless_asked() {
    let stage = Stage::migrated(super::stage::BOTH_FAILURES);
    stage
        .run(&["fix", "--apply", "--immutable-tags-can-expire", "false"])
        .expect_status(1);
    stage.sql(
        "DELETE FROM namespaceimmutabilitypolicy;
         UPDATE quay_doctor.tag_change SET lifetime_end_ms_before = 1000
         WHERE lifetime_end_ms_before IS NOT NULL;
         UPDATE tag SET name = name WHERE name LIKE 'v3.%'",
    );
    let args = ["fix", "--apply", "--remedy", RELEASE, "--format", "json"];
    let run = stage.run(&args).expect_status(0).json();
    assert_eq!(run["past_expirations_left_out"], 20);
    let alive = "SELECT count(*) FROM tag WHERE name LIKE 'v3.%' AND lifetime_end_ms IS NULL AND NOT immutable";
    assert_eq!(stage.count(alive), 20);

    stage
        .run(&["fix", "undo", &run["run"].to_string()])
        .expect_status(0);
    let mut asked = args.to_vec();
    asked.push("--restore-past-expiry");
    stage.run(&asked).expect_status(0);
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE lifetime_end_ms = 1000"),
        20
    );
}
