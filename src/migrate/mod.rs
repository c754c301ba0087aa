//! Room migrate: being built.
