//! `deploy/roles.sql`: every command works under its role, the reader writes nothing, and no right
//! is there that nothing needs.

use std::collections::BTreeSet;

use quay_doctor::pg::{Columns, Statements, WriteSession};
use serde_json::Value;

use super::estate::{Estate, GLOBEX, OPERATOR, PRINT, READER, SOUND};
use crate::program::Ended;

/// A command and the exit status that it has where nothing is lacking. `{run}` is the run that the
/// commands before it printed last.
type Step = (&'static [&'static str], i32);

/// Everything that the reader does.
const LOOKING: &[Step] = &[
    (&["check"], 1),
    (&["check", "--compare"], 1),
    (&["fix"], 1),
    (&["policy", "list"], 0),
    (&["policy", "show", GLOBEX], 0),
    (
        &[
            "policy",
            "evaluate",
            "--namespace",
            "globex",
            "--repository",
            "portal",
            "--tag",
            "v1",
        ],
        0,
    ),
    (
        &[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v.*",
            "--dry-run",
        ],
        0,
    ),
    (&["recover", "--list"], 3),
    (&["history"], 0),
    (&["history", "1"], 0),
    (&["history", "--tag", "past/done:v1.1"], 0),
    (&["tag", "explain", "hooli/box:r1"], 0),
    (&["tag", "explain", "past/done:v1.1"], 0),
    (&["migrate", "status"], 0),
    (&["migrate", "plan"], 0),
    (&["migrate", "verify"], 0),
];

/// Everything that only the operator does, in an order in which each finds something to do.
const MENDING: &[Step] = &[
    (&["recover", "2"], 0),
    (
        &[
            "fix",
            "--apply",
            "--rule",
            "interrupted-operation",
            "--remedy",
            "interrupted-operation=roll-back",
        ],
        0,
    ),
    (
        &[
            "fix",
            "--apply",
            "--remedy",
            "orphaned-immutable-tag=release",
            "--remedy",
            "policy-on-mirror=delete",
        ],
        0,
    ),
    (&["fix", "undo", "{run}"], 0),
    (
        &[
            "fix",
            "--apply",
            "--rule",
            "orphaned-immutable-tag",
            "--remedy",
            "orphaned-immutable-tag=keep",
        ],
        0,
    ),
    (&["fix", "undo", "{run}"], 0),
    (
        &[
            "fix",
            "--apply",
            "--namespace",
            "hooli",
            "--remedy",
            "orphaned-immutable-tag=recreate",
            "--pattern",
            "r.*",
        ],
        0,
    ),
    (&["fix", "undo", "{run}"], 0),
    (
        &[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--pattern",
            "v.*",
        ],
        0,
    ),
    (
        &[
            "policy",
            "create",
            "--namespace",
            "acme",
            "--repository",
            "tool",
            "--pattern",
            "x.*",
        ],
        0,
    ),
    (
        &[
            "policy",
            "update",
            GLOBEX,
            "--pattern",
            "v1.*",
            "--unmatched-tags",
            "release",
        ],
        0,
    ),
    (
        &["policy", "deactivate", GLOBEX, "--tags", "keep", "--yes"],
        0,
    ),
    (&["policy", "activate", GLOBEX], 0),
    (&["policy", "delete", GLOBEX, "--tags", "release"], 0),
    (
        &[
            "policy",
            "update",
            PRINT,
            "--pattern",
            "v1.*",
            "--unmatched-tags",
            "keep",
        ],
        0,
    ),
    (&["policy", "delete", PRINT, "--tags", "keep"], 0),
    (&["check", "--record"], 1),
    (&["fix", "prune", "--older-than", "1s", "--apply"], 0),
];

/// The steps that end otherwise than they should, each run when it is asked for.
fn failures<'a>(
    estate: &'a Estate,
    (login, database): (&'a str, &'a str),
    steps: &'a [Step],
    sound: &'a Value,
) -> impl Iterator<Item = (String, Ended)> + 'a {
    let mut run = String::from("none");
    steps.iter().filter_map(move |(args, status)| {
        let args: Vec<&str> = args
            .iter()
            .map(|arg| if *arg == "{run}" { run.as_str() } else { arg })
            .collect();
        let ended = estate.run_as(login, database, &args);
        let failed = ended.status != *status || (args == ["check"] && seen(&ended) != *sound);
        let said = args.join(" ");
        let printed: Option<Value> = serde_json::from_str(&ended.stdout).ok();
        if let Some(number) = printed.and_then(|json| json["run"].as_i64()) {
            run = number.to_string();
        }
        failed.then_some((said, ended))
    })
}

/// What a check says of the database besides its verdict: a right that lacks may show only there.
fn seen(ended: &Ended) -> Value {
    ended.json()["database"].clone()
}

/// How the database looks to whoever has every right; the same in every clone.
fn sound(estate: &Estate) -> Value {
    seen(&estate.run_as("postgres", SOUND, &["check"]))
}

/// Every right of a role, from the server's own books, as it is written behind GRANT and REVOKE.
fn rights(session: &mut WriteSession, role: &str) -> BTreeSet<String> {
    let rows = session
        .query(
            r"
            WITH granted AS (
                SELECT 'ON ' || oid::regclass::text AS target, NULL AS only_column, relacl AS acl
                FROM pg_class
                UNION ALL
                SELECT 'ON ' || attrelid::regclass::text, quote_ident(attname), attacl
                FROM pg_attribute
                UNION ALL
                SELECT 'ON SCHEMA ' || nspname, NULL, nspacl FROM pg_namespace
                UNION ALL
                SELECT 'ON DATABASE ' || datname, NULL, datacl
                FROM pg_database WHERE datname = current_database()
            )
            SELECT acl.privilege_type || coalesce(' (' || only_column || ')', '') || ' ' || target
            FROM granted, aclexplode(granted.acl) AS acl
            WHERE acl.grantee = $1::text::regrole
            ",
            &[&role],
        )
        .expect("rights");
    rows.iter().map(|row| row.read(0).expect("text")).collect()
}

#[test]
fn every_command_works_under_its_role() {
    let Some(estate) = Estate::staffed() else {
        return;
    };
    let sound = sound(&estate);
    let mut failed = Vec::new();
    for (login, steps) in [(READER, LOOKING), (OPERATOR, LOOKING), (OPERATOR, MENDING)] {
        failed.extend(failures(&estate, (login, SOUND), steps, &sound));
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn the_reader_can_write_nothing_and_the_operator_no_other_table() {
    let Some(estate) = Estate::staffed() else {
        return;
    };
    let mut owner = estate.owner(SOUND);
    let tables = owner
        .query(
            r"
            SELECT c.oid::regclass::text, quote_ident(min(a.attname)), c.relname = ANY ($1)
                OR c.relnamespace = 'quay_doctor'::regnamespace
            FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
            WHERE c.relkind = 'r' AND c.relnamespace::regnamespace::text IN ('public', 'quay_doctor')
            GROUP BY c.oid
            ",
            &[&[
                "tag",
                "logentry3",
                "namespaceimmutabilitypolicy",
                "repositoryimmutabilitypolicy",
            ]
            .as_slice()],
        )
        .expect("tables");
    assert!(tables.len() > 20, "Quay's tables and ours");
    for row in &tables {
        let (table, column): (&str, &str) =
            (row.read(0).expect("text"), row.read(1).expect("text"));
        let written: bool = row.read(2).expect("a truth");
        let who: &[&str] = if written {
            &[READER]
        } else {
            &[READER, OPERATOR]
        };
        for login in who {
            for sql in [
                format!("INSERT INTO {table} DEFAULT VALUES"),
                format!("UPDATE {table} SET {column} = DEFAULT WHERE false"),
                format!("DELETE FROM {table} WHERE false"),
                format!("TRUNCATE {table}"),
                format!("BEGIN; LOCK TABLE {table} IN SHARE MODE"),
            ] {
                is_refused(&estate, login, &sql);
            }
        }
    }
    is_refused(&estate, READER, "SELECT nextval('tag_id_seq')");
    is_refused(&estate, READER, "CREATE TABLE mine (id int)");
    for journal in [
        "UPDATE quay_doctor.tag_change SET lifetime_end_ms_before = 0",
        "UPDATE quay_doctor.operation SET actor = 'somebody else'",
        "UPDATE quay_doctor.operation SET policy_before = NULL",
        "UPDATE quay_doctor.policy_change SET row_before = NULL",
        "UPDATE tag SET name = 'other'",
    ] {
        is_refused(&estate, OPERATOR, journal);
    }
    for secret in ["password_hash", "email"] {
        is_refused(
            &estate,
            OPERATOR,
            &format!(r#"SELECT {secret} FROM "user""#),
        );
    }
}

/// Asserts that the server refuses a statement for want of a right.
#[track_caller]
fn is_refused(estate: &Estate, login: &str, sql: &str) {
    let mut session = estate.session_of(login, SOUND);
    let refused = session.run(sql).expect_err(sql);
    assert_eq!(
        refused.sqlstate(),
        Some("42501"),
        "{login}: {sql}: {refused}"
    );
}

#[test]
fn the_program_refuses_to_write_under_the_reader_and_nothing_has_changed() {
    let Some(estate) = Estate::staffed() else {
        return;
    };
    let images = |estate: &Estate| -> String {
        let row = estate.owner(SOUND).query_one(
            r"
            SELECT md5(concat(
                (SELECT string_agg(t::text, '|' ORDER BY id) FROM tag t),
                (SELECT string_agg(p::text, '|' ORDER BY id) FROM namespaceimmutabilitypolicy p),
                (SELECT string_agg(p::text, '|' ORDER BY id) FROM repositoryimmutabilitypolicy p),
                (SELECT string_agg(o::text, '|' ORDER BY id) FROM quay_doctor.operation o),
                (SELECT count(*) FROM logentry3)))
            ",
            &[],
        );
        row.expect("a row")
            .read::<&str>(0)
            .expect("text")
            .to_owned()
    };
    let before = images(&estate);
    let mending = MENDING.iter().map(|(args, _)| *args);
    let nothing_to_do: &[&str] = &["fix", "prune", "--older-than", "36500d", "--apply"];
    for args in mending
        .filter(|args| !args.contains(&"undo"))
        .chain([nothing_to_do])
    {
        let ended = estate.run_as(READER, SOUND, args);
        assert!(matches!(ended.status, 2 | 3), "{args:?}: {ended:#?}");
    }
    assert_eq!(images(&estate), before);
}

#[test]
fn no_right_of_the_reader_is_superfluous() {
    let Some(estate) = Estate::staffed() else {
        return;
    };
    let sound = sound(&estate);
    let role = "quay_doctor_reader";
    let mut owner = estate.owner(SOUND);
    let mut superfluous = Vec::new();
    for right in rights(&mut owner, role) {
        owner
            .run(&format!("REVOKE {right} FROM {role}"))
            .expect("revoked");
        // It writes nothing, so that one database does for all.
        if failures(&estate, (READER, SOUND), LOOKING, &sound)
            .next()
            .is_none()
        {
            superfluous.push(right.clone());
        }
        owner
            .run(&format!("GRANT {right} TO {role}"))
            .expect("granted");
    }
    assert!(superfluous.is_empty(), "nothing needs {superfluous:#?}");
    let failed = failures(&estate, (READER, SOUND), LOOKING, &sound).next();
    assert!(failed.is_none(), "with every right: {failed:#?}");
}

#[test]
fn no_right_of_the_operator_on_quays_tables_is_superfluous() {
    each_is_needed(|right| !right.contains("quay_doctor."));
}

#[test]
fn no_right_of_the_operator_on_operations_is_superfluous() {
    each_is_needed(|right| right.contains("quay_doctor.operation"));
}

#[test]
fn no_right_of_the_operator_on_the_journal_is_superfluous() {
    each_is_needed(|right| right.contains("quay_doctor.") && !right.contains("operation"));
}

/// Takes each such right of the operator away, one at a time, each in a database of its own, and
/// expects some command to miss it. That none fails with all of them another test shows.
fn each_is_needed(such: impl Fn(&str) -> bool) {
    let Some(estate) = Estate::staffed() else {
        return;
    };
    let sound = sound(&estate);
    let role = "quay_doctor_operator";
    let mut all = rights(&mut estate.owner(SOUND), role);
    all.retain(|right| such(right));
    assert!(all.len() > 8, "{all:#?}");
    let mut superfluous = Vec::new();
    for right in all {
        let database = "lacking";
        estate.clone_as(database);
        estate
            .owner(database)
            .run(&format!("REVOKE {right} FROM {role}"))
            .expect("revoked");
        if failures(&estate, (OPERATOR, database), MENDING, &sound)
            .next()
            .is_none()
        {
            superfluous.push(right);
        }
        estate.cluster.drop_database(database).expect("dropped");
    }
    assert!(superfluous.is_empty(), "nothing needs {superfluous:#?}");
}

#[test]
fn the_file_runs_before_and_after_the_migrations_and_again() {
    let Some(estate) = Estate::of_quay() else {
        return;
    };
    let said = estate.roles(SOUND);
    assert!(
        said.contains("not there yet, left out: SELECT on quay_doctor.operation"),
        "{said}"
    );
    let mut owner = estate.owner(SOUND);
    owner
        .run(&format!(
            "CREATE ROLE {READER} LOGIN IN ROLE quay_doctor_reader"
        ))
        .expect("a login");
    estate.run_as(READER, SOUND, &["check"]).expect_status(1);
    for to in ["1", "3"] {
        estate
            .run_as("postgres", SOUND, &["migrate", "up", "--to", to])
            .expect_status(0);
        let said = estate.roles(SOUND);
        assert!(!said.contains("left out"), "{said}");
        estate.run_as(READER, SOUND, &["check"]).expect_status(1);
    }
    let both = |owner: &mut WriteSession| {
        let mut all = rights(owner, "quay_doctor_reader");
        all.extend(rights(owner, "quay_doctor_operator"));
        all
    };
    let once = both(&mut owner);
    owner
        .run("GRANT DELETE ON manifestlabel TO quay_doctor_reader; GRANT UPDATE (name) ON tag TO quay_doctor_operator")
        .expect("two rights too many");
    assert_ne!(both(&mut owner), once);
    estate.roles(SOUND);
    assert_eq!(both(&mut owner), once);
}
