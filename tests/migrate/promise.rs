//! What the migrations promise is what they make, and `verify` sees every departure from it.

use std::path::Path;

use quay_doctor::migrate::own_objects;

use super::stage::Stage;

/// Set to write `src/migrate/promised.tsv` again after V1 has changed.
const WRITE: &str = "WRITE_PROMISED";

#[test]
fn the_promise_of_v1_is_what_v1_makes() {
    let mut stage = Stage::quay();
    stage.migrate(&["up", "--to", "1"]);
    let made: String = own_objects(&mut stage.session)
        .expect("the catalog")
        .iter()
        .map(|(name, definition)| format!("{name}\t{definition}\n"))
        .collect();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/migrate/promised.tsv");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&file, &made).expect("the file can be written");
    }
    let promised = std::fs::read_to_string(&file).expect("the file");
    assert_eq!(
        made, promised,
        "run this test with {WRITE}=1 and look at the difference"
    );
}

#[test]
fn a_fresh_schema_at_every_version_is_as_promised() {
    let stage = Stage::with_policies();
    for version in ["1", "2", "3"] {
        stage.migrate(&["up", "--to", version]).exits(0);
        let verified = stage.migrate(&["verify"]).exits(0);
        assert!(
            verified
                .stdout
                .contains(&format!("version {version}: everything is as promised"))
        );
    }
}

#[test]
fn every_departure_from_the_promise_is_drift_and_is_named() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    for (departure, back, named) in [
        (
            "ALTER TABLE quay_doctor.operation ALTER COLUMN worker TYPE varchar(9)",
            "ALTER TABLE quay_doctor.operation ALTER COLUMN worker TYPE text",
            "column operation.worker: promised text NOT NULL, found character varying(9) NOT NULL",
        ),
        (
            "ALTER TABLE quay_doctor.tag_change ALTER COLUMN tag_id DROP NOT NULL",
            "ALTER TABLE quay_doctor.tag_change ALTER COLUMN tag_id SET NOT NULL",
            "column tag_change.tag_id: promised integer NOT NULL, found integer",
        ),
        (
            "DROP INDEX quay_doctor.tag_change_tag",
            "CREATE INDEX tag_change_tag ON quay_doctor.tag_change (tag_id, id)",
            "index tag_change_tag: missing",
        ),
        (
            "ALTER TABLE quay_doctor.scan ADD COLUMN extra integer",
            "ALTER TABLE quay_doctor.scan DROP COLUMN extra",
            "column scan.extra: no migration made it",
        ),
        (
            "CREATE TABLE quay_doctor.mine ()",
            "DROP TABLE quay_doctor.mine",
            "relation mine: no migration made it",
        ),
        (
            "ALTER TABLE quay_doctor.policy_change DROP CONSTRAINT policy_change_check",
            "ALTER TABLE quay_doctor.policy_change ADD CONSTRAINT policy_change_check
             CHECK (row_before IS NOT NULL OR row_after IS NOT NULL)",
            "constraint policy_change.policy_change_check: missing",
        ),
        (
            "ALTER TABLE repositoryimmutabilitypolicy ALTER COLUMN active SET DEFAULT false",
            "ALTER TABLE repositoryimmutabilitypolicy ALTER COLUMN active SET DEFAULT true",
            "column repositoryimmutabilitypolicy.active: promised boolean NOT NULL DEFAULT true, found boolean NOT NULL DEFAULT false",
        ),
        (
            "ALTER TABLE namespaceimmutabilitypolicy ALTER COLUMN active DROP NOT NULL",
            "ALTER TABLE namespaceimmutabilitypolicy ALTER COLUMN active SET NOT NULL",
            "column namespaceimmutabilitypolicy.active: promised boolean NOT NULL DEFAULT true, found boolean DEFAULT true",
        ),
        (
            "ALTER TABLE namespaceimmutabilitypolicy ALTER COLUMN created_date DROP DEFAULT",
            "ALTER TABLE namespaceimmutabilitypolicy ALTER COLUMN created_date SET DEFAULT (timezone('utc', now()))",
            "column namespaceimmutabilitypolicy.created_date: promised timestamp without time zone DEFAULT timezone('utc'::text, now()), found timestamp without time zone without a default",
        ),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_namespace_immutability_policy_active'::regclass",
            "UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'idx_namespace_immutability_policy_active'::regclass",
            "INVALID",
        ),
        (
            "ALTER INDEX idx_repository_immutability_policy_active RENAME TO other",
            "ALTER INDEX other RENAME TO idx_repository_immutability_policy_active",
            "index idx_repository_immutability_policy_active: missing",
        ),
    ] {
        stage.sql(departure);
        let verified = stage.migrate(&["verify"]).exits(1);
        assert!(
            verified.stdout.contains(named),
            "{departure}: {}",
            verified.stdout
        );
        let json = stage
            .migrate(&["verify", "--format", "json"])
            .exits(1)
            .json();
        assert_eq!(
            json["result"]["differences"].as_array().map(Vec::len),
            Some(1),
            "{departure}: {json}"
        );
        stage.sql(back);
        stage.migrate(&["verify"]).exits(0);
    }
}

#[test]
fn up_does_not_call_a_drifted_schema_done() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);
    stage.sql("ALTER TABLE repositoryimmutabilitypolicy DROP COLUMN created_date");
    stage
        .migrate(&["up"])
        .exits(3)
        .complains_of(&["not what its migrations promise", "created_date: missing"]);
    // The way out that the hint names.
    stage.migrate(&["down", "--to", "1"]).exits(0);
    stage.migrate(&["up"]).exits(0);
    stage.migrate(&["verify"]).exits(0);
}
