//! Worlds: the same rows every time, and rows that Quay itself could have written.

use chrono::{DateTime, TimeZone, Utc};
use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Statements, WriteSession};
use quay_doctor::quay::{PolicyText, Unusable};
use quay_doctor::sandbox::world::World;
use quay_doctor::sandbox::{Cluster, SandboxError, fixture};
use testkit::shared::TestDatabase;

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

/// A database with Quay's tables, and a session in it.
fn database() -> (TestDatabase, WriteSession) {
    let database = TestDatabase::quay().expect("a database");
    let session = database.write_session().expect("a session");
    (database, session)
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
    let acme = World::acme().expect("a world");
    let ((_one, mut one), (_two, mut two)) = (database(), database());
    let seeded = acme.seed(&mut one, now()).expect("rows");
    assert_eq!(acme.seed(&mut two, now()).expect("rows"), seeded);
    let (first, second) = (digests(&mut one), digests(&mut two));
    assert_eq!(first, second);
    assert!(first.iter().all(|(_, rows, _)| *rows > 0), "{first:?}");

    let other = include_str!("../../fixtures/worlds/acme.toml").replace("20_260_301", "5");
    let (_three, mut three) = database();
    let other = World::parse(&other).expect("a world");
    other.seed(&mut three, now()).expect("rows");
    assert_ne!(digests(&mut three), first);
}

#[test]
fn a_large_world_leaves_the_same_indexes_and_only_valid_rows() {
    let (_database, mut session) = database();
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
    let (_database, mut session) = database();
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
    let read = quay_doctor::quay::AuditedChange::from_metadata(entry.get("metadata_json"))
        .expect("an entry as Quay writes it");
    assert_eq!(
        (read.tag.as_str(), read.change),
        ("kept", quay_doctor::quay::ImmutabilityChange::Set)
    );
}

/// What the text stands for is the reader's question; here only that it arrived as it was meant.
#[test]
fn policies_are_stored_as_described() {
    let (_database, mut session) = database();
    World::acme()
        .and_then(|world| world.seed(&mut session, now()))
        .expect("rows");
    let rows = session
        .query(
            "SELECT policy, username AS namespace FROM namespaceimmutabilitypolicy
             JOIN \"user\" ON \"user\".id = namespace_id
             UNION ALL
             SELECT policy, username FROM repositoryimmutabilitypolicy
             JOIN \"user\" ON \"user\".id = namespace_id
             ORDER BY policy",
            &[],
        )
        .expect("policies");
    let read: Vec<_> = rows
        .iter()
        .map(|row| {
            let policy = PolicyText(row.get("policy")).parse();
            (
                row.get::<_, String>("namespace"),
                policy.map(|policy| policy.pattern),
            )
        })
        .collect();
    let expected = [
        ("alice", Ok("nightly-.*")),
        ("cache", Ok("stable")),
        ("acme", Ok(r"v[0-9]+\.[0-9]+\.[0-9]+")),
        ("acme", Err(Unusable::NoPattern)),
    ];
    let expected =
        expected.map(|(namespace, pattern)| (namespace.to_owned(), pattern.map(str::to_owned)));
    assert_eq!(read, expected);
}

#[test]
fn a_database_that_is_lived_in_is_left_alone() {
    let (_database, mut session) = database();
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
    let (_database, mut session) = database();
    let text = "seed = 1\n[[namespace]]\nname = 'n'\n[[namespace.audit]]\nkind = 'creat_tag'\n";
    let world = World::parse(text).expect("a world");
    let error = world.seed(&mut session, now()).expect_err("no such kind");
    let help = miette::Diagnostic::help(&error)
        .expect("a hint")
        .to_string();
    assert_eq!(help, "did you mean `create_tag`?");
}

/// Measured, not only run: `cargo nextest run million_tags --run-ignored all --no-capture`.
fn measure(world: &World, tags: u64) {
    let (_database, mut session) = database();
    let started = std::time::Instant::now();
    let seeded = world.seed(&mut session, now()).expect("rows");
    let seconds = started.elapsed().as_secs_f64();
    let peak_mib = peak_memory_mib();
    eprintln!("{seeded:?} in {seconds:.1} s; peak memory {peak_mib:?} MiB");
    assert_eq!(seeded.tags, tags);
    assert!(peak_mib.is_none_or(|mib| mib < 100), "{peak_mib:?} MiB");
}

/// The most memory that this process has ever held; told by Linux only.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib / 1024)
}

#[test]
#[ignore = "takes half a minute"]
fn a_million_tags_are_seeded_in_bounded_memory() {
    measure(&World::scale().expect("a world"), 1_000_000);
}

#[test]
#[ignore = "takes minutes, and a few gigabytes of disk"]
fn ten_million_tags_are_seeded_in_bounded_memory() {
    let text = "seed = 1\n[[namespace]]\nname = 'n'\n[[namespace.repository]]\nname = 'r{n}'\n\
                count = 1_000\n[[namespace.repository.tags]]\nname = 'v{major}.{minor}.{patch}'\n\
                count = 10_000\nimmutable = true\ntags_per_manifest = 20\n";
    measure(&World::parse(text).expect("a world"), 10_000_000);
}
