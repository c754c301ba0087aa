//! What came of many schedules, and the page that says so.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::history::Sums;

/// Schedules, and how many of them ended inconsistently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub schedules: u64,
    pub inconsistent: u64,
}

impl Counts {
    fn add(&mut self, consistent: bool) {
        self.schedules += 1;
        self.inconsistent += u64::from(!consistent);
    }

    fn read(cell: &str) -> Option<Self> {
        let (inconsistent, schedules) = cell.split_once(" of ")?;
        Some(Self {
            schedules: schedules.parse().ok()?,
            inconsistent: inconsistent.parse().ok()?,
        })
    }

    fn cell(self) -> String {
        if self.schedules == 0 {
            return "–".to_owned();
        }
        format!("{} of {}", self.inconsistent, self.schedules)
    }
}

/// Whose schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    Present,
    RecommendedFix,
    /// Creations, side by side with the other two.
    OursBeside,
    /// Every operation.
    Ours,
}

const COLUMNS: [Column; 4] = [
    Column::Present,
    Column::RecommendedFix,
    Column::OursBeside,
    Column::Ours,
];

/// The sums.
#[derive(Debug, Default)]
pub struct Table {
    by_fault: BTreeMap<String, BTreeMap<Column, Counts>>,
    by_operation: BTreeMap<String, Counts>,
    /// Seconds that the schedules of each fault took.
    seconds: BTreeMap<&'static str, f64>,
    /// Histories by their place, and the operations in them.
    histories: BTreeMap<String, (Counts, u64)>,
    /// How often each end was come to.
    pub ends: BTreeMap<String, u64>,
}

impl Table {
    pub fn add(&mut self, fault: &'static str, column: Column, consistent: bool) {
        self.by_fault
            .entry(fault.to_owned())
            .or_default()
            .entry(column)
            .or_default()
            .add(consistent);
    }

    pub fn add_operation(&mut self, operation: &'static str, consistent: bool) {
        self.by_operation
            .entry(operation.to_owned())
            .or_default()
            .add(consistent);
    }

    pub fn add_histories(&mut self, place: &str, sums: &Sums) {
        let (counts, operations) = self.histories.entry(place.to_owned()).or_default();
        counts.schedules += sums.histories;
        counts.inconsistent += sums.inconsistent;
        *operations += sums.operations;
    }

    pub fn seconds(&mut self, fault: &'static str, seconds: f64) {
        *self.seconds.entry(fault).or_default() += seconds;
    }

    /// How long the schedules of each fault took, the longest first.
    pub fn times(&self) -> String {
        let mut times: Vec<_> = self.seconds.iter().collect();
        times.sort_by(|a, b| b.1.total_cmp(a.1));
        times
            .iter()
            .map(|(fault, seconds)| format!("{seconds:.1} s {fault}\n"))
            .collect()
    }

    pub fn merge(&mut self, other: Self) {
        for (fault, columns) in other.by_fault {
            for (column, counts) in columns {
                let sum = self
                    .by_fault
                    .entry(fault.clone())
                    .or_default()
                    .entry(column)
                    .or_default();
                sum.schedules += counts.schedules;
                sum.inconsistent += counts.inconsistent;
            }
        }
        for (operation, counts) in other.by_operation {
            let sum = self.by_operation.entry(operation).or_default();
            sum.schedules += counts.schedules;
            sum.inconsistent += counts.inconsistent;
        }
        for (place, (counts, operations)) in other.histories {
            let sum = self.histories.entry(place).or_default();
            sum.0.schedules += counts.schedules;
            sum.0.inconsistent += counts.inconsistent;
            sum.1 += operations;
        }
        for (fault, seconds) in other.seconds {
            *self.seconds.entry(fault).or_default() += seconds;
        }
        for (end, times) in other.ends {
            *self.ends.entry(end).or_default() += times;
        }
    }

    /// The figures of an earlier run, from the page that it wrote; nothing of what is no figure.
    pub fn read(page: &str) -> Self {
        let mut table = Self::default();
        for line in page.lines() {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            match cells.as_slice() {
                ["", fault, cells @ .., ""] if cells.len() == COLUMNS.len() => {
                    for (column, cell) in COLUMNS.iter().zip(cells) {
                        if let (Some(counts), false) = (Counts::read(cell), fault.contains("**")) {
                            let of = table.by_fault.entry((*fault).to_owned()).or_default();
                            of.insert(*column, counts);
                        }
                    }
                }
                ["", place, cell, operations, ""] => {
                    if let (Some(counts), Ok(operations)) = (Counts::read(cell), operations.parse())
                    {
                        table
                            .histories
                            .insert((*place).to_owned(), (counts, operations));
                    }
                }
                ["", operation, cell, ""] => {
                    if let Some(counts) = Counts::read(cell) {
                        table.by_operation.insert((*operation).to_owned(), counts);
                    }
                }
                _ => {}
            }
        }
        if let Some(ends) = page.split("How ours ended: ").nth(1) {
            for end in ends.trim().trim_end_matches('.').split("; ") {
                if let Some((end, times)) = end.rsplit_once(' ')
                    && let Ok(times) = times.parse()
                {
                    table.ends.insert(end.to_owned(), times);
                }
            }
        }
        table
    }

    pub fn of(&self, column: Column) -> Counts {
        let mut sum = Counts::default();
        for columns in self.by_fault.values() {
            if let Some(counts) = columns.get(&column) {
                sum.schedules += counts.schedules;
                sum.inconsistent += counts.inconsistent;
            }
        }
        sum
    }

    /// The page docs/faults.md.
    /// The runs are told as they are to be told.
    pub fn page(&self, runs: &str) -> String {
        let mut page = String::from(PAGE);
        let ours = self.of(Column::Ours);
        let beside = self.of(Column::OursBeside);
        let _ = write!(
            page,
            "\nThis page was written after {} schedules of ours ({} of them beside Quay's ways), \
             {runs}.\n\n\
             | fault | Quay's present way | recommended fix | ours, the same schedules | ours, every operation |\n\
             | --- | --- | --- | --- | --- |\n",
            ours.schedules + beside.schedules,
            beside.schedules,
        );
        for (fault, columns) in &self.by_fault {
            let _ = write!(page, "| {fault} ");
            for column in COLUMNS {
                let counts = columns.get(&column).copied().unwrap_or_default();
                let _ = write!(page, "| {} ", counts.cell());
            }
            page.push_str("|\n");
        }
        page.push_str("| **all** ");
        for column in COLUMNS {
            let _ = write!(page, "| **{}** ", self.of(column).cell());
        }
        page.push_str("|\n\n## By operation\n\n| operation | inconsistent |\n| --- | --- |\n");
        for (operation, counts) in &self.by_operation {
            let _ = writeln!(page, "| {operation} | {} |", counts.cell());
        }
        if !self.histories.is_empty() {
            page.push_str(HISTORIES);
            for (place, (counts, operations)) in &self.histories {
                let _ = writeln!(page, "| {place} | {} | {operations} |", counts.cell());
            }
        }
        page.push_str(BITES);
        let _ = writeln!(
            page,
            "\nHow ours ended: {}.",
            self.ends
                .iter()
                .map(|(end, times)| format!("{end} {times}"))
                .collect::<Vec<_>>()
                .join("; ")
        );
        page
    }
}

const HISTORIES: &str = "
## Histories

Two to five operations of several people over the same tags, one after the other or two at a time: creations, updates,
deletions, activations, deactivations, fixes and their undo, `recover`, the same command again, or asked otherwise. In
between administrators take immutability off and set other expirations, with Quay's entries in the audit log, Quay's
own pass runs, owners delete policies, both of Quay's failures happen, and pushes decide by old snapshots. Half of the
operations are struck: by a fault of the table above, a trigger that swallows rows, a host whose clock is 40 days off, a
server that is frozen, or somebody who holds rows for long. What is unfinished is recovered, gone on with, taken back
or left to whoever comes next. In half of the histories the role's settings are hostile.

The server itself notes who wrote which version of each tag (`testkit/src/oracle/ledger.rs`), so that the oracle knows
whose value each expiration is. An end is inconsistent where the program wrote an expiration over a newer one, where
one that it had cleared did not come back and no result names the tag, and for every reason above; and where
`check --strict` does not find exactly what there is.

| registry | inconsistent | operations |
| --- | --- | --- |
";

const BITES: &str = "
## Each protection bites

On a program that lacks one protection (`tests/mutants/`), schedules drawn where it lies end
inconsistently within some dozens; with it, the same schedule ends well (`tests/campaign/bites.rs`).

| what it lacks | what the campaign then finds |
| --- | --- |
| the journal in the transaction of the change | a kill leaves orphans that no journal knows |
| the lock on a before-image | a roll-back restores an expiry that a user has changed since |
| settling at activation | a push that read the policies before it is unprotected |
| settling at a roll-back | a push that read the pending policy is an orphan |
| settling by pg_locks (pg_stat_activity instead) | a plain role waits for nobody: as without settling |
| the policy row deleted before the undo | what was pushed under it meanwhile is an orphan |
| the comparison of our own row | a policy that its owner deleted leaves its tags immutable |
| SHARE mode | a policy added while tags are released covers tags that nobody protects again |
| the clock margin | a tag that a fast clock has deleted comes back |
| rows that are not waited for | Quay's delete is the victim of a deadlock |
| the sweep over the whole scope | a push with an old id is unprotected |
| the journal's word on what an administrator took off | it is immutable again |
| the fence (the liveness lock and the look at our own row stand before it, and are lacking as well) | a frozen worker that was taken over goes on, and its changes are nobody's |
";

const PAGE: &str = "# Faults

What becomes of an operation that a fault befalls. `make campaign N=10000` draws so many schedules at
random (`tests/campaign/`): a registry, an operation, a fault at some moment, pushers with clocks of
their own, Quay's users, and whoever recovers afterwards; a third of them are histories of several operations (below). The program under test is the real one, before
a real server; the oracle (`testkit/src/oracle/`) computes in plain Rust which states are whole: as if
the operation had never run, or as if it had run undisturbed. An end is inconsistent where it is
neither, where an expiry, a live tag or a user's own immutability is lost, where an operation stays
unfinished, where `check --strict` finds what was not there before, or where a second `recover` changes
something. A schedule that ends inconsistently is shrunk and printed with its seed, and
`QUAY_DOCTOR_CAMPAIGN_SEED` runs it again.

Each cell says how many schedules ended inconsistently, of how many. Quay's present way and the
recommended fix of the bug report are the reference implementations of `testkit/src/subject.rs`, in
batches of 2 rows, since the registries are small; they know creations only, and no operation that
could be resumed, so that some faults are none to them. A fault may also fall before the first
statement or after the last one; such a schedule counts as well. A fault of the server as a whole
(stopped at once, failover, a tablespace that is full) is put to ours in clusters of its own by
`tests/campaign/server.rs` and counted in the last column.
";
