//! One question, asked by psql and by us, with the same words, environment and files.

use std::path::{Path, PathBuf};
use std::process::Command;

use quay_doctor::pg::{ReadSession, Statements as _};
use quay_doctor::sandbox::{Program, Programs};
use quay_doctor::{ConnectionSettings, DatabaseChoice, Environment, Origin, Secret};

/// Who, where, by which port, encrypted or not, on which kind of server, with which settings. The
/// two programs have different names where nobody gives one.
const QUESTION: &str = "SELECT concat_ws('|', current_user, current_database(), inet_server_port(),
    'ssl=' || (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
    'standby=' || pg_is_in_recovery(),
    'geqo=' || current_setting('geqo'),
    nullif(nullif(current_setting('application_name'), 'psql'), 'quay-doctor'))";

/// A connection to ask for.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    url: Option<String>,
    variables: Vec<(String, String)>,
}

impl Asked {
    /// By a URL or a connection string.
    pub fn url(url: impl Into<String>) -> Self {
        Self {
            url: Some(url.into()),
            variables: Vec::new(),
        }
    }

    /// By the environment alone.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// With a variable of the environment.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// With a home folder; without, there is none.
    pub fn home(self, folder: &Path) -> Self {
        self.with("HOME", folder.display().to_string())
    }

    /// Our settings.
    pub fn settings(&self) -> Result<ConnectionSettings, String> {
        let process = Environment::of_process();
        let mut environment = Environment::empty().with_os_user(process.os_user().expect("a user"));
        for (name, value) in &self.variables {
            environment = environment.with(name, value);
        }
        let choice = match &self.url {
            Some(url) => DatabaseChoice::Url(Secret::new(url), Origin::Option("--database-url")),
            None => DatabaseChoice::Environment,
        };
        ConnectionSettings::resolve_in(&choice, &environment).map_err(rendered)
    }

    /// Our answer, or what we say instead, with its hint.
    pub fn by_us(&self) -> Result<String, String> {
        let settings = self.settings()?;
        let mut session = ReadSession::open(&settings).map_err(rendered)?;
        let row = session.query_one(QUESTION, &[]).map_err(rendered)?;
        Ok(row.get(0))
    }

    /// psql's answer, or what it says instead; `None` on a machine without psql.
    pub fn by_psql(&self) -> Option<Result<String, String>> {
        let mut command = Command::new(psql()?);
        command
            .env_clear()
            .args(["-w", "-X", "-A", "-t", "-c", QUESTION]);
        // Without a home of its own psql would look into that of the user who runs the tests.
        command
            .env("HOME", "/nonexistent")
            .envs(self.variables.iter().cloned());
        if let Some(url) = &self.url {
            command.args(["-d", url]);
        }
        let output = command.output().expect("psql starts");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Some(if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        })
    }

    /// Both give the same answer, or both none. Our answer.
    pub fn same(&self) -> Result<String, String> {
        let (theirs, ours) = (self.by_psql(), self.by_us());
        match (&theirs, &ours) {
            (Some(Ok(theirs)), Ok(ours)) => assert_eq!(theirs, ours, "{self:?}"),
            (Some(Err(_)), Err(_)) | (None, _) => {}
            _ => panic!("{self:?}\npsql: {theirs:?}\nwe:   {ours:?}"),
        }
        ours
    }
}

/// psql: the server's own, else any. Some packages of a server come without; then our answers are
/// held against what each test expects, and against nothing else.
fn psql() -> Option<PathBuf> {
    let own = Programs::find().and_then(|programs| programs.path(Program::Psql));
    // Debian's is a link to a wrapper that sets variables of its own; it would be asked as well.
    let is_itself = |path: &PathBuf| {
        std::fs::canonicalize(path).is_ok_and(|real| real.file_name() == Some("psql".as_ref()))
    };
    let debians = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let debians = debians.flatten().map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = own.ok().or_else(|| {
        std::env::split_paths(&path)
            .chain(debians)
            .map(|folder| folder.join("psql"))
            .find(is_itself)
    });
    if found.is_none() {
        eprintln!("no psql on this machine: nothing to compare with");
    }
    found
}

/// A complaint as the program prints it: the sentence, then the hint.
fn rendered(complaint: impl miette::Diagnostic + Send + Sync + 'static) -> String {
    let help = complaint.help().map(|help| help.to_string());
    format!("{complaint}\n{}", help.unwrap_or_default())
}
