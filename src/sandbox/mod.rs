//! Room sandbox: being built.
