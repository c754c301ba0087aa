//! Room report: being built.
