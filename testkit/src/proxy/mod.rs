//! A proxy between a program and a server that loses what it is told to lose, or holds it: after any byte,
//! at a statement, or in place of the answer to one.
//!
//! It stands in for the network, and so for the faults that a server does not know of and a program
//! cannot tell apart: a COMMIT that was never carried out and one whose answer was lost look alike.
//! It never makes anything up and never changes a byte. What it understands of the protocol is where
//! a message ends, which text an execution stands for, and which answer belongs to which exchange;
//! under TLS it only counts bytes.
//!
//! ```no_run
//! use testkit::proxy::{FaultProxy, Rule};
//!
//! # fn main() -> Result<(), quay_doctor::sandbox::SandboxError> {
//! let proxy = FaultProxy::before("postgresql://postgres@127.0.0.1:5432/quay")?;
//! proxy.arm(Rule::lost_commit(3));
//! // … something that connects to `proxy.url()` and has to survive it.
//! assert_eq!(proxy.struck(), 1);
//! # Ok(())
//! # }
//! ```

mod hold;
mod link;
mod rule;
mod transaction;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use url::Url;

pub use self::hold::Hold;
pub use self::rule::{Effect, Rule, Way, When, Which};

use self::link::Link;
use self::rule::Rules;
use self::transaction::{Transaction, plain};
use quay_doctor::sandbox::SandboxError;

/// How long the proxy waits for the server to take a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// So many texts are remembered; the rest only counts.
const REMEMBERED: usize = 20_000;
/// The port where none is given.
const USUAL_PORT: u16 = 5432;

/// What has gone through a proxy so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Connections that were taken.
    pub connections: u64,
    /// Bytes from the program, as far as they were handed on.
    pub to_server: u64,
    /// Bytes from the server, as far as they were handed on.
    pub to_program: u64,
    /// Messages from the program.
    pub messages_to_server: u64,
    /// Messages from the server.
    pub messages_to_program: u64,
    /// Statements that ran.
    pub ran: u64,
    /// Their texts, in their order, as far as they are remembered.
    pub statements: Vec<String>,
    /// What each transaction has run whose COMMIT has gone out, in the order of the COMMITs: texts in
    /// lower case, without double quotes and superfluous white space.
    pub commits: Vec<Vec<String>>,
}

impl Traffic {
    /// How many statements contained this.
    pub fn statements_with(&self, containing: &str) -> u64 {
        self.statements
            .iter()
            .filter(|text| text.contains(containing))
            .count() as u64
    }
}

/// What becomes of connections in a black hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heal {
    /// What was held back comes through, however late.
    Deliver,
    /// They end.
    End,
}

/// What the threads of a proxy share.
#[derive(Debug)]
struct Shared {
    upstream: AtomicU16,
    refuses: AtomicBool,
    stopped: AtomicBool,
    rules: Mutex<Rules>,
    traffic: Mutex<Traffic>,
    links: Mutex<Vec<Arc<Link>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn message(&self, way: Way, length: usize) -> Option<(usize, Effect)> {
        let strikes = lock(&self.rules).message(way, length);
        let goes = match &strikes {
            Some((at, Effect::Cut)) => *at,
            _ => length,
        } as u64;
        let mut traffic = lock(&self.traffic);
        match way {
            Way::ToServer => {
                traffic.to_server += goes;
                traffic.messages_to_server += 1;
            }
            Way::ToProgram => {
                traffic.to_program += goes;
                traffic.messages_to_program += 1;
            }
        }
        strikes
    }

    fn named(&self, text: &str, transaction: &mut Transaction) -> Option<Effect> {
        let plain = plain(text);
        lock(&self.rules).named(transaction.named(&plain))
    }

    fn statement(
        &self,
        text: &str,
        transaction: &mut Transaction,
    ) -> (Option<Effect>, Option<Effect>) {
        let plain = plain(text);
        let seen = transaction.seen(&plain);
        let commits = seen.is_commit();
        let befalls = lock(&self.rules).statement(seen);
        let ended = transaction.add(plain);
        let mut traffic = lock(&self.traffic);
        traffic.ran += 1;
        if traffic.statements.len() < REMEMBERED {
            traffic.statements.push(text.to_owned());
        }
        if commits {
            traffic.commits.extend(ended);
        }
        befalls
    }

    fn has_struck(&self) {
        lock(&self.rules).has_struck();
    }

    fn each_link(&self, act: impl Fn(&Link)) {
        let mut links = lock(&self.links);
        links.retain(|link| !link.has_ended());
        links.iter().for_each(|link| act(link));
    }
}

/// A proxy before one server, on a port of its own on 127.0.0.1. Dropped, it ends its connections.
#[derive(Debug)]
pub struct FaultProxy {
    shared: Arc<Shared>,
    url: Url,
    port: u16,
    listening: Mutex<Option<JoinHandle<()>>>,
}

impl FaultProxy {
    /// Stands before the server that this URL names, by TCP on this machine.
    ///
    /// # Errors
    /// [`SandboxError::Io`] where the URL is none, or no port can be had.
    pub fn before(url: &str) -> Result<Self, SandboxError> {
        let invalid = |why: String| SandboxError::Io {
            doing: format!("put a proxy before `{url}`"),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, why),
        };
        let mut url = Url::parse(url).map_err(|error| invalid(error.to_string()))?;
        let upstream = url.port().unwrap_or(USUAL_PORT);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(SandboxError::io("listen on a port"))?;
        let port = listener
            .local_addr()
            .map_err(SandboxError::io("learn our own port"))?
            .port();
        url.set_port(Some(port))
            .map_err(|()| invalid("it can have no port".to_owned()))?;
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(upstream),
            refuses: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            rules: Mutex::default(),
            traffic: Mutex::default(),
            links: Mutex::default(),
        });
        let listening = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || listen(&listener, &shared))
        };
        Ok(Self {
            shared,
            url,
            port,
            listening: Mutex::new(Some(listening)),
        })
    }

    /// The URL that it was given, through the proxy.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// The port on 127.0.0.1 that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes a rule known. Its counts begin here; it strikes once.
    pub fn arm(&self, rule: Rule) {
        lock(&self.shared.rules).add(rule);
    }

    /// Holds the first connection that comes to this moment.
    pub fn hold(&self, when: When) -> Hold {
        let hold = Hold::ahead();
        self.arm(Rule {
            when,
            effect: Effect::Hold(hold.clone()),
        });
        hold
    }

    /// Forgets the rules that have not struck.
    pub fn disarm(&self) {
        lock(&self.shared.rules).clear();
    }

    /// How many rules have struck.
    pub fn struck(&self) -> u64 {
        lock(&self.shared.rules).struck()
    }

    /// How many rules are still to strike.
    pub fn waiting(&self) -> usize {
        lock(&self.shared.rules).waiting()
    }

    /// What has gone through so far.
    pub fn traffic(&self) -> Traffic {
        lock(&self.shared.traffic).clone()
    }

    /// How many statements have come from the program so far, without the texts.
    pub fn statements(&self) -> u64 {
        lock(&self.shared.traffic).ran
    }

    /// Counts from nothing again.
    pub fn forget_traffic(&self) {
        *lock(&self.shared.traffic) = Traffic::default();
    }

    /// Ends every connection now.
    pub fn cut(&self) {
        self.shared.each_link(Link::end);
    }

    /// Nothing comes through any connection that there is now; later ones are none of its business.
    pub fn black_hole(&self) {
        self.shared.each_link(Link::sink);
    }

    /// What becomes of connections in a black hole.
    pub fn heal(&self, how: Heal) {
        self.shared.each_link(|link| match how {
            Heal::Deliver => link.let_through(),
            Heal::End => link.end(),
        });
    }

    /// Takes connections and ends them at once, as long as that is so.
    pub fn refuse(&self, refuse: bool) {
        self.shared.refuses.store(refuse, Ordering::Relaxed);
    }

    /// Takes no connection from here on: nothing listens there any more. Those that there are go on.
    pub fn close(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let listening = lock(&self.listening).take();
        if let Some(listening) = listening
            && TcpStream::connect_timeout(&address, CONNECT_LIMIT).is_ok()
        {
            let _ = listening.join();
        }
    }

    /// Later connections go to another port of this machine: a failover.
    pub fn lead_to(&self, port: u16) {
        self.shared.upstream.store(port, Ordering::Relaxed);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.cut();
        self.close();
        self.cut();
    }
}

fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    for program in listener.incoming() {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(program) = program else { continue };
        if shared.refuses.load(Ordering::Relaxed) {
            continue;
        }
        let port = shared.upstream.load(Ordering::Relaxed);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // A server that does not answer: the program finds its connection ended.
        let Ok(server) = TcpStream::connect_timeout(&address, CONNECT_LIMIT) else {
            continue;
        };
        if let Ok(link) = Link::start(program, server, shared) {
            lock(&shared.traffic).connections += 1;
            let mut links = lock(&shared.links);
            links.retain(|link| !link.has_ended());
            links.push(link);
        }
    }
}
