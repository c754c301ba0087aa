//! The registry that a campaign runs on: one database, filled anew for each schedule.

use std::collections::BTreeMap;
use std::sync::RwLock;

use proptest::prelude::*;
use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::quay::{NamespaceId, Polarity, PolicyText, RepositoryId, Scope, StoredPolicy};
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{SandboxError, fixture};
use testkit::oracle::State;
use testkit::pusher::makes_immutable;

use crate::program::run_on;

/// acme's repositories, each with a labelled manifest.
const BASE: &str = r#"
    seed = 41
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "app-{n}"
    count = 5
    [[namespace.repository.tags]]
    name = "labelled"
    immutable = true
    evidence = "label"
    [[namespace]]
    name = "globex"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "labelled"
    immutable = true
    evidence = "label"
"#;

/// How many repositories acme has.
pub const REPOSITORIES: usize = 5;

/// Names that tags have, and that pushers push.
pub const NAMES: [&str; 10] = [
    "v1", "v2", "v3", "v4", "v5", "w1", "w2", "w3", "x1", "latest",
];

/// When the policies of a world were made.
const LONG_AGO: &str = "timezone('utc', now()) - interval '1 day'";

/// Patterns that policies have.
pub const PATTERNS: [&str; 6] = ["v.*", "w.*", "[vw][12]", "v[1-3]", ".*", "(v|x).*"];

const DAY_MS: i64 = 86_400_000;

/// The text of a policy with this pattern, as Quay stores it.
pub fn text(pattern: &str) -> PolicyText {
    StoredPolicy {
        pattern: pattern.to_owned(),
        polarity: Polarity::Matching,
    }
    .to_text()
}

/// How long a tag lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// No end.
    Live,
    /// It ends in so many days.
    Expires(i64),
    /// It ended so many days ago.
    Dead(i64),
}

/// Why a tag is immutable beforehand, where no policy makes it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// It is not.
    Nothing,
    /// A user set it.
    User,
    /// Its manifest's label.
    Label,
}

/// A tag.
#[derive(Clone, Debug)]
pub struct TagSpec {
    pub repository: usize,
    pub name: usize,
    pub life: Life,
    pub own: Own,
}

/// A policy that is there beforehand.
#[derive(Clone, Debug)]
pub struct PolicySpec {
    /// A repository's, or the namespace's.
    pub repository: Option<usize>,
    pub pattern: usize,
    pub active: bool,
}

/// A registry.
#[derive(Clone, Debug)]
pub struct WorldSpec {
    pub tags: Vec<TagSpec>,
    pub policies: Vec<PolicySpec>,
}

pub fn worlds() -> impl Strategy<Value = WorldSpec> {
    let life = prop_oneof![
        5 => Just(Life::Live),
        4 => (2_i64..60).prop_map(Life::Expires),
        1 => (1_i64..9).prop_map(Life::Dead),
    ];
    let own = prop_oneof![8 => Just(Own::Nothing), 1 => Just(Own::User), 1 => Just(Own::Label)];
    let tag =
        (0..REPOSITORIES, 0..NAMES.len(), life, own).prop_map(|(repository, name, life, own)| {
            TagSpec {
                repository,
                name,
                life,
                own,
            }
        });
    let policy = (
        prop::option::of(0..REPOSITORIES),
        0..PATTERNS.len(),
        Just(true),
    )
        .prop_map(|(repository, pattern, active)| PolicySpec {
            repository,
            pattern,
            active,
        });
    (
        prop::collection::vec(tag, 8..36),
        prop::collection::vec(policy, 0..2),
    )
        .prop_map(|(tags, policies)| WorldSpec { tags, policies })
}

/// A database under a campaign, on whichever server.
pub struct Arena {
    /// By TCP, as the superuser; another after a failover.
    url: RwLock<String>,
    pub role: String,
    pub repositories: Vec<RepositoryId>,
    pub namespace: NamespaceId,
    manifests: BTreeMap<RepositoryId, i32>,
}

impl Arena {
    /// Fills an empty database, reached by TCP as the superuser.
    pub fn prepare(tcp_url: &str, empty: bool) -> Result<Self, SandboxError> {
        let mut session = open(tcp_url)?;
        if empty {
            fixture::load_schema(&mut session)?;
        }
        World::parse(BASE)?.seed(&mut session, chrono::Utc::now())?;
        run_on(tcp_url, &["migrate", "up"]).expect_status(0);
        let role: String = session
            .query_one(
                "SELECT 'c' || oid FROM pg_database WHERE datname = current_database()",
                &[],
            )?
            .read(0)?;
        session.run(&format!(
            "CREATE ROLE {role} LOGIN;
             GRANT USAGE ON SCHEMA quay_doctor TO {role};
             GRANT ALL ON ALL TABLES IN SCHEMA quay_doctor, public TO {role};
             GRANT ALL ON ALL SEQUENCES IN SCHEMA quay_doctor, public TO {role};
             DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''30ms''',
                 current_database()); END $$"
        ))?;
        let mut repositories = Vec::new();
        let mut manifests = BTreeMap::new();
        let mut namespace = NamespaceId(0);
        for row in session.query(
            r#"
            SELECT r.id, r.namespace_user_id, t.manifest_id, u.username
            FROM repository r
            JOIN "user" u ON u.id = r.namespace_user_id
            JOIN tag t ON t.repository_id = r.id
            ORDER BY r.id
            "#,
            &[],
        )? {
            let id = RepositoryId(row.read(0)?);
            manifests.insert(id, row.read(2)?);
            if row.read::<&str>(3)? == "acme" {
                repositories.push(id);
                namespace = NamespaceId(row.read(1)?);
            }
        }
        Ok(Self {
            url: RwLock::new(tcp_url.to_owned()),
            role,
            repositories,
            namespace,
            manifests,
        })
    }

    /// The same database on another server: its standby, once it is promoted.
    pub fn lead_to(&self, tcp_url: &str) {
        tcp_url.clone_into(&mut self.url.write().expect("no panic while it is held"));
    }

    /// The URL as the superuser.
    pub fn url(&self) -> String {
        self.url.read().expect("no panic while it is held").clone()
    }

    /// The URL as the role that operations run as.
    pub fn role_url(&self) -> String {
        self.url().replace("postgres@", &format!("{}@", self.role))
    }

    pub fn session(&self) -> WriteSession {
        open(&self.url()).expect("a session")
    }

    #[track_caller]
    pub fn sql(&self, sql: &str) {
        if let Err(error) = self.session().run(sql) {
            panic!("{sql}: {error:?}");
        }
    }

    #[track_caller]
    pub fn count(&self, sql: &str) -> i64 {
        match self
            .session()
            .query_one(&format!("SELECT ({sql})::bigint"), &[])
        {
            Ok(row) => row.read(0).expect("a bigint"),
            Err(error) => panic!("{sql}: {error:?}"),
        }
    }

    /// Each repository's name, with its namespace's.
    pub fn names(&self) -> BTreeMap<RepositoryId, String> {
        let names = r#"SELECT r.id, u.username || '/' || r.name
            FROM repository r JOIN "user" u ON u.id = r.namespace_user_id"#;
        let rows = self.session().query(names, &[]).expect("names");
        rows.iter()
            .map(|row| (RepositoryId(row.get(0)), row.get(1)))
            .collect()
    }

    pub fn state(&self) -> State {
        State::read(&mut self.session()).expect("a state")
    }

    pub fn scope(&self, repository: Option<usize>) -> Scope {
        match repository.and_then(|nth| self.repositories.get(nth)) {
            Some(id) => Scope::Repository(*id),
            None => Scope::Namespace(self.namespace),
        }
    }

    /// The uuid of the nth policy of a world.
    pub fn uuid(nth: usize) -> String {
        format!("{nth:08}-1111-4111-8111-111111111111")
    }

    /// Empties the registry and the journal, takes every trap away, and fills it with a world in
    /// which every policy is fully applied.
    pub fn fill(&self, world: &WorldSpec) {
        let mut sql = format!(
            "SET session_replication_role = replica;
             DROP TRIGGER IF EXISTS trap ON tag;
             ALTER ROLE {role} RESET ALL; ALTER ROLE {role} CONNECTION LIMIT -1;
             DELETE FROM tag; DELETE FROM logentry3;
             DELETE FROM namespaceimmutabilitypolicy; DELETE FROM repositoryimmutabilitypolicy;
             DELETE FROM quay_doctor.operation; DELETE FROM quay_doctor.tag_change;
             DELETE FROM quay_doctor.policy_change; DELETE FROM quay_doctor.kept;\n",
            role = self.role
        );
        for (nth, policy) in world.policies.iter().enumerate() {
            let (uuid, text) = (Self::uuid(nth), text(PATTERNS[policy.pattern]).0);
            let (active, namespace) = (policy.active, self.namespace.0);
            sql += &match self.scope(policy.repository) {
                Scope::Repository(id) => format!(
                    "INSERT INTO repositoryimmutabilitypolicy
                         (uuid, repository_id, namespace_id, policy, active, created_date)
                     VALUES ('{uuid}', {id}, {namespace}, '{text}', {active}, {LONG_AGO});\n"
                ),
                Scope::Namespace(_) => format!(
                    "INSERT INTO namespaceimmutabilitypolicy
                         (uuid, namespace_id, policy, active, created_date)
                     VALUES ('{uuid}', {namespace}, '{text}', {active}, {LONG_AGO});\n"
                ),
            };
        }
        let now = chrono::Utc::now().timestamp_millis();
        let mut named = std::collections::BTreeSet::new();
        for (nth, tag) in world.tags.iter().enumerate() {
            // One live row a name.
            let (repository, name) = (self.repositories[tag.repository], NAMES[tag.name]);
            if !matches!(tag.life, Life::Dead(_)) && !named.insert((repository, name)) {
                continue;
            }
            // No two rows of a name end in one millisecond.
            let now = now - i64::try_from(nth).unwrap_or(0);
            sql += &self.tag(world, tag, repository, name, now);
        }
        self.sql(&sql);
    }

    fn tag(
        &self,
        world: &WorldSpec,
        tag: &TagSpec,
        repository: RepositoryId,
        name: &str,
        now: i64,
    ) -> String {
        let covered = world.policies.iter().any(|policy| {
            policy.active
                && policy.repository.is_none_or(|of| of == tag.repository)
                && makes_immutable(&text(PATTERNS[policy.pattern]), name)
        });
        let dead = matches!(tag.life, Life::Dead(_));
        let own = if dead { Own::Nothing } else { tag.own };
        let immutable = !dead && (covered || own != Own::Nothing);
        let end = match tag.life {
            Life::Dead(days) => format!("{}", now - days * DAY_MS),
            Life::Expires(days) if !immutable => format!("{}", now + days * DAY_MS),
            _ => "NULL".to_owned(),
        };
        let manifest = match own {
            Own::Label => self.manifests[&repository].to_string(),
            _ => "NULL".to_owned(),
        };
        let start = now - 20 * DAY_MS;
        let mut sql = format!(
            "INSERT INTO tag (name, repository_id, manifest_id, lifetime_start_ms, lifetime_end_ms,
                 hidden, tag_kind_id, immutable)
             VALUES ('{name}', {repository}, {manifest}, {start}, {end}, false, 1, {immutable});\n"
        );
        if own == Own::User {
            sql += &user_act(self.namespace, repository, name, true);
        }
        sql
    }
}

/// Quay's entry about a user who sets or takes off a tag's immutability.
pub fn user_act(
    namespace: NamespaceId,
    repository: RepositoryId,
    name: &str,
    immutable: bool,
) -> String {
    let before = !immutable;
    format!(
        "INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
         SELECT id, {namespace}, {repository}, timezone('utc', clock_timestamp()),
             '{{\"username\": \"alice\", \"tag\": \"{name}\", \"immutable\": {immutable}, \
             \"previous_immutable\": {before}}}'
         FROM logentrykind WHERE name = 'change_tag_immutability';\n"
    )
}

pub fn open(url: &str) -> Result<WriteSession, SandboxError> {
    Ok(WriteSession::open(&ConnectionSettings::resolve(Some(
        url,
    ))?)?)
}
