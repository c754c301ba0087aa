//! Policy operations: what they do, what they refuse, and what no fault makes of them.

mod basics;
mod beats;
mod clocks;
mod courtesy;
pub mod cut;
mod evaluation;
pub mod failover;
mod faults;
mod hands;
mod heartbeat;
mod held;
mod holes;
mod kills;
mod lost;
mod pending;
pub mod pushers;
mod refusals;
mod report;
mod restart;
mod rules;
pub mod scene;
mod silence;
mod snapshots;
mod strategy;
mod stream;
mod together;
mod views;
