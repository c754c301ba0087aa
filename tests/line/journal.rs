//! The journal's rows are read a few times each, however many batches there are.

use super::stage::{RELEASE, Stage};

/// More than a few pages of the journal.
const ROWS: i64 = 30_000;

/// Rows of the journal that anybody has read, by an index or without one.
const READ: &str = "SELECT (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
        + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'tag_change'))::bigint
    FROM pg_stat_user_tables WHERE relname = 'tag_change'";

#[test]
fn an_undo_does_not_go_over_all_of_a_run_for_each_batch() {
    let stage = Stage::migrated(
        r#"
        seed = 51
        [[namespace]]
        name = "acme"
        [[namespace.repository]]
        name = "shop"
        [[namespace.repository.tags]]
        name = "v{n}"
        count = 30000
        immutable = true
        "#,
    );
    // Nobody has gathered statistics of the journal: that is how a first run finds it.
    stage.sql("ALTER TABLE quay_doctor.tag_change SET (autovacuum_enabled = off)");
    let stated = ["--immutable-tags-can-expire", "false", "--audit", "none"];
    let small = [
        "--batch-time",
        "100ms",
        "--format",
        "json",
        "--max-changes",
        "30000",
    ];
    let fix = [
        &["fix", "--apply", "--remedy", RELEASE][..],
        &stated,
        &small,
    ]
    .concat();
    let run = stage.run(&fix).expect_status(0).json();
    assert_eq!(run["applied"], ROWS);
    let read_by_the_run = stage.count(READ);
    assert!(read_by_the_run < 2 * ROWS, "{read_by_the_run}");

    let id = run["run"].to_string();
    let undo = [&["fix", "undo", &id][..], &stated, &small[..4]].concat();
    assert_eq!(stage.run(&undo).expect_status(0).json()["undone"], ROWS);
    let read_by_the_undo = stage.count(READ) - read_by_the_run;
    // A page, the last change of its tag, the mark.
    assert!(read_by_the_undo < 7 * ROWS, "{read_by_the_undo}");
}
