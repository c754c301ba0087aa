//! A plan as a script for psql: what `fix --apply` would do, for an administrator to read and run.
//!
//! The script takes the same locks in the same order, looks at every precondition again in its
//! WHERE clauses, and journals where there is a journal, so that `fix undo` takes it back. What a
//! pattern decides it cannot look at again: instead it changes nothing where anything that was
//! judged by (policies, acts, labels, declarations, operations) is not as it was. What is more than
//! rows is named with the command that does it. Nothing is written here; everything is read in one
//! snapshot.

mod basis;
mod frame;
mod literal;
mod operations;
mod policies;
mod tags;

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use super::guard::violated;
use super::run::{only_as_large_as_it_may_be, only_here};
use super::{ApplyError, ApplyOptions};
use crate::config::ConnectionSettings;
use crate::correction::{Correction, Plan, Planned};
use crate::evaluate::{Moment, Strictness};
use crate::ground::{Ground, JournalKept, Memory};
use crate::journal::{SchemaState, database_identity};
use crate::pg::{ReadSession, ReadSnapshot};
use crate::quay::{OperationId, RepositoryId, TagId};
use crate::relations::{PolicySchema, RowLock, tags_by_id};
use crate::rules::Catalogue;

/// Tags of one transaction of the script: at 50 µs each it holds its locks for some 25 ms.
const BATCH: usize = 500;

/// No operation of the journal: its ids begin at 1.
const NOBODY: OperationId = OperationId(0);

/// What became of a plan's corrections in the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printed {
    /// Corrections that the script makes.
    pub corrections: u64,
    /// Corrections whose precondition no longer holds.
    pub no_longer: u64,
    /// Corrections that only `fix --apply` can make, by what they do.
    pub left_out: BTreeMap<&'static str, u64>,
}

/// What the script is printed from and for.
struct Site<'a> {
    options: &'a ApplyOptions,
    rules: &'a Catalogue,
    schema: PolicySchema,
    journal: JournalKept,
}

/// Prints a plan as a script for psql.
///
/// # Errors
/// [`ApplyError`]; what was printed until then is no whole script and says so by its missing end.
pub fn print_sql(
    settings: &ConnectionSettings,
    plan: &Plan,
    rules: &Catalogue,
    options: &ApplyOptions,
    out: &mut dyn Write,
) -> Result<Printed, ApplyError> {
    only_as_large_as_it_may_be(plan, options)?;
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    if let Some(origin) = &options.origin {
        only_here(&mut snapshot, origin)?;
    }
    let state = SchemaState::read(&mut snapshot)?;
    let site = Site {
        options,
        rules,
        schema: PolicySchema::from(&state),
        journal: if state.has_journal() {
            JournalKept::Kept
        } else {
            JournalKept::Absent
        },
    };
    let here = database_identity(&mut snapshot)?;
    frame::head(out, &site, &here)?;
    let mut printed = Printed::default();
    let of_same_repository = |a: &Planned, b: &Planned| repository(a) == repository(b);
    for chunk in plan.corrections.chunk_by(of_same_repository) {
        match chunk.first().and_then(repository) {
            Some(repository) => site.tags(&mut snapshot, out, repository, chunk, &mut printed)?,
            None => site.policies(&mut snapshot, out, chunk, &mut printed)?,
        }
    }
    frame::foot(out, &site, &printed)?;
    Ok(printed)
}

fn repository(planned: &Planned) -> Option<RepositoryId> {
    planned.correction.tag().map(|tag| tag.repository())
}

impl Site<'_> {
    /// Prints the corrections of one repository's tags.
    fn tags(
        &self,
        snapshot: &mut ReadSnapshot<'_>,
        out: &mut dyn Write,
        repository: RepositoryId,
        planned: &[Planned],
        printed: &mut Printed,
    ) -> Result<(), ApplyError> {
        let ground = Ground::read(snapshot, repository, self.schema, self.journal)?;
        let moment = Moment {
            now: ground.now,
            stale_after: self.options.stale_after,
            features: self.options.features,
            strictness: Strictness::Lenient,
        };
        let mut memory = Memory::default();
        for batch in planned.chunks(BATCH) {
            let ids: Vec<TagId> = batch
                .iter()
                .filter_map(|planned| planned.correction.tag().map(|tag| tag.id()))
                .collect();
            let rows = tags_by_id(snapshot, &ids, RowLock::None)?;
            let accounts = ground.accounts(snapshot, &rows, NOBODY, &mut memory)?;
            let violated = violated(&ground, moment, self.rules, &rows, &accounts);
            let mut still = Vec::new();
            for planned in batch {
                let Some(tag) = planned.correction.tag() else {
                    continue;
                };
                let holds = violated
                    .get(&tag.id())
                    .is_some_and(|rules| rules.contains(&planned.rule))
                    && rows.contains(&tag.subject.row);
                match tags::Change::of(&planned.correction, self) {
                    _ if !holds => printed.no_longer += 1,
                    Some(change) => still.push((&tag.subject.row, change)),
                    None => leave_out(printed, &planned.correction),
                }
            }
            if !still.is_empty() {
                printed.corrections += still.len() as u64;
                tags::print(snapshot, out, self, &ground, repository, &still)?;
            }
        }
        Ok(())
    }

    /// Prints the corrections of policies.
    fn policies(
        &self,
        snapshot: &mut ReadSnapshot<'_>,
        out: &mut dyn Write,
        planned: &[Planned],
        printed: &mut Printed,
    ) -> Result<(), ApplyError> {
        let mut gone = HashSet::new();
        for planned in planned {
            if let Some(operation) = planned.correction.operation() {
                operations::print(out, operation)?;
                leave_out(printed, &planned.correction);
            } else if policies::print(snapshot, out, self, planned, &mut gone)? {
                printed.corrections += 1;
            } else {
                printed.no_longer += 1;
            }
        }
        Ok(())
    }
}

fn leave_out(printed: &mut Printed, correction: &Correction) {
    *printed.left_out.entry(correction.verb()).or_default() += 1;
}
