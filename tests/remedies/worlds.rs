//! Random worlds with everything that a rule complains of, many of them in one database: each is a
//! namespace of its own, and none can tell that the others are there.

use std::fmt::Write as _;

use proptest::prelude::*;

/// One block of tags.
#[derive(Clone, Debug)]
pub struct Block {
    family: usize,
    count: u32,
    immutable: bool,
    life: usize,
    evidence: usize,
}

/// One policy: its text, whether it is active, whether it is in another namespace.
#[derive(Clone, Debug)]
pub struct Policy {
    text: usize,
    active: bool,
    misplaced: bool,
}

#[derive(Clone, Debug)]
pub struct Repository {
    policies: Vec<Policy>,
    blocks: Vec<Block>,
}

/// One world.
#[derive(Clone, Debug)]
pub struct World {
    mirrored: bool,
    policies: Vec<Policy>,
    repositories: Vec<Repository>,
}

const FAMILIES: [&str; 4] = ["v", "w", "release-", "x."];
const LIVES: [&str; 4] = ["live", "live", "expiring", "dead"];
const EVIDENCE: [&str; 5] = ["none", "none", "set-by-user", "taken-off", "label"];
/// Pattern and polarity; patterns come twice, so that policies repeat each other.
const TEXTS: [(&str, bool); 6] = [
    ("v.*", true),
    ("v.*", false),
    ("w.*", true),
    ("(?!v).*", true),
    ("v(", true),
    ("release-.+|x\\\\..*", true),
];

fn policy() -> impl Strategy<Value = Policy> {
    (
        0..TEXTS.len(),
        prop::bool::weighted(0.8),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(text, active, misplaced)| Policy {
            text,
            active,
            misplaced,
        })
}

fn block() -> impl Strategy<Value = Block> {
    (
        0..FAMILIES.len(),
        1..4_u32,
        any::<bool>(),
        0..LIVES.len(),
        0..EVIDENCE.len(),
    )
        .prop_map(|(family, count, immutable, life, evidence)| Block {
            family,
            count,
            immutable,
            life,
            evidence,
        })
}

/// A world.
pub fn world() -> impl Strategy<Value = World> {
    let repository = (
        prop::collection::vec(policy(), 0..2),
        prop::collection::vec(block(), 1..4),
    )
        .prop_map(|(policies, blocks)| Repository { policies, blocks });
    (
        prop::bool::weighted(0.15),
        prop::collection::vec(policy(), 0..3),
        prop::collection::vec(repository, 1..3),
    )
        .prop_map(|(mirrored, policies, repositories)| World {
            mirrored,
            policies,
            repositories,
        })
}

/// Inactive policies have uuids that end like this: a description knows no activity.
pub const INACTIVE: &str = "UPDATE namespaceimmutabilitypolicy SET active = false
        WHERE uuid LIKE '%-000000000001';
    UPDATE repositoryimmutabilitypolicy SET active = false WHERE uuid LIKE '%-000000000001'";

/// The worlds as one description. Tags with evidence have names that begin or end with `e`.
pub fn describe(worlds: &[World]) -> String {
    let mut text = String::from("seed = 1\n[[namespace]]\nname = \"elsewhere\"\n");
    let mut number = 0;
    for (n, world) in worlds.iter().enumerate() {
        let _ = writeln!(text, "[[namespace]]\nname = \"ns{n}\"");
        if world.mirrored {
            text.push_str("source = \"mirror\"\n");
        }
        for policy in &world.policies {
            describe_policy(&mut text, "namespace", policy, &mut number);
        }
        for (r, repository) in world.repositories.iter().enumerate() {
            let _ = writeln!(text, "[[namespace.repository]]\nname = \"r{r}\"");
            for policy in &repository.policies {
                describe_policy(&mut text, "namespace.repository", policy, &mut number);
            }
            for (b, block) in repository.blocks.iter().enumerate() {
                describe_block(&mut text, b, block);
            }
        }
    }
    text
}

fn describe_policy(text: &mut String, path: &str, policy: &Policy, number: &mut u32) {
    *number += 1;
    let (pattern, matches) = TEXTS[policy.text];
    let inactive = u32::from(!policy.active);
    let _ = writeln!(
        text,
        "[[{path}.policy]]\npattern = \"{pattern}\"\nmatches = {matches}\n\
         uuid = \"{number:08x}-0000-4000-8000-{inactive:012}\""
    );
    if policy.misplaced && path.contains("repository") {
        text.push_str("namespace = \"elsewhere\"\n");
    }
}

fn describe_block(text: &mut String, b: usize, block: &Block) {
    let evidence = match EVIDENCE[block.evidence] {
        "taken-off" if block.immutable => "none",
        "set-by-user" | "label" if !block.immutable => "none",
        other => other,
    };
    let marked = if evidence == "none" { "" } else { "e" };
    let family = FAMILIES[block.family];
    let life = LIVES[block.life];
    let _ = writeln!(
        text,
        "[[namespace.repository.tags]]\nname = \"{family}{b}{{n}}{marked}\"\ncount = {}\n\
         immutable = {}\nevidence = \"{evidence}\"\nlife = \"{life}\"",
        block.count, block.immutable
    );
    if life == "expiring" {
        text.push_str("expires_in = \"9d\"\n");
    }
}
