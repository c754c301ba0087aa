//! The checker: every rule, its examples and its page, its evidence, its formats.

mod audit;
mod catalogue;
mod detection;
mod formats;
mod history;
mod limits;
mod openings;
mod own_rules;
mod property;
mod rules;
mod standby;
mod tag;
mod under_pushers;
mod ways;
