//! Room correction: being built.
