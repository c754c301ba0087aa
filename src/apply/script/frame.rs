//! The script's head and foot: limits, the right database, the run's row in the journal.

use std::io::{self, Write};

use super::literal::{comment, optional_text, text};
use super::{Printed, Site};
use crate::correction::DatabaseIdentity;
use crate::ground::JournalKept;
use crate::journal::LIVENESS_CLASS;
use crate::pg::{Purpose, as_script};

/// How the script names its run; a variable of psql's.
pub(super) const RUN: &str = ":run";

pub(super) fn head(
    out: &mut dyn Write,
    site: &Site<'_>,
    here: &DatabaseIdentity,
) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let name = comment(&here.name);
    writeln!(
        out,
        r"-- quay-doctor {version}: a plan of corrections for the database {name}
-- Run it with: psql -X -f FILE, connected to that database, by a role that may write Quay's tables.
-- Every transaction looks again at what it expects; what is no longer so is left alone and counted.
-- A script without its last line, `-- end`, was cut off: do not run it.
\set ON_ERROR_STOP on
\set QUIET on
\set skipped 0
-- What a statement here means, and how long it may take, whatever the role has set.
{profile}
",
        profile = as_script(Purpose::Batches),
    )?;
    only_here(out, here)?;
    match site.journal {
        JournalKept::Kept => begin(out, site),
        JournalKept::Absent => writeln!(
            out,
            "-- This database has no journal: `fix undo` cannot take this back. The values before each\n\
             -- change are those that its transaction expects.\n"
        ),
    }
}

/// Stops in another database. Only numbers: no text can end the quotation.
fn only_here(out: &mut dyn Write, here: &DatabaseIdentity) -> io::Result<()> {
    let mut condition = format!(
        "EXISTS (SELECT FROM pg_database WHERE datname = current_database() AND oid = {})",
        here.oid
    );
    let digits = |text: &&String| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(system) = here.system_identifier.as_ref().filter(digits) {
        condition.push_str(&format!(
            "\n        AND (SELECT system_identifier FROM pg_control_system()) = {system}"
        ));
    }
    writeln!(
        out,
        r"DO $quay_doctor$
BEGIN
    IF NOT ({condition})
    THEN
        RAISE EXCEPTION 'this plan was made for another database';
    END IF;
END
$quay_doctor$;
"
    )
}

/// The run's row; its worker, this session of psql, is seen to live by its lock.
fn begin(out: &mut dyn Write, site: &Site<'_>) -> io::Result<()> {
    let who = &site.options.who;
    let (actor, reason) = (text(&who.actor), optional_text(who.reason.as_deref()));
    let options = match &site.options.origin {
        Some(origin) => serde_json::json!({ "printed": true, "plan": origin.digest }),
        None => serde_json::json!({ "printed": true }),
    };
    let options = text(&options.to_string());
    writeln!(
        out,
        r"BEGIN;
INSERT INTO quay_doctor.operation
    (kind, phase, options, fence, worker, actor, reason, tool_version)
VALUES ('fix', 'applying', {options}, gen_random_uuid(),
    'psql, backend ' || pg_backend_pid(), {actor}, {reason}, '{version}')
RETURNING id AS run, fence AS fence
\gset
SELECT pg_try_advisory_lock({LIVENESS_CLASS}, ({RUN} & 2147483647)::int) AS alive
\gset
COMMIT;
",
        version = env!("CARGO_PKG_VERSION"),
    )
}

pub(super) fn foot(out: &mut dyn Write, site: &Site<'_>, printed: &Printed) -> io::Result<()> {
    for (verb, count) in &printed.left_out {
        writeln!(
            out,
            "-- Not in this script, for it is more than rows: {verb} {count}. The commands stand above; `fix --apply` does it, too."
        )?;
    }
    if printed.no_longer > 0 {
        writeln!(
            out,
            "-- No longer as the plan expects, and left out: {}",
            printed.no_longer
        )?;
    }
    if site.journal == JournalKept::Kept {
        writeln!(
            out,
            r"UPDATE quay_doctor.operation
SET phase = 'done', finished_at = clock_timestamp(), heartbeat_at = clock_timestamp()
WHERE id = {RUN} AND fence = :'fence';
SELECT pg_advisory_unlock({LIVENESS_CLASS}, ({RUN} & 2147483647)::int) AS ended
\gset
\echo 'To take it back: quay-doctor fix undo' {RUN}"
        )?;
    }
    writeln!(
        out,
        r"\echo 'Corrections left alone, because something has changed:' :skipped
-- end"
    )
}
