//! A cluster is gone afterwards, however its process ends.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::ReadSession;
use quay_doctor::sandbox::Cluster;

/// Tells the test process that plays the victim where to leave its cluster's addresses.
const VICTIM: &str = "QUAY_DOCTOR_TEST_VICTIM";

/// What is left to look at when a cluster's process is gone.
struct Traces {
    folder: PathBuf,
    url: String,
}

impl Traces {
    fn of(cluster: &Cluster) -> Self {
        Self {
            folder: cluster
                .data_directory()
                .parent()
                .expect("a folder")
                .to_owned(),
            url: cluster.url("postgres"),
        }
    }

    fn assert_gone(&self) {
        assert!(
            !self.folder.exists(),
            "{} is still there",
            self.folder.display()
        );
        let settings = ConnectionSettings::resolve(Some(&self.url)).expect("settings");
        assert!(
            ReadSession::open(&settings).is_err(),
            "somebody still answers"
        );
        assert!(!has_process_of(&self.folder), "a process is left");
    }
}

/// Whether any process names the folder in its command line, as a server and a watchdog do.
fn has_process_of(folder: &Path) -> bool {
    let listed = Command::new("ps").args(["-A", "-o", "args"]).output();
    let text = match listed {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(_) => command_lines(),
    };
    text.contains(&folder.display().to_string())
}

/// The same for a machine without `ps`.
fn command_lines() -> String {
    let entries = std::fs::read_dir("/proc").expect("neither ps nor /proc");
    entries
        .flatten()
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n")
        .collect()
}

fn wait_until(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_dropped_cluster_leaves_nothing() {
    let cluster = Cluster::start().expect("a cluster");
    let traces = Traces::of(&cluster);
    let name = traces
        .folder
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert!(name.starts_with("quay-doctor-"), "{name}");
    assert!(has_process_of(&traces.folder), "or the test could not fail");
    drop(cluster);
    traces.assert_gone();
}

#[test]
fn a_panic_leaves_nothing() {
    let cluster = Cluster::start().expect("a cluster");
    let traces = Traces::of(&cluster);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _held = cluster;
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    traces.assert_gone();
}

#[test]
fn a_failed_start_leaves_nothing() {
    let before = folders_in(&std::env::temp_dir());
    let failed = Cluster::builder()
        .setting("port", "none")
        .setting("no_such", "x")
        .start();
    assert!(failed.is_err());
    drop(failed);
    // Other tests make folders at the same time; none of theirs may hold our wrong setting.
    let wrong = folders_in(&std::env::temp_dir())
        .into_iter()
        .find(|folder| {
            let settings = std::fs::read_to_string(folder.join("data/postgresql.conf"));
            !before.contains(folder) && settings.is_ok_and(|text| text.contains("no_such"))
        });
    assert_eq!(wrong, None);
}

fn folders_in(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).expect("a folder");
    entries
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .starts_with("quay-doctor-")
        })
        .map(|entry| entry.path())
        .collect()
}

#[test]
fn a_killed_process_leaves_nothing() {
    let (mut victim, traces) = victim();
    victim.kill().expect("SIGKILL");
    victim.wait().expect("its end");
    wait_until("the watchdog's work", || !has_process_of(&traces.folder));
    traces.assert_gone();
}

#[test]
fn control_c_leaves_nothing() {
    let (mut victim, traces) = victim();
    let group = format!("-{}", victim.id());
    let status = Command::new("kill").args(["-INT", "--", &group]).status();
    assert!(status.expect("kill").success());
    victim.wait().expect("its end");
    wait_until("the watchdog's work", || !has_process_of(&traces.folder));
    traces.assert_gone();
}

#[test]
fn a_kept_cluster_lives_on_until_its_end_command() {
    let cluster = Cluster::start().expect("a cluster");
    let traces = Traces::of(&cluster);
    let kept = cluster.keep().expect("a cluster that lives on");
    let settings = ConnectionSettings::resolve(Some(&kept.url)).expect("settings");
    ReadSession::open(&settings).expect("it lives");
    let status = Command::new("sh").args(["-c", &kept.end_command]).status();
    assert!(status.expect("a shell").success());
    traces.assert_gone();
}

/// The programs that a start runs are still at work when their parent is gone.
#[test]
fn a_process_that_is_killed_while_it_starts_a_cluster_leaves_nothing() {
    let parent = tempfile::Builder::new()
        .prefix("kill")
        .tempdir_in("/tmp")
        .expect("a folder");
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(parent.path(), open_to_all).expect("permissions");
    for delay_ms in [0, 30, 60, 120, 250, 500, 1_000] {
        let mut victim = spawn_victim(&parent.path().join("traces"), Some(parent.path()));
        let made = || folders_in(parent.path()).pop();
        wait_until("the victim's folder", || made().is_some());
        let folder = made().expect("a folder");
        std::thread::sleep(Duration::from_millis(delay_ms));
        victim.kill().expect("SIGKILL");
        victim.wait().expect("its end");
        wait_until("the watchdog's work", || !has_process_of(&folder));
        assert_eq!(
            folders_in(parent.path()),
            Vec::<PathBuf>::new(),
            "after {delay_ms} ms"
        );
    }
}

/// Starts this test binary once more, as a process that holds a cluster and waits.
fn victim() -> (Child, Traces) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("traces");
    let victim = spawn_victim(&file, None);
    wait_until("the victim's cluster", || file.exists());
    let text = std::fs::read_to_string(&file).expect("its traces");
    let (folder, url) = text.split_once('\n').expect("two lines");
    let traces = Traces {
        folder: PathBuf::from(folder),
        url: url.to_owned(),
    };
    assert!(has_process_of(&traces.folder), "or the test could not fail");
    (victim, traces)
}

fn spawn_victim(file: &Path, temporary: Option<&Path>) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("ourselves"));
    command
        .args(["--exact", "sandbox::ending::plays_the_victim", "--ignored"])
        .env(VICTIM, file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    if let Some(folder) = temporary {
        command.env("TMPDIR", folder);
    }
    command.spawn().expect("a process")
}

#[test]
#[ignore = "plays a part in other tests"]
fn plays_the_victim() {
    let Some(file) = std::env::var_os(VICTIM) else {
        return;
    };
    let cluster = Cluster::start().expect("a cluster");
    let traces = Traces::of(&cluster);
    let part = Path::new(&file).with_extension("part");
    let text = format!("{}\n{}", traces.folder.display(), traces.url);
    std::fs::write(&part, text).expect("the traces");
    std::fs::rename(&part, &file).expect("the traces, whole");
    std::thread::sleep(Duration::from_secs(120));
}
