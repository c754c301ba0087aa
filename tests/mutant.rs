//! Tests that show what goes wrong without a rule of the protocol: they run on a program from which it was
//! taken away, where one is named.

/// The rule that the program under test lacks, as `QUAY_DOCTOR_MUTANT` names it; several stand in one
/// name, with commas between them.
fn lacks() -> Option<String> {
    std::env::var("QUAY_DOCTOR_MUTANT").ok()
}

/// Whether the program under test has this rule.
pub fn has(rule: &str) -> bool {
    lacks().is_none_or(|lacks| lacks != rule)
}

/// Runs a test, which is told whether the rule is there: if not, it asserts that the fault shows.
pub fn rule(name: &str, test: impl FnOnce(bool)) {
    test(has(name));
}
