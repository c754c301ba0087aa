//! Every remedy of every rule: planned, applied, clean, taken back byte for byte.

mod cut_short;
mod dying;
mod journey;
mod kills;
mod of_operations;
mod of_policies;
mod of_tags;
mod property;
mod proposals;
mod recreate;
mod rounds;
mod whole_plan;
mod worlds;
