//! Tests of line.
