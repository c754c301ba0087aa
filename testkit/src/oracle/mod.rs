//! The oracle: given a state before, what was asked for and what others did, which states are whole.
//!
//! An operation that a fault has cut off, and that was then recovered, has to leave the database as
//! if it had never run, or as if it had run undisturbed. [`State`] reads what counts, [`Case`] says
//! what was done, [`Case::judge`] tells which of the ends it is and names everything that is wrong
//! with it. What only a caller can see (the violations of `check --strict`, a second recovery) is
//! added by [`Case::judge`]'s caller as [`Wrong`]s of the same [`Verdict`].
//!
//! A [`Case`] is of what was done at one time. Over a history of operations [`whose`] tells, from a ledger that the
//! server keeps, who gave each tag its expiration and its protection.
//!
//! It knows nothing of the engine and changes nothing.
//!
//! ```no_run
//! use quay_doctor::pg::WriteSession;
//! use quay_doctor::quay::{NamespaceId, Polarity, Scope, StoredPolicy};
//! use quay_doctor::sandbox::SandboxError;
//! use testkit::oracle::{Case, Operation, Pushes, State};
//!
//! # fn main() -> Result<(), SandboxError> {
//! # let settings = quay_doctor::ConnectionSettings::resolve(Some("postgresql:///quay"))?;
//! let mut session = WriteSession::open(&settings)?;
//! let before = State::read(&mut session)?;
//! // … an operation, a fault, a recovery …
//! let after = State::read(&mut session)?;
//! let policy = StoredPolicy { pattern: "v.*".to_owned(), polarity: Polarity::Matching };
//! let verdict = Case {
//!     before: &before,
//!     operations: &[Operation::Create {
//!         scope: Scope::Namespace(NamespaceId(1)),
//!         text: policy.to_text(),
//!         inactive: false,
//!     }],
//!     acts: &[],
//!     pushes: Pushes::Locked,
//! }
//! .judge(&after);
//! assert!(verdict.is_consistent(), "{verdict}");
//! # Ok(())
//! # }
//! ```

mod case;
pub mod ledger;
mod model;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod verdict;
mod whose;

pub use case::{Act, Case, Operation, Pushes};
pub use state::{Policy, State, Tag};
pub use verdict::{End, Verdict, Wrong};
pub use whose::{Author, Known, LeftOut, Whose, whose};
