//! The same worlds in a database: what is read is what was judged in memory.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use quay_doctor::evaluate::{Activity, Source};
use quay_doctor::pg::{Columns, Statements, WriteSession};
use quay_doctor::quay::Scope;
use quay_doctor::rules::Catalogue;
use quay_doctor::{CheckRequest, NoProgress, check};

use super::world::{Accounted, Rows, rows, worlds};
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
    session.run(&sql).expect("stored");
}

/// The audit log knows tags by name: only worlds without acts of users are stored.
fn without_acts(rows: &mut Rows) {
    for (id, accounted) in &mut rows.accounted {
        if matches!(accounted, Accounted::SetByUser | Accounted::TakenOff) {
            *accounted = Accounted::No;
            rows.accounts.insert(*id, Vec::new());
        }
    }
}

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
    run(16, &worlds(), |world| {
        let mut session = session.borrow_mut();
        let clock = session
            .query_one("SELECT clock_timestamp()", &[])
            .expect("a row");
        let now: DateTime<Utc> = clock.read(0).expect("a time");
        let mut rows = rows(&world, now);
        without_acts(&mut rows);
        store(&mut session, &rows);
        let mut request = CheckRequest::of(Catalogue::built_in().expect("rules"));
        request.features = features(&world);
        request.grace = Duration::from_secs(15 * 60);
        let report = check(&settings, &request, &mut NoProgress).expect("a report");
        proptest::prop_assert_eq!(
            answer(&report.rules, &report.violations),
            expected(&rows, &world, now)
        );
        Ok(())
    });
}
