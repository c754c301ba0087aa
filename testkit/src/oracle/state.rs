//! What a registry's database holds, as far as immutability is concerned, in plain values.

use std::collections::{BTreeMap, BTreeSet};

use crate::pusher::makes_immutable;
use quay_doctor::pg::{Columns, PgError, Statements};
use quay_doctor::quay::{NamespaceId, PolicyText, RepositoryId, Scope, TagId};
use quay_doctor::sandbox::SandboxError;

/// A tag row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The repository.
    pub repository: RepositoryId,
    /// The name.
    pub name: String,
    /// When it began, in milliseconds since 1970.
    pub start_ms: i64,
    /// When it ends or ended, in the same unit.
    pub end_ms: Option<i64>,
    /// Whether Quay hides it.
    pub hidden: bool,
    /// Whether it is immutable.
    pub immutable: bool,
    /// Whether its manifest is labelled `quay.immutable=true`.
    pub labelled: bool,
    /// Whether the newest act of a user on it set its immutability.
    pub set_by_user: bool,
    /// The expiry that the journal knows of it, where a change of ours stands.
    pub known_end_ms: Option<i64>,
}

impl Tag {
    /// Whether it is alive at a moment.
    pub fn is_alive(&self, at_ms: i64) -> bool {
        !self.hidden && self.end_ms.is_none_or(|end| end > at_ms)
    }
}

/// A policy row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What it governs.
    pub scope: Scope,
    /// Its stored text.
    pub text: PolicyText,
    /// Whether it is active; where there is no such column, it is.
    pub active: bool,
}

/// Everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The server's clock, in milliseconds since 1970.
    pub read_at_ms: i64,
    /// The tags.
    pub tags: BTreeMap<TagId, Tag>,
    /// The policies, by uuid.
    pub policies: BTreeMap<String, Policy>,
    /// The namespace of each repository that has one.
    pub namespaces: BTreeMap<RepositoryId, NamespaceId>,
    /// Policies whose tags are declared to be kept.
    pub kept: Vec<(Scope, PolicyText)>,
    /// Operations that have not ended.
    pub unfinished: i64,
    /// Entries of Quay's audit log.
    pub audit_entries: i64,
}

impl State {
    /// Reads it.
    ///
    /// # Errors
    /// [`SandboxError::Database`] where the server does not answer.
    pub fn read(pg: &mut impl Statements) -> Result<Self, SandboxError> {
        let row = pg.query_one(
            r"
            SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
                to_regclass('quay_doctor.operation') IS NOT NULL,
                (SELECT count(*) FROM logentry3)
            ",
            &[],
        )?;
        let journal: bool = row.read(1)?;
        let mut state = Self {
            read_at_ms: row.read(0)?,
            tags: BTreeMap::new(),
            policies: policies(pg)?,
            namespaces: BTreeMap::new(),
            kept: Vec::new(),
            unfinished: 0,
            audit_entries: row.read(2)?,
        };
        for row in pg.query(
            "SELECT id, namespace_user_id FROM repository WHERE namespace_user_id IS NOT NULL",
            &[],
        )? {
            state
                .namespaces
                .insert(RepositoryId(row.read(0)?), NamespaceId(row.read(1)?));
        }
        let known = if journal { known(pg)? } else { BTreeMap::new() };
        if journal {
            state.kept = kept(pg)?;
            state.unfinished = pg
                .query_one(
                    "SELECT count(*) FROM quay_doctor.operation WHERE finished_at IS NULL",
                    &[],
                )?
                .read(0)?;
        }
        state.tags = tags(pg, &known)?;
        Ok(state)
    }

    /// Whether nothing differs but the moment.
    pub fn is_as(&self, other: &Self) -> bool {
        let mut there = other.clone();
        there.read_at_ms = self.read_at_ms;
        *self == there
    }

    /// Whether a text makes a tag immutable, were it an active policy of its scope.
    pub fn covers(&self, scope: Scope, text: &PolicyText, tag: &Tag) -> bool {
        self.governs(scope, tag.repository) && makes_immutable(text, &tag.name)
    }

    fn governs(&self, scope: Scope, repository: RepositoryId) -> bool {
        match scope {
            Scope::Repository(id) => id == repository,
            Scope::Namespace(id) => self.namespaces.get(&repository) == Some(&id),
        }
    }

    /// What a push of this name is decided to be, by the active policies.
    pub fn decides(&self, repository: RepositoryId, name: &str) -> bool {
        self.policies.values().any(|policy| {
            policy.active
                && self.governs(policy.scope, repository)
                && makes_immutable(&policy.text, name)
        })
    }

    /// Whether a row ended at the very moment at which another of its name began.
    pub fn was_pushed_over(&self, id: TagId) -> bool {
        let Some(tag) = self.tags.get(&id) else {
            return false;
        };
        self.tags.range(id..).skip(1).any(|(_, newer)| {
            newer.repository == tag.repository
                && newer.name == tag.name
                && Some(newer.start_ms) == tag.end_ms
        })
    }

    /// The same state for a clock that has jumped ahead since: everything lies so much further back,
    /// the moment at which it was read too.
    pub fn jumped_ahead(&mut self, by_ms: i64) {
        self.read_at_ms -= by_ms;
        for tag in self.tags.values_mut() {
            for end in [&mut tag.end_ms, &mut tag.known_end_ms] {
                *end = end.map(|end| end - by_ms);
            }
            tag.start_ms -= by_ms;
        }
    }
}

fn policies(pg: &mut impl Statements) -> Result<BTreeMap<String, Policy>, PgError> {
    let mut policies = BTreeMap::new();
    for row in pg.query(
        r"
        SELECT uuid, NULL::int, namespace_id, policy, coalesce((to_jsonb(p) ->> 'active')::bool, true)
        FROM namespaceimmutabilitypolicy p
        UNION ALL
        SELECT uuid, repository_id, namespace_id, policy,
            coalesce((to_jsonb(p) ->> 'active')::bool, true)
        FROM repositoryimmutabilitypolicy p
        ",
        &[],
    )? {
        let repository: Option<i32> = row.read(1)?;
        let scope = match repository {
            Some(id) => Scope::Repository(RepositoryId(id)),
            None => Scope::Namespace(NamespaceId(row.read(2)?)),
        };
        let policy = Policy {
            scope,
            text: PolicyText(row.read(3)?),
            active: row.read(4)?,
        };
        policies.insert(row.read(0)?, policy);
    }
    Ok(policies)
}

/// The expiry before our newest change of each tag, where that made it immutable.
fn known(pg: &mut impl Statements) -> Result<BTreeMap<i32, i64>, PgError> {
    let mut known = BTreeMap::new();
    for row in pg.query(
        r"
        SELECT DISTINCT ON (tag_id) tag_id, lifetime_end_ms_before, immutable_after
        FROM quay_doctor.tag_change
        WHERE undone_at IS NULL
        ORDER BY tag_id, id DESC
        ",
        &[],
    )? {
        if let (Some(end), true) = (row.read::<Option<i64>>(1)?, row.read(2)?) {
            known.insert(row.read(0)?, end);
        }
    }
    Ok(known)
}

fn kept(pg: &mut impl Statements) -> Result<Vec<(Scope, PolicyText)>, PgError> {
    let mut kept = Vec::new();
    for row in pg.query(
        r"
        SELECT scope_kind, scope_id, policy_text
        FROM quay_doctor.kept
        WHERE withdrawn_at IS NULL AND policy_text IS NOT NULL
        ORDER BY id
        ",
        &[],
    )? {
        let id: i32 = row.read(1)?;
        let scope = match row.read::<&str>(0)? {
            "repository" => Scope::Repository(RepositoryId(id)),
            _ => Scope::Namespace(NamespaceId(id)),
        };
        kept.push((scope, PolicyText(row.read(2)?)));
    }
    Ok(kept)
}

fn tags(
    pg: &mut impl Statements,
    known: &BTreeMap<i32, i64>,
) -> Result<BTreeMap<TagId, Tag>, PgError> {
    let mut set = BTreeSet::new();
    for row in pg.query(
        r"
        SELECT DISTINCT ON (e.repository_id, e.metadata_json::jsonb ->> 'tag')
            e.repository_id, e.metadata_json::jsonb ->> 'tag',
            (e.metadata_json::jsonb ->> 'immutable')::bool
        FROM logentry3 e
        JOIN logentrykind k ON k.id = e.kind_id AND k.name = 'change_tag_immutability'
        WHERE e.repository_id IS NOT NULL
            AND NOT e.metadata_json::jsonb ? 'quay_doctor_operation'
        ORDER BY e.repository_id, e.metadata_json::jsonb ->> 'tag', e.datetime DESC, e.id DESC
        ",
        &[],
    )? {
        if let (Some(name), true) = (row.read::<Option<String>>(1)?, row.read(2)?) {
            set.insert((RepositoryId(row.read(0)?), name));
        }
    }
    let mut tags = BTreeMap::new();
    for row in pg.query(
        r"
        SELECT t.id, t.repository_id, t.name, t.lifetime_start_ms, t.lifetime_end_ms, t.hidden,
            t.immutable,
            EXISTS (
                SELECT FROM manifestlabel ml
                JOIN label l ON l.id = ml.label_id
                WHERE ml.manifest_id = t.manifest_id AND l.key = 'quay.immutable'
                    AND lower(trim(l.value)) = 'true'
            )
        FROM tag t
        ",
        &[],
    )? {
        let id: i32 = row.read(0)?;
        let repository = RepositoryId(row.read(1)?);
        let name: String = row.read(2)?;
        let tag = Tag {
            repository,
            start_ms: row.read(3)?,
            end_ms: row.read(4)?,
            hidden: row.read(5)?,
            immutable: row.read(6)?,
            labelled: row.read(7)?,
            set_by_user: set.contains(&(repository, name.clone())),
            known_end_ms: known.get(&id).copied(),
            name,
        };
        tags.insert(TagId(id), tag);
    }
    Ok(tags)
}
