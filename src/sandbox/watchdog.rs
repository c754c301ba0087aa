//! The process that tidies up after us, whatever happens to us.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::account::Account;
use super::{Program, Programs, SandboxError};

/// Waits for the end of its input, which comes when the pipe's only writer is gone. The word
/// `keep` sends it home; the word `end` says that we end in order.
const UNTIL_PIPE_CLOSES: &str = r#"
while read -r word; do
    case $word in
        keep) exit 0 ;;
        end) orderly=yes ;;
    esac
done
"#;

/// Stops every server in the folder and removes the folder.
const TIDY_UP: &str = r#"
# Processes that were given a data folder in there: servers, and what was about to start one.
holders() {
    if [ -d /proc/self ]; then
        grep -alF -e "$1/data" -e "$1/standby" /proc/[0-9]*/cmdline | cut -d / -f 3
    else
        ps -A -o pid=,args= | grep -F -e "$1/data" -e "$1/standby" | awk '{ print $1 }'
    fi
}
for data in "$1"/data "$1"/standby*; do
    # A file that a crashed server left may name a process that is somebody else's by now.
    if [ -f "$data/postmaster.pid" ] && read -r pid <"$data/postmaster.pid" &&
        holders "$1" | grep -qx "$pid"; then
        "$2" stop -D "$data" -m immediate -w -t 20
    fi
done
# Where nobody ended in order, a program may be left that still makes files or starts a server.
rounds=0
while [ "$rounds" -lt 100 ]; do
    left=no
    if [ "$orderly" = no ]; then
        for pid in $(holders "$1"); do
            if kill -KILL "$pid"; then left=yes; fi
        done
    fi
    rm -rf "$1"
    if [ "$left" = no ] && ! [ -e "$1" ]; then break; fi
    rounds=$((rounds + 1))
    sleep 0.1
done
"#;

/// How long tidying up may take.
const LIMIT: Duration = Duration::from_secs(40);

/// A small shell in a process group of its own, so that Ctrl-C does not reach it. It holds the
/// reading end of a pipe; the writing end is ours alone (it is closed on exec, so no server
/// inherits it), and the operating system closes it when we die, SIGKILL included.
#[derive(Debug)]
pub(super) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts watching over a folder.
    pub(super) fn start(
        programs: &Programs,
        account: Account,
        folder: &Path,
    ) -> Result<Self, SandboxError> {
        let mut command = shell(UNTIL_PIPE_CLOSES, programs, account, folder)?;
        let shell = command
            .stdin(Stdio::piped())
            .spawn()
            .map_err(cannot_start())?;
        Ok(Self { shell })
    }

    /// Lets the servers and the folder live on.
    pub(super) fn dismiss(mut self) -> Result<(), SandboxError> {
        if let Some(pipe) = self.shell.stdin.as_mut() {
            pipe.write_all(b"keep\n")
                .map_err(SandboxError::io("keep the server up"))?;
        }
        self.finish();
        Ok(())
    }

    /// Has it tidy up, and waits until it has.
    pub(super) fn finish(&mut self) {
        if let Some(mut pipe) = self.shell.stdin.take() {
            // Unread, the word is of no use to a watchdog that somebody killed.
            let _ = pipe.write_all(b"end\n");
        }
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            match self.shell.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
    }
}

/// The shell that waits and then tidies up. Our signals pass it by.
fn shell(
    wait: &str,
    programs: &Programs,
    account: Account,
    folder: &Path,
) -> Result<Command, SandboxError> {
    let script = format!("trap '' HUP INT TERM\norderly=no\n{wait}{TIDY_UP}");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "quay-doctor-watchdog"])
        .arg(folder)
        .arg(programs.path(Program::PgCtl)?)
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    account.apply(&mut command);
    Ok(command)
}

fn cannot_start() -> impl FnOnce(std::io::Error) -> SandboxError {
    SandboxError::io("start the process that tidies up")
}
