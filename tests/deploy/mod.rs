//! What an operator installs: the roles, and whatever else `deploy/` holds.

pub mod estate;
pub mod files;
mod image;
mod release;
mod roles;
mod watching;
