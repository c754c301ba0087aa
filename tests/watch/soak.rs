//! A soak: a database that is restarted every minute, and a watcher that neither leaks, nor misses a
//! scan, nor says anything that is not so.

use std::time::{Duration, Instant};

use quay_doctor::sandbox::StopMode;

use super::service::{PATIENCE, Watcher, figures_of};
use super::turns::cluster;

/// For how many minutes.
const MINUTES: &str = "QUAY_DOCTOR_SOAK_MINUTES";
/// The time between two restarts.
const UP_FOR: Duration = Duration::from_secs(60);
/// What a process takes until its pools and caches are as large as they get.
const WARM_UP: Duration = Duration::from_secs(180);
/// How much more memory it may have in the end: a fiftieth of what a leak of a report a scan makes.
const MORE_KIB: u64 = 8 * 1024;
/// The truth about the world, at all times.
const VIOLATIONS: f64 = 520.0;

/// What a process takes of the machine.
#[derive(Clone, Copy, Debug)]
struct Footprint {
    /// Resident memory, in KiB.
    memory: u64,
    files: usize,
}

fn footprint(watcher: &Watcher) -> Footprint {
    let process = format!("/proc/{}", watcher.pid());
    let status = std::fs::read_to_string(format!("{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let memory = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let files = std::fs::read_dir(format!("{process}/fd")).expect("a process");
    Footprint {
        memory: memory.expect("a size"),
        files: files.count(),
    }
}

/// What was seen in one window in which the database was up, or on its way down or up.
#[derive(Debug, Default)]
struct Window {
    /// Looks at which something was said to be known.
    known: u64,
    /// Looks at which nothing was.
    not_known: u64,
    /// The least files that were open: sessions of a scan come and go.
    files: usize,
    complete: f64,
}

/// One look: whatever is said to be known is the truth, and nothing else is said.
fn look(watcher: &Watcher, window: &mut Window) {
    let figures = figures_of(&watcher.get("/metrics").body);
    let of_rules: Vec<f64> = figures
        .iter()
        .filter(|(name, _)| name.starts_with("quay_doctor_watch_violations{"))
        .map(|(_, count)| *count)
        .collect();
    if figures["quay_doctor_watch_known"] == 1.0 {
        window.known += 1;
        assert_eq!(of_rules.iter().sum::<f64>(), VIOLATIONS, "{figures:#?}");
    } else {
        window.not_known += 1;
        assert!(of_rules.is_empty(), "{figures:#?}");
    }
    let page = watcher.page();
    assert!(!page.contains("All is well"), "{page}");
    assert!(
        page.contains("<title>520 violations") || page.contains("<title>Not known"),
        "{page}"
    );
    let files = footprint(watcher).files;
    window.files = if window.files == 0 {
        files
    } else {
        window.files.min(files)
    };
    window.complete = figures
        .get("quay_doctor_watch_scans_total{outcome=\"complete\"}")
        .copied()
        .unwrap_or(0.0);
}

#[test]
#[ignore = "takes as many minutes as QUAY_DOCTOR_SOAK_MINUTES says, 20 by default"]
fn a_database_that_is_restarted_every_minute_costs_no_scan_no_memory_and_no_truth() {
    let minutes = std::env::var(MINUTES).ok();
    let minutes: u64 = minutes.map_or(20, |text| text.parse().expect("a number of minutes"));
    let mut cluster = cluster();
    let watcher = Watcher::of(&cluster.url("quay"), &["--every", "2s"]);
    watcher.until_known();
    let (begun, mut warm) = (Instant::now(), None);
    let mut windows: Vec<Window> = Vec::new();
    while begun.elapsed() < Duration::from_secs(minutes * 60) {
        let (since, mut window) = (Instant::now(), Window::default());
        let before = windows.last().map_or(0.0, |window| window.complete);
        while since.elapsed() < UP_FOR {
            look(&watcher, &mut window);
            std::thread::sleep(Duration::from_millis(200));
        }
        watcher.until("scanned in this window", |watcher| {
            let scans = watcher.figure("quay_doctor_watch_scans_total{outcome=\"complete\"}");
            scans > Some(before)
        });
        if warm.is_none() && begun.elapsed() >= WARM_UP {
            warm = Some(footprint(&watcher));
        }
        let mode = if windows.len().is_multiple_of(2) {
            StopMode::Immediate
        } else {
            StopMode::Fast
        };
        cluster.stop(mode).expect("stopped");
        let down = Instant::now();
        while down.elapsed() < Duration::from_secs(3) || window.not_known == 0 {
            assert!(down.elapsed() < PATIENCE, "it does not notice: {window:?}");
            look(&watcher, &mut window);
            std::thread::sleep(Duration::from_millis(200));
        }
        cluster.start_again().expect("started");
        eprintln!("{window:?}, {:?}", footprint(&watcher));
        windows.push(window);
    }
    watcher.until_known();
    for window in &windows {
        assert!(window.known > 0 && window.not_known > 0, "{windows:#?}");
    }
    // A process that leaks a session or a socket a restart has one more in each window.
    let (first, last) = (
        windows.first().expect("a window"),
        windows.last().expect("a window"),
    );
    assert!(last.files <= first.files + 1, "{windows:#?}");
    if let Some(warm) = warm {
        let end = footprint(&watcher);
        assert!(
            end.memory <= warm.memory + MORE_KIB,
            "{warm:?}, then {end:?}"
        );
    }
}
