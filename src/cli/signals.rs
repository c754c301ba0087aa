//! Ctrl-C and SIGTERM: the first asks for an end after the current batch, the second ends at once.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The status of a process that was told twice: the work is not finished.
const NOT_FINISHED: i32 = 3;

/// Whether somebody wants the work to end.
#[derive(Clone, Debug, Default)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Listens from the first call on, for the whole process: what came while a plan was made also
    /// ends what would have followed from it.
    pub fn listen() -> Self {
        static OF_PROCESS: OnceLock<Signals> = OnceLock::new();
        OF_PROCESS.get_or_init(Self::registered).clone()
    }

    /// Where listening cannot be had a signal ends the process at once, which
    /// leaves nothing half done either: transactions roll back, and `recover` knows the rest.
    fn registered() -> Self {
        let wanted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            let _ = signal_hook::flag::register_conditional_shutdown(
                signal,
                NOT_FINISHED,
                Arc::clone(&wanted),
            );
            let _ = signal_hook::flag::register(signal, Arc::clone(&wanted));
        }
        Self(wanted)
    }

    /// The flag itself, for whoever looks at it in other threads.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// A flag that each SIGHUP sets from here on.
    pub fn hang_ups() -> io::Result<Arc<AtomicBool>> {
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGHUP, Arc::clone(&came))?;
        Ok(came)
    }

    /// Whether a signal has come.
    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends as if one had come: nobody listens any more.
    pub fn give_up(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
