//! Policy operations: what they do, what they refuse, and what no fault makes of them.

mod basics;
mod kills;
mod refusals;
mod scene;
