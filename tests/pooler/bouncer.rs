//! A real PgBouncer of a test's own.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Statements, WriteSession};
use tempfile::TempDir;
use testkit::skipped;

/// The longest that a test waits for something that is about to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pooler before a server. Dropped, it is ended.
pub struct Bouncer {
    child: Child,
    folder: TempDir,
    port: u16,
}

/// Where PgBouncer is; `.ci/setup-pgbouncer` brings it.
fn program() -> Option<PathBuf> {
    let stated = std::env::var_os("QUAY_DOCTOR_PGBOUNCER").map(PathBuf::from);
    let on_path = std::env::var_os("PATH").into_iter().flat_map(|path| {
        std::env::split_paths(&path)
            .map(|folder| folder.join("pgbouncer"))
            .collect::<Vec<_>>()
    });
    let usual = [
        "/usr/sbin/pgbouncer",
        "/opt/homebrew/bin/pgbouncer",
        "/usr/local/bin/pgbouncer",
    ];
    stated
        .into_iter()
        .chain(on_path)
        .chain(usual.map(PathBuf::from))
        .find(|path| path.is_file())
}

fn port_of(url: &str) -> u16 {
    let url = url::Url::parse(url).expect("a URL");
    url.port().expect("a port")
}

impl Bouncer {
    /// Starts one before the server that a URL leads to over TCP, with more settings; none where
    /// there is no PgBouncer.
    pub fn before(tcp_url: &str, settings: &str) -> Option<Self> {
        let Some(program) = program() else {
            skipped("there is no PgBouncer on this machine");
            return None;
        };
        let folder = tempfile::tempdir().expect("a folder");
        let owner = server_account(tcp_url);
        own(folder.path(), owner);
        // Somebody else may take a port between its finding and its use.
        (0..5)
            .find_map(|_| {
                let port = free_port();
                let ini = ini(folder.path(), port_of(tcp_url), port, settings);
                let path = folder.path().join("pgbouncer.ini");
                std::fs::write(&path, ini).expect("a file");
                own(&path, owner);
                let mut command = Command::new(&program);
                command
                    .arg(&path)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null());
                if let Some((uid, gid)) = owner {
                    command.uid(uid).gid(gid);
                }
                let mut child = command.spawn().expect("PgBouncer starts");
                listens(&mut child, port).then_some((child, port))
            })
            .map(|(child, port)| Self {
                child,
                folder,
                port,
            })
            .or_else(|| panic!("PgBouncer never listens"))
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A session through it.
    pub fn session(&self, database: &str) -> Result<WriteSession, quay_doctor::PgError> {
        let settings = ConnectionSettings::resolve(Some(&self.url(database))).expect("settings");
        WriteSession::open(&settings)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pgbouncer.log")).unwrap_or_default()
    }

    /// How often it has logged something.
    pub fn times_logged(&self, words: &str) -> usize {
        self.log().matches(words).count()
    }

    /// Waits until it has logged something, so many times.
    #[track_caller]
    pub fn wait_for_log(&self, words: &str, times: usize) {
        let begun = Instant::now();
        while self.times_logged(words) < times {
            assert!(begun.elapsed() < PATIENCE, "never {words}: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Changes a setting's line, and waits until it is in force.
    pub fn reload(&self, from: &str, to: &str) {
        let path = self.folder.path().join("pgbouncer.ini");
        let ini = std::fs::read_to_string(&path).expect("a file");
        assert!(ini.contains(from), "{ini}");
        std::fs::write(&path, ini.replace(from, to)).expect("a file");
        let sent = Command::new("kill")
            .args(["-HUP", &self.child.id().to_string()])
            .status()
            .expect("kill");
        assert!(sent.success());
        self.wait_for_log("re-reading config", 1);
        // The file is read in the same turn of its loop; the next connection comes in a later one.
        drop(TcpStream::connect(("127.0.0.1", self.port)).expect("it listens"));
    }
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ini(folder: &Path, server: u16, port: u16, settings: &str) -> String {
    let folder = folder.display();
    // Whoever asks is the superuser of a throw-away server. A login that failed is tried again soon.
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={server} user=postgres\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = any\n\
         server_login_retry = 1\n\
         logfile = {folder}/pgbouncer.log\n\
         pidfile = {folder}/pgbouncer.pid\n\
         {settings}\n"
    )
}

/// The account that the server runs as, where we are root: PgBouncer refuses root as the server does.
fn server_account(tcp_url: &str) -> Option<(u32, u32)> {
    let settings = ConnectionSettings::resolve(Some(tcp_url)).expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    let row = session
        .query_one("SELECT current_setting('data_directory')", &[])
        .expect("a folder");
    let data = std::fs::metadata(row.get::<_, String>(0)).expect("the server's folder");
    let ours = std::fs::metadata("/proc/self").map_or(data.uid(), |own| own.uid());
    (ours != data.uid()).then(|| (data.uid(), data.gid()))
}

fn own(path: &Path, owner: Option<(u32, u32)>) {
    if let Some((uid, gid)) = owner {
        chown(path, Some(uid), Some(gid)).expect("the server's account");
    }
    let mode = if path.is_dir() { 0o755 } else { 0o644 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("permissions");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Whether it takes connections before it ends.
fn listens(child: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if child.try_wait().expect("a process").is_some() {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}
