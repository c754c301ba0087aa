//! quay-doctor: migrates, checks and repairs the tag-immutability data of a Quay registry.
//!
//! The crate is laid out in rooms on floors; imports only point down (`ARCHITECTURE.md` draws the
//! map, `tests/floors.rs` holds it). The library never prints and never ends the process.
#![warn(clippy::print_stdout, clippy::print_stderr)]

// floor 0: pure nouns
pub mod pattern;
pub mod quay;

// floor 1: what was asked for
pub mod config;
pub mod rules;

// floor 2: pure engines
pub mod correction;
pub mod evaluate;
pub mod report;

// floor 3: the database
pub mod actions;
pub mod crew;
pub mod ground;
pub mod journal;
pub mod pg;
pub mod relations;
pub mod retry;

// floor 4: what reads and writes
pub mod apply;
pub mod batch;
pub mod migrate;
pub mod policy;
pub mod sandbox;
pub mod scan;

// floor 5: the conductor
pub mod run;

// floor 6: the story, and the service
pub mod demo;
pub mod watch;

// The front page: what the program is built from.
pub use apply::{ApplyOptions, AuditDetail, FixStrategy, PastExpiry, PlanOrigin};
pub use batch::Limits;
pub use config::{
    ConfigError, ConnectionSettings, DatabaseChoice, DatabaseOptions, Environment, Feature,
    FeatureFlags, Given, Layers, Origin, QuayConfig, QuayFeatures, Secret, Shown, key,
};
pub use correction::{Choices, Decisions, PlanDigest, PlanDocument, PlanFileError, PlanHead};
pub use crew::Jobs;
pub use demo::{DemoError, Narrator, tell as tell_demo};
pub use evaluate::{
    Activity, ExampleOutcome, Features, Stated, Strictness, WorkerLife, try_examples,
};
pub use journal::{
    HistoryChange, HistoryOf, HistoryRow, Identity, LifeSign, Phase, TagImage, TagPath, TagsChoice,
};
pub use migrate::{
    Blame as MigrateBlame, DownReport, Ended as MigrateEnded, Journal as JournalFate, MigrateError,
    Notice as MigrateNotice, Patience, Plan as MigratePlan, ServerRole, Status as MigrateStatus,
    UpReport, Verification, default_export_path, down as migrate_down,
    hand_over as migrate_hand_over, plan as migrate_plan, status as migrate_status,
    up as migrate_up, verify as migrate_verify,
};
pub use pattern::{
    Compiled, Engine, Explanation, InvalidPattern, Matcher, PatternSet, SqlCondition, SqlText,
    Undecidable, compile as compile_pattern, explain as explain_pattern,
};
pub use pg::PgError;
pub use policy::{
    Create, Ended as PolicyEnded, Evaluated, Found, How, NewPattern, OnFault,
    Outcome as PolicyOutcome, Pick, PolicyError, PolicyOptions, PolicyState, PolicyView, Preflight,
    Strategy, Update, Watcher, activate as policy_activate, create as policy_create,
    deactivate as policy_deactivate, delete as policy_delete, evaluate as policy_evaluate,
    list as policy_list, preview as policy_preview, refuse_pattern, update as policy_update,
};
pub use quay::{Immutability, OperationId, Polarity, PolicyUuid, StoredPolicy};
pub use relations::Selection;
pub use report::{
    Baseline, BaselineError, CheckReport, Exceptions, MoreToDo, PlanReport, Settling, Standing,
    apply_for_people, apply_json, begun_anew_line, check_for_people, check_html, check_json,
    check_junit, check_markdown, check_prometheus, examples_for_people, harmless, plan_for_people,
    plan_json, prune_for_people, prune_json, rule_list, rule_page, summary_line, tag_for_people,
    tag_json, undo_for_people, undo_json, violation_line,
};
pub use rules::{Catalogue, Rule, RuleError, Severity, rules_in};
pub use run::{
    CheckRequest, Event, ExplainRequest, FixRequest, History, NoProgress, Progress, RecoverRequest,
    Recovered, RunError, ScanHistory, apply_fix, apply_fix_to_its_end, check, check_telling,
    explain_tag, plan_fix, print_fix, prune, prune_preview, read_decisions_file, read_history,
    read_plan_file, recover, undo_fix, unfinished, write_plan_file,
};
pub use scan::Shard;
pub use watch::{Orders, WatchError, WatchPlan, check_token, watch};
