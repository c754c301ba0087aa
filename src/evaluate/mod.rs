//! From rows to violations: the facts that rules name, decided.
//!
//! Pure: rows come in through [`TagSink`] and [`PolicyRow`], verdicts go out; no database, no
//! clock. Memory is bounded: of the violations a limit is kept, all of them are counted.

mod evidence;
mod judge;
mod moment;
mod outcome;
mod policies;
mod registry;
mod rows;
mod tally;

pub use evidence::{Account, Act, Found};
pub use judge::{Truth, Verdict, Why, judge};
pub use moment::{Features, Moment, Stated, Strictness};
pub use outcome::{
    OwningOperation, PolicySubject, RuleOutcome, Status, Subject, TagSubject, Undecided, Violation,
};
pub use policies::{Decision, PolicyBook};
pub use registry::{Namespace, Registry, Repository};
pub use rows::{Activity, PolicyRow, PolicyStanding, TagRow, TagSink, WorkerLife};
pub use tally::{Candidate, Evaluator};
