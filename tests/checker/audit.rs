//! The audit log, asked about some tags among many: the server leaves entries out, and none is lost.

use std::collections::HashMap;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quay_doctor::evaluate::{Act, Found, TagRow};
use quay_doctor::pg::{Columns, ReadSession, Statements, WriteSession};
use quay_doctor::quay::{
    AuditEntryId, AuditedChange, Expiry, Immutability, ImmutabilityChange, RepositoryId, TagId,
    UnixMillis,
};
use quay_doctor::relations::AuditTrail;

use crate::line::stage::Stage;
use crate::scale::cases;

/// Names that a JSON text could hide, and plain ones.
const NAMES: [&str; 16] = [
    "v1",
    "v2",
    "tag",
    "\"tag\"",
    "\\\"tag\": \"v1",
    "a\"b",
    "back\\slash",
    "\\u0074ag",
    "line\nfeed",
    "é",
    "日本",
    "\u{1f433}",
    "quay_doctor_operation",
    "\"quay_doctor_operation\": 7",
    "%_",
    "",
];

/// How a writer of JSON spells a string.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    /// As Python's json.dumps: ASCII only.
    Python,
    /// As few escapes as there can be.
    Short,
    /// Nothing but escapes.
    Escapes,
}

fn spelt(text: &str, spelling: Spelling) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        let plain = c.is_ascii() && !c.is_ascii_control() && !matches!(c, '"' | '\\');
        match (spelling, c) {
            (Spelling::Python, _) if plain => out.push(c),
            (Spelling::Short, _) if plain || !c.is_ascii() => out.push(c),
            (Spelling::Python | Spelling::Short, '"') => out.push_str("\\\""),
            (Spelling::Python | Spelling::Short, '\\') => out.push_str("\\\\"),
            (Spelling::Python | Spelling::Short, '\n') => out.push_str("\\n"),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

/// One document: keys in any order and spelling, twice, or in an object of their own.
fn document() -> impl Strategy<Value = String> {
    let spelling = || {
        prop_oneof![
            4 => Just(Spelling::Python),
            1 => Just(Spelling::Short),
            1 => Just(Spelling::Escapes),
        ]
    };
    let name = || (0..NAMES.len()).prop_map(|n| NAMES[n]);
    let value = |key: &'static str| {
        (spelling(), name(), spelling())
            .prop_map(move |(k, name, v)| format!("{}: {}", spelt(key, k), spelt(name, v)))
    };
    let nested = value("tag").prop_map(|tag| format!("\"x\": {{{tag}}}"));
    let odd = prop_oneof![
        Just("\"tag\": null".to_owned()),
        Just("\"tag\": 7".to_owned()),
        Just("\"x\": \"tag\"".to_owned()),
        Just("\"x\\\"tag\": \"v1\"".to_owned()),
        Just("\"x\": NaN".to_owned()),
        Just("\"quay_doctor_operation\": 7".to_owned()),
    ];
    let part = prop_oneof![
        6 => value("tag"),
        2 => value("repo"),
        2 => value("username"),
        1 => nested,
        1 => odd,
    ];
    (
        prop::collection::vec(part, 1..5),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(mut parts, immutable, compact)| {
            parts.push(format!("\"immutable\": {immutable}"));
            parts.push("\"previous_immutable\": true".to_owned());
            let text = format!("{{{}}}", parts.join(", "));
            if compact {
                text.replace("\": ", "\":")
            } else {
                text
            }
        })
}

/// Replaces the audit log by these documents, a minute apart, all of one repository.
fn store(session: &mut WriteSession, documents: &[String]) {
    let mut tx = session.begin().expect("a transaction");
    tx.run("DELETE FROM logentry3").expect("gone");
    tx.execute(
        "INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
         SELECT k.id, 1, 1, '2026-01-01'::timestamp + n * interval '1 minute', text
         FROM logentrykind k, unnest($1::text[]) WITH ORDINALITY AS d (text, n)
         WHERE k.name = 'change_tag_immutability'
         ORDER BY n",
        &[&documents],
    )
    .expect("stored");
    tx.commit().expect("committed");
}

fn tag(name: &str) -> TagRow {
    TagRow {
        id: TagId(1),
        repository: RepositoryId(1),
        name: name.to_owned(),
        manifest: None,
        start: UnixMillis(1_000),
        expiry: Expiry(None),
        immutability: Immutability::Immutable,
        hidden: false,
    }
}

/// What every entry says, read one by one by Rust alone.
fn everything(session: &mut ReadSession) -> HashMap<String, Found> {
    let rows = session
        .query(
            "SELECT e.id::bigint, e.datetime, e.metadata_json FROM logentry3 e
             JOIN logentrykind k ON k.id = e.kind_id AND k.name = 'change_tag_immutability'
             WHERE e.repository_id = 1 ORDER BY e.datetime, e.id",
            &[],
        )
        .expect("entries");
    let mut newest = HashMap::new();
    for row in &rows {
        let Some(read) = AuditedChange::from_metadata(row.read(2).expect("text")) else {
            continue;
        };
        let act = Act {
            entry: AuditEntryId(row.read(0).expect("an id")),
            at: row.read(1).expect("a time"),
            user: read.user,
        };
        match read.change {
            ImmutabilityChange::Set => newest.insert(read.tag, Found::SetByUser(act)),
            ImmutabilityChange::TakenOff => {
                newest.insert(read.tag, Found::TakenOffByAdministrator(act))
            }
            ImmutabilityChange::StayedOff => None,
        };
    }
    newest
}

#[test]
fn however_a_name_is_spelt_no_act_on_it_is_left_out_and_none_is_added() {
    let stage = Stage::of("seed = 1");
    let mut writer = stage.session();
    writer
        .run("ALTER TABLE logentry3 DROP CONSTRAINT IF EXISTS fk_logentry3_kind_id_logentrykind")
        .expect("no constraint");
    let writer = std::cell::RefCell::new(writer);
    let settings = stage.db.settings().expect("settings");
    let reader = std::cell::RefCell::new(ReadSession::open(&settings).expect("a session"));
    let found = std::cell::Cell::new(0);
    let documents = prop::collection::vec(document(), 1..40);
    let asked = prop::collection::vec(0..NAMES.len(), 1..6);
    TestRunner::new(Config {
        cases: cases(200),
        failure_persistence: None,
        ..Config::default()
    })
    .run(&(documents, asked), |(documents, asked)| {
        store(&mut writer.borrow_mut(), &documents);
        let tags: Vec<TagRow> = asked.iter().map(|n| tag(NAMES[*n])).collect();
        let mut reader = reader.borrow_mut();
        let expected = everything(&mut reader);
        let mut snapshot = reader.snapshot().expect("a snapshot");
        let trail = AuditTrail::about(&mut snapshot, &tags).expect("a trail");
        for tag in &tags {
            let newest = trail.newest_on(tag);
            prop_assert_eq!(
                &newest,
                &expected.get(&tag.name).cloned(),
                "{:?}",
                &tag.name
            );
            found.set(found.get() + u32::from(newest.is_some()));
        }
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{error}"));
    assert!(found.get() > 0, "no act was ever found");
}

/// As it was once read: every entry of the repository, whoever is asked about.
fn whole(session: &mut ReadSession, tags: &[TagRow]) -> usize {
    let all = everything(session);
    tags.iter()
        .filter(|tag| all.contains_key(&tag.name))
        .count()
}

/// A measurement, on demand only:
///
/// ```text
/// cargo test --release --test integration -- --ignored --nocapture two_hundred_thousand_orphans
/// ```
#[test]
#[ignore = "a measurement"]
fn two_hundred_thousand_orphans_beside_two_hundred_thousand_entries() {
    const ORPHANS: usize = 200_000;
    let stage = Stage::of("seed = 1");
    stage.sql(&format!(
        r#"SET session_replication_role = replica;
           INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
           SELECT k.id, 1, 1, '2026-01-01'::timestamp + n * interval '1 s',
               format('{{"username": "operator", "repo": "shop", "tag": "v%s", "namespace": "acme", "immutable": true, "previous_immutable": false}}', 2 * n)
           FROM logentrykind k, generate_series(1, {ORPHANS}) AS n
           WHERE k.name = 'change_tag_immutability';
           ANALYZE logentry3"#
    ));
    let settings = stage.db.settings().expect("settings");
    let mut session = ReadSession::open(&settings).expect("a session");
    let orphans: Vec<TagRow> = (1..=ORPHANS).map(|n| tag(&format!("v{n}"))).collect();
    for round in 1..=2 {
        let begun = Instant::now();
        // A tenth of the batches, since each takes as long as any other.
        let batches = orphans.chunks(2_000).step_by(10);
        let accounted: usize = batches.map(|batch| whole(&mut session, batch)).sum();
        let before = begun.elapsed() * 10;
        assert_eq!(accounted, ORPHANS / 20);
        eprintln!("round {round}: every entry for each 2,000: {before:.1?}");
        for size in [2_000, 10_000] {
            let begun = Instant::now();
            let mut accounted = 0;
            for batch in orphans.chunks(size) {
                let mut snapshot = session.snapshot().expect("a snapshot");
                let trail = AuditTrail::about(&mut snapshot, batch).expect("a trail");
                let found = batch.iter().filter(|tag| trail.newest_on(tag).is_some());
                accounted += found.count();
            }
            let after = begun.elapsed();
            assert_eq!(accounted, ORPHANS / 2);
            eprintln!(
                "round {round}: by name, {size} at once: {after:.1?}, {:.0} times as fast",
                before.as_secs_f64() / after.as_secs_f64()
            );
        }
    }
}
