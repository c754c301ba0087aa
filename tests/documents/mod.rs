//! The documents: every command in them is one that the program knows, and is carried out; what
//! README.md shows is what is printed.

pub mod commands;
mod guides;
mod links;
mod manual;
mod prose;
mod readme;
mod runbooks;
mod tutorial;
