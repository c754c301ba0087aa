//! A pooler between us and the server. One that gives each session a backend of its own, for as long
//! as the session lasts, is as good as the server. One that gives each transaction a backend of its
//! own is not: what we hold by the session, locks and settings, would be left with a stranger, and a
//! setting that makes a session read-only would make the registry's own next transaction fail.
//!
//! So it is found out before anything is set. Nothing here writes, locks or sets.

use std::sync::mpsc;
use std::time::Duration;

use postgres::{Client, SimpleQueryMessage};

use super::refusal::Refusal;
use crate::config::{Host, Target};

/// How long the second session is waited for, at most: a pool may have no other backend to give, and
/// then less is known.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often both sessions are asked who answers. Once is enough where nobody else uses the pool,
/// since the backend that was given back last is given out first; in a busy one each round may tell.
const ROUNDS: u32 = 4;

/// Who answers, and how the server sees us: as a process of its own machine, on its own port?
const WHO: &str = "SELECT pg_catalog.pg_backend_pid(), \
     pg_catalog.inet_client_addr() IS NULL, pg_catalog.current_setting('port')";

/// Refuses a session whose backend is not its own; `greeted` is the process that the other side
/// named when it admitted us, where that was read, and `another` opens a second session. All of it
/// takes no more than half of `limit`.
pub(super) fn refuse_shared(
    client: &mut Client,
    target: &Target,
    greeted: Option<i32>,
    limit: Option<Duration>,
    another: impl FnOnce() -> Result<Client, postgres::Error> + Send + 'static,
) -> Result<(), Refusal> {
    let of_driver = |error: postgres::Error| Refusal::of_driver(&error, target);
    let first = Backend::ask(client).map_err(of_driver)?;
    if first.is_the_server(target, greeted) {
        return Ok(());
    }
    tracing::debug!(server = %target, "a pooler stands before the server");
    let patience = limit.map_or(PATIENCE, |limit| PATIENCE.min(limit / 2));
    let Some(mut second) = second(another, patience) else {
        return Ok(());
    };
    let mut seen = Vec::new();
    for _ in 0..ROUNDS {
        // A second session that is lost tells nothing more.
        let Ok(other) = Backend::ask(&mut second) else {
            break;
        };
        seen.push(other.pid);
        let again = Backend::ask(client).map_err(of_driver)?;
        if again.pid != first.pid || seen.iter().any(|pid| *pid == first.pid || *pid != seen[0]) {
            return Err(Refusal::shared_backend());
        }
    }
    Ok(())
}

/// The process that carried a statement out.
struct Backend {
    pid: i32,
    over_socket: bool,
    port: Option<u16>,
}

impl Backend {
    /// Asks by the simple protocol: a prepared statement would stay with a backend that is not ours.
    fn ask(client: &mut Client) -> Result<Self, postgres::Error> {
        let answers = client.simple_query(WHO)?;
        let column = |number: usize| {
            answers.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(number),
                _ => None,
            })
        };
        Ok(Self {
            pid: column(0).and_then(|pid| pid.parse().ok()).unwrap_or(0),
            over_socket: column(1) == Some("t"),
            port: column(2).and_then(|port| port.parse().ok()),
        })
    }

    /// Whether nobody stands between: the process that greeted us answers. Over a socket the greeting
    /// is not read; there the server itself sees a socket, and the port is its own.
    fn is_the_server(&self, target: &Target, greeted: Option<i32>) -> bool {
        match (&target.host, greeted) {
            (_, Some(greeted)) => greeted == self.pid,
            (Host::Socket(_), None) => self.over_socket && self.port == Some(target.port),
            (Host::Network { .. }, None) => false,
        }
    }
}

/// A second session, on a thread of its own, which ends as soon as it is answered.
fn second(
    open: impl FnOnce() -> Result<Client, postgres::Error> + Send + 'static,
    patience: Duration,
) -> Option<Client> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let ask = move || {
        let answered = open().and_then(|mut client| Backend::ask(&mut client).map(|_| client));
        // Nobody waits any more: the session ends with the thread.
        let _ = sender.send(answered);
    };
    std::thread::Builder::new()
        .name("pg-second".into())
        .spawn(ask)
        .ok()?;
    match receiver.recv_timeout(patience) {
        Ok(Ok(client)) => Some(client),
        Ok(Err(error)) => {
            tracing::debug!(%error, "no second session to compare with");
            None
        }
        Err(_) => None,
    }
}
