//! What the tests of quay-doctor need and the program does not contain.
//!
//! [`shared`] gives each test a database of its own in one cluster; [`proxy`] stands between the program and the
//! server and loses, delays or holds what it is told to, and [`moments`] are what tests hold; [`pusher`] pushes tags
//! as Quay does while the program works; [`subject`] plays the ways to create a policy that faults are tried on;
//! [`oracle`] decides whether what they left is consistent. Nothing here changes how the program works: it is started
//! as users start it.

pub mod moments;
pub mod oracle;
mod ours;
pub mod proxy;
pub mod pusher;
pub mod shared;
mod skip;
pub mod subject;

pub use ours::Ours;
pub use skip::skipped;
