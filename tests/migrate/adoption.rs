//! An `active` that Quay brings itself: collides before `hand-over`, is adopted after it.

use super::stage::Stage;

/// The statements of the migration that the bug report recommends to Quay, as its Alembic
/// operations send them, in one transaction.
const QUAYS_OWN: &str = "
BEGIN;
ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN active BOOLEAN DEFAULT 'true' NOT NULL;
ALTER TABLE repositoryimmutabilitypolicy ADD COLUMN active BOOLEAN DEFAULT 'true' NOT NULL;
UPDATE namespaceimmutabilitypolicy SET active = true WHERE active IS NULL;
UPDATE repositoryimmutabilitypolicy SET active = true WHERE active IS NULL;
CREATE INDEX idx_namespace_immutability_policy_active ON namespaceimmutabilitypolicy (namespace_id, active);
CREATE INDEX idx_repository_immutability_policy_active ON repositoryimmutabilitypolicy (repository_id, active);
COMMIT;";

/// Its downgrade.
const QUAYS_OWN_BACK: &str = "
BEGIN;
DROP INDEX idx_repository_immutability_policy_active;
DROP INDEX idx_namespace_immutability_policy_active;
ALTER TABLE repositoryimmutabilitypolicy DROP COLUMN active;
ALTER TABLE namespaceimmutabilitypolicy DROP COLUMN active;
COMMIT;";

#[test]
fn quays_own_migration_fails_after_ours_works_after_hand_over_and_is_then_adopted() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up"]).exits(0);

    let collided = stage
        .session
        .run(QUAYS_OWN)
        .expect_err("the columns are there");
    assert_eq!(
        collided.sqlstate(),
        Some("42701"),
        "duplicate_column: {collided:?}"
    );
    stage.sql("ROLLBACK");

    let handed_over = stage.migrate(&["hand-over"]).exits(0);
    assert!(
        handed_over.stdout.contains("now at version 1"),
        "{}",
        handed_over.stdout
    );
    assert!(
        handed_over.stdout.contains("upgrade Quay"),
        "{}",
        handed_over.stdout
    );
    stage.sql(QUAYS_OWN);

    let adopted = stage.migrate(&["up"]).exits(0);
    for object in [
        "column repositoryimmutabilitypolicy.active is there already (boolean NOT NULL, default true): adopted",
        "column namespaceimmutabilitypolicy.active is there already (boolean NOT NULL, default true): adopted",
        "index idx_repository_immutability_policy_active is there already, as promised: adopted",
        "index idx_namespace_immutability_policy_active is there already, as promised: adopted",
    ] {
        assert!(
            adopted.stdout.contains(object),
            "{object} in {}",
            adopted.stdout
        );
    }
    stage.migrate(&["verify"]).exits(0);
    let status = stage.migrate(&["status"]).exits(0);
    assert!(
        status
            .stdout
            .contains("repositoryimmutabilitypolicy.active is Quay's own")
    );
    // What we added beside it.
    assert_eq!(
        stage.value("SELECT count(*) FROM pg_attribute WHERE attname = 'created_date' AND attrelid::regclass::text LIKE '%immutabilitypolicy'"),
        "2"
    );
}

#[test]
fn going_down_takes_our_columns_and_leaves_quays_own() {
    let mut stage = Stage::with_policies();
    stage.sql(QUAYS_OWN);
    let before = stage.catalog();
    stage.migrate(&["up"]).exits(0);
    let down = stage.migrate(&["down", "--to", "0"]).exits(0);
    for kept in [
        "column repositoryimmutabilitypolicy.active is not ours: kept",
        "index idx_namespace_immutability_policy_active is not ours: kept",
    ] {
        assert!(down.stdout.contains(kept), "{}", down.stdout);
    }
    assert_eq!(undropped(stage.catalog()), undropped(before));
    // Quay's own downgrade finds everything that its upgrade made.
    stage.sql(QUAYS_OWN_BACK);
}

/// A dropped column leaves an empty place in the catalog, for ever.
fn undropped(catalog: String) -> Vec<String> {
    let lines = catalog.lines().filter(|line| !line.contains("pg.dropped"));
    lines.map(str::to_owned).collect()
}

#[test]
fn hand_over_leaves_quays_tables_exactly_as_they_were() {
    let mut stage = Stage::with_policies();
    stage.migrate(&["up", "--to", "1"]).exits(0);
    let quays = |catalog: String| -> Vec<String> {
        let lines = undropped(catalog).into_iter();
        lines
            .filter(|line| !line.contains("quay_doctor") && !line.starts_with("(1,journal"))
            .collect()
    };
    let before = quays(stage.catalog());
    stage.migrate(&["up"]).exits(0);
    assert_ne!(quays(stage.catalog()), before);
    stage.migrate(&["hand-over"]).exits(0);
    assert_eq!(quays(stage.catalog()), before);
}

#[test]
fn hand_over_without_our_columns_has_nothing_to_do_and_says_what_comes_next() {
    for version in ["0", "1"] {
        let stage = Stage::with_policies();
        stage.migrate(&["up", "--to", version]).exits(0);
        let ended = stage.migrate(&["hand-over"]).exits(0);
        assert!(
            ended.stdout.contains("nothing was to be taken down"),
            "{}",
            ended.stdout
        );
        assert!(ended.stdout.contains("What next"), "{}", ended.stdout);
    }
}

#[test]
fn an_active_that_is_boolean_not_null_is_adopted_whatever_its_default() {
    for (default, told) in [
        ("DEFAULT false", "default false"),
        ("", "no default"),
        ("DEFAULT (now() > '2000-01-01')", "default (now() >"),
    ] {
        let mut stage = Stage::quay();
        for table in [
            "repositoryimmutabilitypolicy",
            "namespaceimmutabilitypolicy",
        ] {
            stage.sql(&format!(
                "ALTER TABLE {table} ADD COLUMN active boolean NOT NULL {default}"
            ));
        }
        let ended = stage.migrate(&["up"]).exits(0);
        assert!(ended.stdout.contains(told), "{told} in {}", ended.stdout);
        stage.migrate(&["verify"]).exits(0);
    }
}

#[test]
fn an_active_of_any_other_shape_is_refused_before_anything_is_changed() {
    for (shape, difference) in [
        ("boolean", "it takes NULL"),
        (
            "integer NOT NULL DEFAULT 1",
            "its type is integer, not boolean",
        ),
        ("text", "its type is text, not boolean"),
    ] {
        for table in [
            "repositoryimmutabilitypolicy",
            "namespaceimmutabilitypolicy",
        ] {
            let mut stage = Stage::with_policies();
            stage.sql(&format!("ALTER TABLE {table} ADD COLUMN active {shape}"));
            let before = stage.catalog();
            stage.migrate(&["up"]).exits(3).complains_of(&[
                table,
                "active",
                difference,
                "boolean NOT NULL",
            ]);
            assert_eq!(stage.catalog(), before, "{table} {shape}");
        }
    }
}

#[test]
fn a_created_date_of_another_type_is_refused_and_one_of_the_right_type_adopted() {
    let mut stage = Stage::with_policies();
    stage.sql("ALTER TABLE namespaceimmutabilitypolicy ADD COLUMN created_date timestamptz");
    stage
        .migrate(&["up"])
        .exits(3)
        .complains_of(&["created_date", "timestamp with time zone"]);
    stage.sql("ALTER TABLE namespaceimmutabilitypolicy ALTER COLUMN created_date TYPE timestamp");
    let ended = stage.migrate(&["up"]).exits(0);
    assert!(
        ended
            .stdout
            .contains("column namespaceimmutabilitypolicy.created_date is there already")
    );
    stage.migrate(&["verify"]).exits(0);
}
