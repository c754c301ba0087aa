//! Random registries in memory: the rows that the checker gets, and the database that holds them.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use quay_doctor::evaluate::{
    Account, Act, Activity, Found, Namespace, PolicyRow, Registry, Repository, Source, TagRow,
};
use quay_doctor::quay::{
    AuditEntryId, Expiry, Immutability, ManifestId, NamespaceId, PolicyRowId, PolicyText,
    PolicyUuid, RepositoryId, RepositoryState, Scope, TagId, UnixMillis,
};

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

/// A policy as generated: text, activity, days since its creation, whether it is misplaced.
#[derive(Clone, Debug)]
pub struct Policy {
    pub text: usize,
    pub active: bool,
    pub days: Option<i64>,
    pub misplaced: bool,
}

/// What accounts for a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accounted {
    No,
    Label,
    SetByUser,
    TakenOff,
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

#[derive(Clone, Debug)]
pub struct Repo {
    pub policies: Vec<Policy>,
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug)]
pub struct Space {
    pub source: Option<bool>,
    pub policies: Vec<Policy>,
    pub repos: Vec<Repo>,
}

/// A registry as generated.
#[derive(Clone, Debug)]
pub struct World {
    pub spaces: Vec<Space>,
    pub can_expire: Option<bool>,
}

fn policy() -> impl Strategy<Value = Policy> {
    let days = prop_oneof![Just(None), Just(Some(30)), Just(Some(0))];
    (
        0..TEXTS.len(),
        prop::bool::weighted(0.8),
        days,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(text, active, days, misplaced)| Policy {
            text,
            active,
            days,
            misplaced,
        })
}

fn tag() -> impl Strategy<Value = Tag> {
    let ends = prop_oneof![3 => Just(None), 1 => Just(Some(100)), 1 => Just(Some(-100))];
    let accounted = prop_oneof![
        3 => Just(Accounted::No),
        1 => Just(Accounted::Label),
        1 => Just(Accounted::SetByUser),
        1 => Just(Accounted::TakenOff),
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

pub fn worlds() -> impl Strategy<Value = World> {
    let repo = (
        prop::collection::vec(policy(), 0..3),
        prop::collection::vec(tag(), 0..6),
    )
        .prop_map(|(policies, tags)| Repo { policies, tags });
    let source = prop_oneof![3 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let space = (
        source,
        prop::collection::vec(policy(), 0..3),
        prop::collection::vec(repo, 1..3),
    )
        .prop_map(|(source, policies, repos)| Space {
            source,
            policies,
            repos,
        });
    let flag = prop_oneof![Just(None), Just(Some(true)), Just(Some(false))];
    (prop::collection::vec(space, 1..4), flag)
        .prop_map(|(spaces, can_expire)| World { spaces, can_expire })
}

/// The rows of a world.
pub struct Rows {
    pub registry: Registry,
    pub policies: Vec<PolicyRow>,
    pub tags: Vec<TagRow>,
    pub accounts: HashMap<TagId, Account>,
    pub accounted: HashMap<TagId, Accounted>,
}

/// Ids are given in order, so that a mutation of one fact moves no other row.
pub fn rows(world: &World, now: DateTime<Utc>) -> Rows {
    let mut rows = Rows {
        registry: Registry::default(),
        policies: Vec::new(),
        tags: Vec::new(),
        accounts: HashMap::new(),
        accounted: HashMap::new(),
    };
    let mut repo_id = 100;
    let mut of_spaces = Vec::new();
    let mut next = 1000;
    let elsewhere = NamespaceId(99);
    rows.registry.namespaces.insert(
        elsewhere,
        Namespace {
            name: "elsewhere".into(),
        },
    );
    for (n, space) in world.spaces.iter().enumerate() {
        let id = NamespaceId(n as i32 + 10);
        rows.registry.namespaces.insert(
            id,
            Namespace {
                name: format!("ns{n}"),
            },
        );
        if let Some(mirror) = space.source {
            let source = if mirror {
                Source::Mirror
            } else {
                Source::ProxyCache
            };
            rows.registry.sources.insert(id, source);
        }
        for policy in &space.policies {
            next += 1;
            of_spaces.push(policy_row(policy, next, Scope::Namespace(id), id, now));
        }
        for (r, repo) in space.repos.iter().enumerate() {
            repo_id += 1;
            let repository = RepositoryId(repo_id);
            let about = Repository {
                namespace: Some(id),
                name: format!("r{r}"),
                state: RepositoryState::Normal,
            };
            rows.registry.repositories.insert(repository, about);
            for policy in &repo.policies {
                next += 1;
                let namespace = if policy.misplaced { elsewhere } else { id };
                let scope = Scope::Repository(repository);
                rows.policies
                    .push(policy_row(policy, next, scope, namespace, now));
            }
            for tag in &repo.tags {
                next += 1;
                add_tag(&mut rows, tag, next, repository, now);
            }
        }
    }
    // As they are read: a repository's before a namespace's.
    rows.policies.extend(of_spaces);
    rows
}

fn policy_row(
    policy: &Policy,
    id: i32,
    scope: Scope,
    namespace: NamespaceId,
    now: DateTime<Utc>,
) -> PolicyRow {
    PolicyRow {
        id: PolicyRowId(id),
        uuid: PolicyUuid(format!("p{id}")),
        scope,
        namespace,
        text: PolicyText(TEXTS[policy.text].0.to_owned()),
        activity: if policy.active {
            Activity::Active
        } else {
            Activity::Inactive
        },
        created: policy.days.map(|days| now - TimeDelta::days(days)),
    }
}

fn add_tag(rows: &mut Rows, tag: &Tag, id: i32, repository: RepositoryId, now: DateTime<Utc>) {
    let id = TagId(id);
    let millis = |hours: i64| UnixMillis((now + TimeDelta::hours(hours)).timestamp_millis());
    rows.tags.push(TagRow {
        id,
        repository,
        name: NAMES[tag.name].to_owned(),
        manifest: Some(ManifestId(id.0)),
        start: millis(-1000),
        // No two rows of a name end at the same moment: a constraint of Quay's forbids it.
        expiry: Expiry(
            tag.ends
                .map(|hours| UnixMillis(millis(hours).0 + i64::from(id.0))),
        ),
        immutability: Immutability::from_column(tag.immutable),
        hidden: tag.hidden,
    });
    let act = Act {
        entry: AuditEntryId(1),
        at: now.naive_utc(),
        user: None,
    };
    let found = match tag.accounted {
        Accounted::No => None,
        Accounted::Label => Some(Found::Label),
        Accounted::SetByUser => Some(Found::SetByUser(act)),
        Accounted::TakenOff => Some(Found::TakenOffByAdministrator(act)),
    };
    rows.accounts.insert(id, found.into_iter().collect());
    rows.accounted.insert(id, tag.accounted);
}
