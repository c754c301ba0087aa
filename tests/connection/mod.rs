//! Connections: the same answers as libpq's own psql, and clear words where there is no answer.

mod authority;
mod fake;
mod prefer;
mod question;
mod refusals;
mod settings;
mod tls;
