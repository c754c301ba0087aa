//! Instructions that the program carries out for a tag, counted by callgrind where that is installed.
//!
//! The program is the one of the tests, which is not optimised: a bound says nothing of seconds, and
//! tells a change that makes each tag dearer from one that does not.

use std::process::Command;

use testkit::skipped;

use super::{CREATE, POLICY, RELEASE, STATED};
use crate::bench::stage::world;
use crate::line::stage::Stage;
use crate::program;

const FEW: u32 = 500;
const MANY: u32 = 2_000;

/// Nothing counts instructions but valgrind.
fn is_there() -> bool {
    let there = Command::new("valgrind").arg("--version").output().is_ok();
    if !there {
        skipped("valgrind is not installed");
    }
    there
}

/// Instructions of one run.
fn instructions(stage: &Stage, args: &[&str], status: i32) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program::command(&[]).get_program())
        .args(["--database-url", &stage.db.url(), "--quiet"])
        .args(args)
        .env_clear()
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let (_, count) = collected.unwrap_or_else(|| panic!("no sum: {said}"));
    count.trim().parse().expect("a number")
}

/// What one tag more takes, so that the beginning and the end of a run do not count.
#[track_caller]
fn a_tag_takes_at_most(most: u64, args: &[&str], status: i32, (immutable, policies): (bool, &str)) {
    let [few, many] = [FEW, MANY].map(|tags| {
        let stage = Stage::migrated(&world("v{hex}", tags, &immutable.to_string()));
        stage.sql(policies);
        instructions(&stage, args, status)
    });
    let each = many.saturating_sub(few) / u64::from(MANY - FEW);
    eprintln!("{args:?}: {few} and {many} instructions, {each} for a tag");
    assert!(each <= most, "{each} instructions for a tag, not {most}");
}

const NO_POLICIES: &str = "";

#[test]
fn a_tag_takes_so_many_instructions_of_a_check_and_no_more() {
    if !is_there() {
        return;
    }
    a_tag_takes_at_most(13_000, &["check"], 0, (true, POLICY));
    a_tag_takes_at_most(165_000, &["check"], 1, (true, NO_POLICIES));
}

#[test]
fn a_tag_takes_so_many_instructions_of_a_creation_and_no_more() {
    if !is_there() {
        return;
    }
    let create = [&CREATE[..], &STATED].concat();
    // Of which some 6,000 because the driver is not optimised in the profile of tests.
    a_tag_takes_at_most(43_000, &create, 0, (false, NO_POLICIES));
}

#[test]
fn a_tag_takes_so_many_instructions_of_a_release_and_no_more() {
    if !is_there() {
        return;
    }
    let release = [&RELEASE[..], &STATED].concat();
    a_tag_takes_at_most(330_000, &release, 0, (true, NO_POLICIES));
}
