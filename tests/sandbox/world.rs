//! Worlds: the same rows every time, and rows that Quay itself could have written.

use chrono::{DateTime, TimeZone, Utc};
use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{ReadSession, Statements, WriteSession};
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, SandboxError, fixture};

/// The tables that a world writes into.
const TABLES: [&str; 11] = [
    "user",
    "orgmirrorconfig",
    "proxycacheconfig",
    "repository",
    "namespaceimmutabilitypolicy",
    "repositoryimmutabilitypolicy",
    "manifest",
    "label",
    "manifestlabel",
    "tag",
    "logentry3",
];

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0)
        .single()
        .expect("a moment")
}

/// A database of the cluster with Quay's tables, empty.
fn database(cluster: &Cluster, name: &str) -> WriteSession {
    cluster.create_database(name).expect("a database");
    let settings = cluster.settings(name).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    session
}

/// One digest a table over all its rows in the order of their ids, and the sequence's position.
fn digests(session: &mut WriteSession) -> Vec<(String, i64, String)> {
    let digest = |table: &&str| {
        let sql = format!(
            r#"SELECT count(*) AS rows,
                      coalesce(md5(string_agg(t::text, E'\n' ORDER BY id)), '') || ' '
                      || (SELECT last_value || ' ' || is_called FROM "{table}_id_seq") AS digest
               FROM "{table}" AS t"#
        );
        let row = session.query_one(&sql, &[]).expect("a digest");
        ((*table).to_owned(), row.get("rows"), row.get("digest"))
    };
    TABLES.iter().map(digest).collect()
}

fn indexes(session: &mut WriteSession) -> Vec<String> {
    let sql = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef";
    let rows = session.query(sql, &[]).expect("the indexes");
    rows.iter().map(|row| row.get("indexdef")).collect()
}

#[test]
fn two_seedings_of_one_world_are_the_same_to_the_last_byte() {
    let cluster = Cluster::start().expect("a cluster");
    let acme = World::acme().expect("a world");
    let (mut one, mut two) = (database(&cluster, "one"), database(&cluster, "two"));
    let seeded = acme.seed(&mut one, now()).expect("rows");
    assert_eq!(acme.seed(&mut two, now()).expect("rows"), seeded);
    let (first, second) = (digests(&mut one), digests(&mut two));
    assert_eq!(first, second);
    assert!(first.iter().all(|(_, rows, _)| *rows > 0), "{first:?}");

    let other = include_str!("../../fixtures/worlds/acme.toml").replace("20_260_301", "5");
    let mut three = database(&cluster, "three");
    let other = World::parse(&other).expect("a world");
    other.seed(&mut three, now()).expect("rows");
    assert_ne!(digests(&mut three), first);
}

#[test]
fn a_large_world_leaves_the_same_indexes_and_only_valid_rows() {
    let cluster = Cluster::start().expect("a cluster");
    let mut session = database(&cluster, "large");
    let before = indexes(&mut session);
    let text = "seed = 3\n[[namespace]]\nname = 'n'\n[[namespace.repository]]\nname = 'r{n}'\n\
                count = 5\n[[namespace.repository.tags]]\nname = '{hex}'\ncount = 6_000\n";
    let world = World::parse(text).expect("a world");
    let seeded = world.seed(&mut session, now()).expect("rows");
    assert_eq!((seeded.tags, seeded.repositories), (30_000, 5));
    assert_eq!(indexes(&mut session), before);
    let row = session
        .query_one(
            "SELECT count(*) AS n FROM pg_index WHERE NOT indisvalid",
            &[],
        )
        .expect("a count");
    assert_eq!(row.get::<_, i64>("n"), 0);
}

/// An ordinary role cannot leave out the checks, so the server itself looks at every reference.
#[test]
fn a_world_holds_every_foreign_key_of_quays() {
    let cluster = Cluster::start().expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut admin = WriteSession::open(&settings).expect("a session");
    admin.run("CREATE ROLE plain LOGIN").expect("a role");
    admin
        .run("CREATE DATABASE plain OWNER plain")
        .expect("a database");
    let url = cluster.url("plain").replace("postgres@", "plain@");
    let settings = ConnectionSettings::resolve(Some(&url)).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .run("CREATE SCHEMA AUTHORIZATION plain")
        .expect("a schema of its own");
    fixture::load_schema(&mut session).expect("Quay's tables");
    let seeded = World::acme()
        .and_then(|world| world.seed(&mut session, now()))
        .expect("rows that refer to rows");
    assert!(
        seeded.tags > 500 && seeded.audit_entries > 300,
        "{seeded:?}"
    );
    // The sequences stand behind the rows.
    session
        .run("INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id) VALUES ('x', 1, 0, 1)")
        .expect("a free id");
}

#[test]
fn lives_and_evidence_are_written_as_described() {
    let cluster = Cluster::start().expect("a cluster");
    let mut session = database(&cluster, "tiny");
    World::tiny()
        .and_then(|world| world.seed(&mut session, now()))
        .expect("rows");
    let now_ms = now().timestamp_millis();
    let rows = session
        .query(
            "SELECT name, immutable,
                    CASE WHEN hidden THEN 'hidden'
                         WHEN lifetime_end_ms IS NULL THEN 'live'
                         WHEN lifetime_end_ms > $1 THEN 'expiring'
                         ELSE 'dead' END AS life
             FROM tag
             WHERE lifetime_start_ms < least(coalesce(lifetime_end_ms, $1), $1)
             ORDER BY id",
            &[&now_ms],
        )
        .expect("tags");
    let told: Vec<String> = rows
        .iter()
        .map(|row| {
            let (name, life): (String, String) = (row.get("name"), row.get("life"));
            let name = name
                .split_once("-{")
                .map_or(name.as_str(), |(stem, _)| stem);
            let name = if name.starts_with("$temp") {
                "$temp"
            } else {
                name
            };
            format!("{name} {life} {}", row.get::<_, bool>("immutable"))
        })
        .collect();
    let expected = [
        "v1.0.1 live true",
        "v1.0.2 live true",
        "v1.0.3 live true",
        "latest live false",
        "latest dead false",
        "latest dead false",
        "pr-1 expiring false",
        "pr-2 expiring false",
        "$temp hidden false",
        "kept live true",
    ];
    assert_eq!(told, expected);
    let entry = session
        .query_one(
            "SELECT metadata_json, repository_id, logentrykind.name AS kind
             FROM logentry3 JOIN logentrykind ON logentrykind.id = kind_id",
            &[],
        )
        .expect("one entry");
    assert_eq!(entry.get::<_, String>("kind"), "change_tag_immutability");
    assert_eq!(entry.get::<_, Option<i32>>("repository_id"), Some(1));
    let (tag, change) =
        quay_doctor::quay::ImmutabilityChange::from_metadata(entry.get("metadata_json"))
            .expect("an entry as Quay writes it");
    assert_eq!(
        (tag.as_str(), change),
        ("kept", quay_doctor::quay::ImmutabilityChange::Set)
    );
}

#[test]
fn a_database_that_is_lived_in_is_left_alone() {
    let cluster = Cluster::start().expect("a cluster");
    let mut session = database(&cluster, "lived_in");
    let tiny = World::tiny().expect("a world");
    tiny.seed(&mut session, now()).expect("rows");
    let before = digests(&mut session);
    assert!(matches!(
        tiny.seed(&mut session, now()),
        Err(SandboxError::NotEmpty)
    ));
    assert_eq!(digests(&mut session), before);
}

#[test]
fn an_unknown_kind_of_audit_entry_is_refused_with_a_suggestion() {
    let cluster = Cluster::start().expect("a cluster");
    let mut session = database(&cluster, "kinds");
    let text = "seed = 1\n[[namespace]]\nname = 'n'\n[[namespace.audit]]\nkind = 'creat_tag'\n";
    let world = World::parse(text).expect("a world");
    let error = world.seed(&mut session, now()).expect_err("no such kind");
    let help = miette::Diagnostic::help(&error)
        .expect("a hint")
        .to_string();
    assert_eq!(help, "did you mean `create_tag`?");
}

/// Measured, not only run: `cargo nextest run a_million_tags --run-ignored all --no-capture`.
#[test]
#[ignore = "takes half a minute"]
fn a_million_tags_are_seeded_in_bounded_time() {
    let cluster = Cluster::start().expect("a cluster");
    let mut session = database(&cluster, "scale");
    let started = std::time::Instant::now();
    let seeded = World::scale()
        .and_then(|world| world.seed(&mut session, now()))
        .expect("rows");
    eprintln!("{seeded:?} in {:.1} s", started.elapsed().as_secs_f64());
    assert_eq!(seeded.tags, 1_000_000);
    let mut reader =
        ReadSession::open(&cluster.settings("scale").expect("settings")).expect("a session");
    let row = reader
        .query_one("SELECT count(*) AS n FROM tag WHERE immutable", &[])
        .expect("a count");
    assert_eq!(row.get::<_, i64>("n"), 600_000);
}
