//! The reports of the migrate commands as text for people.

use std::fmt::Write as _;

use quay_doctor::{DownReport, MigratePlan, MigrateStatus, ServerRole, UpReport, Verification};

/// How a command that changes the schema ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Where it was meant to.
    Reached,
    /// Earlier; what was done until then stays done.
    Stopped,
}

// Writing to a String does not fail; the results below are dropped for that reason alone.

pub(super) fn status(status: &MigrateStatus) -> String {
    let mut text = String::new();
    let server = match status.server {
        ServerRole::Primary => "primary",
        ServerRole::Standby => "standby",
    };
    let _ = writeln!(text, "PostgreSQL {}, {server}", status.server_version);
    let _ = writeln!(
        text,
        "Quay's Alembic revision: {}",
        status.schema.alembic.describe()
    );
    let _ = writeln!(text, "version {} of {}", status.version, status.latest);
    for migration in &status.migrations {
        let (version, name) = (migration.version, migration.name);
        let _ = match &migration.applied_on {
            Some(when) => writeln!(text, "  V{version} {name}: applied {when}"),
            None => writeln!(text, "  V{version} {name}: pending"),
        };
    }
    if let Some(journal) = &status.journal {
        let counted: Vec<String> = journal
            .tables
            .iter()
            .map(|table| format!("{} {}", table.table, table.rows))
            .collect();
        let (rows, bytes) = (counted.join(", "), journal.bytes);
        let _ = writeln!(text, "journal: rows: {rows}; {bytes} bytes");
    }
    if status.differences > 0 {
        let _ = writeln!(
            text,
            "not as promised: {}; see `quay-doctor migrate verify`",
            status.differences
        );
    }
    list(&mut text, &status.remarks);
    if !status.is_up_to_date() {
        text.push_str("next: `quay-doctor migrate plan` shows what `migrate up` would do\n");
    }
    text
}

pub(super) fn plan(plan: &MigratePlan) -> String {
    let mut text = String::new();
    if plan.is_empty() {
        let _ = writeln!(text, "-- version {}: nothing is due", plan.from);
    }
    for migration in &plan.migrations {
        let _ = writeln!(text, "-- V{} {}", migration.version, migration.name);
        for remark in &migration.remarks {
            let _ = writeln!(text, "-- {remark}");
        }
        for statement in &migration.statements {
            let _ = writeln!(text, "{statement}");
        }
        text.push('\n');
    }
    text
}

pub(super) fn up(report: &UpReport, end: End) -> String {
    let mut text = String::new();
    for migration in &report.applied {
        let _ = writeln!(text, "V{} {}: applied", migration.version, migration.name);
        list(&mut text, &migration.remarks);
    }
    list(&mut text, &report.mended);
    let to = report.to;
    let _ = match (end, report.applied.is_empty()) {
        (End::Reached, true) => writeln!(text, "version {to}: nothing was due"),
        (End::Reached, false) => writeln!(text, "now at version {to}, as promised"),
        (End::Stopped, true) => Ok(()),
        (End::Stopped, false) => writeln!(text, "stopped at version {to}"),
    };
    text
}

pub(super) fn down(report: &DownReport, end: End) -> String {
    let mut text = String::new();
    for version in &report.taken_down {
        let _ = writeln!(text, "V{version}: taken down");
    }
    list(&mut text, &report.remarks);
    if let Some(exported) = &report.exported {
        let (rows, path) = (exported.rows, exported.path.display());
        let _ = writeln!(text, "the journal's {rows} rows are in {path}");
    }
    let to = report.to;
    let _ = match (end, report.taken_down.is_empty()) {
        (End::Reached, true) => writeln!(text, "version {to}: nothing was to be taken down"),
        (End::Reached, false) => writeln!(text, "now at version {to}"),
        (End::Stopped, true) => Ok(()),
        (End::Stopped, false) => writeln!(text, "stopped at version {to}"),
    };
    text
}

pub(super) fn hand_over(report: &DownReport, end: End) -> String {
    let mut text = down(report, end);
    if end == End::Stopped {
        return text;
    }
    text.push_str(
        "\nQuay's policy tables are as Quay made them. What next:\n\
         \x20 1. upgrade Quay: its own migration adds `active`\n\
         \x20 2. run `quay-doctor migrate up`: it adopts Quay's column and adds what is still missing\n\
         Until then check, fix, fix undo and recover work; every policy counts as active.\n",
    );
    text
}

pub(super) fn verify(found: &Verification) -> String {
    let mut text = String::new();
    for difference in &found.differences {
        let _ = writeln!(text, "{difference}");
    }
    let _ = match (found.differences.len(), found.version) {
        (0, 0) => writeln!(text, "no migration is applied: nothing is promised"),
        (0, version) => writeln!(text, "version {version}: everything is as promised"),
        (1, version) => writeln!(text, "version {version}: 1 difference"),
        (many, version) => writeln!(text, "version {version}: {many} differences"),
    };
    if found.version < found.latest {
        let _ = writeln!(
            text,
            "migrations above version {} are not applied and were not looked at",
            found.version
        );
    }
    text
}

fn list(text: &mut String, remarks: &[String]) {
    for remark in remarks {
        let _ = writeln!(text, "  {remark}");
    }
}
