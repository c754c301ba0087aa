//! Operations beside others: of ours, and of everybody else.

use std::thread;
use std::time::{Duration, Instant};

use testkit::moments::{AFTER_COMMIT, BEFORE_ACTIVATION};

use super::faults::{CREATE, MANY, WORKERS};
use super::running::Running;
use super::scene::{Scene, policy};

#[test]
fn one_of_several_equal_creations_at_once_wins_and_the_others_say_so() {
    let scene = Scene::of(MANY);
    let ended: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| scene.policy(&CREATE)))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("an end"))
            .collect()
    });
    let won = ended.iter().filter(|ended| ended.status == 0).count();
    assert_eq!(won, 1, "{ended:#?}");
    assert!(
        ended.iter().all(|ended| [0, 2, 3].contains(&ended.status)),
        "{ended:#?}"
    );
    assert_eq!(
        scene.count("SELECT count(*) FROM namespaceimmutabilitypolicy"),
        1
    );
    assert_eq!(scene.unfinished(), 0);
    scene.check();
}

#[test]
fn different_creations_at_once_in_one_namespace_all_come_through() {
    let scene = Scene::of(MANY);
    let ended: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = ["v1.*", "v2.*", "v.*", "n.*"]
            .map(|pattern| {
                let scene = &scene;
                scope.spawn(move || {
                    scene.create(pattern, &["--strategy", "phased", "--batch-time", "2ms"])
                })
            })
            .into_iter()
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("an end"))
            .collect()
    });
    for ended in ended {
        ended.expect_status(0);
    }
    assert_eq!(
        scene.count("SELECT count(*) FROM tag WHERE NOT immutable"),
        0
    );
    scene.check();
}

#[test]
fn two_recoveries_at_once_never_both_work_on_one_operation() {
    let scene = Scene::of(MANY);
    let before = scene.state();
    scene.killed(BEFORE_ACTIVATION, &policy(&CREATE));
    let ended: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| scene.run(&["recover"])))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("an end"))
            .collect()
    });
    for one in &ended {
        assert!(one.status == 0, "{ended:#?}");
    }
    let taken = ended
        .iter()
        .filter(|one| one.stdout.contains("taken back"))
        .count();
    assert_eq!(taken, 1, "{ended:#?}");
    assert_eq!(scene.state(), before);
    assert_eq!(
        scene.count("SELECT count(*) FROM quay_doctor.tag_change WHERE undone_at IS NULL"),
        0
    );
}

#[test]
fn connections_exhausted_in_the_middle_are_waited_for_within_the_bound() {
    for enough in [true, false] {
        let scene = Scene::of(MANY);
        let role =
            scene.text("SELECT 'c' || oid FROM pg_database WHERE datname = current_database()");
        scene.sql(&format!(
            "CREATE ROLE {role} LOGIN;
             GRANT USAGE ON SCHEMA quay_doctor TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA quay_doctor, public TO {role};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA quay_doctor, public TO {role}"
        ));
        let proxy = scene.proxy();
        let url = proxy.url().replace("postgres@", &format!("{role}@"));
        let hold = AFTER_COMMIT.nth(4).hold(&proxy);
        let mut args = policy(&CREATE);
        args.extend([
            "--database-url",
            &url,
            "--reconnect-for",
            if enough { "1m" } else { "1s" },
        ]);
        let mut run = Running::behind(proxy, crate::program::command(&args));
        run.reach(&hold, AFTER_COMMIT.name());
        scene.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid, 5000) FROM ({WORKERS}) w"));
        hold.release();
        thread::sleep(Duration::from_millis(if enough { 700 } else { 3_000 }));
        scene.sql(&format!("ALTER ROLE {role} CONNECTION LIMIT -1"));
        let ended = run.end().expect_status(if enough { 0 } else { 3 });
        let complaint = ended.stderr;
        if !enough {
            assert!(
                complaint.contains("too many connections for role"),
                "{complaint}"
            );
            scene.bury();
            scene.run(&["recover", "--resume"]).expect_status(0);
        }
        scene.check();
        scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

#[test]
fn a_busy_database_is_waited_for_between_batches() {
    let scene = Scene::of(MANY);
    let mut busy = scene.session();
    thread::scope(|scope| {
        let work = scope.spawn(move || busy.run("SELECT pg_sleep(1.5)").expect("work"));
        scene.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()");
        let begun = Instant::now();
        let mut args = CREATE.to_vec();
        args.extend(["--max-active", "0", "--max-lag", "1h"]);
        scene.policy(&args).expect_status(0);
        assert!(
            begun.elapsed() > Duration::from_millis(1_200),
            "{:?}",
            begun.elapsed()
        );
        work.join().expect("an end");
    });
    scene.check();
}

#[test]
fn every_verb_that_changes_tags_waits_for_a_busy_database_and_rests_when_it_is_told_to() {
    let scene = Scene::of(MANY);
    let matching = scene.count("SELECT count(*) FROM tag WHERE NOT immutable");
    let run_of = "SELECT coalesce(max(id), 0)::text FROM quay_doctor.operation WHERE kind = 'fix'";
    let create = policy(&CREATE);
    let (plenty, release) = (matching.to_string(), "orphaned-immutable-tag=release");
    let fix = [
        "fix",
        "--apply",
        "--max-changes",
        &plenty,
        "--remedy",
        release,
    ];
    scene.run(&create).expect_status(0);
    scene.sql("DELETE FROM namespaceimmutabilitypolicy");
    let busy = ["--max-active", "0", "--nice-ratio", "3", "--format", "json"];
    for verb in ["fix", "undo"] {
        let run = scene.text(run_of);
        let args: Vec<&str> = match verb {
            "fix" => fix.to_vec(),
            _ => vec!["fix", "undo", &run],
        };
        let mut session = scene.session();
        thread::scope(|scope| {
            let work = scope.spawn(move || session.run("SELECT pg_sleep(1.5)").expect("work"));
            scene.wait_for("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()");
            let begun = Instant::now();
            scene.run(&[&args[..], &busy].concat()).expect_status(0);
            let took = begun.elapsed();
            assert!(took > Duration::from_millis(1_200), "{verb} {took:?}");
            work.join().expect("an end");
        });
    }
}

#[test]
fn a_load_limit_that_the_role_could_not_see_exceeded_is_refused() {
    let scene = Scene::small();
    let role = scene.text("SELECT 'l' || oid FROM pg_database WHERE datname = current_database()");
    scene.sql(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA quay_doctor TO {role};
         GRANT ALL ON ALL TABLES IN SCHEMA quay_doctor, public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA quay_doctor, public TO {role}"
    ));
    let url = scene.db.tcp_url().replace("postgres@", &format!("{role}@"));
    let mut args = policy(&CREATE);
    args.extend(["--max-active", "5", "--database-url", &url]);
    let fix = ["fix", "--apply", "--max-lag", "1s", "--database-url", &url];
    let undo = [
        "fix",
        "undo",
        "1",
        "--max-lag",
        "1s",
        "--database-url",
        &url,
    ];
    let ended = [&args[..], &fix, &undo].map(crate::program::run);
    scene.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    for ended in ended {
        let complaint = ended.expect_status(2).stderr;
        assert!(complaint.contains("pg_read_all_stats"), "{complaint}");
    }
}
