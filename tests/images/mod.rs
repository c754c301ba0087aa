//! What was written is what the database kept; and whose an expiration is that the journal knows.

mod bounds;
mod cut_off;
mod duplicates;
mod identity;
mod swallowed;
mod whose;
