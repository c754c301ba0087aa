//! Patterns: decided as Quay decides them.

mod differential;
mod facts;
mod generate;
mod oracle;
mod program;
mod sql;
mod visible;
