//! A pool in transaction or statement mode: every command says that it cannot be used, before it has
//! read, set or changed anything.

use std::process::Command;

use quay_doctor::sandbox::{Program, Programs};
use testkit::skipped;

use super::bouncer::Bouncer;
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::program::run_on;

const UUID: &str = "11111111-1111-4111-8111-111111111111";

/// Each command that connects.
const COMMANDS: [&[&str]; 24] = [
    &["migrate", "status"],
    &["migrate", "plan"],
    &["migrate", "verify"],
    &["migrate", "up"],
    &["migrate", "down", "--to", "0"],
    &["check"],
    &["check", "--readers", "1"],
    &["fix"],
    &["fix", "--apply"],
    &["fix", "--print-sql"],
    &["fix", "undo", "1"],
    &["fix", "prune", "--older-than", "90d", "--apply"],
    &["policy", "list"],
    &[
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "v.*",
    ],
    &[
        "policy",
        "update",
        UUID,
        "--pattern",
        "v1.*",
        "--unmatched-tags",
        "keep",
    ],
    &["policy", "delete", UUID, "--tags", "release"],
    &["policy", "deactivate", UUID, "--yes", "--tags", "keep"],
    &["policy", "activate", UUID],
    &[
        "policy",
        "evaluate",
        "--namespace",
        "acme",
        "--repository",
        "shop",
        "--tag",
        "v1",
    ],
    &["migrate", "hand-over"],
    &["recover", "--list"],
    &["recover"],
    &["history"],
    &["tag", "explain", "acme/shop:v1"],
];

fn refused_by_all(mode: &str) {
    let stage = Stage::of(BOTH_FAILURES);
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), &format!("pool_mode = {mode}")) else {
        return;
    };
    let url = bouncer.url(stage.db.name());
    let before = stage.dump();
    for command in COMMANDS {
        let flags = ["--immutable-tags-can-expire", "false"];
        let ended = run_on(&url, &[command, &flags].concat());
        assert_eq!(ended.status, 2, "{command:?}: {ended:#?}");
        assert!(
            ended
                .stderr
                .contains("gives each transaction another backend")
                && ended.stderr.contains("pool_mode = session"),
            "{command:?}: {ended:#?}"
        );
    }
    assert_eq!(stage.dump(), before);
    let ours = "SELECT count(*) FROM pg_namespace WHERE nspname = 'quay_doctor'";
    assert_eq!(stage.count(ours), 0);
    nothing_was_set(&url);
}

/// What one of our sessions had set would befall whoever gets its backend next.
pub fn nothing_was_set(url: &str) {
    let programs = Programs::find().expect("a server's programs");
    let Ok(psql) = programs.path(Program::Psql) else {
        skipped("there is no psql to look through the pool with");
        return;
    };
    let output = Command::new(psql)
        .args(["-X", "-A", "-t", "-c"])
        .arg(
            "SELECT current_setting('default_transaction_read_only'), \
             current_setting('row_security'), (SELECT count(*) FROM pg_locks \
             WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database \
             WHERE datname = current_database()))",
        )
        .arg(url)
        .output()
        .expect("psql starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "off|on|0", "{output:?}");
}

#[test]
fn every_command_refuses_a_pool_in_transaction_mode_and_changes_nothing() {
    refused_by_all("transaction");
}

#[test]
fn every_command_refuses_a_pool_in_statement_mode_and_changes_nothing() {
    refused_by_all("statement");
}

/// With one backend for everybody both sessions are answered by it.
#[test]
fn a_pool_of_one_backend_is_recognised() {
    let stage = Stage::of(BOTH_FAILURES);
    let settings = "pool_mode = transaction\ndefault_pool_size = 1";
    let Some(bouncer) = Bouncer::before(&stage.db.tcp_url(), settings) else {
        return;
    };
    run_on(&bouncer.url(stage.db.name()), &["check"]).expect_status(2);
}
