//! The account that the server runs as: ours, or an unprivileged one where we are root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::SandboxError;

/// Who runs the server programs. PostgreSQL refuses to run as root.
#[derive(Clone, Copy, Debug)]
pub(super) enum Account {
    /// Whoever we are.
    Ours,
    /// Another, since we are root.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// Ours, unless we are root.
    pub(super) fn find() -> Result<Self, SandboxError> {
        let ours = ask(&["-u"]).ok_or_else(|| SandboxError::Io {
            doing: "learn from `id` who we are".into(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        if ours != 0 {
            return Ok(Self::Ours);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                let (uid, gid) = (ask(&["-u", name])?, ask(&["-g", name])?);
                (uid != 0).then_some(Self::Other { uid, gid })
            })
            .ok_or(SandboxError::NoAccount)
    }

    /// Makes a command run as this account.
    pub(super) fn apply(self, command: &mut Command) {
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file or folder to this account.
    pub(super) fn own(self, path: &Path) -> Result<(), SandboxError> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(
                SandboxError::io(format!("give {} to the server's account", path.display())),
            ),
        }
    }
}

/// What `id` answers; none where there is no such account.
fn ask(args: &[&str]) -> Option<u32> {
    let answer = Command::new("id").args(args).output().ok()?;
    let number = String::from_utf8(answer.stdout).ok()?.trim().parse().ok()?;
    answer.status.success().then_some(number)
}
