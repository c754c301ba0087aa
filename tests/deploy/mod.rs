//! What an operator installs: the roles, and whatever else `deploy/` holds.

pub mod estate;
mod files;
mod image;
mod release;
mod roles;
mod watching;
