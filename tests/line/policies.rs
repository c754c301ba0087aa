//! Inactive policies: stale, young, owned, staged.

use super::stage::Stage;

const INACTIVE: &str = r#"
    seed = 3
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.policy]]
    pattern = "w.*"
"#;

fn inactive_since(created: &str) -> Stage {
    let stage = Stage::migrated(INACTIVE);
    stage.sql(&format!(
        "UPDATE namespaceimmutabilitypolicy SET active = false, created_date = {created}"
    ));
    stage
}

fn status(stage: &Stage) -> String {
    stage.rule("stale-inactive-policy", &[])["status"]
        .as_str()
        .expect("a status")
        .to_owned()
}

#[test]
fn an_old_inactive_policy_is_stale_and_an_unknown_date_is_old() {
    for created in ["timezone('utc', now()) - interval '2 hours'", "NULL"] {
        let stage = inactive_since(created);
        assert_eq!(status(&stage), "violated", "{created}");
        stage.run(&["check"]).expect_status(1);
    }
}

#[test]
fn a_young_inactive_policy_is_none_of_our_business_yet() {
    let stage = inactive_since("timezone('utc', now())");
    assert_eq!(status(&stage), "held");
    stage
        .run(&["check", "--stale-after", "0s"])
        .expect_status(1);
}

#[test]
fn a_stale_policy_is_deleted_and_comes_back_byte_for_byte() {
    let stage = inactive_since("NULL");
    let before = stage.dump();
    let run = stage
        .run(&["fix", "--apply", "--format", "json"])
        .expect_status(0)
        .json();
    assert_eq!(run["applied"], 1);
    assert_eq!(
        stage.count("SELECT count(*) FROM namespaceimmutabilitypolicy"),
        0
    );
    assert_eq!(status(&stage), "held");
    stage
        .run(&["fix", "undo", &run["run"].to_string()])
        .expect_status(0);
    assert_eq!(stage.dump(), before);
}

#[test]
fn a_policy_that_an_unfinished_operation_owns_is_left_to_recover() {
    let stage = inactive_since("NULL");
    stage.sql(
        "INSERT INTO quay_doctor.operation
             (kind, phase, policy_uuid, fence, worker, actor, tool_version, heartbeat_at)
         SELECT 'create', 'applying', uuid, gen_random_uuid(), 'gone', 'ann', '0',
             now() - interval '1 hour'
         FROM namespaceimmutabilitypolicy",
    );
    assert_eq!(status(&stage), "violated", "its worker is gone");
    let before = stage.dump();
    let run = stage
        .run(&["fix", "--apply", "--format", "json"])
        .expect_status(1)
        .json();
    assert_eq!(
        (&run["applied"], &run["left_to_recover"]),
        (&0.into(), &1.into())
    );
    assert_eq!(stage.dump(), before);

    stage.sql("UPDATE quay_doctor.operation SET heartbeat_at = now() WHERE kind = 'create'");
    assert_eq!(status(&stage), "settling", "its worker lives");
}

#[test]
fn a_policy_that_was_staged_on_purpose_is_not_stale() {
    let stage = inactive_since("NULL");
    stage.sql(
        "INSERT INTO quay_doctor.operation
             (kind, phase, policy_uuid, fence, worker, actor, tool_version, finished_at)
         SELECT 'deactivate', 'done', uuid, gen_random_uuid(), 'w', 'ann', '0', now()
         FROM namespaceimmutabilitypolicy",
    );
    assert_eq!(status(&stage), "held");
}

#[test]
fn an_undo_does_not_put_a_policy_back_over_another() {
    let stage = inactive_since("NULL");
    let run = stage
        .run(&["fix", "--apply", "--format", "json"])
        .expect_status(0)
        .json();
    stage.sql(
        r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
           SELECT policy_change.row_before ->> 'uuid', u.id, '{}'
           FROM quay_doctor.policy_change, "user" u WHERE u.username = 'acme'"#,
    );
    let undone = stage.run(&["fix", "undo", &run["run"].to_string(), "--format", "json"]);
    let undone = undone.expect_status(1).json();
    assert_eq!(
        (&undone["undone"], &undone["refused"]),
        (&0.into(), &1.into())
    );
}
