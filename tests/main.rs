//! The one integration binary: black-box tests through the program and the public library.
#![allow(missing_docs)]

mod connection;
mod line;
mod migrate;
mod pattern;
mod sandbox;
