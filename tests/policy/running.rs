//! A program that runs while its test goes on, behind a proxy that can hold it at a moment.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use testkit::proxy::{FaultProxy, Hold};

use crate::program::Ended;

/// The longest that a test waits for something that is about to happen.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How often it looks.
const POLL: Duration = Duration::from_millis(5);

/// A program that was started. Dropped, it is killed.
pub struct Running {
    child: Option<Child>,
    /// Dropped after the program has ended: what it held back ends then.
    proxy: Option<FaultProxy>,
}

impl Running {
    /// Starts a command, and does not wait.
    pub fn start(mut command: Command) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self {
            child: Some(child),
            proxy: None,
        }
    }

    /// Starts a command that connects through this proxy.
    pub fn behind(proxy: FaultProxy, command: Command) -> Self {
        let mut run = Self::start(command);
        run.proxy = Some(proxy);
        run
    }

    /// The proxy before its server.
    pub fn proxy(&self) -> &FaultProxy {
        self.proxy.as_ref().expect("a proxy")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Sends a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.id().to_string()])
            .status()
            .expect("kill");
        assert!(sent.success());
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut().expect("running");
        child.try_wait().expect("a process").is_some()
    }

    /// Waits until it stands at what is held; false where it ends before.
    #[track_caller]
    pub fn reaches(&mut self, hold: &Hold) -> bool {
        let begun = Instant::now();
        while !hold.wait(POLL) {
            if self.has_ended() {
                return hold.is_reached();
            }
            assert!(begun.elapsed() < PATIENCE, "neither held nor ended");
        }
        true
    }

    /// Waits until it stands at what is held.
    #[track_caller]
    pub fn reach(&mut self, hold: &Hold, name: &str) {
        if !self.reaches(hold) {
            let ended = self.wait();
            panic!("never reached {name}: {ended:#?}");
        }
    }

    /// Kills it, and ends what it held back.
    pub fn kill(mut self) {
        let mut child = self.child.take().expect("running");
        child.kill().expect("a signal");
        child.wait().expect("an end");
    }

    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        self.wait()
    }

    /// Waits for its end; its proxy can be asked then.
    pub fn wait(&mut self) -> Ended {
        let child = self.child.take().expect("running");
        let output = child.wait_with_output().expect("an end");
        Ended {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
