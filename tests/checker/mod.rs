//! The checker: every rule, its examples and its page, its evidence, its formats.

mod catalogue;
mod formats;
mod limits;
mod rules;
mod tag;
