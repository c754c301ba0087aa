//! From rows to violations: the facts that rules name, decided.
//!
//! Pure: rows come in through [`TagSink`] and [`PolicyRow`], verdicts go out; no database, no
//! clock. Memory is bounded: of the violations a limit is kept, all of them are counted.

mod bulk;
mod evidence;
mod example;
mod judge;
mod moment;
mod outcome;
mod policies;
mod policy_facts;
mod reading;
mod registry;
mod rows;
mod scope_sets;
mod subjects;
mod tag_facts;
mod tally;

pub use bulk::{Bulk, Mark, MutableTags, Suspect};
pub use evidence::{Account, Act, Found};
pub use example::{ExampleOutcome, try_examples};
pub use judge::{Acceptance, Truth, Verdict, Why, judge};
pub use moment::{Features, Grace, Moment, Stated, Strictness};
pub use outcome::{
    Decides, OperationSubject, OwningOperation, PolicySubject, PolicyTwin, RowSubject, RuleOutcome,
    Status, Subject, TagSubject, Undecided, Violation,
};
pub use policies::{Decision, PolicyBook};
pub use reading::Reading;
pub use registry::{Namespace, Registry, Repository, Source};
pub use rows::{Activity, PolicyRow, PolicyStanding, TagRow, TagSink, WorkerLife};
pub use scope_sets::{Matched, ScopeSets};
pub use tally::{Candidate, Evaluator};
