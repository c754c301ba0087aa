//! Rules 8 and 9: what is taken back, and what is left alone.

use testkit::moments::{AFTER_BEGIN, BEFORE_ACTIVATION};

use super::{CREATE, held, immutable, immutable_in, insert, log_push, take_off};
use crate::mutant::rule;
use crate::policy::scene::{Scene, policy};

#[test]
fn rule_8_what_an_unaware_quay_pushed_under_the_pending_policy_is_released_only_where_that_is_certain()
 {
    for (stated, logged, released) in [
        (Some("false"), true, true),
        (Some("false"), false, false),
        (None, true, false),
    ] {
        let scene = Scene::small();
        let (_hold, run) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        let mut quay = scene.session();
        insert(&mut quay, "shop", "v99", true);
        // Old by its clock, new by its id: times lie.
        quay.run("UPDATE tag SET lifetime_start_ms = 1000 WHERE name = 'v99'")
            .expect("a clock");
        if logged {
            log_push(&mut quay, "v99");
        }
        run.kill();
        scene.bury();
        let mut args = vec!["recover"];
        if let Some(stated) = stated {
            args.extend(["--quay-knows-active", stated]);
        }
        let ended = scene.run(&args).expect_status(if released { 0 } else { 3 });
        assert_eq!(immutable(&scene, "v99"), !released, "{stated:?} {logged}");
        assert_eq!(ended.stdout.contains("v99"), !released, "{}", ended.stdout);
        assert_eq!(scene.unfinished(), 0, "the rest was rolled back");
    }
}

#[test]
fn rule_8_a_roll_back_looks_at_what_was_pushed_since_the_beginning() {
    rule("pushed-since", |on| {
        let scene = Scene::small();
        let (_hold, run) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        let mut quay = scene.session();
        insert(&mut quay, "shop", "v99", true);
        log_push(&mut quay, "v99");
        run.kill();
        scene.bury();
        scene
            .run(&["recover", "--quay-knows-active", "false"])
            .expect_status(0);
        assert_eq!(immutable(&scene, "v99"), !on, "an orphan without it");
    });
}

#[test]
fn rule_9_undo_leaves_a_tag_alone_that_somebody_has_changed_since() {
    rule("as-we-left-it", |on| {
        let scene = Scene::small();
        scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
        // An administrator took one off, and meant it to stay for ever.
        scene.sql("UPDATE tag SET immutable = false WHERE name = 'v2.1'");
        // Without the rule it is written, and told as one that has lost its expiration by us.
        let status = if on { 0 } else { 1 };
        scene.run(&["recover"]).expect_status(status);
        let expires =
            "SELECT count(*) FROM tag WHERE name = 'v2.1' AND lifetime_end_ms IS NOT NULL";
        assert_eq!(scene.count(expires), 0);
        assert_eq!(scene.count("SELECT count(*) FROM tag WHERE name = 'v2.2' AND lifetime_end_ms IS NOT NULL AND NOT immutable"), 1);
    });
}

#[test]
fn rule_9_undo_leaves_a_tag_to_the_operation_that_marked_it_last() {
    rule("newest-only", |on| {
        let scene = Scene::small();
        scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
        // An administrator takes one off; then another creation marks it.
        take_off(&scene, "shop", "v1.2");
        let mut other = CREATE;
        other[4] = "v1.2";
        let (hold, run) = held(&scene, BEFORE_ACTIVATION, &other);
        scene.run(&["recover", "1"]).expect_status(0);
        hold.release();
        run.end().expect_status(0);
        assert_eq!(immutable_in(&scene, "shop", "v1.2"), on);
    });
}

#[test]
fn rule_9_what_an_administrator_had_exempted_from_another_policy_is_exempt_again() {
    rule("exempted", |on| {
        for (meanwhile, exempt) in [
            ("", true),
            // A policy that came meanwhile covers the tag, and found it immutable.
            ("INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
              SELECT gen_random_uuid(), id, '{\"tag_pattern\": \"v1.2\", \"tag_pattern_matches\": true}'
              FROM \"user\" WHERE username = 'acme'", false),
            // One that was there covers it only now, as Quay's log says.
            ("INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
              SELECT k.id, u.id, timezone('utc', now()), '{}' FROM logentrykind k, \"user\" u
              WHERE k.name = 'update_immutability_policy' AND u.username = 'acme'", false),
        ] {
            let scene = Scene::small();
            scene.sql(
                "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy, created_date)
                 SELECT gen_random_uuid(), id, '{\"tag_pattern\": \"v1.*\", \"tag_pattern_matches\": true}',
                     timezone('utc', now()) - interval '1 hour'
                 FROM \"user\" WHERE username = 'acme'",
            );
            take_off(&scene, "shop", "v1.2");
            scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
            assert!(immutable_in(&scene, "shop", "v1.2"), "marked by the creation");
            if !meanwhile.is_empty() {
                scene.sql(meanwhile);
            }
            scene.run(&["recover"]).expect_status(0);
            assert_eq!(immutable_in(&scene, "shop", "v1.2"), !(exempt && on), "{meanwhile}");
        }
    });
}

#[test]
fn rule_9_an_expiry_that_has_passed_is_not_written_back_unless_asked() {
    for asked in [false, true] {
        let scene = Scene::small();
        scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
        scene.sql("UPDATE quay_doctor.tag_change SET lifetime_end_ms_before = 1000 WHERE tag_id = (SELECT id FROM tag WHERE name = 'v2.1'); UPDATE tag SET name = name WHERE name = 'v2.1'");
        let mut args = vec!["recover"];
        if asked {
            args.push("--restore-past-expiry");
        }
        let ended = scene.run(&args).expect_status(0);
        assert_eq!(
            scene.text("SELECT concat_ws(' ', immutable, coalesce(lifetime_end_ms, 0)) FROM tag WHERE name = 'v2.1'"),
            if asked { "f 1000" } else { "f 0" }
        );
        assert_eq!(
            ended
                .stdout
                .contains("1 tags had an expiry that has passed"),
            !asked,
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn rule_9_a_before_image_belongs_to_the_tag_whichever_operation_wrote_it() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let uuid = |pattern: &str| {
        scene.create(pattern, &[]).expect_status(0).json()["policy"]
            .as_str()
            .expect("a uuid")
            .to_owned()
    };
    // The first clears the expiry, the second finds none; the first goes, the second holds the tag.
    let first = uuid("v.*");
    let second = uuid("v2.*");
    scene
        .policy(&["delete", &first, "--tags", "release"])
        .expect_status(0);
    assert_eq!(scene.count("SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id WHERE t.immutable AND t.name LIKE 'v2%' AND r.name = 'shop'"), 2);
    scene
        .policy(&["delete", &second, "--tags", "release"])
        .expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
}

#[test]
fn rule_9_two_operations_on_the_same_tags_leave_no_orphan_whichever_is_undone() {
    for order in [["1", "2"], ["2", "1"]] {
        let scene = Scene::small();
        let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
        // Both are at work at once; the second finds immutable what the first has marked.
        let (first, one) = held(&scene, BEFORE_ACTIVATION, &CREATE);
        let args = [
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v[12].*",
            "--strategy",
            "phased",
        ];
        let (second, two) = held(&scene, BEFORE_ACTIVATION, &args);
        let mut runs = [(first, Some(one)), (second, Some(two))];
        for id in order {
            // One is killed and taken back while the other still holds its lock.
            let index: usize = id.parse::<usize>().expect("a number") - 1;
            let run = runs[index].1.take().expect("running");
            run.kill();
            scene.sql(
                "UPDATE quay_doctor.operation SET heartbeat_at = heartbeat_at - interval '40 s'",
            );
            scene.run(&["recover", id]).expect_status(0);
        }
        assert_eq!(
            scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
            tags,
            "{order:?}"
        );
    }
}

#[test]
fn rule_9_two_deletions_at_once_do_not_take_each_other_for_a_reason_to_keep() {
    let scene = Scene::small();
    let tags = scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t");
    let uuid = |pattern: &str| {
        scene.create(pattern, &[]).expect_status(0).json()["policy"]
            .as_str()
            .expect("a uuid")
            .to_owned()
    };
    let (first, second) = (uuid("v.*"), uuid("v2.*"));
    let (hold, run) = held(
        &scene,
        AFTER_BEGIN,
        &["delete", &first, "--tags", "release"],
    );
    scene
        .policy(&["delete", &second, "--tags", "release"])
        .expect_status(0);
    hold.release();
    run.end().expect_status(0);
    assert_eq!(
        scene.text("SELECT string_agg(t::text, ' ' ORDER BY id) FROM tag t"),
        tags
    );
}

#[test]
fn rule_9_an_older_declaration_is_no_reason_to_leave_a_roll_back_half_done() {
    let scene = Scene::small();
    scene
        .policy(&["delete", crate::policy::scene::GLOBEX, "--tags", "keep"])
        .expect_status(0);
    // Pushed since: the declaration's text covers it, the declaration did not mean it.
    let mut pusher = scene.session();
    insert(&mut pusher, "portal", "v50", false);
    scene.sql("UPDATE tag SET lifetime_end_ms = 4000000000000 WHERE name = 'v50'");
    let before = scene.state();
    let create = [
        "create",
        "--namespace",
        "globex",
        "--pattern",
        "v.*",
        "--strategy",
        "phased",
    ];
    scene.killed(BEFORE_ACTIVATION, &policy(&create));
    assert!(immutable(&scene, "v50"));
    scene.run(&["recover"]).expect_status(0);
    assert_eq!(scene.state(), before);
}
