//! Room apply: being built.
