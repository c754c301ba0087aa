//! Issue 17, case 15: our own transactions that only read are not waited for.

use quay_doctor::pg::{READS_ONLY, ReadSession};

use crate::policy::scene::{MATCHING, SMALL, Scene};

#[test]
fn a_check_with_an_open_snapshot_does_not_keep_an_operation_from_its_end_and_a_reader_of_quays_does()
 {
    let scene = Scene::of(SMALL);
    let short = ["--settle-timeout", "1s"];
    let mut session =
        ReadSession::open(&scene.db.settings().expect("settings")).expect("a session");
    let mut snapshot = session.snapshot().expect("a snapshot");
    snapshot
        .run("SELECT count(*) FROM namespaceimmutabilitypolicy")
        .expect("a reader");
    let created = scene.create("v.*", &short).expect_status(0).json();
    assert_eq!(created["tags_changed"], MATCHING);
    drop(snapshot);

    // Quay's own transaction is, also where it comes over the backend that was ours.
    let scene = Scene::of(SMALL);
    let mut pooled = scene.session();
    pooled
        .run(&format!(
            "BEGIN; SELECT pg_try_advisory_xact_lock_shared({READS_ONLY}); COMMIT"
        ))
        .expect("our transaction");
    pooled
        .run("BEGIN; SELECT count(*) FROM namespaceimmutabilitypolicy")
        .expect("a reader");
    let ended = scene.create("v.*", &short).expect_status(3);
    assert!(ended.stderr.contains("process"), "{}", ended.stderr);
    pooled.run("COMMIT").expect("the end");
}

#[test]
fn a_real_check_that_stands_in_the_middle_is_not_waited_for() {
    let scene = Scene::of(SMALL);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("slow.toml"), SLOW).expect("a rule");
    let checks = folder.path().display().to_string();
    let run = scene.start(&[], &["check", "--checks", &checks, "--rule", "slow"]);
    scene.wait_for(
        "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
    scene
        .create("v.*", &["--settle-timeout", "1s"])
        .expect_status(0);
    run.end().expect_status(1);
}

/// Reads the policies, and takes its time.
const SLOW: &str = r#"
    id = "slow"
    severity = "warning"
    summary = "s"
    reason = "r"
    subject = "row"
    message = "m"
    [query]
    time-limit = "30s"
    sql = """
    SELECT 'acme' AS namespace, 'shop' AS repository, 'x' AS name, pg_sleep(4)::text AS slept
    FROM namespaceimmutabilitypolicy
    """
"#;
