//! Room run: being built.
