//! Tags by the block, read side by side from one exported snapshot.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use super::pieces::Pieces;
use super::{ScanError, Wanted, estimated_tags};
use crate::config::ConnectionSettings;
use crate::evaluate::{Bulk, Mark, MutableTags, RuleOutcome, Suspect, TagRow};
use crate::pg::{Columns, PgError, ReadSession, ReadSnapshot, SnapshotName, Statements};
use crate::quay::RepositoryId;
use crate::relations::{Handed, TagsAt, marked_tags_named, tells_first_characters};

/// Messages of readers that wait to be heard; a reader that is faster waits.
const WAITING: usize = 2;
/// Suspects that are looked up together.
const AT_ONCE: usize = 2_000;
/// With more characters than these to begin with, most names would be handed over all the same.
const FEW_OPENINGS: usize = 32;
/// The first PostgreSQL that reads a range of pages without reading all of them.
const RANGES_SINCE: i32 = 140_000;

/// Whether the server reads ranges of pages.
///
/// # Errors
/// [`ScanError`] where the server does not answer.
pub fn reads_ranges(pg: &mut impl Statements) -> Result<bool, ScanError> {
    let row = pg.query_one("SELECT current_setting('server_version_num')::int", &[])?;
    Ok(row.read::<i32>(0)? >= RANGES_SINCE)
}

/// How tags are read side by side.
pub struct Readers<'r> {
    /// The database.
    pub settings: &'r ConnectionSettings,
    /// The moment.
    pub snapshot: SnapshotName,
    /// How many.
    pub readers: usize,
    /// What is read.
    pub wanted: &'r Wanted,
}

/// What a reader has to say.
enum Told {
    /// Rows that a rule may complain of.
    Suspected(Vec<TagRow>),
    /// A block is done: how many of its tags were handed over.
    Block(u64),
    /// It could not go on.
    Failed(PgError),
}

/// What every reader reads.
struct Table {
    pieces: Pieces,
    tags: TagsAt,
    /// The piece that nobody has taken yet.
    next: AtomicU32,
    stop: AtomicBool,
}

impl Readers<'_> {
    /// Reads every tag that is wanted, in as many threads as there are readers, each with a judge of its own;
    /// the sums of all. The rows that a judge suspects are read by its reader, and given to `suspected`, here
    /// in this thread, with about how many tags have been dealt with so far: those that are not handed
    /// over nobody counts.
    ///
    /// # Errors
    /// [`ScanError`] where a reader cannot go on, or what `suspected` returns.
    pub fn read<'j, E>(
        &self,
        pg: &mut ReadSnapshot<'_>,
        judge: impl Fn() -> Bulk<'j> + Sync,
        mut suspected: impl FnMut(u64, &[TagRow]) -> Result<ControlFlow<()>, E>,
    ) -> Result<Vec<Vec<RuleOutcome>>, E>
    where
        E: From<ScanError>,
    {
        let table = &self.table(pg, &judge()).map_err(ScanError::from)?;
        let pieces = table.pieces.count();
        if pieces == 1 {
            return self.alone(pg, (table, judge()), suspected);
        }
        let all = estimated_tags(pg)?;
        thread::scope(|scope| {
            let (sender, receiver) = mpsc::sync_channel(WAITING);
            let threads: Vec<_> = (0..self.readers.max(1))
                .map(|_| {
                    let (sender, judge) = (sender.clone(), judge());
                    scope.spawn(move || self.one(judge, table, &sender))
                })
                .collect();
            drop(sender);
            let mut ended = Ok(());
            let (mut given, mut done) = (0, 0);
            let passed = |given: u64, done: u64| {
                let passed = all.saturating_mul(done) / u64::from(pieces);
                passed.max(given)
            };
            for told in receiver {
                if ended.is_err() || table.stop.load(Ordering::Relaxed) {
                    // What is still on its way is let pass, so that no reader waits for us.
                    continue;
                }
                let went = match told {
                    Told::Failed(error) => Err(E::from(error.into())),
                    Told::Suspected(rows) => suspected(passed(given, done), &rows),
                    Told::Block(tags) => {
                        (given, done) = (given + tags, done + 1);
                        suspected(passed(given, done), &[])
                    }
                };
                match went {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => table.stop.store(true, Ordering::Relaxed),
                    Err(error) => {
                        table.stop.store(true, Ordering::Relaxed);
                        ended = Err(error);
                    }
                }
            }
            let sums = threads.into_iter().map(|thread| match thread.join() {
                Ok(sums) => sums,
                // A fault of ours is not to pass for a scan.
                Err(fault) => std::panic::resume_unwind(fault),
            });
            let sums: Vec<Vec<RuleOutcome>> = sums.collect();
            ended.map(|()| sums)
        })
    }

    /// A table of one piece is not worth a session.
    fn alone<E: From<ScanError>>(
        &self,
        pg: &mut ReadSnapshot<'_>,
        (table, mut judge): (&Table, Bulk<'_>),
        mut suspected: impl FnMut(u64, &[TagRow]) -> Result<ControlFlow<()>, E>,
    ) -> Result<Vec<Vec<RuleOutcome>>, E> {
        let given = table.pieces.read(pg, &table.tags, 0, |mark, name| {
            judge.take(mark, name);
        });
        let given = given.map_err(ScanError::from)?;
        let mut went = suspected(given, &[])?;
        for some in once(judge.drain()).chunks(AT_ONCE) {
            if went.is_break() {
                break;
            }
            let rows = rows_of(pg, self.wanted, some).map_err(ScanError::from)?;
            went = suspected(given, &rows)?;
        }
        Ok(vec![judge.into_outcomes()])
    }

    /// What is read, and how: the same for all readers.
    fn table(&self, pg: &mut impl Statements, judge: &Bulk<'_>) -> Result<Table, PgError> {
        let handed = match judge.mutable_tags() {
            MutableTags::None => Handed::Immutable,
            MutableTags::Beginning(with)
                if with.characters().count() <= FEW_OPENINGS && tells_first_characters(pg)? =>
            {
                Handed::Beginning(with)
            }
            MutableTags::Beginning(_) | MutableTags::All => Handed::All,
        };
        Ok(Table {
            pieces: Pieces::cut(pg, handed, self.readers)?,
            tags: TagsAt {
                now: self.wanted.now,
                part: self.wanted.shard.parts(),
                handed,
            },
            next: AtomicU32::new(0),
            stop: AtomicBool::new(false),
        })
    }

    /// One reader: piece after piece, until none is left.
    fn one(
        &self,
        mut judge: Bulk<'_>,
        table: &Table,
        sender: &SyncSender<Told>,
    ) -> Vec<RuleOutcome> {
        if let Err(error) = self.blocks(&mut judge, table, sender) {
            // Nobody listens where another reader has failed before.
            let _ = sender.send(Told::Failed(error));
        }
        judge.into_outcomes()
    }

    fn blocks(
        &self,
        judge: &mut Bulk<'_>,
        table: &Table,
        sender: &SyncSender<Told>,
    ) -> Result<(), PgError> {
        let mut session = ReadSession::open(self.settings)?;
        let mut snapshot = session.snapshot_as(&self.snapshot)?;
        table.pieces.prepare(&mut snapshot)?;
        while !table.stop.load(Ordering::Relaxed) {
            let number = table.next.fetch_add(1, Ordering::Relaxed);
            if number >= table.pieces.count() {
                break;
            }
            let take = |mark: Mark, name: &str| judge.take(mark, name);
            let given = table
                .pieces
                .read(&mut snapshot, &table.tags, number, take)?;
            let mut told = sender.send(Told::Block(given));
            for some in once(judge.drain()).chunks(AT_ONCE) {
                if told.is_err() || table.stop.load(Ordering::Relaxed) {
                    break;
                }
                told = sender.send(Told::Suspected(rows_of(&mut snapshot, self.wanted, some)?));
            }
            if told.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Several rows may have one name; each suspicion is looked up once.
fn once(mut suspects: Vec<Suspect>) -> Vec<Suspect> {
    suspects.sort_unstable();
    suspects.dedup();
    suspects
}

/// The rows of suspects, from the snapshot in which they were suspected; only those that are suspected
/// themselves.
fn rows_of(
    pg: &mut ReadSnapshot<'_>,
    wanted: &Wanted,
    suspects: &[Suspect],
) -> Result<Vec<TagRow>, PgError> {
    let repositories: Vec<RepositoryId> = suspects.iter().map(|s| s.mark.repository()).collect();
    let names: Vec<&str> = suspects.iter().map(|s| s.name.as_str()).collect();
    let suspected: HashSet<(Mark, &str)> = suspects.iter().map(|s| (s.mark, &*s.name)).collect();
    let mut rows = marked_tags_named(pg, wanted.now, &repositories, &names)?;
    rows.retain(|row| suspected.contains(&(Mark::of(row, wanted.now), &*row.name)));
    Ok(rows)
}
