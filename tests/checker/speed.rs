//! A scan of many sound tags beside a bare COPY of the columns that it needs; on demand only:
//!
//! ```text
//! cargo build --release
//! QUAY_DOCTOR_PROGRAM=target/release/quay-doctor cargo test --test integration \
//!     -- --ignored --nocapture ten_million_tags_are_scanned
//! ```
//!
//! `QUAY_DOCTOR_TAGS` is another number of tags, `QUAY_DOCTOR_RUNS` another number of pairs,
//! `QUAY_DOCTOR_READERS` another number of readers. The table lies in memory and has no index but
//! its key: a scan that suspects no tag reads no other.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::{Cluster, Program, fixture};

use crate::program;

fn number(variable: &str, otherwise: u32) -> u32 {
    let stated = std::env::var(variable).ok();
    stated
        .and_then(|text| text.parse().ok())
        .unwrap_or(otherwise)
}

/// 200 namespaces of five repositories and five policies each. Three tags in ten are immutable, by
/// one of the policies; the others match none.
const WORLD: [&str; 8] = [
    r#"INSERT INTO "user" (id, username, email, verified, organization, robot, invoice_email,
           last_invalid_login)
       SELECT n, 'ns' || n, 'ns' || n, true, true, false, false, now() FROM generate_series(1, 200) n"#,
    "INSERT INTO repository (id, namespace_user_id, name, visibility_id, badge_token)
     SELECT n, 1 + n % 200, 'r' || n, 1, '' FROM generate_series(1, 1000) n",
    r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
       SELECT format('p%s-%s', n, k), n, json_build_object('tag_pattern', pattern)
       FROM generate_series(1, 200) n, unnest(ARRAY['v\d+\.\d+\.\d+', 'release-.*', 'stable',
           'prod-\d{4}', 'lts-[a-z]+-\d+']) WITH ORDINALITY AS p (pattern, k)"#,
    "DO $$ DECLARE i text; BEGIN
         FOR i IN SELECT indexrelid::regclass FROM pg_index
             WHERE indrelid = 'tag'::regclass AND NOT indisprimary
         LOOP EXECUTE 'ALTER TABLE tag DROP CONSTRAINT IF EXISTS ' || i;
              EXECUTE 'DROP INDEX IF EXISTS ' || i; END LOOP; END $$",
    "SET session_replication_role = replica",
    "INSERT INTO tag (name, repository_id, lifetime_start_ms, hidden, reversion, tag_kind_id, immutable)
     SELECT CASE n % 10 WHEN 0 THEN format('v%s.%s.%s', n % 7, n % 100, n)
             WHEN 1 THEN 'release-' || n WHEN 2 THEN 'prod-' || 1000 + n % 9000
             WHEN 3 THEN 'latest-' || n ELSE 'build-' || md5(n::text) END,
         1 + n % 1000, 1700000000000, false, false, 1, n % 10 < 3
     FROM generate_series(1, {TAGS}) n",
    "VACUUM (FREEZE, ANALYZE) tag",
    "CHECKPOINT",
];

fn world(cluster: &Cluster, tags: u32) -> String {
    cluster.create_database("quay").expect("a database");
    let url = cluster.url("quay");
    let settings = ConnectionSettings::resolve(Some(&url)).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    for sql in WORLD {
        let sql = sql.replace("{TAGS}", &tags.to_string());
        session
            .run(&sql)
            .unwrap_or_else(|why| panic!("{sql}: {why:?}"));
    }
    drop(session);
    program::run_on(&url, &["migrate", "up"]).expect_status(0);
    url
}

/// What a process has used: seconds, seconds on a processor, and the most memory, in MB.
#[derive(Clone, Copy, Debug)]
struct Used {
    seconds: f64,
    processor: f64,
    memory: f64,
}

/// Waits for a process, looking at it a hundred times a second. Its peak never falls, so that what
/// is missed is what it took in its last moment.
fn watch(mut child: Child) -> Used {
    let begun = Instant::now();
    let (mut memory, mut processor) = (0.0, 0.0);
    let place = format!("/proc/{}", child.id());
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "{status}");
            let seconds = begun.elapsed().as_secs_f64();
            return Used {
                seconds,
                processor,
                memory,
            };
        }
        if let Ok(status) = std::fs::read_to_string(format!("{place}/status")) {
            let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            memory = peak.map_or(memory, |kilobytes| kilobytes / 1024.0);
        }
        if let Ok(stat) = std::fs::read_to_string(format!("{place}/stat")) {
            // Fields 14 and 15, in hundredths; the name before them may hold blanks.
            let after = stat.rsplit(") ").next().unwrap_or_default();
            let ticks = after.split(' ').skip(11).take(2);
            processor = ticks.filter_map(|t| t.parse::<f64>().ok()).sum::<f64>() / 100.0;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The floor: the same columns through psql to nowhere.
fn copy(cluster: &Cluster, url: &str) -> Used {
    let psql = cluster.programs().path(Program::Psql).expect("psql");
    let sql =
        "COPY (SELECT id, repository_id, name, immutable, lifetime_end_ms FROM tag) TO STDOUT";
    let child = Command::new(psql)
        .args(["-X", "-d", url, "-c", sql])
        .stdout(Stdio::null())
        .spawn()
        .expect("psql");
    watch(child)
}

fn check(url: &str, readers: u32) -> Used {
    let program = std::env::var("QUAY_DOCTOR_PROGRAM")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_quay-doctor").to_owned());
    let readers = readers.to_string();
    let child = Command::new(program)
        .args([
            "--database-url",
            url,
            "--quiet",
            "check",
            "--readers",
            &readers,
        ])
        .args([
            "--immutable-tags",
            "true",
            "--immutable-tags-can-expire",
            "false",
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program");
    watch(child)
}

#[test]
#[ignore = "a measurement of many minutes"]
fn ten_million_tags_are_scanned_beside_a_bare_copy() {
    let tags = number("QUAY_DOCTOR_TAGS", 10_000_000);
    let runs = number("QUAY_DOCTOR_RUNS", 5);
    let readers = number("QUAY_DOCTOR_READERS", 2);
    let cluster = Cluster::builder()
        .setting("shared_buffers", "2GB")
        .setting("max_wal_size", "64GB")
        .setting("autovacuum", "off")
        .start()
        .expect("a cluster");
    let url = world(&cluster, tags);
    // Once, so that both find the table in memory.
    copy(&cluster, &url);
    let mut ratios = Vec::new();
    for run in 1..=runs {
        let (floor, ours) = (copy(&cluster, &url), check(&url, readers));
        let ratio = ours.seconds / floor.seconds;
        ratios.push(ratio);
        eprintln!(
            "{tags} tags, run {run}: COPY {:.2} s, check {:.2} s ({:.2} s on a processor, {:.0} MB), {ratio:.2}",
            floor.seconds, ours.seconds, ours.processor, ours.memory
        );
        assert!(ours.memory < 150.0, "{ours:?}");
    }
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    eprintln!("median {median:.2}");
}
