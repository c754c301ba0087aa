//! Scans of many tags beside a bare COPY of the columns that they need.
//!
//! `QUAY_DOCTOR_TAGS` is another number of tags, `QUAY_DOCTOR_READERS` another number of readers,
//! `QUAY_DOCTOR_SIZES` other sizes to compare. The table lies in memory and has no index but its key,
//! where a scan that suspects no tag reads no other; where immutable tags are few it has Quay's.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::{Cluster, Program, fixture};

use super::figures::{Aim, Figure};
use super::stage::{measured, median, number, runs};
use crate::program;

/// The two rules of the mission.
const MISSION: [&str; 4] = [
    "--rule",
    "orphaned-immutable-tag",
    "--rule",
    "stale-inactive-policy",
];

/// What the tags of a world are like.
#[derive(Clone, Copy, Debug)]
struct Kind {
    /// The patterns of each namespace, as an SQL array; `{NS}` is its number, so that no two have the same.
    patterns: &'static str,
    /// Immutable tags of a thousand; 300 match a pattern.
    immutable: u32,
    /// Whether the table has Quay's indexes.
    indexed: bool,
}

/// Patterns that only an automaton decides, as most are.
const MIXED: Kind = Kind {
    patterns: r"'v\d+\.\d+\.\d+','release-.*','stable','prod-\d{4}','lts-[a-z]+-{NS}\d*'",
    immutable: 300,
    indexed: false,
};

/// Patterns that SQL decides exactly.
const PLAIN: Kind = Kind {
    patterns: "'v.*','release-.*','stable','prod-.*','lts-{NS}.*'",
    immutable: 300,
    indexed: false,
};

/// One tag in a hundred is immutable, by one of the policies.
const FEW: Kind = Kind {
    patterns: r"'stable-\d+','lts-[a-z]+-\d+','gold','silver-.*','bronze-{NS}'",
    immutable: 10,
    indexed: true,
};

/// 200 namespaces of five repositories and five policies each. Every immutable tag is so by one of the
/// policies; the others match none.
const WORLD: [&str; 10] = [
    r#"INSERT INTO "user" (id, username, email, verified, organization, robot, invoice_email,
           last_invalid_login)
       SELECT n, 'ns' || n, 'ns' || n, true, true, false, false, now() FROM generate_series(1, 200) n"#,
    "INSERT INTO repository (id, namespace_user_id, name, visibility_id, badge_token)
     SELECT n, 1 + n % 200, 'r' || n, 1, '' FROM generate_series(1, 1000) n",
    r#"INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy)
       SELECT format('p%s-%s', n, k), n, json_build_object('tag_pattern', replace(pattern, '{NS}', n::text))
       FROM generate_series(1, 200) n, unnest(ARRAY[{PATTERNS}]) WITH ORDINALITY AS p (pattern, k)"#,
    "CREATE TEMPORARY TABLE indexes AS SELECT pg_get_indexdef(indexrelid) AS made FROM pg_index
         WHERE indrelid = 'tag'::regclass AND NOT indisprimary",
    "DO $$ DECLARE i text; BEGIN
         FOR i IN SELECT indexrelid::regclass FROM pg_index
             WHERE indrelid = 'tag'::regclass AND NOT indisprimary
         LOOP EXECUTE 'ALTER TABLE tag DROP CONSTRAINT IF EXISTS ' || i;
              EXECUTE 'DROP INDEX IF EXISTS ' || i; END LOOP; END $$",
    "SET session_replication_role = replica",
    "INSERT INTO tag (name, repository_id, lifetime_start_ms, hidden, reversion, tag_kind_id, immutable)
     SELECT CASE WHEN n % 1000 >= {IMMUTABLE} THEN
                 CASE n % 10 WHEN 3 THEN 'latest-' || n ELSE 'build-' || md5(n::text) END
             WHEN {IMMUTABLE} < 300 THEN 'stable-' || n
             WHEN n % 3 = 0 THEN format('v%s.%s.%s', n % 7, n % 100, n)
             WHEN n % 3 = 1 THEN 'release-' || n ELSE 'prod-' || 1000 + n % 9000 END,
         1 + n % 997, 1700000000000, false, false, 1, n % 1000 < {IMMUTABLE}
     FROM generate_series(1, {TAGS}) n",
    "DO $$ DECLARE i text; BEGIN
         FOR i IN SELECT made FROM indexes WHERE {INDEXED} LOOP EXECUTE i; END LOOP; END $$",
    "VACUUM (FREEZE, ANALYZE) tag",
    "CHECKPOINT",
];

fn world(cluster: &Cluster, tags: u32, kind: Kind) -> String {
    cluster.drop_database("quay").expect("dropped");
    cluster.create_database("quay").expect("a database");
    let url = cluster.url("quay");
    let settings = ConnectionSettings::resolve(Some(&url)).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    fixture::load_schema(&mut session).expect("Quay's tables");
    for sql in WORLD {
        let sql = sql
            .replace("{TAGS}", &tags.to_string())
            .replace("{PATTERNS}", kind.patterns)
            .replace("{IMMUTABLE}", &kind.immutable.to_string())
            .replace("{INDEXED}", &kind.indexed.to_string());
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

fn check(url: &str, rules: &[&str]) -> Used {
    let readers = number("QUAY_DOCTOR_READERS", 2).to_string();
    let child = Command::new(measured())
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
        .args(rules)
        .stdout(Stdio::null())
        .spawn()
        .expect("the program");
    watch(child)
}

fn cluster() -> Cluster {
    Cluster::builder()
        .setting("shared_buffers", "5GB")
        .setting("max_wal_size", "64GB")
        .setting("autovacuum", "off")
        .start()
        .expect("a cluster")
}

fn tags() -> u32 {
    number("QUAY_DOCTOR_TAGS", 10_000_000)
}

/// Scans beside the COPY, in turn: medians of seconds, and the most memory of a scan.
fn beside(cluster: &Cluster, url: &str, rules: &[&str]) -> (f64, f64, f64) {
    // Once, so that both find the table in memory.
    copy(cluster, url);
    let (mut floors, mut ours, mut memory) = (Vec::new(), Vec::new(), 0.0_f64);
    for run in 1..=runs() {
        let (floor, check) = (copy(cluster, url), check(url, rules));
        eprintln!(
            "run {run}: COPY {:.2} s, check {:.2} s ({:.2} s on a processor, {:.0} MB)",
            floor.seconds, check.seconds, check.processor, check.memory
        );
        floors.push(floor.seconds);
        ours.push(check.seconds);
        memory = memory.max(check.memory);
    }
    (median(&mut ours), median(&mut floors), memory)
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_scans_of_ten_million_tags() {
    let cluster = cluster();
    let tags = tags();
    let copied = "a bare COPY of the five columns by psql";
    for (what, kind, rules, aim) in [
        ("`check`, all rules", MIXED, &[][..], Aim::AtMost(0.4)),
        (
            "the same, patterns that SQL decides exactly",
            PLAIN,
            &[],
            Aim::AtMost(0.25),
        ),
        (
            "the two rules of the mission, 1 % immutable",
            FEW,
            &MISSION,
            Aim::AtMost(0.1),
        ),
        (
            "the same without the table's indexes",
            Kind {
                indexed: false,
                ..FEW
            },
            &MISSION,
            Aim::None,
        ),
    ] {
        let url = world(&cluster, tags, kind);
        let (ours, floor, memory) = beside(&cluster, &url, rules);
        Figure::of(&format!("{what}, {tags} tags"), ours, "s")
            .beside(copied, floor)
            .aims(aim);
        Figure::of("its memory", memory, "MB")
            .beside("150 MB", 150.0)
            .aims(Aim::AtMost(1.0));
    }
}

#[test]
#[ignore = "a measurement of many minutes: make bench"]
fn bench_scans_of_three_sizes() {
    let sizes = std::env::var("QUAY_DOCTOR_SIZES");
    let sizes = sizes.unwrap_or_else(|_| "1000000,10000000,30000000".to_owned());
    let cluster = cluster();
    let mut smallest: Option<(u32, f64, f64)> = None;
    for size in sizes.split(',').map(|size| size.parse().expect("a size")) {
        let url = world(&cluster, size, MIXED);
        let (ours, _, memory) = beside(&cluster, &url, &[]);
        let Some((of, seconds, megabytes)) = smallest else {
            smallest = Some((size, ours, memory));
            continue;
        };
        let a_million = |seconds: f64, tags: u32| seconds * 1e6 / f64::from(tags);
        Figure::of(
            &format!("`check`, {size} tags, a million of them"),
            a_million(ours, size),
            "s",
        )
        .beside(&format!("a million of {of}"), a_million(seconds, of))
        .aims(Aim::AtMost(1.0));
        Figure::of(&format!("memory of `check`, {size} tags"), memory, "MB")
            .beside(&format!("{of} tags"), megabytes)
            .aims(Aim::None);
    }
}
