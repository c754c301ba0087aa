//! Room journal: being built.
