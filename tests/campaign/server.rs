//! Faults of a server as a whole, in clusters of their own: stopped at once, a failover to a standby
//! that lacks the last commits, a tablespace without room.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use quay_doctor::sandbox::{Cluster, StopMode};
use tempfile::TempDir;
use testkit::proxy::Heal;
use testkit::skipped;

use super::at_work::AtWork;
use super::fault::{After, Fault};
use super::operation::Wanted;
use super::run::{Came, ours_under};
use super::schedule::{Of, Schedule};
use super::world::Arena;
use super::{SAME, drawn, seed};
use crate::program;
use crate::scale::cases;
use proptest::strategy::ValueTree;

/// Schedules of each fault, by default.
const RESTARTS: u32 = 3;
const FAILOVERS: u32 = 1;
const FULL_DISKS: u32 = 6;

/// What came of one of them.
pub struct OfServer {
    pub seed: u64,
    pub fault: &'static str,
    pub operation: &'static str,
    pub came: Came,
}

/// A schedule whose operation is stopped by a black hole, in which the server's fault befalls it.
fn schedule(seed: u64) -> Schedule {
    let mut schedule = drawn(&Of::Every.schedules(), seed).current();
    let mut random = fastrand::Rng::with_seed(seed);
    schedule.fault = Fault::BlackHole {
        statement: random.u64(20..110),
        answer: random.bool(),
        after: After::Ended,
    };
    // Whoever speaks to a server that is gone is told so: what they did is not known.
    schedule.pushers.clear();
    schedule.acts.clear();
    schedule.aware = true;
    schedule
}

fn until(work: &mut dyn AtWork, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() && !work.has_ended() {
        assert!(begun.elapsed() < super::befall::PATIENCE, "it hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The server is stopped as if the power had failed, and started again.
pub fn restarts(seed: u64, times: u64) -> Vec<OfServer> {
    let mut cluster = Cluster::start().expect("a cluster");
    cluster.create_database("quay").expect("a database");
    let arena = Arena::prepare(&cluster.tcp_url("quay"), true).expect("a registry");
    (seed..seed + times)
        .map(|seed| {
            let schedule = schedule(seed);
            let came = ours_under(
                &arena,
                &schedule,
                &program::path(),
                &mut |proxy, work, _| {
                    until(work, || proxy.struck() > 0);
                    cluster.restart(StopMode::Immediate).expect("a restart");
                    proxy.heal(Heal::End);
                },
            );
            OfServer {
                seed,
                fault: "server stopped with -m immediate and restarted",
                operation: schedule.wanted.name(),
                came,
            }
        })
        .collect()
}

/// A standby that stops streaming some statements before the primary is gone takes over.
pub fn failover(seed: u64) -> OfServer {
    let mut schedule = schedule(seed);
    // A migration asks for a primary of its own making; the others go on wherever they are led.
    if matches!(schedule.wanted, Wanted::MigrateUp | Wanted::MigrateDown) {
        schedule.wanted = Wanted::Delete { keep: false };
    }
    let mut cluster = Cluster::start().expect("a cluster");
    cluster.create_database("quay").expect("a database");
    let arena = Arena::prepare(&cluster.tcp_url("quay"), true).expect("a registry");
    let mut standby = cluster.standby().expect("a standby");
    let lacks = fastrand::Rng::with_seed(seed).u64(..30);
    let Fault::BlackHole { statement, .. } = schedule.fault else {
        panic!("{:?}", schedule.fault);
    };
    let came = ours_under(
        &arena,
        &schedule,
        &program::path(),
        &mut |proxy, work, _| {
            // What the operation finds is there.
            standby.wait_until_caught_up().expect("the same rows");
            until(work, || {
                proxy.statements() >= statement.saturating_sub(lacks)
            });
            standby.stop(StopMode::Fast).expect("a stop");
            until(work, || proxy.struck() > 0);
            cluster.stop(StopMode::Immediate).expect("a stop");
            standby.start_again().expect("a start");
            standby.promote().expect("a promotion");
            let url = standby.tcp_url("quay");
            let port = url::Url::parse(&url).ok().and_then(|url| url.port());
            proxy.lead_to(port.expect("a port"));
            arena.lead_to(&url);
            proxy.heal(Heal::End);
        },
    );
    OfServer {
        seed,
        fault: "failover to a standby that lacks the last commits",
        operation: schedule.wanted.name(),
        came,
    }
}

/// A file system of its own in memory; gone when the value is.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None where it may not be mounted.
    fn mount(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let size = format!("size={megabytes}m,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Leaves room for so many pages.
    fn fill(&self, pages: u64) {
        let path = self.path().join("filler");
        let mut written = 0_u64;
        let chunk = vec![1_u8; 4096];
        let mut file = fs::File::create(&path).expect("a file");
        while std::io::Write::write_all(&mut file, &chunk).is_ok() {
            written += 4096;
        }
        file.set_len(written.saturating_sub(pages * 8192))
            .expect("some room");
    }

    fn empty(&self) {
        fs::remove_file(self.path().join("filler")).expect("the filler");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// The tablespace of the database has no room left; nothing where no such disk can be had.
pub fn full_disks(seed: u64, times: u64) -> Vec<OfServer> {
    let Some(disk) = SmallDisk::mount(40) else {
        skipped("a file system in memory may not be mounted here");
        return Vec::new();
    };
    let cluster = Cluster::start().expect("a cluster");
    let owner = fs::metadata(cluster.data_directory()).expect("the server's folder");
    let location = disk.path().join("space");
    fs::create_dir(&location).expect("a folder");
    for path in [disk.path(), &location] {
        chown(path, Some(owner.uid()), Some(owner.gid())).expect("the server's account");
    }
    let parent = disk.path().parent().expect("a parent");
    assert!(parent.exists());
    let mut session = super::world::open(&cluster.tcp_url("postgres")).expect("a session");
    session
        .run(&format!(
            "CREATE TABLESPACE small LOCATION '{}'",
            location.display()
        ))
        .expect("a tablespace");
    session
        .run("CREATE DATABASE quay TABLESPACE small")
        .expect("a database");
    let arena = Arena::prepare(&cluster.tcp_url("quay"), true).expect("a registry");
    (seed..seed + times)
        .map(|seed| {
            let mut schedule = schedule(seed);
            let mut random = fastrand::Rng::with_seed(seed);
            schedule.fault = Fault::Pushers;
            let came = ours_under(
                &arena,
                &schedule,
                &program::path(),
                &mut |proxy, work, _| {
                    let from = random.u64(..60);
                    until(work, || proxy.statements() >= from);
                    disk.fill(random.u64(..3));
                    until(work, || false);
                    disk.empty();
                },
            );
            OfServer {
                seed,
                fault: "disk full in the database's tablespace",
                operation: schedule.wanted.name(),
                came,
            }
        })
        .collect()
}

#[track_caller]
fn assert_whole(all: &[OfServer]) {
    for one in all {
        assert!(
            one.came.verdict.is_consistent(),
            "{} {} seed {}: {}\n{:#?}",
            one.fault,
            one.operation,
            one.seed,
            one.came.verdict,
            one.came.ended
        );
    }
}

#[test]
fn a_server_that_is_stopped_at_once_and_restarted_leaves_nothing_half_done() {
    assert_whole(&restarts(seed(|| SAME), cases(RESTARTS).into()));
}

#[test]
fn a_failover_that_loses_the_last_commits_leaves_nothing_half_done() {
    let seed = seed(|| SAME);
    for nth in 0..u64::from(cases(FAILOVERS)) {
        assert_whole(&[failover(seed + nth)]);
    }
}

#[test]
fn a_disk_that_is_full_leaves_nothing_half_done() {
    let told = |one: &OfServer| {
        let ended = one.came.ended.first();
        ended.is_some_and(|ended| ended.stderr.contains("No space left on device"))
    };
    let (seed, times) = (seed(|| SAME), u64::from(cases(FULL_DISKS)));
    // An operation that has ended before its disk is full tells nothing: others are tried then.
    for more in 0..8 {
        let all = full_disks(seed + more * times, times);
        assert_whole(&all);
        if all.is_empty() || all.iter().any(told) {
            return;
        }
    }
    panic!("the disk was never full");
}
