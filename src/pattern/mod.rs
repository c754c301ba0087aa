//! Room pattern: being built.
