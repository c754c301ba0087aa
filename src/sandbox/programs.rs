//! Finding PostgreSQL's programs on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::SandboxError;

/// Says where the programs are, before every other place.
const OWN_VARIABLE: &str = "QUAY_DOCTOR_PG_BIN";

/// Folders of the distributions, as (parent, prefix and suffix of the folder with the version).
/// Debian and Ubuntu; the PostgreSQL project's RPMs; Homebrew on ARM and on Intel; Gentoo-like.
const USUAL: [(&str, &str, &str); 5] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/usr/libexec", "postgresql", ""),
];

/// A program of PostgreSQL's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Creates a cluster.
    Initdb,
    /// Starts and stops a server.
    PgCtl,
    /// The server.
    Postgres,
    /// The terminal. Some packages of the server lack it.
    Psql,
    /// Copies a running cluster. Some packages of the server lack it.
    PgBasebackup,
}

impl Program {
    /// The file's name.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Initdb => "initdb",
            Self::PgCtl => "pg_ctl",
            Self::Postgres => "postgres",
            Self::Psql => "psql",
            Self::PgBasebackup => "pg_basebackup",
        }
    }
}

/// One folder that holds a whole server: programs of different versions are never mixed.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Looks in `QUAY_DOCTOR_PG_BIN` and, where that is not set, in PATH, in the folder that
    /// `pg_config --bindir` names, and in the distributions' usual folders, newest version first.
    ///
    /// # Errors
    /// [`SandboxError::NoPrograms`] where no folder holds initdb, pg_ctl and postgres.
    pub fn find() -> Result<Self, SandboxError> {
        let folders = match std::env::var_os(OWN_VARIABLE) {
            Some(folder) => vec![PathBuf::from(folder)],
            None => candidates(),
        };
        Self::first_of(&folders)
    }

    /// The programs of one folder.
    ///
    /// # Errors
    /// [`SandboxError::NoPrograms`] where it lacks initdb, pg_ctl or postgres.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Result<Self, SandboxError> {
        Self::first_of(&[folder.into()])
    }

    fn first_of(folders: &[PathBuf]) -> Result<Self, SandboxError> {
        let needed = [Program::Initdb, Program::PgCtl, Program::Postgres];
        let whole = folders
            .iter()
            .find(|folder| needed.iter().all(|program| holds(folder, *program)));
        match whole {
            Some(folder) => Ok(Self {
                folder: behind_links(folder).unwrap_or_else(|| folder.clone()),
            }),
            None => Err(SandboxError::NoPrograms {
                program: needed
                    .iter()
                    .find(|program| !folders.iter().any(|folder| holds(folder, **program)))
                    .unwrap_or(&Program::Initdb)
                    .file_name(),
                looked: folders
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this package of the server has the program.
    pub fn has(&self, program: Program) -> bool {
        holds(&self.folder, program)
    }

    /// The program's path.
    ///
    /// # Errors
    /// [`SandboxError::NoPrograms`] where this package of the server lacks it.
    pub fn path(&self, program: Program) -> Result<PathBuf, SandboxError> {
        if self.has(program) {
            return Ok(self.folder.join(program.file_name()));
        }
        Err(SandboxError::NoPrograms {
            program: program.file_name(),
            looked: self.folder.display().to_string(),
        })
    }
}

fn holds(folder: &Path, program: Program) -> bool {
    folder.join(program.file_name()).is_file()
}

/// The folder that a link to `postgres` leads to. PATH often holds links to a few programs of a
/// server only; the rest of the same version is where they point.
fn behind_links(folder: &Path) -> Option<PathBuf> {
    let real = folder
        .join(Program::Postgres.file_name())
        .canonicalize()
        .ok()?;
    let folder = real.parent()?;
    [Program::Initdb, Program::PgCtl]
        .iter()
        .all(|program| holds(folder, *program))
        .then(|| folder.to_owned())
}

/// Every folder worth a look, in order.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(configured());
    for (parent, prefix, suffix) in USUAL {
        folders.extend(versions(Path::new(parent), prefix, suffix));
    }
    folders
}

/// The folder that `pg_config` names, where there is a `pg_config`.
fn configured() -> Option<PathBuf> {
    let answer = Command::new("pg_config").arg("--bindir").output().ok()?;
    let folder = String::from_utf8(answer.stdout).ok()?;
    answer
        .status
        .success()
        .then(|| PathBuf::from(folder.trim()))
}

/// The folders `parent/prefixVERSION/suffix`, newest version first; none where there is no parent.
fn versions(parent: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Vec::new();
    };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            let number: String = version.chars().take_while(char::is_ascii_digit).collect();
            // A folder without a number, as some RPMs have, is the distribution's only version.
            (!version.starts_with(char::is_alphabetic))
                .then(|| (number.parse().unwrap_or(0), entry.path().join(suffix)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, folder)| folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_by_number_and_not_by_spelling() {
        let parent = tempfile::tempdir().expect("a folder");
        for version in ["9", "15", "13", "notes"] {
            std::fs::create_dir(parent.path().join(version)).expect("a folder");
        }
        let found = versions(parent.path(), "", "bin");
        let expected: Vec<_> = ["15", "13", "9"]
            .iter()
            .map(|version| parent.path().join(version).join("bin"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn links_lead_to_the_folder_with_the_rest_of_the_programs() {
        let parent = tempfile::tempdir().expect("a folder");
        let (real, links) = (parent.path().join("real"), parent.path().join("links"));
        for folder in [&real, &links] {
            std::fs::create_dir(folder).expect("a folder");
        }
        for name in ["initdb", "pg_ctl", "postgres", "pg_basebackup"] {
            std::fs::write(real.join(name), "").expect("a file");
        }
        for name in ["initdb", "pg_ctl", "postgres"] {
            std::os::unix::fs::symlink(real.join(name), links.join(name)).expect("a link");
        }
        let programs = Programs::in_folder(&links).expect("all that is needed");
        assert!(programs.has(Program::PgBasebackup));
    }

    #[test]
    fn a_folder_that_lacks_a_program_is_refused_with_a_hint_how_to_install() {
        let empty = tempfile::tempdir().expect("a folder");
        let error = Programs::in_folder(empty.path()).expect_err("nothing is there");
        let help = miette::Diagnostic::help(&error)
            .expect("a hint")
            .to_string();
        assert!(error.to_string().contains("initdb"));
        for word in ["apt-get", "dnf", "brew", "QUAY_DOCTOR_PG_BIN"] {
            assert!(help.contains(word), "{help}");
        }
    }
}
