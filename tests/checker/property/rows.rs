//! The rows of generated registries, and the evidence about each tag: by plain look-ups, beside
//! what the checker gathers from a database.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use quay_doctor::evaluate::{
    Account, Act, Activity, Found, Namespace, OperationSubject, PolicyRow, PolicyStanding,
    Registry, Repository, Source, TagRow, WorkerLife,
};
use quay_doctor::quay::{
    AuditEntryId, Expiry, Immutability, ManifestId, NamespaceId, OperationId, PolicyRowId,
    PolicyText, PolicyUuid, RepositoryId, RepositoryState, Scope, TagId, UnixMillis,
};

use super::world::{Accounted, NAMES, Policy, Space, Stands, TEXTS, Tag, Text, World};

/// An unfinished operation.
pub struct Operation {
    pub id: i64,
    /// What it is about, and the text that it applies; none of a fix run.
    pub about: Option<(Scope, usize)>,
    pub policy: Option<PolicyUuid>,
    pub live: bool,
}

/// A user's act, by the id of its entry.
pub struct Entry {
    pub id: i64,
    pub repository: RepositoryId,
    pub name: usize,
    pub set: bool,
    pub at: NaiveDateTime,
}

/// The rows of worlds.
#[derive(Default)]
pub struct Rows {
    pub registry: Registry,
    pub policies: Vec<PolicyRow>,
    pub accepted: HashSet<PolicyUuid>,
    pub staged: HashSet<PolicyUuid>,
    pub operations: Vec<Operation>,
    pub kept: Vec<(Scope, usize)>,
    pub tags: Vec<TagRow>,
    pub accounted: HashMap<TagId, Accounted>,
    /// Oldest first.
    pub entries: Vec<Entry>,
    pub accounts: HashMap<TagId, Account>,
}

/// Where repositories' policies say that they belong, and do not.
const ELSEWHERE: NamespaceId = NamespaceId(9);

/// The rows of one world.
pub fn rows(world: &World, now: DateTime<Utc>) -> Rows {
    rows_of(std::slice::from_ref(world), now)
}

/// The rows of several worlds in one registry, which have nothing to do with each other. Ids are
/// given in order, so that a mutation of one fact moves no other row.
pub fn rows_of(worlds: &[World], now: DateTime<Utc>) -> Rows {
    let mut rows = Rows::default();
    let name = "elsewhere".to_owned();
    rows.registry
        .namespaces
        .insert(ELSEWHERE, Namespace { name });
    let mut of_spaces = Vec::new();
    for (w, world) in (0_i32..).zip(worlds) {
        let mut ids = Ids {
            next: 1_000 * (w + 1),
            now,
        };
        for (n, space) in (0_i32..).zip(&world.spaces) {
            add_space(&mut rows, &mut of_spaces, &mut ids, space, 10 + 10 * w + n);
        }
        if let Some(live) = world.fix {
            let id = i64::from(ids.take());
            rows.operations.push(Operation {
                id,
                about: None,
                policy: None,
                live,
            });
        }
    }
    // As they are read: a repository's before a namespace's.
    rows.policies.extend(of_spaces);
    let accounts = rows.tags.iter().map(|tag| (tag.id, rows.account(tag)));
    rows.accounts = accounts.collect();
    rows
}

struct Ids {
    next: i32,
    now: DateTime<Utc>,
}

impl Ids {
    fn take(&mut self) -> i32 {
        self.next += 1;
        self.next
    }
}

fn add_space(
    rows: &mut Rows,
    of_spaces: &mut Vec<PolicyRow>,
    ids: &mut Ids,
    space: &Space,
    id: i32,
) {
    let namespace = NamespaceId(id);
    let name = format!("ns{id}");
    rows.registry
        .namespaces
        .insert(namespace, Namespace { name });
    if let Some(mirror) = space.source {
        let source = if mirror {
            Source::Mirror
        } else {
            Source::ProxyCache
        };
        rows.registry.sources.insert(namespace, source);
    }
    for policy in &space.policies {
        let scope = Scope::Namespace(namespace);
        of_spaces.push(add_policy(rows, ids, policy, scope, namespace));
    }
    let mut repositories = Vec::new();
    for (r, repo) in (0_i32..).zip(&space.repos) {
        let repository = RepositoryId(10 * id + r);
        repositories.push(repository);
        let about = Repository {
            namespace: Some(namespace),
            name: format!("r{r}"),
            state: RepositoryState::Normal,
        };
        rows.registry.repositories.insert(repository, about);
        for policy in &repo.policies {
            let named = if policy.misplaced {
                ELSEWHERE
            } else {
                namespace
            };
            let row = add_policy(rows, ids, policy, Scope::Repository(repository), named);
            rows.policies.push(row);
        }
        for tag in &repo.tags {
            add_tag(rows, ids, tag, repository);
        }
        for (minutes, act) in (0..).zip(&repo.acts) {
            rows.entries.push(Entry {
                id: i64::from(ids.take()),
                repository,
                name: act.name,
                set: act.set,
                at: ids.now.naive_utc() + TimeDelta::minutes(minutes),
            });
        }
    }
    let scope = |text: &Text| match text.repo {
        Some(index) => Scope::Repository(*index.get(&repositories)),
        None => Scope::Namespace(namespace),
    };
    for (text, live) in &space.operations {
        let id = i64::from(ids.take());
        rows.operations.push(Operation {
            id,
            about: Some((scope(text), text.text)),
            policy: None,
            live: *live,
        });
    }
    let kept = space.kept.iter();
    rows.kept.extend(kept.map(|text| (scope(text), text.text)));
}

fn add_policy(
    rows: &mut Rows,
    ids: &mut Ids,
    policy: &Policy,
    scope: Scope,
    namespace: NamespaceId,
) -> PolicyRow {
    let id = ids.take();
    let uuid = PolicyUuid(format!("p{id}"));
    if policy.accepted {
        rows.accepted.insert(uuid.clone());
    }
    match policy.stands {
        Stands::Alone => {}
        Stands::Staged => drop(rows.staged.insert(uuid.clone())),
        Stands::Owned { live } => {
            let id = i64::from(ids.take());
            rows.operations.push(Operation {
                id,
                about: Some((scope, policy.text)),
                policy: Some(uuid.clone()),
                live,
            });
        }
    }
    PolicyRow {
        id: PolicyRowId(id),
        uuid,
        scope,
        namespace,
        text: PolicyText(TEXTS[policy.text].0.to_owned()),
        activity: if policy.active {
            Activity::Active
        } else {
            Activity::Inactive
        },
        created: policy.days.map(|days| ids.now - TimeDelta::days(days)),
    }
}

fn add_tag(rows: &mut Rows, ids: &mut Ids, tag: &Tag, repository: RepositoryId) {
    let id = TagId(ids.take());
    let now = ids.now;
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
    rows.accounted.insert(id, tag.accounted);
}

impl Rows {
    /// Whether a scope holds a tag.
    fn holds(&self, scope: Scope, tag: &TagRow) -> bool {
        match scope {
            Scope::Repository(id) => id == tag.repository,
            Scope::Namespace(id) => self.registry.namespace_of(tag.repository) == Some(id),
        }
    }

    /// Whether a text of a scope surely makes a tag immutable.
    fn covers(&self, (scope, text): (Scope, usize), tag: &TagRow) -> bool {
        self.holds(scope, tag) && TEXTS[text].1(&tag.name) == Some(true)
    }

    /// Everything that accounts for a tag.
    fn account(&self, tag: &TagRow) -> Account {
        let mut account = Account::new();
        if self.accounted[&tag.id] == Accounted::Label {
            account.push(Found::Label);
        }
        let about =
            |entry: &&Entry| entry.repository == tag.repository && NAMES[entry.name] == tag.name;
        if let Some(entry) = self.entries.iter().rev().find(about) {
            let act = Act {
                entry: AuditEntryId(entry.id),
                at: entry.at,
                user: None,
            };
            account.push(if entry.set {
                Found::SetByUser(act)
            } else {
                Found::TakenOffByAdministrator(act)
            });
        }
        if self.accounted[&tag.id] == Accounted::Kept
            || self.kept.iter().any(|text| self.covers(*text, tag))
        {
            account.push(Found::Kept {
                actor: "somebody".to_owned(),
                reason: None,
            });
        }
        let live = self.operations.iter().filter(|operation| operation.live);
        let mut live = live.filter_map(|o| Some((o.id, o.about?)));
        if let Some((id, _)) = live.find(|(_, about)| self.covers(*about, tag)) {
            account.push(Found::LiveOperation {
                operation: OperationId(id),
            });
        }
        account
    }

    /// What the journal knows of a policy.
    pub fn standing(&self, row: &PolicyRow) -> PolicyStanding {
        let mut owners = self.operations.iter();
        let owner = owners.find(|operation| operation.policy.as_ref() == Some(&row.uuid));
        PolicyStanding {
            owner: owner.map(|owner| (OperationId(owner.id), life(owner.live))),
            staged: self.staged.contains(&row.uuid),
        }
    }

    /// The operations, as they are judged.
    pub fn operation_subjects(&self, now: DateTime<Utc>) -> Vec<OperationSubject> {
        let subject = |operation: &Operation| OperationSubject {
            id: OperationId(operation.id),
            kind: operation.about.map_or("fix", |_| "create"),
            phase: "applying",
            life: life(operation.live),
            worker: "somebody".to_owned(),
            started: now,
            namespace: String::new(),
            repository: None,
        };
        self.operations.iter().map(subject).collect()
    }
}

fn life(live: bool) -> WorkerLife {
    if live {
        WorkerLife::Alive
    } else {
        WorkerLife::Gone
    }
}
