//! What an operator installs: the roles, and whatever else `deploy/` holds.

mod estate;
mod files;
mod release;
mod roles;
