//! Room scan: being built.
