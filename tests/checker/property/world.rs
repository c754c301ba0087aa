//! Random registries as generated: what there is in them, before it has ids.

use proptest::prelude::*;

/// Stored texts, and how Quay decides a tag by them, in plain Rust; none where that is not known.
pub type Decides = fn(&str) -> Option<bool>;
pub const TEXTS: [(&str, Decides); 11] = [
    (r#"{"tag_pattern": "v.*"}"#, |t| Some(t.starts_with('v'))),
    (
        r#"{"tag_pattern": "v.*", "tag_pattern_matches": true}"#,
        |t| Some(t.starts_with('v')),
    ),
    (
        r#"{"tag_pattern": "v.*", "tag_pattern_matches": false}"#,
        |t| Some(!t.starts_with('v')),
    ),
    (r#"{"tag_pattern": "v[0-9]"}"#, |t| {
        Some(t.len() == 2 && t.starts_with('v') && t.ends_with(|c: char| c.is_ascii_digit()))
    }),
    (
        r#"{"tag_pattern": ".*1", "tag_pattern_matches": null}"#,
        |t| Some(t.contains('\n') || !t.ends_with('1')),
    ),
    (r#"{"tag_pattern": "release|nightly"}"#, |t| {
        Some(t == "release" || t == "nightly")
    }),
    (r#"{"tag_pattern": "v("}"#, |_| Some(false)),
    (
        r#"{"tag_pattern": "v(", "tag_pattern_matches": false}"#,
        |_| Some(true),
    ),
    (r#"{"tag_pattern": "(?:v1){e<=1}"}"#, |_| None),
    (r"{}", |_| None),
    (
        r#"{"tag_pattern": "v.*", "tag_pattern_matches": NaN}"#,
        |_| None,
    ),
];
pub const NAMES: [&str; 7] = ["v1", "v2", "v10", "release", "nightly", "x1", "line\nfeed1"];

/// What the journal knows of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Nothing.
    Alone,
    /// An unfinished operation owns it, whose worker lives or does not.
    Owned { live: bool },
    /// It was left inactive on purpose.
    Staged,
}

/// A policy as generated: text, activity, days since its creation, whether it is misplaced, and
/// whether the operator has accepted that it cannot be decided.
#[derive(Clone, Debug)]
pub struct Policy {
    pub text: usize,
    pub active: bool,
    pub days: Option<i64>,
    pub misplaced: bool,
    pub stands: Stands,
    pub accepted: bool,
}

/// What accounts for one tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounted {
    No,
    Label,
    /// Declared to be meant, this very row.
    Kept,
}

/// A tag as generated; `ends` in hours from now.
#[derive(Clone, Debug)]
pub struct Tag {
    pub name: usize,
    pub immutable: bool,
    pub hidden: bool,
    pub ends: Option<i64>,
    pub accounted: Accounted,
}

/// A user's act on whatever is called so, as the audit log has it: set, or taken off.
#[derive(Clone, Debug)]
pub struct UsersAct {
    pub name: usize,
    pub set: bool,
}

#[derive(Clone, Debug)]
pub struct Repo {
    pub policies: Vec<Policy>,
    pub tags: Vec<Tag>,
    /// Oldest first.
    pub acts: Vec<UsersAct>,
}

/// A text that is no policy, over a whole namespace or one of its repositories.
#[derive(Clone, Debug)]
pub struct Text {
    pub text: usize,
    pub repo: Option<prop::sample::Index>,
}

#[derive(Clone, Debug)]
pub struct Space {
    pub source: Option<bool>,
    pub policies: Vec<Policy>,
    pub repos: Vec<Repo>,
    /// Operations on policies that are not there yet, or no longer; whether the worker lives.
    pub operations: Vec<(Text, bool)>,
    /// Deleted policies whose tags were kept.
    pub kept: Vec<Text>,
}

/// A registry as generated.
#[derive(Clone, Debug)]
pub struct World {
    pub spaces: Vec<Space>,
    /// A fix run that has not ended, and whether its worker lives.
    pub fix: Option<bool>,
    pub can_expire: Option<bool>,
}

fn policy() -> impl Strategy<Value = Policy> {
    let days = prop_oneof![Just(None), Just(Some(30)), Just(Some(0))];
    let stands = prop_oneof![
        5 => Just(Stands::Alone),
        1 => any::<bool>().prop_map(|live| Stands::Owned { live }),
        1 => Just(Stands::Staged),
    ];
    let chances = (prop::bool::weighted(0.8), prop::bool::weighted(0.2));
    (
        0..TEXTS.len(),
        days,
        chances,
        stands,
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |(text, days, (active, misplaced), stands, accepted)| Policy {
                text,
                active,
                days,
                misplaced,
                stands,
                accepted,
            },
        )
}

fn tag() -> impl Strategy<Value = Tag> {
    let ends = prop_oneof![3 => Just(None), 1 => Just(Some(100)), 1 => Just(Some(-100))];
    let accounted = prop_oneof![
        5 => Just(Accounted::No),
        1 => Just(Accounted::Label),
        1 => Just(Accounted::Kept),
    ];
    (
        0..NAMES.len(),
        any::<bool>(),
        prop::bool::weighted(0.1),
        ends,
        accounted,
    )
        .prop_map(|(name, immutable, hidden, ends, accounted)| Tag {
            name,
            immutable,
            hidden,
            ends,
            accounted,
        })
}

fn texts(most: usize) -> impl Strategy<Value = Vec<Text>> {
    let repo = prop::option::of(any::<prop::sample::Index>());
    let text = (0..TEXTS.len(), repo).prop_map(|(text, repo)| Text { text, repo });
    // Mostly none: where everything is excused nothing is shown.
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(text, 1..=most)]
}

fn repo() -> impl Strategy<Value = Repo> {
    let act = (0..NAMES.len(), any::<bool>()).prop_map(|(name, set)| UsersAct { name, set });
    (
        prop::collection::vec(policy(), 0..3),
        prop::collection::vec(tag(), 0..6),
        prop::collection::vec(act, 0..3),
    )
        .prop_map(|(policies, tags, acts)| Repo {
            policies,
            tags,
            acts,
        })
}

/// Worlds of one Quay, which lets immutable tags expire or not.
pub fn worlds_of(can_expire: Option<bool>) -> impl Strategy<Value = World> {
    let source = prop_oneof![3 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let operations = texts(2).prop_flat_map(|texts| {
        let lives = prop::collection::vec(any::<bool>(), texts.len());
        lives.prop_map(move |lives| texts.iter().cloned().zip(lives).collect())
    });
    let space = (
        source,
        prop::collection::vec(policy(), 0..3),
        prop::collection::vec(repo(), 1..3),
        operations,
        texts(2),
    )
        .prop_map(|(source, policies, repos, operations, kept)| Space {
            source,
            policies,
            repos,
            operations,
            kept,
        });
    let fix = prop::option::weighted(0.2, any::<bool>());
    (prop::collection::vec(space, 1..4), fix).prop_map(move |(spaces, fix)| World {
        spaces,
        fix,
        can_expire,
    })
}

/// What may be stated about a Quay.
pub fn flags() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![Just(None), Just(Some(true)), Just(Some(false))]
}

pub fn worlds() -> impl Strategy<Value = World> {
    flags().prop_flat_map(worlds_of)
}
