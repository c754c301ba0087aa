//! Room evaluate: being built.
