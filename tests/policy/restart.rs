//! A server that goes down in the middle, as if the power had failed.

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::sandbox::{Cluster, StopMode};

use super::scene::{Hold, SMALL, policy, registry_in};
use crate::program;

const CREATE: [&str; 9] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
    "--batch-time",
    "1us",
];

fn count(url: &str, sql: &str) -> i64 {
    let settings = ConnectionSettings::resolve(Some(url)).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .query_one(sql, &[])
        .expect("a row")
        .read(0)
        .expect("a bigint")
}

#[test]
fn a_server_that_is_stopped_at_once_and_comes_back_finds_the_worker_going_on() {
    let mut cluster = Cluster::start().expect("a cluster");
    for (nth, point) in [
        "before-commit:3",
        "after-commit:3",
        "after-activation",
        "between-sweeps",
    ]
    .iter()
    .enumerate()
    {
        let database = format!("quay{nth}");
        registry_in(&cluster, &database, SMALL);
        let url = cluster.url(&database);
        let hold = Hold::at(point);
        let variable = hold.variable();
        let mut args = vec!["--database-url", &url];
        let create = policy(&CREATE);
        args.extend(create);
        let mut command = program::command(&args);
        command
            .env("QUAY_DOCTOR_HOLD_AT", &variable)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        let run = command.spawn().expect("the program starts");
        hold.wait();
        cluster.restart(StopMode::Immediate).expect("a restart");
        hold.release();
        let output = run.wait_with_output().expect("an end");
        assert_eq!(
            output.status.code(),
            Some(0),
            "{point}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(
            count(
                &url,
                "SELECT count(*) FROM quay_doctor.operation WHERE phase <> 'done'"
            ),
            0
        );
        assert_eq!(
            count(
                &url,
                "SELECT count(*) FROM quay_doctor.tag_change WHERE immutable_after"
            ),
            11
        );
        program::run_on(&url, &["check"]).expect_status(0);
    }
}
