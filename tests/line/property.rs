//! Random worlds: what was applied is clean, what was undone is as before.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::stage::{RELEASE, Stage};

/// One block of tags: name, how many, immutable, expiring, evidence.
type Block = (usize, usize, bool, bool, usize);
/// One repository: its policy, its blocks.
type Repository = (Option<usize>, Vec<Block>);
/// One namespace: its policy, its repositories.
pub type Namespace = (Option<usize>, Vec<Repository>);

const NAMES: [&str; 4] = ["v{n}", "w{n}", "release-{n}", "x.{n}"];
const PATTERNS: [(&str, bool); 6] = [
    ("v.*", true),
    ("v[0-9]", true),
    ("(?!v).*", true),
    ("w.*", false),
    ("release-.+|x\\\\..*", true),
    (".*1", true),
];
const EVIDENCE: [&str; 4] = ["none", "set-by-user", "taken-off", "label"];

pub fn worlds() -> impl Strategy<Value = Vec<Namespace>> {
    let block = (
        0..NAMES.len(),
        1..6_usize,
        any::<bool>(),
        any::<bool>(),
        0..EVIDENCE.len(),
    );
    let policy = || prop::option::of(0..PATTERNS.len());
    let repository = (policy(), prop::collection::vec(block, 1..4));
    let namespace = (policy(), prop::collection::vec(repository, 1..3));
    prop::collection::vec(namespace, 1..4)
}

pub fn describe(world: &[Namespace]) -> String {
    let mut text = String::from("seed = 1\n");
    let policy = |text: &mut String, path: &str, policy: &Option<usize>| {
        if let Some((pattern, matches)) = policy.map(|index| PATTERNS[index]) {
            let _ = writeln!(
                text,
                "[[{path}.policy]]\npattern = \"{pattern}\"\nmatches = {matches}"
            );
        }
    };
    for (n, (of_namespace, repositories)) in world.iter().enumerate() {
        let _ = writeln!(text, "[[namespace]]\nname = \"ns{n}\"");
        policy(&mut text, "namespace", of_namespace);
        for (r, (of_repository, blocks)) in repositories.iter().enumerate() {
            let _ = writeln!(text, "[[namespace.repository]]\nname = \"r{r}\"");
            policy(&mut text, "namespace.repository", of_repository);
            for (b, (name, count, immutable, expiring, evidence)) in blocks.iter().enumerate() {
                // Of two blocks none may make a tag of the other's name.
                let name = NAMES[*name].replace("{n}", &format!("{b}{{n}}"));
                let evidence = match EVIDENCE[*evidence] {
                    "taken-off" if *immutable => "none",
                    "set-by-user" | "label" if !*immutable => "none",
                    other => other,
                };
                // Immutable tags that expire are another rule's, which fix does not correct yet.
                let life = if *expiring && !*immutable {
                    "life = \"expiring\"\nexpires_in = \"9d\"\n"
                } else {
                    ""
                };
                let _ = writeln!(
                    text,
                    "[[namespace.repository.tags]]\nname = \"{name}\"\ncount = {count}\n\
                     immutable = {immutable}\nevidence = \"{evidence}\"\n{life}"
                );
            }
        }
    }
    text
}

#[test]
fn on_random_worlds_apply_is_clean_again_is_nothing_and_undo_is_the_identity() {
    let cases = crate::scale::cases(24);
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 64,
        ..Config::default()
    });
    runner
        .run(&worlds(), |world| {
            let stage = Stage::migrated(&describe(&world));
            let before = stage.dump();
            let explained = |rule: &str| stage.rule(rule, &[])["explained"].clone();
            let accounts = (
                explained("orphaned-immutable-tag"),
                explained("unprotected-tag"),
            );
            let args = [
                "fix",
                "--apply",
                "--remedy",
                RELEASE,
                "--immutable-tags-can-expire",
                "false",
                "--format",
                "json",
                "--audit",
                "none",
            ];
            let run = stage.run(&args).expect_status(0).json();
            stage.run(&["check"]).expect_status(0);
            prop_assert_eq!(
                (
                    explained("orphaned-immutable-tag"),
                    explained("unprotected-tag")
                ),
                accounts,
                "what is accounted for was left alone"
            );
            let after = stage.dump();
            prop_assert_eq!(
                stage.run(&args).expect_status(0).json()["applied"].clone(),
                0
            );
            prop_assert_eq!(stage.dump(), after);
            stage
                .run(&["fix", "undo", &run["run"].to_string()])
                .expect_status(0);
            prop_assert_eq!(stage.dump(), before);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
