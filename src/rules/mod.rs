//! Room rules: being built.
