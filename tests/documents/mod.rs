//! The documents: every command in them is one that the program knows, and those of the guides, the
//! run-books and the tutorial do what is said there.

pub mod commands;
mod guides;
mod links;
mod runbooks;
mod tutorial;
