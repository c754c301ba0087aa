//! Outcomes, rendered: for people, as JSON, NDJSON, JUnit, Markdown, HTML, and for Prometheus.
//!
//! Pure. Names of tags, repositories and namespaces are data: whatever they contain is made
//! harmless before it reaches a terminal.

mod baseline;
mod check;
mod comparison;
mod escape;
mod exceptions;
mod figures;
mod fix;
mod harmless;
mod html;
mod human_check;
mod human_fix;
mod json;
mod junit;
mod markdown;
mod ndjson;
mod prometheus;
mod prune;
mod rule_page;
mod tag;
mod verdict;
mod words;

pub use baseline::{Baseline, BaselineError, ViolationKey};
pub use check::{CheckReport, DatabaseFacts, Settling, Standing};
pub use comparison::Comparison;
pub use exceptions::{Exceptions, NamedTags};
pub use figures::{Figures, Labels};
pub use fix::{ApplyReport, Conducted, ConductedEnd, MoreToDo, PlanReport, UndoReport};
pub use harmless::harmless;
pub use html::{STYLE as PAGE_STYLE, check_html};
pub use human_check::check_for_people;
pub use human_fix::{apply_for_people, plan_for_people, undo_for_people};
pub use json::{apply_json, check_json, plan_json, undo_json};
pub use junit::check_junit;
pub use markdown::check_markdown;
pub use ndjson::{begun_anew_line, summary_line, violation_line};
pub use prometheus::check_prometheus;
pub use prune::{
    PruneDone, PruneReport, PrunedOperation, SHOWN_PRUNED, prune_for_people, prune_json,
};
pub use rule_page::{examples_for_people, rule_index, rule_list, rule_page};
pub use tag::{
    ChangeTold, EntryTold, PolicySays, PolicyTold, RuleTold, TagExplanation, TagRowTold,
    tag_for_people, tag_json,
};
pub use verdict::{status as status_word, verdict};
pub use words::{place_of, plural, subject as subject_words, thousands};
