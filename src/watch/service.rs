//! The service: one thread that scans, one that serves, and the caller's that waits for orders.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::Utc;

use super::board::Board;
use super::scanner::Scanner;
use super::{WatchError, WatchPlan, server};

/// How often the caller's thread looks for orders.
const GLANCE: Duration = Duration::from_millis(50);
/// How long a scan that is told to end may take to notice. It only reads: what is cut off then is
/// cleaned up by the server.
const FAREWELL: Duration = Duration::from_secs(5);

/// What the operator wants. Flags, since that is what a signal can set.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// The service is to end.
    pub stop: Arc<AtomicBool>,
    /// The configuration is to be read again.
    pub reload: Arc<AtomicBool>,
}

impl Orders {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// Watches until it is told to stop. `bound` is told the address once it can be asked; `read` reads the
/// configuration again, or says why it cannot be used.
///
/// # Errors
/// [`WatchError`] where it cannot begin, or a thread of it has ended by itself.
pub fn watch(
    plan: WatchPlan,
    listen: SocketAddr,
    orders: &Orders,
    bound: &mut dyn FnMut(SocketAddr),
    read: &mut dyn FnMut() -> Result<WatchPlan, String>,
) -> Result<(), WatchError> {
    plan.check(listen)?;
    let cannot = |error| WatchError::Listen {
        address: listen,
        error,
    };
    let listener = TcpListener::bind(listen).map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let board = Arc::new(Board::new(plan, Utc::now()));
    let shown = Arc::clone(&board);
    let served = orders.clone();
    let server = begin("server", move || server::serve(listener, shown, &served))?;
    let scanner = Scanner::new(Arc::clone(&board), orders.clone());
    let scanner = begin("scanner", move || {
        scanner.run();
        Ok(())
    })?;
    bound(address);
    while !orders.stopped() {
        if orders.reload.swap(false, Ordering::Relaxed) {
            reload(&board, address, read);
        }
        if server.is_finished() || scanner.is_finished() {
            return Err(why_ended(server, scanner));
        }
        thread::sleep(GLANCE);
    }
    let until = Instant::now() + FAREWELL;
    while !(server.is_finished() && scanner.is_finished()) && Instant::now() < until {
        thread::sleep(GLANCE);
    }
    Ok(())
}

type Thread = JoinHandle<Result<(), std::io::Error>>;

fn begin(
    name: &str,
    work: impl FnOnce() -> Result<(), std::io::Error> + Send + 'static,
) -> Result<Thread, WatchError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| WatchError::Broken {
            reason: format!("no thread for the {name}: {error}"),
        })
}

/// A configuration that cannot be used changes nothing: the old one goes on to count.
fn reload(board: &Board, address: SocketAddr, read: &mut dyn FnMut() -> Result<WatchPlan, String>) {
    let plan = read().and_then(|plan| match plan.check(address) {
        Ok(()) => Ok(plan),
        Err(error) => Err(error.to_string()),
    });
    match plan {
        Ok(plan) => {
            tracing::info!("the configuration was read again, and counts");
            board.change_plan(plan);
        }
        Err(why) => {
            tracing::error!(error = %why, "the configuration cannot be used; the one before goes on to count");
            board.note(|facts| facts.refused = Some(why));
        }
    }
}

fn why_ended(server: Thread, scanner: Thread) -> WatchError {
    let (name, ended) = if server.is_finished() {
        ("server", server.join())
    } else {
        ("scanner", scanner.join())
    };
    let reason = match ended {
        Ok(Ok(())) => format!("the {name} has ended by itself"),
        Ok(Err(error)) => format!("the {name} has ended: {error}"),
        Err(_) => format!("the {name} has ended by a panic"),
    };
    WatchError::Broken { reason }
}
