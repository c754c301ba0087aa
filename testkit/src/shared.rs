//! A database of its own for each test, in a cluster that all tests of one run share.
//!
//! cargo-nextest runs every test in a process of its own, and starting a server takes longer than
//! most tests do. So the first test of a run starts the cluster and a template with Quay's tables,
//! the others find it through a file and clone the template, and the cluster ends with the runner.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use quay_doctor::Patience;
use quay_doctor::config::ConnectionSettings;
use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::{Cluster, KeptCluster, SandboxError, fixture};
use serde::{Deserialize, Serialize};

/// Set by cargo-nextest, the same for all tests of a run.
const RUN_VARIABLE: &str = "NEXTEST_RUN_ID";
/// The databases that the others are cloned from: with Quay's tables, and the same migrated.
const TEMPLATE: &str = "quay_template";
const MIGRATED: &str = "migrated_template";
/// Many tests run at once, some with many sessions.
const MAX_CONNECTIONS: &str = "300";
/// Stands for the database's name in the addresses of a cluster.
const DATABASE: &str = "THE-DATABASE";

/// Waits for the end of the runner, then stops the server and removes the folders. A zombie has ended.
const UNTIL_PROCESS_ENDS: &str = r#"
trap '' HUP INT TERM
lives() {
    if [ -d /proc/self ]; then
        [ -d "/proc/$1" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$1/status"
    else
        ps -p "$1" >/dev/null
    fi
}
while lives "$1"; do sleep 0.3; done
if read -r server <"$2/data/postmaster.pid"; then
    kill -QUIT "$server"
    rounds=0
    while lives "$server" && [ "$rounds" -lt 200 ]; do sleep 0.1; rounds=$((rounds + 1)); done
fi
rm -rf "$2" "$3"
"#;

/// The cluster of this process, where it knows one already. A static value is never dropped; the
/// cluster then goes with the process, as its watchdog sees to.
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

struct Known {
    addresses: Addresses,
    /// Held where the cluster is this process's alone.
    _cluster: Option<Cluster>,
}

/// Where a cluster answers, for its superuser.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Addresses {
    socket: String,
    tcp: String,
}

impl Addresses {
    fn of(cluster: &Cluster) -> Self {
        Self {
            socket: cluster.url(DATABASE),
            tcp: cluster.tcp_url(DATABASE),
        }
    }

    fn url(&self, database: &str) -> String {
        self.socket.replace(DATABASE, database)
    }

    fn tcp_url(&self, database: &str) -> String {
        self.tcp.replace(DATABASE, database)
    }
}

/// A database for one test. Dropped, it is removed, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    addresses: Addresses,
    name: String,
}

impl TestDatabase {
    /// A database with Quay's tables, holding nobody yet.
    ///
    /// # Errors
    /// [`SandboxError`] where no cluster can be had or the database cannot be created.
    pub fn quay() -> Result<Self, SandboxError> {
        Self::create(&format!(" TEMPLATE {TEMPLATE}"))
    }

    /// A database with Quay's tables, migrated to the newest version, holding nobody yet.
    ///
    /// # Errors
    /// [`SandboxError`] where no cluster can be had or the database cannot be created.
    pub fn migrated() -> Result<Self, SandboxError> {
        Self::create(&format!(" TEMPLATE {MIGRATED}"))
    }

    /// Makes its policies what they are where they stood there before the migration: of no known date.
    ///
    /// # Errors
    /// [`SandboxError`] where the server does not answer.
    pub fn forget_dates_of_policies(&self) -> Result<(), SandboxError> {
        let mut session = self.write_session()?;
        session.run("UPDATE namespaceimmutabilitypolicy SET created_date = NULL")?;
        session.run("UPDATE repositoryimmutabilitypolicy SET created_date = NULL")?;
        Ok(())
    }

    /// A database with nothing in it.
    ///
    /// # Errors
    /// [`SandboxError`] where no cluster can be had or the database cannot be created.
    pub fn empty() -> Result<Self, SandboxError> {
        Self::create("")
    }

    fn create(rest: &str) -> Result<Self, SandboxError> {
        let addresses = shared_cluster()?;
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        admin(&addresses)?.run(&format!("CREATE DATABASE {name}{rest}"))?;
        Ok(Self { addresses, name })
    }

    /// The database's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URL over the Unix socket, as the superuser.
    pub fn url(&self) -> String {
        self.addresses.url(&self.name)
    }

    /// The URL over TCP on 127.0.0.1, as the superuser.
    pub fn tcp_url(&self) -> String {
        self.addresses.tcp_url(&self.name)
    }

    /// The settings to connect, as the superuser.
    ///
    /// # Errors
    /// [`SandboxError::Settings`] where our own URL is not understood.
    pub fn settings(&self) -> Result<ConnectionSettings, SandboxError> {
        Ok(ConnectionSettings::resolve(Some(&self.url()))?)
    }

    /// A session that can write.
    ///
    /// # Errors
    /// [`SandboxError::Database`] where the server does not answer.
    pub fn write_session(&self) -> Result<WriteSession, SandboxError> {
        Ok(WriteSession::open(&self.settings()?)?)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // What cannot be removed now goes with the cluster.
        if let Ok(mut session) = admin(&self.addresses) {
            let _ = session.run(&format!(
                "DROP DATABASE IF EXISTS {} WITH (FORCE)",
                self.name
            ));
        }
    }
}

fn admin(addresses: &Addresses) -> Result<WriteSession, SandboxError> {
    let settings = ConnectionSettings::resolve(Some(&addresses.url("postgres")))?;
    Ok(WriteSession::open(&settings)?)
}

/// Where the run's cluster is; started where this is the first to ask.
fn shared_cluster() -> Result<Addresses, SandboxError> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.as_ref() {
        return Ok(known.addresses.clone());
    }
    let found = match std::env::var(RUN_VARIABLE) {
        Ok(run) => Known {
            addresses: attach(&run)?,
            _cluster: None,
        },
        Err(_) => {
            let cluster = with_template()?;
            Known {
                addresses: Addresses::of(&cluster),
                _cluster: Some(cluster),
            }
        }
    };
    Ok(known.insert(found).addresses.clone())
}

/// Finds the cluster of a run of cargo-nextest, or starts it.
fn attach(run: &str) -> Result<Addresses, SandboxError> {
    let folder = state_folder(run)?;
    let lock = File::create(folder.join("lock")).map_err(SandboxError::io("open the lock file"))?;
    // Held until the file is closed; whoever starts the cluster has bounds of its own.
    lock.lock()
        .map_err(SandboxError::io("wait for the lock file"))?;
    let state = folder.join("cluster.json");
    match std::fs::read(&state) {
        Ok(text) => serde_json::from_slice(&text).map_err(|error| SandboxError::Io {
            doing: format!("read {}", state.display()),
            source: error.into(),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => start_for(&folder, &state),
        Err(error) => Err(SandboxError::io(format!("read {}", state.display()))(error)),
    }
}

/// Starts the cluster and hands it from this process's watchdog to one that watches the runner.
fn start_for(folder: &Path, state: &Path) -> Result<Addresses, SandboxError> {
    let cluster = with_template()?;
    let addresses = Addresses::of(&cluster);
    let text = serde_json::to_vec(&addresses).map_err(|error| SandboxError::Io {
        doing: "describe the cluster".into(),
        source: error.into(),
    })?;
    std::fs::write(state, text).map_err(SandboxError::io(format!("write {}", state.display())))?;
    until_runner_ends(&cluster.keep()?, folder)?;
    Ok(addresses)
}

/// Starts a shell that outlives this process. Signals to our process group pass it by.
fn until_runner_ends(cluster: &KeptCluster, also: &Path) -> Result<(), SandboxError> {
    Command::new("sh")
        .args(["-c", UNTIL_PROCESS_ENDS, "quay-doctor-test-cluster"])
        .arg(parent_id().to_string())
        .arg(&cluster.folder)
        .arg(also)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
        .map_err(SandboxError::io("start the process that tidies up"))
}

fn with_template() -> Result<Cluster, SandboxError> {
    let cluster = Cluster::builder()
        .setting("max_connections", MAX_CONNECTIONS)
        .start()?;
    cluster.create_database(TEMPLATE)?;
    let mut session = WriteSession::open(&cluster.settings(TEMPLATE)?)?;
    fixture::load_schema(&mut session)?;
    session.run("VACUUM ANALYZE")?;
    drop(session);
    cluster.clone_database(TEMPLATE, MIGRATED)?;
    migrate(&cluster.settings(MIGRATED)?)?;
    // Nobody can connect, so nobody can be in the way of a clone.
    let mut session = admin(&Addresses::of(&cluster))?;
    for template in [TEMPLATE, MIGRATED] {
        session.run(&format!(
            "ALTER DATABASE {template} ALLOW_CONNECTIONS false"
        ))?;
    }
    Ok(cluster)
}

fn migrate(settings: &ConnectionSettings) -> Result<(), SandboxError> {
    let ended = quay_doctor::migrate_up(settings, None, &Patience::default(), &mut |_| {});
    match ended.fault {
        None => Ok(()),
        Some(fault) => Err(SandboxError::Io {
            doing: "migrate the template".into(),
            source: std::io::Error::other(fault.to_string()),
        }),
    }
}

/// The folder through which the processes of a run find each other; ours alone.
fn state_folder(run: &str) -> Result<PathBuf, SandboxError> {
    let run: String = run
        .chars()
        .filter(|character| character.is_ascii_alphanumeric() || *character == '-')
        .take(64)
        .collect();
    let folder = std::env::temp_dir().join(format!("quay-doctor-run-{run}"));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(SandboxError::io(format!("make {}", folder.display())))?;
    Ok(folder)
}
