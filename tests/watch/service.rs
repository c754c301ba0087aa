//! A watcher at work, and what it answers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::program;

/// The longest that anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A process of `watch`; ended when dropped.
pub struct Watcher {
    child: Child,
    log: NamedTempFile,
    address: SocketAddr,
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The headers, as they came, by their names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

impl Watcher {
    /// Watches a database on a free port, scanning every second unless the arguments say otherwise.
    pub fn of(url: &str, args: &[&str]) -> Self {
        let mut all = vec!["watch", "--listen", "127.0.0.1:0"];
        if !args.contains(&"--every") {
            all.extend(["--every", "1s"]);
        }
        all.extend(args);
        Self::start(program::command(&all).env("DATABASE_URL", url))
    }

    /// Starts a command that watches, and waits until it can be asked.
    pub fn start(command: &mut Command) -> Self {
        let log = NamedTempFile::new().expect("a file for the log");
        let stderr = File::create(log.path()).expect("a log");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut said).expect("a line");
        let address = said
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.trim().trim_end_matches('/').parse().ok());
        let log_so_far = std::fs::read_to_string(log.path()).unwrap_or_default();
        let address = address.unwrap_or_else(|| panic!("no address in {said:?}: {log_so_far}"));
        Self {
            child,
            log,
            address,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("the log")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers)
    }

    /// One request on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let host = self.address.to_string();
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a bound");
        stream
            .write_all(format!("{head}\r\n").as_bytes())
            .expect("asked");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        parsed(&text)
    }

    /// The metrics, by name with labels.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        figures_of(&self.get("/metrics").body)
    }

    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures().get(name).copied()
    }

    pub fn page(&self) -> String {
        let page = self.get("/");
        assert_eq!(page.status, 200, "{page:?}");
        page.body
    }

    pub fn report(&self) -> Value {
        let report = self.get("/report.json");
        serde_json::from_str(&report.body).unwrap_or_else(|error| panic!("{error}: {report:?}"))
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            let (log, figures) = (self.log(), self.figures());
            assert!(
                begun.elapsed() < PATIENCE,
                "never {what}: {figures:#?}\n{log}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn until_known(&self) {
        self.until("known", |watcher| {
            watcher.figure("quay_doctor_watch_known") == Some(1.0)
        });
    }

    /// Waits for a scan that began after now.
    #[track_caller]
    pub fn until_scanned_again(&self) {
        let scans = |watcher: &Self| {
            let all = watcher.figures();
            all.get("quay_doctor_watch_scans_total{outcome=\"complete\"}")
                .copied()
                .unwrap_or(0.0)
        };
        let before = scans(self);
        // The first that ends may have begun before.
        self.until("two scans later", |watcher| scans(watcher) >= before + 2.0);
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.pid().to_string()])
            .status()
            .expect("kill starts");
        assert!(sent.success());
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not end: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parsed(text: &str) -> Answer {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .expect("a status");
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: body.to_owned(),
    }
}

/// Every sample, by name with labels; panics where the text is not of the format.
pub fn figures_of(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with("# EOF\n"), "cut off: {text}");
    let mut described = "";
    let mut figures = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            described = rest.split(' ').next().expect("a name");
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with(described), "{name} is not described");
        let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
        let before = figures.insert(name.to_owned(), value);
        assert_eq!(before, None, "{name} is there twice");
    }
    figures
}
