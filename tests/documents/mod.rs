//! The documents: every command in them is one that the program knows, and those of the guides do
//! what the guides say.

pub mod commands;
mod guides;
mod links;
