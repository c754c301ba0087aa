//! The script's head and foot: limits, the right database, the run's row in the journal.

use std::io::{self, Write};

use super::literal::comment;
use super::{Printed, Site};
use crate::correction::DatabaseIdentity;
use crate::ground::JournalKept;
use crate::journal::LIVENESS_CLASS;
use crate::pg::{as_script, filled};

const HEAD: &str = r"-- Run it with: psql -X -f FILE, connected to that database, by a role that may write Quay's tables.
-- Every transaction looks again at what it expects; what is no longer so is left alone and counted.
-- A script without its last line, `-- end`, was cut off: do not run it.
\set ON_ERROR_STOP on
\set QUIET on
\set skipped 0
-- What a statement here means, and how long it may take, whatever the role has set.";

/// Stops in another database.
const ONLY_HERE: &str = r"DO $quay_doctor$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_database WHERE datname = current_database() AND oid = $1)
    THEN
        RAISE EXCEPTION 'this plan was made for another database';
    END IF;
END
$quay_doctor$;
";

/// Stops on another server, too.
const ONLY_ON_THIS_SERVER: &str = r"DO $quay_doctor$
BEGIN
    IF (SELECT system_identifier FROM pg_control_system()) <> $1
    THEN
        RAISE EXCEPTION 'this plan was made for another database';
    END IF;
END
$quay_doctor$;
";

/// The run's row; its worker, this session of psql, is seen to live by its lock.
const BEGIN: &str = r"BEGIN;
INSERT INTO quay_doctor.operation
    (kind, phase, options, fence, worker, actor, reason, tool_version)
VALUES ('fix', 'applying', $1, gen_random_uuid(),
    'psql, backend ' || pg_backend_pid(), $2, $3, $4)
RETURNING id AS run, fence AS fence
\gset
SELECT pg_try_advisory_lock($5, (:run & 2147483647)::int) AS alive
\gset
COMMIT;
";

const NO_JOURNAL: &str = r"-- This database has no journal: `fix undo` cannot take this back. The values before each
-- change are those that its transaction expects.
\set run 0
";

const FINISH: &str = r"UPDATE quay_doctor.operation
SET phase = 'done', finished_at = clock_timestamp(), heartbeat_at = clock_timestamp()
WHERE id = :run AND fence = :'fence';
SELECT pg_advisory_unlock($1, (:run & 2147483647)::int) AS ended
\gset
\echo 'To take it back: quay-doctor fix undo' :run";

pub(super) fn head(
    out: &mut dyn Write,
    site: &Site<'_>,
    here: &DatabaseIdentity,
) -> io::Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let name = comment(&here.name);
    writeln!(
        out,
        "-- quay-doctor {version}: a plan of corrections for the database {name}"
    )?;
    writeln!(out, "{HEAD}\n{}", as_script())?;
    writeln!(out, "{}", filled(ONLY_HERE, [here.oid.into()]))?;
    let system = here.system_identifier.as_ref();
    if let Some(system) = system.and_then(|system| system.parse::<i64>().ok()) {
        writeln!(out, "{}", filled(ONLY_ON_THIS_SERVER, [system.into()]))?;
    }
    match site.journal {
        JournalKept::Kept => begin(out, site),
        JournalKept::Absent => writeln!(out, "{NO_JOURNAL}"),
    }
}

fn begin(out: &mut dyn Write, site: &Site<'_>) -> io::Result<()> {
    let who = &site.options.who;
    let options = match &site.options.origin {
        Some(origin) => serde_json::json!({ "printed": true, "plan": origin.digest }),
        None => serde_json::json!({ "printed": true }),
    };
    let values = [
        options.to_string().into(),
        who.actor.as_str().into(),
        who.reason.clone().into(),
        env!("CARGO_PKG_VERSION").into(),
        LIVENESS_CLASS.into(),
    ];
    writeln!(out, "{}", filled(BEGIN, values))
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
        writeln!(out, "{}", filled(FINISH, [LIVENESS_CLASS.into()]))?;
    }
    writeln!(
        out,
        r"\echo 'Corrections left alone, because something has changed:' :skipped
-- end"
    )
}
