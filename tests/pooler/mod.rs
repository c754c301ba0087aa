//! Behind a pooler: as good as the server where a session keeps its backend, and refused, before
//! anything is set or changed, where it does not.

mod bouncer;
mod exhausted;
mod restart;
mod session;
mod transaction;
mod watching;
