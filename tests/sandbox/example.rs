//! The example that a property test of another project starts from, run as its first lines say.

use std::fs;
use std::process::Command;

use crate::documents::commands::root;

#[test]
fn the_example_of_a_fault_property_gets_through_to_a_run_that_nothing_cuts() {
    let source = fs::read_to_string(root().join("examples/fault_property.rs")).expect("an example");
    let line = source
        .lines()
        .find_map(|line| line.strip_prefix("//! cargo "))
        .expect("how to run it");
    let mut cargo = Command::new(env!("CARGO"));
    // What a test is told of its package would make build scripts run again, here and after.
    for (name, _) in std::env::vars_os() {
        let told = name.to_string_lossy();
        let ours = ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"];
        if ours.iter().any(|ours| told.starts_with(ours)) {
            cargo.env_remove(&name);
        }
    }
    let output = cargo
        .args(line.split(' '))
        // What the other tests are built with: nothing is compiled twice.
        .args(["--profile", "test", "--quiet", "--locked", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let last = said.lines().last().expect("a last word");
    let cuts = last
        .strip_prefix("Cut at each of ")
        .and_then(|rest| rest.strip_suffix(" statements, and whole after each."))
        .unwrap_or_else(|| panic!("{said}"));
    // Where the proxy cut nothing, the property would hold of anything.
    assert!(cuts.parse::<u64>().expect("a number") > 30, "{said}");
}
