//! `migrate plan`: the SQL that `up` would run now. Reads only.

use serde::Serialize;

use super::catalogue::{Embedded, MIGRATIONS, Way};
use super::decide::{self, Ascent};
use super::notice::{Notice, Sink};
use super::scene::{self, OwnSchema, Scene};
use super::script::Subject;
use super::session::{BOUNDED, Patience};
use super::{MigrateError, concurrent, history, transactional, up, verify};
use crate::config::ConnectionSettings;
use crate::pg::{ReadSession, milliseconds};

/// What `up` would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The version found.
    pub from: i32,
    /// The version that `up` would reach.
    pub to: i32,
    /// The migrations it would carry out, in their order.
    pub migrations: Vec<Planned>,
    /// What may be wrong and would not stop it.
    pub warnings: Vec<String>,
}

/// One migration that is due, for the situation at hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// Its version.
    pub version: i32,
    /// Its name.
    pub name: &'static str,
    /// Every statement in its order; psql runs them as they stand.
    pub statements: Vec<String>,
    /// What would be left out, and why.
    pub remarks: Vec<String>,
}

impl Plan {
    /// Whether `up` would have nothing to do.
    pub fn is_empty(&self) -> bool {
        self.migrations.is_empty()
    }
}

/// Plans going up to a version, or to the newest.
pub fn plan(
    settings: &ConnectionSettings,
    target: Option<i32>,
    patience: &Patience,
    notices: Sink<'_>,
) -> Result<Plan, MigrateError> {
    let target = up::valid(target)?;
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    snapshot.limit_statements(BOUNDED)?;
    let scene = Scene::read_whole(&mut snapshot)?;
    let due = up::due(&scene, target);
    let mut plan = Plan {
        from: scene.history.version(),
        to: due
            .last()
            .map_or(scene.history.version(), |last| last.version),
        migrations: Vec::new(),
        warnings: Vec::new(),
    };
    if due.iter().any(|known| known.way != Way::OwnSchema) {
        let warning = scene::require_policy_tables(&mut snapshot, &scene.state)?;
        plan.warnings.extend(warning);
    }
    for warning in &plan.warnings {
        notices(&Notice::Warning(warning.clone()));
    }
    for known in due {
        plan.migrations.push(match known.way {
            Way::OwnSchema | Way::PolicyTables => in_a_transaction(known, &scene)?,
            Way::Concurrently => {
                let mut planned = concurrently(known, &scene, patience)?;
                planned.statements.push(history::insert(known)?);
                planned
            }
        });
    }
    plan.migrations.extend(to_mend(&scene, patience)?);
    Ok(plan)
}

fn in_a_transaction(known: &Embedded, scene: &Scene) -> Result<Planned, MigrateError> {
    let composed = transactional::compose(known, scene)?;
    let mut statements = vec!["BEGIN;".to_owned()];
    statements.extend(composed.statements);
    statements.push(history::insert(known)?);
    statements.push("COMMIT;".to_owned());
    Ok(Planned {
        version: known.version,
        name: known.name,
        statements,
        remarks: composed.remarks,
    })
}

fn concurrently(
    known: &Embedded,
    scene: &Scene,
    patience: &Patience,
) -> Result<Planned, MigrateError> {
    let mut planned = Planned {
        version: known.version,
        name: known.name,
        statements: vec![
            format!("SET statement_timeout = {};", milliseconds(patience.index)),
            "SET lock_timeout = 0;".to_owned(),
        ],
        remarks: Vec::new(),
    };
    for step in known.steps_up()? {
        let Subject::Index(table) = step.subject else {
            continue;
        };
        match decide::ascend(step.subject, &scene.state, OwnSchema::Present)? {
            Ascent::Keep(remark) => planned.remarks.extend(remark),
            Ascent::Mark => planned
                .statements
                .extend(step.statements.into_iter().skip(1)),
            Ascent::Run => planned.statements.extend(step.statements),
            Ascent::Rebuild => {
                planned.remarks.push(format!("{} is INVALID", step.subject));
                let drops = concurrent::drop_statements(known, table)?;
                planned.statements.extend(drops);
                planned.statements.extend(step.statements);
            }
        }
    }
    Ok(planned)
}

/// An index of a recorded migration that `up` would build again.
fn to_mend(scene: &Scene, patience: &Patience) -> Result<Option<Planned>, MigrateError> {
    let recorded = MIGRATIONS
        .iter()
        .find(|known| known.way == Way::Concurrently && scene.history.row(known.version).is_some());
    match recorded {
        Some(known) if verify::indexes_differ(&scene.state) => {
            concurrently(known, scene, patience).map(Some)
        }
        _ => Ok(None),
    }
}
