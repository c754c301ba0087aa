//! How often the program and the server exchange messages, and how much: on a slow line that is what
//! everything takes.

use serde_json::Value;
use testkit::proxy::{FaultProxy, Traffic};

use super::{CREATE, POLICY, RELEASE, STATED, TAGS};
use crate::bench::stage::world;
use crate::line::stage::Stage;
use crate::program::run_on;

/// Statements that a run begins and ends with, and pages of what it reads before its batches.
const AROUND: u64 = 120;

/// Statements of a batch that releases tags, or undoes that. What is read and written of its rows under a lock comes
/// in answers that are small enough for a client that is frozen: ten each of a large batch's 2,000.
const A_BATCH: u64 = 40;

fn stage(immutable: bool) -> Stage {
    Stage::migrated(&world("v{hex}", TAGS, &immutable.to_string()))
}

/// What may go over the line.
struct Most {
    statements: u64,
    bytes_to_server: u64,
    bytes_to_program: u64,
}

/// Runs the program, and looks at what went over the line; what it said.
fn run_within(stage: &Stage, args: &[&str], most: impl FnOnce(&Value) -> Most) -> Value {
    let proxy = FaultProxy::before(&stage.db.tcp_url()).expect("a proxy");
    let all = [args, &["--format", "json"]].concat();
    let said = run_on(&proxy.url(), &all).expect_status(0).json();
    let Traffic {
        ran,
        to_server,
        to_program,
        ..
    } = proxy.traffic();
    let (to_server, to_program) = (to_server / u64::from(TAGS), to_program / u64::from(TAGS));
    let told = format!(
        "{args:?}: {ran} statements, {} batches, {to_server} bytes a tag to the server, {to_program} from it",
        said["batches"]
    );
    eprintln!("{told}");
    let most = most(&said);
    assert!(ran <= most.statements, "{told}");
    assert!(to_server <= most.bytes_to_server, "{told}");
    assert!(to_program <= most.bytes_to_program, "{told}");
    said
}

fn batches(said: &Value) -> u64 {
    said["batches"].as_u64().expect("a number of batches")
}

#[test]
fn a_check_takes_no_exchange_for_a_tag_and_few_bytes() {
    let stage = stage(true);
    stage.sql(POLICY);
    run_within(&stage, &["check"], |_| Most {
        statements: 60,
        bytes_to_server: 1,
        bytes_to_program: 35,
    });
}

#[test]
fn a_batch_of_a_creation_takes_so_many_exchanges_and_no_more() {
    let args = [&CREATE[..], &STATED].concat();
    run_within(&stage(false), &args, |said| Most {
        statements: AROUND + 8 * batches(said),
        bytes_to_server: 15,
        bytes_to_program: 100,
    });
}

#[test]
fn a_batch_of_a_policy_that_is_deleted_and_its_tags_released_takes_no_more_exchanges_than_one_of_a_fix()
 {
    let stage = stage(true);
    stage.sql(POLICY);
    let delete = ["policy", "delete", "one", "--tags", "release", "--no-audit"];
    let args = [&delete[..], &STATED].concat();
    run_within(&stage, &args, |said| Most {
        statements: AROUND + A_BATCH * batches(said),
        bytes_to_server: 330,
        bytes_to_program: 500,
    });
}

#[test]
fn a_batch_of_a_roll_back_takes_no_more_exchanges_than_one_of_an_undo() {
    let stage = stage(false);
    let args = [&CREATE[..], &STATED].concat();
    run_on(&stage.db.tcp_url(), &args).expect_status(0);
    stage.sql("UPDATE quay_doctor.operation SET phase = 'undoing', finished_at = NULL; DELETE FROM namespaceimmutabilitypolicy");
    let args = ["recover", "--batch-time", "10s", "--no-audit"];
    run_within(&stage, &args, |_| Most {
        statements: AROUND + A_BATCH * u64::from(TAGS / 1_000),
        bytes_to_server: 100,
        bytes_to_program: 500,
    });
    assert_eq!(
        stage.count("SELECT count(*) FROM tag WHERE immutable AND NOT hidden"),
        0
    );
}

#[test]
fn a_batch_of_a_release_and_of_its_undo_takes_so_many_exchanges_and_no_more() {
    let stage = stage(true);
    let args = [&RELEASE[..], &STATED].concat();
    let released = run_within(&stage, &args, |said| Most {
        statements: AROUND + A_BATCH * batches(said),
        bytes_to_server: 330,
        bytes_to_program: 500,
    });
    let run = released["run"].to_string();
    let args = [&["fix", "undo", &run, "--audit", "none"][..], &STATED].concat();
    run_within(&stage, &args, |_| Most {
        statements: AROUND + A_BATCH * batches(&released),
        bytes_to_server: 100,
        bytes_to_program: 320,
    });
}
