//! Connections: the same answers as libpq's own psql, and clear words where there is no answer.

mod alive;
mod answers;
mod authority;
mod certificates;
mod configuration;
mod differential;
mod fake;
mod files;
mod number;
mod prefer;
mod program;
mod question;
mod refusals;
mod secured;
mod server;
mod settings;
mod tls;
mod words;
