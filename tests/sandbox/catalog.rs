//! The fixture's tables are Quay's tables: every fact of the catalog, compared.

use std::collections::BTreeSet;
use std::path::Path;

use quay_doctor::pg::{ReadSession, Statements, WriteSession};
use quay_doctor::sandbox::{Cluster, fixture};
use testkit::skipped;

/// The live catalog in the words of `fixtures/quay/catalog.txt`. NOT NULL is told with the column;
/// PostgreSQL 18 lists it among the constraints as well (type `n`).
const FACTS: &str = "
WITH tables AS (
    SELECT oid AS table_oid, relname::text AS table_name
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
)
SELECT table_name, 'column ' || attname || ' ' || format_type(atttypid, atttypmod)
       || CASE WHEN attnotnull THEN ' not null' ELSE '' END
       || coalesce(' default ' || pg_get_expr(adbin, adrelid), '') AS fact
FROM tables
JOIN pg_attribute ON attrelid = table_oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = table_oid AND adnum = attnum
UNION ALL
SELECT table_name, 'constraint ' || conname || ' ' || pg_get_constraintdef(pg_constraint.oid)
FROM tables
JOIN pg_constraint ON conrelid = table_oid
WHERE contype <> 'n' AND convalidated
UNION ALL
SELECT table_name, 'index ' || relname || ' ' || pg_get_indexdef(indexrelid)
FROM tables
JOIN pg_index ON indrelid = table_oid AND indisvalid
JOIN pg_class ON pg_class.oid = indexrelid
UNION ALL
SELECT table_name, 'sequence ' || relname || ' ' || format_type(seqtypid, NULL)
       || ' from ' || seqstart || ' by ' || seqincrement || ' to ' || seqmax
       || ' cache ' || seqcache || ' owned by ' || attname
FROM tables
JOIN pg_depend ON refclassid = 'pg_class'::regclass AND refobjid = table_oid AND deptype = 'a'
JOIN pg_sequence ON seqrelid = objid AND classid = 'pg_class'::regclass
JOIN pg_class ON pg_class.oid = seqrelid
JOIN pg_attribute ON attrelid = table_oid AND attnum = refobjsubid
";

/// The tables whose rows are part of the facts.
const LOOKUPS: [&str; 6] = [
    "tagkind",
    "mediatype",
    "labelsourcetype",
    "visibility",
    "repositorykind",
    "logentrykind",
];

/// A table's name and one thing that is true of it.
type Facts = BTreeSet<(String, String)>;

fn loaded() -> Cluster {
    let cluster = Cluster::start().expect("a cluster");
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    cluster
}

fn live_facts(cluster: &Cluster) -> Facts {
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = ReadSession::open(&settings).expect("a session");
    let mut facts: Facts = session
        .query(FACTS, &[])
        .expect("the catalog")
        .iter()
        .map(|row| (row.get("table_name"), row.get("fact")))
        .collect();
    for table in LOOKUPS {
        let rows = session
            .query(&format!("SELECT id, name FROM {table}"), &[])
            .expect("lookup rows");
        facts.extend(rows.iter().map(|row| {
            let (id, name): (i32, String) = (row.get("id"), row.get("name"));
            (table.to_owned(), format!("row {id} {name}"))
        }));
    }
    facts
}

/// The project's own copy of the facts.
fn written_facts() -> Facts {
    let mut table = String::new();
    let mut facts = Facts::new();
    for line in include_str!("../../fixtures/quay/catalog.txt").lines() {
        if let Some(name) = line.strip_prefix("table ") {
            table = name.to_owned();
        } else if let Some(fact) = line.strip_prefix("  ") {
            facts.insert((table.clone(), fact.to_owned()));
        }
    }
    facts
}

fn assert_same(left: &Facts, right: &Facts) {
    let only_left: Vec<_> = left.difference(right).collect();
    let only_right: Vec<_> = right.difference(left).collect();
    assert!(
        only_left.is_empty() && only_right.is_empty(),
        "only in the first: {only_left:#?}\nonly in the second: {only_right:#?}"
    );
}

#[test]
fn the_fixtures_tables_are_quays_tables_to_the_last_index() {
    let written: Facts = written_facts()
        .into_iter()
        .filter(|(_, fact)| !fact.starts_with("absent "))
        .collect();
    assert!(written.len() > 500, "{} facts were read", written.len());
    assert_same(&live_facts(&loaded()), &written);
}

#[test]
fn the_loaded_database_says_which_revision_of_quays_it_is() {
    let cluster = loaded();
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = ReadSession::open(&settings).expect("a session");
    let row = session
        .query_one("SELECT version_num FROM alembic_version", &[])
        .expect("one revision");
    assert_eq!(row.get::<_, String>("version_num"), "9fa37f66a9b6");
    // The sequences stand behind the rows, so that the next insertion does not collide.
    let mut writer = WriteSession::open(&settings).expect("a session");
    writer
        .run("INSERT INTO logentrykind (name) VALUES ('another')")
        .expect("a free id");
}

#[test]
fn a_database_that_has_quays_tables_is_refused_and_left_alone() {
    let cluster = loaded();
    let before = live_facts(&cluster);
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    assert!(fixture::load_schema(&mut session).is_err());
    drop(session);
    assert_same(&before, &live_facts(&cluster));
}

/// Where the reference tables lie beside the project, our copy must say the same.
#[test]
fn our_copy_of_the_facts_is_the_reference() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/quay");
    if !folder.is_dir() {
        skipped("no reference tables beside the project");
        return;
    }
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).expect("a reference table");
        text.lines().skip(1).map(csv_fields).collect::<Vec<_>>()
    };
    let mut facts = Facts::new();
    let mut add = |table: &str, fact: String| facts.insert((table.to_owned(), fact));
    for f in read("columns.csv") {
        let null = if f[3] == "f" { " not null" } else { "" };
        let default = if f[4].is_empty() {
            String::new()
        } else {
            format!(" default {}", f[4])
        };
        add(&f[0], format!("column {} {}{null}{default}", f[1], f[2]));
    }
    for f in read("constraints.csv") {
        add(&f[0], format!("constraint {} {}", f[1], f[3]));
    }
    for f in read("indexes.csv") {
        add(&f[0], format!("index {} {}", f[1], f[2]));
    }
    for f in read("sequences.csv") {
        let [name, table, column, kind, start, by, max, cache, _] = &f[..] else {
            panic!("a sequence has nine fields: {f:?}")
        };
        let range = format!("from {start} by {by} to {max} cache {cache}");
        add(
            table,
            format!("sequence {name} {kind} {range} owned by {column}"),
        );
    }
    for f in read("logentrykind.csv") {
        add("logentrykind", format!("row {} {}", f[0], f[1]));
    }
    for f in read("rows.csv") {
        add(&f[0], format!("row {} {}", f[1], f[2]));
    }
    let ours = written_facts()
        .into_iter()
        .map(|(table, fact)| (table, fact.replacen("absent ", "constraint ", 1)))
        .collect();
    assert_same(&facts, &ours);
}

/// The fields of a CSV line; quotes are doubled inside a quoted field.
fn csv_fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("there is always one");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    fields
}
