//! `watch`, run as a service is run: asked over HTTP, told by signals, its database taken away.

mod browser;
mod door;
mod figures;
mod page;
pub mod service;
mod signals;
mod soak;
mod standby;
mod turns;
