//! The wrong server, database or role: one clear sentence, a hint, status 2, nothing changed.

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::{Cluster, Program, Programs, fixture, skipped};

use super::stage::{Stage, run};

#[test]
fn a_standby_is_read_and_never_written() {
    let programs = Programs::find().expect("a server's programs");
    if !programs.has(Program::PgBasebackup) {
        skipped("this package of PostgreSQL has no pg_basebackup");
        return;
    }
    let mut primary = Cluster::start().expect("a cluster");
    let settings = primary.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    run(&primary.url("postgres"), &["up", "--to", "1"]).exits(0);
    let standby = primary.standby().expect("a standby");
    standby.wait_until_caught_up().expect("replay");
    let url = standby.url("postgres");
    for args in [&["up"][..], &["down", "--to", "0"], &["hand-over"]] {
        run(&url, args)
            .exits(2)
            .complains_of(&["this server is a standby", "primary"]);
    }
    let status = run(&url, &["status", "--format", "json"]).exits(1).json();
    assert_eq!(status["result"]["server"], "standby");
    assert_eq!(status["result"]["version"], 1);
    run(&url, &["plan"]).exits(1);
    run(&url, &["verify"]).exits(0);
}

#[test]
fn a_database_that_is_not_quays_is_not_touched() {
    let mut stage = Stage::empty();
    stage.sql("CREATE TABLE tag (id integer)");
    let before = stage.catalog();
    for args in [
        &["up"][..],
        &["up", "--to", "1"],
        &["status"],
        &["plan"],
        &["verify"],
        &["down", "--to", "0"],
        &["hand-over"],
    ] {
        stage.migrate(args).exits(2).complains_of(&[
            "not Quay's database",
            "no table manifest, repository, \"user\"",
            "search_path",
        ]);
    }
    assert_eq!(stage.catalog(), before);
}

#[test]
fn a_quay_older_than_its_policies_gets_our_own_schema_and_no_more() {
    let mut stage = Stage::quay();
    stage.sql("DROP TABLE repositoryimmutabilitypolicy, namespaceimmutabilitypolicy");
    let before = stage.catalog();
    for args in [&["up"][..], &["up", "--to", "2"], &["plan"]] {
        stage.migrate(args).exits(2).complains_of(&[
            "no immutability policies yet",
            "repositoryimmutabilitypolicy, namespaceimmutabilitypolicy",
            "3.17",
            "up --to 1",
        ]);
    }
    assert_eq!(stage.catalog(), before);
    let first = stage.migrate(&["up", "--to", "1"]).exits(0);
    assert!(
        first.stderr.contains("no immutability policies yet"),
        "{}",
        first.stderr
    );
    stage.migrate(&["verify"]).exits(0);
    stage.migrate(&["status"]).exits(1);
    stage.migrate(&["hand-over"]).exits(0);
    stage.migrate(&["down", "--to", "0"]).exits(0);
}

#[test]
fn policy_tables_that_lack_a_needed_column_are_refused_and_the_columns_named() {
    let mut stage = Stage::quay();
    stage.sql(
        "ALTER TABLE repositoryimmutabilitypolicy RENAME COLUMN policy TO definition;
         ALTER TABLE namespaceimmutabilitypolicy ALTER COLUMN uuid TYPE uuid USING uuid::uuid;
         UPDATE alembic_version SET version_num = 'ffffffffffff'",
    );
    let before = stage.catalog();
    stage.migrate(&["up"]).exits(2).complains_of(&[
        "repositoryimmutabilitypolicy.policy is missing",
        "namespaceimmutabilitypolicy.uuid is uuid, not character varying",
        "ffffffffffff",
    ]);
    assert_eq!(stage.catalog(), before);
}

#[test]
fn an_unknown_alembic_revision_with_the_known_columns_is_a_warning() {
    let mut stage = Stage::quay();
    stage.sql("DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('ffffffffffff')");
    let ended = stage.migrate(&["up"]).exits(0);
    assert!(
        ended.stderr.contains("warning: Quay's Alembic revision is not one that this version was tested with (ffffffffffff)"),
        "{}",
        ended.stderr
    );
    stage.sql("UPDATE alembic_version SET version_num = '9fa37f66a9b6'");
    let ended = stage.migrate(&["status"]).exits(0);
    assert!(
        !ended
            .stdout
            .contains("not one that this version was tested with")
    );
}

/// A role of the test's own; roles belong to the whole cluster, so its name is the database's.
struct Role {
    name: String,
}

impl Role {
    fn create(stage: &mut Stage) -> Self {
        let name = format!("role_{}", stage.database.name());
        stage.sql(&format!("CREATE ROLE {name} LOGIN"));
        Self { name }
    }

    /// What a role owns has to go before it.
    fn drop(self, stage: &mut Stage) {
        stage.sql(&format!(
            "REASSIGN OWNED BY {0} TO postgres; DROP OWNED BY {0}; DROP ROLE {0}",
            self.name
        ));
    }
}

#[test]
fn a_role_without_rights_is_told_all_that_it_lacks_and_what_helps() {
    let mut stage = Stage::with_policies();
    let role = Role::create(&mut stage);
    let url = stage.url_as(&role.name);
    let (name, database) = (role.name.clone(), stage.database.name().to_owned());
    let before = stage.catalog();
    run(&url, &["up"]).exits(2).complains_of(&[
        &format!("the role {name} may not do this"),
        &format!("create a schema in database {database}"),
        "alter repositoryimmutabilitypolicy, which belongs to postgres",
        "alter namespaceimmutabilitypolicy, which belongs to postgres",
        &format!("GRANT CREATE ON DATABASE {database} TO {name}"),
        &format!("GRANT postgres TO {name}"),
    ]);
    assert_eq!(stage.catalog(), before);
    // V1 needs no more than a place for its schema.
    stage.sql(&format!("GRANT CREATE ON DATABASE {database} TO {name}"));
    run(&url, &["up", "--to", "1"]).exits(0);
    run(&url, &["up"])
        .exits(2)
        .complains_of(&["alter repositoryimmutabilitypolicy"]);
    run(&url, &["down", "--to", "0"]).exits(0);
    role.drop(&mut stage);
}

#[test]
fn an_owner_of_quays_tables_migrates_without_being_a_superuser() {
    let mut stage = Stage::with_policies();
    let role = Role::create(&mut stage);
    let (name, database) = (role.name.clone(), stage.database.name().to_owned());
    stage.sql(&format!(
        "ALTER TABLE repositoryimmutabilitypolicy OWNER TO {name};
         ALTER TABLE namespaceimmutabilitypolicy OWNER TO {name};
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name};
         GRANT CREATE ON DATABASE {database} TO {name}"
    ));
    let url = stage.url_as(&name);
    // PostgreSQL 15 and later give nobody CREATE on the schema public.
    stage.sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    run(&url, &["up"]).exits(2).complains_of(&[
        "create the index",
        &format!("GRANT CREATE ON SCHEMA public TO {name}"),
    ]);
    stage.sql(&format!("GRANT CREATE ON SCHEMA public TO {name}"));
    run(&url, &["up"]).exits(0);
    run(&url, &["verify"]).exits(0);
    run(&url, &["down", "--to", "0"]).exits(0);
    role.drop(&mut stage);
}

#[test]
fn a_schema_that_an_administrator_made_for_us_is_used_and_kept() {
    let mut stage = Stage::with_policies();
    let role = Role::create(&mut stage);
    let name = role.name.clone();
    stage.sql("CREATE SCHEMA quay_doctor");
    let url = stage.url_as(&name);
    run(&url, &["up", "--to", "1"]).exits(2).complains_of(&[
        "use and fill the schema quay_doctor",
        "GRANT USAGE, CREATE ON SCHEMA quay_doctor",
    ]);
    stage.sql(&format!(
        "GRANT USAGE, CREATE ON SCHEMA quay_doctor TO {name}"
    ));
    let up = run(&url, &["up", "--to", "1"]).exits(0);
    assert!(
        up.stdout
            .contains("schema quay_doctor is there already: used"),
        "{}",
        up.stdout
    );
    let down = run(&url, &["down", "--to", "0"]).exits(0);
    assert!(
        down.stdout.contains("it belongs to another role"),
        "{}",
        down.stdout
    );
    assert_eq!(
        stage.value("SELECT to_regnamespace('quay_doctor')"),
        "quay_doctor"
    );
    role.drop(&mut stage);
}

#[test]
fn a_role_that_may_only_read_can_look_at_status_plan_and_verify() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "2"]).exits(0);
    let role = Role::create(&mut stage);
    let name = role.name.clone();
    stage.sql(&format!(
        "GRANT USAGE ON SCHEMA quay_doctor TO {name};
         GRANT SELECT ON ALL TABLES IN SCHEMA quay_doctor, public TO {name}"
    ));
    let url = stage.url_as(&name);
    run(&url, &["status"]).exits(1);
    run(&url, &["plan"]).exits(1);
    run(&url, &["verify"]).exits(0);
    run(&url, &["up"])
        .exits(2)
        .complains_of(&["may not do this"]);
    role.drop(&mut stage);
}

#[test]
fn a_server_set_to_read_only_is_told_from_a_broken_one() {
    let mut stage = Stage::with_policies();
    let database = stage.database.name().to_owned();
    stage.sql(&format!(
        "ALTER DATABASE {database} SET default_transaction_read_only = on"
    ));
    stage
        .migrate(&["up"])
        .exits(2)
        .complains_of(&["default_transaction_read_only is on", "accepts no writes"]);
    assert_eq!(stage.value("SELECT to_regnamespace('quay_doctor')"), "NULL");
}

#[test]
fn usage_errors_and_an_unreachable_server_have_their_own_status() {
    let stage = Stage::empty();
    stage.migrate(&[]).exits(2);
    stage.migrate(&["sideways"]).exits(2);
    stage.migrate(&["down"]).exits(2);
    stage.migrate(&["up", "--to", "two"]).exits(2);
    stage.migrate(&["up", "--wait", "soon"]).exits(2);
    for args in [&["status"][..], &["up"], &["verify"]] {
        run("postgresql://postgres@127.0.0.1:1/none", args)
            .exits(3)
            .complains_of(&["cannot connect"]);
    }
}
