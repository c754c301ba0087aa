//! Patterns: decided as Quay decides them.

mod visible;
