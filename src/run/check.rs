//! The check: grounds, one pass, a second look, the report.

use std::time::Duration;

use chrono::Utc;

use super::second_look::SecondLook;
use super::{Progress, RunError};
use crate::config::ConnectionSettings;
use crate::evaluate::{Features, Moment, Strictness};
use crate::pg::ReadSession;
use crate::relations::Selection;
use crate::report::{CheckReport, DatabaseFacts};
use crate::rules::{Catalogue, SubjectKind};
use crate::scan::{self, Grounds};

/// What to check.
#[derive(Clone, Debug)]
pub struct CheckRequest {
    /// The rules, already chosen.
    pub rules: Catalogue,
    /// Which part of the registry.
    pub selection: Selection,
    /// What is stated about Quay's feature flags.
    pub features: Features,
    /// Whether evidence excuses.
    pub strictness: Strictness,
    /// How long an inactive policy may stay inactive.
    pub stale_after: Duration,
    /// How many violations are kept; all are counted.
    pub keep: usize,
}

/// Checks a registry; changes nothing. Uses two connections: one holds the snapshot that is
/// streamed, the other looks at each suspicion again.
///
/// # Errors
/// [`RunError`] where there is no answer; a scan that was cut short has no report.
pub fn check(
    settings: &ConnectionSettings,
    request: &CheckRequest,
    progress: &mut dyn Progress,
) -> Result<CheckReport, RunError> {
    let started = Utc::now();
    let mut session = ReadSession::open(settings)?;
    let mut second = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let grounds = Grounds::read(&mut snapshot, &request.selection)?;
    let moment = Moment {
        now: grounds.now,
        stale_after: request.stale_after,
        features: request.features,
        strictness: request.strictness,
    };
    let rules = request.rules.rules();
    progress.begin("scanning", scan::estimated_tags(&mut snapshot)?);
    let mut sink = SecondLook::new(rules, &grounds, moment, &mut second, request.keep, progress);
    if rules.iter().any(|rule| rule.subject == SubjectKind::Tag) {
        let selected: Option<Vec<_>> = (request.selection != Selection::default())
            .then(|| grounds.registry.repositories.keys().copied().collect());
        scan::tags(
            &mut snapshot,
            moment.millis(),
            selected.as_deref(),
            &mut sink,
        )?;
        sink.look_again()?;
    }
    let of_policies = sink.evaluator.policies(|row| grounds.standing(&row.uuid));
    sink.keep(of_policies);
    let (outcomes, mut violations, truncated) = (
        sink.evaluator.into_outcomes(),
        sink.violations,
        sink.truncated,
    );
    // The rows' places on disk are nobody's business.
    violations.sort_by(|a, b| (&a.rule, a.subject.order()).cmp(&(&b.rule, b.subject.order())));
    progress.end();
    Ok(CheckReport {
        started,
        finished: Utc::now(),
        database: DatabaseFacts {
            server_version: grounds.database.server_version.clone(),
            alembic: grounds.database.alembic.clone(),
            migration: grounds.database.migration,
            standby: grounds.database.standby,
        },
        rules: outcomes,
        violations,
        truncated,
        notes: notes(&grounds),
    })
}

/// What could not be judged for lack of what, and what was taken for granted.
fn notes(grounds: &Grounds) -> Vec<String> {
    let mut notes = Vec::new();
    if !grounds.schema.knows_active() {
        notes.push(
            "the policy tables have no column `active`: every policy counts as active".to_owned(),
        );
    }
    if !grounds.schema.has_journal() {
        notes.push(
            "there is no journal: nothing is explained by it, and no expiry is known from it"
                .to_owned(),
        );
    }
    if grounds.database.standby {
        notes
            .push("this is a standby: a worker's life is judged by its heartbeat alone".to_owned());
    }
    notes
}
