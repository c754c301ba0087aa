//! The throw-away server and the data in it.

mod cluster;
