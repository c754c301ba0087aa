//! Patterns: decided as Quay decides them.

mod differential;
mod facts;
mod generate;
mod oracle;
mod program;
mod slow;
mod sql;
mod visible;
