//! The account that the server runs as: ours, or an unprivileged one where we are root.

use std::os::unix::fs::{MetadataExt, chown};
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
    /// Chooses by the owner of a folder that we have just made.
    pub(super) fn for_folder(folder: &Path) -> Result<Self, SandboxError> {
        let made_by = std::fs::metadata(folder)
            .map_err(SandboxError::io("look at the temporary folder"))?
            .uid();
        if made_by != 0 {
            return Ok(Self::Ours);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| {
                Some(Self::Other {
                    uid: number(name, "-u")?,
                    gid: number(name, "-g")?,
                })
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

/// A number of an account, by `id`; none where there is no such account or it is root's.
fn number(name: &str, which: &str) -> Option<u32> {
    let answer = Command::new("id").args([which, name]).output().ok()?;
    let number = String::from_utf8(answer.stdout).ok()?.trim().parse().ok()?;
    (answer.status.success() && number != 0).then_some(number)
}
