//! The temporary folder of a cluster: where a socket fits and the server's account gets in.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::Account;
use super::watchdog::Watchdog;
use super::{Programs, SandboxError};

/// A socket's address holds 104 bytes on macOS and 108 on Linux; the file's name takes 15.
const SOCKET_FOLDER_BYTES: usize = 85;

/// Makes the folder, watched over from before it exists.
pub(super) fn make(
    programs: &Programs,
    account: Account,
) -> Result<(PathBuf, Watchdog), SandboxError> {
    let usual = std::env::temp_dir();
    // The account may be kept out of a TMPDIR that is ours alone, or its path may be too long.
    make_in(&usual, programs, account).or_else(|error| {
        let other = Path::new("/tmp");
        if usual == other {
            return Err(error);
        }
        make_in(other, programs, account)
    })
}

fn make_in(
    parent: &Path,
    programs: &Programs,
    account: Account,
) -> Result<(PathBuf, Watchdog), SandboxError> {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let folder = parent.join(format!("quay-doctor-{}", &random[..12]));
    if folder.as_os_str().len() > SOCKET_FOLDER_BYTES {
        return Err(SandboxError::LongPath { path: folder });
    }
    let mut watchdog = Watchdog::start(programs, account, &folder)?;
    if let Err(source) = DirBuilder::new().mode(0o700).create(&folder) {
        // What could not be made is not ours to remove.
        watchdog.dismiss()?;
        return Err(SandboxError::Io {
            doing: format!("make the folder {}", folder.display()),
            source,
        });
    }
    match account.own(&folder).and_then(|()| admits(&folder, account)) {
        Ok(()) => Ok((folder, watchdog)),
        Err(error) => {
            watchdog.finish();
            Err(error)
        }
    }
}

/// Whether the account gets to the folder, through all the folders above it.
fn admits(folder: &Path, account: Account) -> Result<(), SandboxError> {
    let mut probe = Command::new("sh");
    probe
        .args(["-c", "cd \"$1\" && test -w .", "probe"])
        .arg(folder);
    account.apply(&mut probe);
    let output = probe
        .current_dir("/")
        .output()
        .map_err(SandboxError::io("run sh as the server's account"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(SandboxError::Io {
        doing: format!("let the server's account into {}", folder.display()),
        source: std::io::ErrorKind::PermissionDenied.into(),
    })
}
