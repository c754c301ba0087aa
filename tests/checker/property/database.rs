//! The same worlds in a database: what is read is what was judged in memory.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use quay_doctor::evaluate::{Activity, Source};
use quay_doctor::journal::hold_liveness;
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::quay::Scope;
use quay_doctor::rules::Catalogue;
use quay_doctor::{CheckRequest, NoProgress, check};

use super::rows::{Rows, rows_of};
use super::world::{Accounted, NAMES, TEXTS, flags, worlds_of};
use super::{answer, expected, features, run};
use crate::line::stage::Stage;

const EMPTY: &str = "seed = 1";

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Replaces whatever is in the database by these rows.
fn store(session: &mut WriteSession, rows: &Rows) {
    let mut sql = String::from(
        r#"SET session_replication_role = replica;
           DELETE FROM tag; DELETE FROM repository; DELETE FROM "user"; DELETE FROM manifestlabel;
           DELETE FROM namespaceimmutabilitypolicy; DELETE FROM repositoryimmutabilitypolicy;
           DELETE FROM orgmirrorconfig; DELETE FROM proxycacheconfig; DELETE FROM label;
           DELETE FROM logentry3; DELETE FROM quay_doctor.operation; DELETE FROM quay_doctor.kept;
           INSERT INTO label (id, uuid, key, value, media_type_id, source_type_id)
           VALUES (1, 'l', 'quay.immutable', 'true', 1, 1);"#,
    );
    for (id, namespace) in &rows.registry.namespaces {
        let name = quoted(&namespace.name);
        let _ = write!(
            sql,
            r#"INSERT INTO "user" (id, username, email, verified, organization, robot, invoice_email,
                   last_invalid_login) VALUES ({id}, {name}, {name}, true, true, false, false, now());"#
        );
    }
    for (id, source) in &rows.registry.sources {
        let table = match source {
            Source::Mirror => "orgmirrorconfig",
            Source::ProxyCache => "proxycacheconfig",
        };
        let _ = write!(
            sql,
            "INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, sample || '{{\"id\": {id}, \"organization_id\": {id}}}')).* FROM samples WHERE of = '{table}';"
        );
    }
    for (id, repository) in &rows.registry.repositories {
        let (namespace, name) = (repository.namespace.expect("one"), quoted(&repository.name));
        let _ = write!(
            sql,
            "INSERT INTO repository (id, namespace_user_id, name, visibility_id, badge_token)
             VALUES ({id}, {namespace}, {name}, 1, '');"
        );
    }
    for row in &rows.policies {
        let (table, more, scope) = match row.scope {
            Scope::Namespace(_) => ("namespaceimmutabilitypolicy", "", String::new()),
            Scope::Repository(id) => (
                "repositoryimmutabilitypolicy",
                ", repository_id",
                format!(", {id}"),
            ),
        };
        let active = row.activity == Activity::Active;
        let created = row
            .created
            .map_or("NULL".to_owned(), |at| quoted(&at.naive_utc().to_string()));
        let (uuid, text) = (quoted(&row.uuid.0), quoted(&row.text.0));
        let _ = write!(
            sql,
            "INSERT INTO {table} (id, uuid, namespace_id, policy, active, created_date{more})
             VALUES ({}, {uuid}, {}, {text}, {active}, {created}{scope});",
            row.id, row.namespace
        );
    }
    for row in &rows.tags {
        let ends = row
            .expiry
            .0
            .map_or("NULL".to_owned(), |end| end.0.to_string());
        let _ = write!(
            sql,
            "INSERT INTO tag (id, name, repository_id, manifest_id, lifetime_start_ms, lifetime_end_ms,
                 hidden, tag_kind_id, immutable)
             VALUES ({}, {}, {}, {}, {}, {ends}, {}, 1, {});",
            row.id,
            quoted(&row.name),
            row.repository,
            row.id,
            row.start.0,
            row.hidden,
            row.immutability.as_column()
        );
        if rows.accounted[&row.id] == Accounted::Label {
            let _ = write!(
                sql,
                "INSERT INTO manifestlabel (repository_id, manifest_id, label_id) VALUES ({}, {}, 1);",
                row.repository, row.id
            );
        }
    }
    audit(&mut sql, rows);
    journal(&mut sql, rows);
    session.run(&sql).expect("stored");
}

/// Users' acts, as Quay writes them.
fn audit(sql: &mut String, rows: &Rows) {
    for entry in &rows.entries {
        let metadata = serde_json::json!({
            "tag": NAMES[entry.name], "immutable": entry.set, "previous_immutable": !entry.set,
        });
        let (at, metadata) = (quoted(&entry.at.to_string()), quoted(&metadata.to_string()));
        let _ = write!(
            sql,
            "INSERT INTO logentry3 (id, kind_id, account_id, repository_id, datetime, metadata_json)
             SELECT {}, id, 1, {}, {at}, {metadata}
             FROM logentrykind WHERE name = 'change_tag_immutability';",
            entry.id, entry.repository
        );
    }
}

fn scope(scope: Scope) -> String {
    match scope {
        Scope::Namespace(id) => format!("'namespace', {id}"),
        Scope::Repository(id) => format!("'repository', {id}"),
    }
}

/// Operations and declarations. The heartbeat of a policy operation's live worker is of now; the check follows at once.
fn journal(sql: &mut String, rows: &Rows) {
    for operation in &rows.operations {
        let beat = if operation.live { "0" } else { "-1 day" };
        let (kind, about, text) = match operation.about {
            Some((about, text)) => ("create", scope(about), quoted(TEXTS[text].0)),
            None => ("fix", "NULL, NULL".to_owned(), "NULL".to_owned()),
        };
        let uuid = operation.policy.as_ref();
        let uuid = uuid.map_or("NULL".to_owned(), |uuid| quoted(&uuid.0));
        let _ = write!(
            sql,
            "INSERT INTO quay_doctor.operation (id, kind, phase, scope_kind, scope_id, policy_uuid,
                 policy_after, fence, heartbeat_at, worker, actor, tool_version)
             OVERRIDING SYSTEM VALUE
             VALUES ({}, '{kind}', 'applying', {about}, {uuid}, {text}, gen_random_uuid(),
                 clock_timestamp() + interval '{beat}', 'somebody', 'somebody', '0');",
            operation.id
        );
    }
    for uuid in &rows.staged {
        let _ = write!(
            sql,
            "INSERT INTO quay_doctor.operation (kind, phase, policy_uuid, fence, worker, actor,
                 tool_version, finished_at)
             VALUES ('deactivate', 'done', {}, gen_random_uuid(), 'somebody', 'somebody', '0',
                 clock_timestamp());",
            quoted(&uuid.0)
        );
    }
    for (about, text) in &rows.kept {
        let _ = write!(
            sql,
            "INSERT INTO quay_doctor.kept (operation_id, scope_kind, scope_id, policy_text, actor)
             VALUES (1, {}, {}, 'somebody');",
            scope(*about),
            quoted(TEXTS[*text].0)
        );
    }
    for tag in &rows.tags {
        if rows.accounted[&tag.id] == Accounted::Kept {
            let _ = write!(
                sql,
                "INSERT INTO quay_doctor.kept (operation_id, scope_kind, scope_id, tag_id, actor)
                 VALUES (1, 'repository', {}, {}, 'somebody');",
                tag.repository, tag.id
            );
        }
    }
}

/// Worlds of one Quay that are stored, and scanned, together.
const TOGETHER: usize = 12;

#[test]
fn what_is_in_a_database_is_judged_as_in_memory() {
    let stage = Stage::migrated(EMPTY);
    let mut session = stage.session();
    // One row of each configuration, as a sample: its other columns do not matter.
    session
        .run(
            "CREATE TABLE samples AS
             SELECT table_name::text AS of, jsonb_object_agg(column_name,
                 CASE WHEN data_type IN ('integer', 'bigint') THEN '1'::jsonb
                      WHEN data_type = 'boolean' THEN 'false'::jsonb
                      WHEN data_type LIKE 'timestamp%' THEN '\"2020-01-01\"'::jsonb
                      WHEN data_type IN ('json', 'jsonb') THEN '{}'::jsonb
                      ELSE '\"x\"'::jsonb END) AS sample
             FROM information_schema.columns
             WHERE table_name IN ('orgmirrorconfig', 'proxycacheconfig') GROUP BY table_name",
        )
        .expect("samples");
    let settings = stage.db.settings().expect("settings");
    let session = std::cell::RefCell::new(session);
    // The smallest that fails is then looked for among worlds and in each.
    let together =
        flags().prop_flat_map(|flag| prop::collection::vec(worlds_of(flag), 1..=TOGETHER));
    run(80, &together, |worlds| {
        let mut session = session.borrow_mut();
        let clock = session
            .query_one("SELECT clock_timestamp()", &[])
            .expect("a row");
        let now: DateTime<Utc> = clock.read(0).expect("a time");
        let rows = rows_of(&worlds, now);
        store(&mut session, &rows);
        // A fix run lives as long as it holds its lock; a heartbeat is no sign of it.
        session
            .query("SELECT pg_advisory_unlock_all()", &[])
            .expect("no lock");
        for run in rows.operations.iter().filter(|one| one.about.is_none()) {
            let id = quay_doctor::OperationId(run.id);
            assert!(!run.live || hold_liveness(&mut *session, id).expect("a lock"));
        }
        let mut request = CheckRequest::of(Catalogue::built_in().expect("rules"));
        request.features = features(&worlds[0]);
        request.grace = Duration::from_secs(15 * 60);
        request.accepted = rows.accepted.clone();
        let report = check(&settings, &request, &mut NoProgress).expect("a report");
        proptest::prop_assert_eq!(
            answer(&report.rules, &report.violations),
            expected(&rows, &worlds[0], now)
        );
        Ok(())
    });
}
