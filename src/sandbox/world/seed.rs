//! Writing a world into an empty database.

use std::io::{self, BufWriter, Write};

use chrono::{DateTime, Utc};
use sea_query::{Expr, Query};

use super::World;
use super::audit::Kinds;
use super::block::Layout;
use super::index;
use super::rows::{Lookups, Rows};
use crate::config::ConnectionSettings;
use crate::pg::{Built, PgError, Statements, WriteSession, WriteTransaction};
use crate::sandbox::SandboxError;
use crate::sandbox::fixture::load_schema;

/// From this many tags on, indexes are built after the rows instead of with them.
const MANY_TAGS: i64 = 20_000;
/// How much is collected before it is handed to the driver.
const BUFFER_BYTES: usize = 64 * 1024;
/// The tables with a sequence to be moved behind the last row.
const SEEDED: [&str; 11] = [
    "user",
    "proxycacheconfig",
    "orgmirrorconfig",
    "repository",
    "namespaceimmutabilitypolicy",
    "repositoryimmutabilitypolicy",
    "manifest",
    "label",
    "manifestlabel",
    "tag",
    "logentry3",
];

/// How many rows a world had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seeded {
    /// Users, organisations and robots.
    pub users: u64,
    /// Repositories.
    pub repositories: u64,
    /// Policies of both levels.
    pub policies: u64,
    /// Manifests.
    pub manifests: u64,
    /// Labels.
    pub labels: u64,
    /// Tag rows, dead and hidden ones too.
    pub tags: u64,
    /// Entries of the audit log.
    pub audit_entries: u64,
}

impl World {
    /// Writes the world into a database that holds Quay's tables and nobody yet, in one
    /// transaction, and analyses it. All times are told from `now`.
    ///
    /// # Errors
    /// [`SandboxError::NotEmpty`] where there are users already, so that no real registry is ever
    /// written into; [`SandboxError::World`] where an audit entry is of a kind that Quay has not.
    pub fn seed(
        &self,
        session: &mut WriteSession,
        now: DateTime<Utc>,
    ) -> Result<Seeded, SandboxError> {
        let mut transaction = session.begin()?;
        refuse_inhabited(&mut transaction)?;
        let kinds = kinds(&mut transaction)?;
        self.know_their_kinds(&kinds)?;
        let rows = Rows {
            world: self,
            layout: Layout::of(self),
            lookups: lookups(&mut transaction)?,
            now,
        };
        skip_triggers(&mut transaction)?;
        let mut definitions = Vec::new();
        if rows.layout.tags >= MANY_TAGS {
            for table in ["tag", "manifest", "logentry3"] {
                definitions.extend(index::drop_secondary(&mut transaction, table)?);
            }
        }
        let seeded = copy_all(&mut transaction, &rows, &kinds)?;
        index::create(&mut transaction, &definitions)?;
        move_sequences(&mut transaction)?;
        transaction.commit()?;
        session.run("ANALYZE")?;
        Ok(seeded)
    }

    /// Creates Quay's tables in an empty database and writes the world into them.
    ///
    /// # Errors
    /// [`SandboxError`] where the database is not empty, or does not do what is asked.
    pub fn settle(
        &self,
        settings: &ConnectionSettings,
        now: DateTime<Utc>,
    ) -> Result<Seeded, SandboxError> {
        let mut session = WriteSession::open(settings)?;
        load_schema(&mut session)?;
        self.seed(&mut session, now)
    }

    fn know_their_kinds(&self, kinds: &Kinds) -> Result<(), SandboxError> {
        let entries = self
            .namespaces
            .iter()
            .flat_map(|namespace| &namespace.audit);
        for entry in entries {
            if !kinds.contains_key(&entry.kind) {
                let names = kinds.keys().map(String::as_str);
                let meant = super::raw::closest(&entry.kind, names);
                return Err(SandboxError::World {
                    reason: format!("Quay has no kind of audit entry `{}`", entry.kind),
                    help: format!("did you mean `{}`?", meant.unwrap_or("create_tag")),
                });
            }
        }
        Ok(())
    }
}

fn refuse_inhabited(transaction: &mut WriteTransaction<'_>) -> Result<(), SandboxError> {
    let row = transaction.query_one(r#"SELECT EXISTS (SELECT FROM "user") AS inhabited"#, &[])?;
    if row.get("inhabited") {
        return Err(SandboxError::NotEmpty);
    }
    Ok(())
}

fn kinds(transaction: &mut WriteTransaction<'_>) -> Result<Kinds, PgError> {
    let rows = transaction.query("SELECT name, id FROM logentrykind", &[])?;
    Ok(rows
        .iter()
        .map(|row| (row.get("name"), row.get("id")))
        .collect())
}

fn lookups(transaction: &mut WriteTransaction<'_>) -> Result<Lookups, PgError> {
    let row = transaction.query_one(
        "SELECT
            (SELECT id FROM tagkind WHERE name = 'tag') AS tag_kind,
            (SELECT id FROM repositorykind WHERE name = 'image') AS image_kind,
            (SELECT id FROM visibility WHERE name = 'public') AS public,
            (SELECT id FROM mediatype
             WHERE name = 'application/vnd.docker.distribution.manifest.v2+json') AS manifest,
            (SELECT id FROM mediatype WHERE name = 'text/plain') AS text,
            (SELECT id FROM labelsourcetype WHERE name = 'manifest') AS from_manifest",
        &[],
    )?;
    Ok(Lookups {
        tag_kind: row.get("tag_kind"),
        image_kind: row.get("image_kind"),
        public: row.get("public"),
        manifest_media_type: row.get("manifest"),
        text_media_type: row.get("text"),
        from_manifest: row.get("from_manifest"),
    })
}

/// The rows hold every foreign key by how they are made (a test loads them with the checks on);
/// checking each of them again would take most of the time. Only a superuser may leave it out.
fn skip_triggers(transaction: &mut WriteTransaction<'_>) -> Result<(), PgError> {
    let row = transaction.query_one(
        "SELECT rolsuper AS super FROM pg_roles WHERE rolname = current_user",
        &[],
    )?;
    if row.get("super") {
        transaction.run("SET LOCAL session_replication_role = replica")?;
    }
    Ok(())
}

fn copy_all(
    transaction: &mut WriteTransaction<'_>,
    rows: &Rows<'_>,
    kinds: &Kinds,
) -> Result<Seeded, PgError> {
    let mut copy = |statement: &str, fill: &dyn Fn(&mut dyn Write) -> io::Result<()>| {
        transaction.copy_in(statement, |out| {
            let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, out);
            fill(&mut buffered)?;
            buffered.flush()
        })
    };
    let users = copy(
        r#"COPY "user" (id, uuid, username, email, verified, organization, robot, invoice_email,
                   last_invalid_login, enabled, creation_date) FROM STDIN"#,
        &|out| rows.users(out),
    )?;
    copy(
        "COPY orgmirrorconfig (id, organization_id, creation_date, external_registry_type,
                          external_registry_url, external_namespace, external_registry_config,
                          internal_robot_id, repository_filters, visibility_id, sync_interval) FROM STDIN",
        &|out| rows.mirrors(out),
    )?;
    copy(
        "COPY proxycacheconfig (id, organization_id, creation_date, upstream_registry) FROM STDIN",
        &|out| rows.proxy_caches(out),
    )?;
    let repositories = copy(
        "COPY repository (id, namespace_user_id, name, visibility_id, badge_token, kind_id, state)
            FROM STDIN",
        &|out| rows.repositories(out),
    )?;
    let of_namespaces = copy(
        "COPY namespaceimmutabilitypolicy (id, uuid, namespace_id, policy) FROM STDIN",
        &|out| rows.namespace_policies(out),
    )?;
    let of_repositories = copy(
        "COPY repositoryimmutabilitypolicy (id, uuid, repository_id, namespace_id, policy) FROM STDIN",
        &|out| rows.repository_policies(out),
    )?;
    let manifests = copy(
        "COPY manifest (id, repository_id, digest, media_type_id, manifest_bytes, config_media_type,
                   layers_compressed_size, subject_backfilled, artifact_type_backfilled) FROM STDIN",
        &|out| rows.manifests(out),
    )?;
    let labels = copy(
        "COPY label (id, uuid, key, value, media_type_id, source_type_id) FROM STDIN",
        &|out| rows.labels(out),
    )?;
    copy(
        "COPY manifestlabel (id, repository_id, manifest_id, label_id) FROM STDIN",
        &|out| rows.manifest_labels(out),
    )?;
    let tags = copy(
        "COPY tag (id, name, repository_id, manifest_id, lifetime_start_ms, lifetime_end_ms, hidden,
              tag_kind_id, immutable) FROM STDIN",
        &|out| rows.tags(out),
    )?;
    let audit_entries = copy(
        "COPY logentry3 (id, kind_id, account_id, performer_id, repository_id, datetime, ip,
                    metadata_json) FROM STDIN",
        &|out| rows.audit(kinds, out),
    )?;
    Ok(Seeded {
        users,
        repositories,
        policies: of_namespaces + of_repositories,
        manifests,
        labels,
        tags,
        audit_entries,
    })
}

fn move_sequences(transaction: &mut WriteTransaction<'_>) -> Result<(), PgError> {
    for table in SEEDED {
        let next = Expr::cust_with_values(
            "setval($1::text::regclass, coalesce(max(id), 1), max(id) IS NOT NULL)",
            [format!("{table}_id_seq")],
        );
        let statement = Built::of(Query::select().expr(next).from(table));
        transaction.query(statement.text(), &statement.values())?;
    }
    Ok(())
}
