//! Room demo: being built.
