//! Patterns: decided as Quay decides them.

mod differential;
mod generate;
mod oracle;
mod visible;
