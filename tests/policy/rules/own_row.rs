//! Rule 3: our own policy row, and what somebody else does to it meanwhile.

use testkit::moments::{AFTER_COMMIT, BEFORE_ACTIVATION, BEFORE_RELEASE, BETWEEN_SWEEPS};

use super::{CREATE, held, immutable};
use crate::mutant::rule;
use crate::policy::scene::{Scene, policy};

#[test]
fn rule_3_a_policy_deleted_by_its_owner_takes_its_tags_along_also_after_activation() {
    rule("own-row", |on| {
        let scene = Scene::small();
        let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
        let (hold, run) = held(&scene, BETWEEN_SWEEPS, &CREATE);
        scene.sql("DELETE FROM namespaceimmutabilitypolicy WHERE policy LIKE '%v.*%' AND uuid NOT LIKE '1111%'");
        hold.release();
        let ended = run.end();
        assert_eq!(ended.status, if on { 3 } else { 0 }, "{ended:?}");
        assert_eq!(
            scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t") == tags,
            on
        );
        assert_eq!(scene.unfinished(), 0);
    });
}

#[test]
fn rule_3_a_policy_deleted_while_it_is_applied_is_taken_back() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let (hold, run) = held(&scene, AFTER_COMMIT.nth(2), &CREATE);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy WHERE NOT active");
    hold.release();
    let ended = run.end().expect_status(3);
    assert!(
        ended.stderr.contains("deleted by somebody else"),
        "{}",
        ended.stderr
    );
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
    assert_eq!(scene.unfinished(), 0);
}

#[test]
fn rule_3_a_policy_changed_while_it_is_applied_stops_the_work_and_the_difference_is_named() {
    let scene = Scene::small();
    let (hold, run) = held(&scene, AFTER_COMMIT.nth(2), &CREATE);
    let changed = scene.count("SELECT count(*) FROM quay_doctor.tag_change");
    scene.sql("UPDATE namespaceimmutabilitypolicy SET policy = replace(policy, 'v.*', 'w.*') WHERE NOT active");
    hold.release();
    let ended = run.end().expect_status(3);
    assert!(ended.stderr.contains("w.*"), "{}", ended.stderr);
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change"),
        changed,
        "nothing further"
    );
    // Put back, and recovered.
    scene.sql("UPDATE namespaceimmutabilitypolicy SET policy = replace(policy, 'w.*', 'v.*') WHERE NOT active");
    scene.bury();
    scene.run(&["recover", "--resume"]).expect_status(0);
    scene.check();
}

#[test]
fn rule_13_a_policy_that_an_operation_is_at_work_on_is_refused_to_others() {
    rule("owned", |on| {
        let scene = Scene::small();
        let (hold, run) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        let uuid = scene.text("SELECT uuid FROM namespaceimmutabilitypolicy WHERE NOT active");
        let delete = policy(&["delete", &uuid, "--tags", "keep"]);
        let ended = scene.run(&delete);
        assert_eq!(ended.status, if on { 2 } else { 0 }, "{ended:?}");
        hold.release();
        // Else it is rolled back, and the deletion has kept tags that never were under a policy.
        let ended = run.end();
        assert_eq!(ended.status, if on { 0 } else { 3 }, "{ended:?}");
        assert_eq!(
            scene.count("SELECT count(*) FROM quay_doctor.kept"),
            i64::from(!on)
        );
    });
}

#[test]
fn rule_3_an_updated_policy_that_is_deleted_while_it_releases_leaves_no_half_of_a_release() {
    rule("release-to-the-end", |on| {
        let scene = Scene::small();
        let args = [
            "update",
            crate::policy::scene::GLOBEX,
            "--pattern",
            "(latest|v1.*)",
            "--unmatched-tags",
            "release",
        ];
        let (hold, run) = held(&scene, BEFORE_RELEASE.nth(2), &args);
        // In the middle of releasing: two of three are done.
        let mut other = scene.session();
        other
            .run("BEGIN; SELECT FROM tag WHERE name = 'v5.3' FOR UPDATE")
            .expect("a lock");
        hold.release();
        scene.wait_for("SELECT count(*) FROM quay_doctor.tag_change WHERE NOT immutable_after");
        scene.sql("DELETE FROM namespaceimmutabilitypolicy");
        other.run("ROLLBACK").expect("the end");
        run.end().expect_status(3);
        scene.bury();
        scene.run(&["recover"]).expect_status(0);
        // What it covered before is released; what it was to cover goes with the policy.
        for name in ["v5.1", "v5.2"] {
            assert!(!immutable(&scene, name), "{name}");
        }
        assert_eq!(immutable(&scene, "v5.3"), !on);
        assert!(!immutable(&scene, "latest"));
        assert_eq!(scene.unfinished(), 0);
    });
}

#[test]
fn rule_3_a_deactivated_policy_that_is_deleted_meanwhile_is_released_all_the_same() {
    let scene = Scene::small();
    let args = [
        "deactivate",
        crate::policy::scene::GLOBEX,
        "--yes",
        "--tags",
        "release",
    ];
    let (hold, run) = held(&scene, BEFORE_RELEASE, &args);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy");
    hold.release();
    run.end().expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND r.name IN ('portal', 'site')"), 0);
}
