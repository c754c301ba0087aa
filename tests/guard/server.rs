//! What the server has to do for a tag: blocks touched and bytes of WAL, beside one bare UPDATE.

use quay_doctor::pg::{Columns, Statements};
use quay_doctor::sandbox::Cluster;

use super::{CREATE, RELEASE, STATED, TAGS};
use crate::bench::stage::{copy, session, template, world};
use crate::program::run_on;

/// Blocks of these tables and their indexes that anybody has touched.
const TOUCHED: &str = "SELECT coalesce(sum(heap_blks_hit + heap_blks_read
        + coalesce(idx_blks_hit + idx_blks_read, 0)), 0)::bigint
    FROM pg_statio_user_tables WHERE relname IN ('tag', 'tag_change', 'operation')";
const CHANGED: &str = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'tag'";

/// What a piece of work took, of all its tags.
#[derive(Clone, Copy, Debug)]
struct Spent {
    blocks: f64,
    wal: f64,
}

impl Spent {
    #[track_caller]
    fn is_at_most(self, blocks: f64, wal: f64, bare: Self) {
        let (blocks_ratio, wal_ratio) = (self.blocks / bare.blocks, self.wal / bare.wal);
        eprintln!("{self:.0?}: {blocks_ratio:.2} of the blocks, {wal_ratio:.2} of the WAL");
        assert!(
            blocks_ratio <= blocks,
            "blocks: {blocks_ratio:.2} > {blocks}"
        );
        assert!(wal_ratio <= wal, "WAL: {wal_ratio:.2} > {wal}");
    }
}

/// Nothing but the work writes WAL, and pages are not written whole.
fn quiet_cluster() -> Cluster {
    Cluster::builder()
        .setting("autovacuum", "off")
        .setting("full_page_writes", "off")
        .setting("max_wal_size", "4GB")
        .setting("checkpoint_timeout", "1h")
        .start()
        .expect("a cluster")
}

/// Does the work, which changes every tag once, and sums up what the server did for it.
fn spent(url: &str, work: impl FnOnce()) -> Spent {
    let mut session = session(url);
    let mut number = |sql: &str| -> i64 {
        let row = session.query_one(sql, &[]).expect("a row");
        row.read(0).expect("a number")
    };
    let position = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let (touched, changed, wal) = (number(TOUCHED), number(CHANGED), number(position));
    work();
    let wal = number(position) - wal;
    // Up to PostgreSQL 14 another process gathers the statistics.
    let patience = std::time::Instant::now();
    while number(CHANGED) - changed < i64::from(TAGS) {
        assert!(patience.elapsed().as_secs() < 60, "no statistics");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Spent {
        blocks: (number(TOUCHED) - touched) as f64,
        wal: wal as f64,
    }
}

fn update(url: &str, immutable: bool) -> Spent {
    spent(url, || {
        session(url)
            .run(&format!(
                "UPDATE tag SET immutable = {immutable} WHERE immutable <> {immutable}"
            ))
            .expect("an update");
    })
}

#[test]
fn a_creation_costs_the_server_little_more_than_the_update_itself() {
    let cluster = quiet_cluster();
    for (name, blocks, wal) in [("v{hex}", 1.4, 1.4), ("v{n}", 1.4, 1.4)] {
        template(&cluster, &world(name, TAGS, "false"));
        let bare = update(&copy(&cluster, "bare"), true);
        let url = copy(&cluster, "ours");
        let ours = spent(&url, || {
            run_on(&url, &[&CREATE[..], &STATED].concat()).expect_status(0);
        });
        ours.is_at_most(blocks, wal, bare);
        cluster.drop_database("template_of_runs").expect("dropped");
    }
}

#[test]
fn a_release_and_its_undo_cost_the_server_little_more_than_the_updates_themselves() {
    let cluster = quiet_cluster();
    template(&cluster, &world("v{hex}", TAGS, "true"));
    let url = copy(&cluster, "bare");
    let (bare, bare_back) = (update(&url, false), update(&url, true));

    let url = copy(&cluster, "ours");
    let release = spent(&url, || {
        run_on(&url, &[&RELEASE[..], &STATED].concat()).expect_status(0);
    });
    // A tenth of the blocks is for the last change of each tag, which tells whose its expiration is.
    release.is_at_most(1.65, 1.4, bare);
    let undo = ["fix", "undo", "1", "--audit", "none"];
    let undo = spent(&url, || {
        run_on(&url, &[&undo[..], &STATED].concat()).expect_status(0);
    });
    undo.is_at_most(1.85, 1.5, bare_back);
}
