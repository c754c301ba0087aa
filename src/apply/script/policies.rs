//! The correction of a policy's row as a transaction of the script.

use std::collections::HashSet;
use std::io::Write;

use sea_query::{
    Cond, Expr, ExprTrait as _, IntoTableRef as _, LockType, PostgresQueryBuilder, Query,
};

use super::literal::comment;
use super::{ApplyError, Site};
use crate::correction::{Correction, Planned};
use crate::evaluate::{
    Activity, Evaluator, Moment, PolicyBook, PolicySubject, PolicyTwin, Registry, Strictness,
    Subject,
};
use crate::ground::JournalKept;
use crate::journal::{policy_standings, unfinished_operations};
use crate::pg::{Built, Columns, PgError, ReadSnapshot, Statements, filled};
use crate::quay::{NamespaceId, PolicyUuid, Scope};
use crate::relations::{PoliciesOf, policies, registry_of, server_clock};

/// Prints the correction where the policy still violates the rule, and what it is to be in place of
/// is there; whether it did. `gone` are the policies that the script has deleted until here.
pub(super) fn print(
    snapshot: &mut ReadSnapshot<'_>,
    out: &mut dyn Write,
    site: &Site<'_>,
    planned: &Planned,
    gone: &mut HashSet<PolicyUuid>,
) -> Result<bool, ApplyError> {
    let Some(expected) = planned.correction.policy() else {
        return Ok(false);
    };
    let ground = Decided::of(snapshot, site, expected.scope, gone)?;
    let Some(is) = ground.violating(snapshot, site, planned, expected)? else {
        return Ok(false);
    };
    let change = match &planned.correction {
        // What says that a policy is inactive on purpose, or at work, is in the journal.
        Correction::DeletePolicy(_)
            if is.activity == Activity::Inactive && site.journal == JournalKept::Kept =>
        {
            Change::Delete(Condition {
                why: "Nobody is decided by it.",
                holds: Cond::all().add(Expr::col(("p", "active")).not()),
            })
        }
        Correction::Merge(..) | Correction::DeleteCovered(..) => {
            let twin = is.stand_in().and_then(|twin| ground.stays(site, twin));
            let Some(stays) = twin else {
                return Ok(false);
            };
            Change::Delete(stays)
        }
        Correction::MendNamespace(_) => match ground.namespace {
            Some(to) => Change::Move(to),
            None => return Ok(false),
        },
        _ => return Ok(false),
    };
    let Some(write) = write(snapshot, site, &is, &change)? else {
        return Ok(false);
    };
    let sentence = comment(&planned.correction.sentence());
    writeln!(out, "-- {sentence}\nBEGIN;")?;
    if let Change::Delete(condition) = &change {
        writeln!(out, "-- {}", condition.why)?;
    }
    writeln!(out, "{CHANGED}{write}{CHANGED_END}")?;
    let end = match site.journal {
        JournalKept::Kept => filled(END_JOURNALED, [is.scope.table().name().into()]),
        JournalKept::Absent => END.to_owned(),
    };
    writeln!(out, "{end}")?;
    if matches!(change, Change::Delete(_)) {
        gone.insert(is.uuid.clone());
    }
    Ok(true)
}

/// What becomes of the row.
enum Change {
    /// It goes, where one more condition holds.
    Delete(Condition),
    /// It gets its repository's namespace.
    Move(NamespaceId),
}

/// A condition on the row, which the write calls `p`.
struct Condition {
    why: &'static str,
    holds: Cond,
}

const CHANGED: &str = "WITH changed AS (\n    ";
const CHANGED_END: &str = "\n)";

/// The image and the transaction's end: only where the run is still ours. `$1` is the table.
const END_JOURNALED: &str = r", journaled AS (
    INSERT INTO quay_doctor.policy_change
        (operation_id, policy_table, policy_id, row_before, row_after)
    SELECT :run, $1, id, row_before, row_after FROM changed
), advanced AS (
    UPDATE quay_doctor.operation
    SET tags_changed = tags_changed + (SELECT count(*) FROM changed),
        tags_skipped = tags_skipped + 1 - (SELECT count(*) FROM changed),
        batches = batches + 1, heartbeat_at = clock_timestamp()
    WHERE id = :run AND fence = :'fence' AND phase = 'applying'
    RETURNING id
)
SELECT :skipped + 1 - (SELECT count(*) FROM changed) AS skipped,
    EXISTS (SELECT FROM advanced) AS ours
\gset
\if :ours
COMMIT;
\else
ROLLBACK;
\echo 'Somebody else has taken this run over; nothing more is done.'
\quit
\endif
";

const END: &str = r"
SELECT :skipped + 1 - (SELECT count(*) FROM changed) AS skipped
\gset
COMMIT;
";

/// The write; none where the row is not there.
fn write(
    snapshot: &mut ReadSnapshot<'_>,
    site: &Site<'_>,
    is: &PolicySubject,
    change: &Change,
) -> Result<Option<String>, ApplyError> {
    let table = is.scope.table().name();
    let whole = Built::of(
        Query::select()
            .expr(Expr::cust("to_jsonb(p)::text"))
            .from_as(table, "p")
            .and_where(Expr::col("id").eq(is.id.0)),
    );
    let row = snapshot.query_opt(whole.text(), &whole.values())?;
    let Some(row) = row else { return Ok(None) };
    let was: String = row.read(0)?;
    let unowned = match site.journal {
        JournalKept::Kept => Some(unowned(snapshot, &is.uuid)?),
        JournalKept::Absent => None,
    };
    let policy = table.into_table_ref().alias("p");
    let still = Cond::all()
        .add(Expr::col(("p", "id")).eq(is.id.0))
        .add(Expr::cust_with_values("to_jsonb(p) = $1::jsonb", [&*was]))
        .add_option(unowned);
    Ok(Some(match change {
        Change::Delete(condition) => Query::delete()
            .from_table(policy)
            .cond_where(still)
            .cond_where(condition.holds.clone())
            .returning(Query::returning().exprs([
                Expr::col(("p", "id")),
                Expr::cust("to_jsonb(p) AS row_before"),
                Expr::cust("NULL::jsonb AS row_after"),
            ]))
            .to_string(PostgresQueryBuilder),
        Change::Move(to) => Query::update()
            .table(policy)
            .value("namespace_id", Expr::col(("r", "namespace_user_id")))
            .from("repository".into_table_ref().alias("r"))
            .from("user".into_table_ref().alias("u"))
            .cond_where(still)
            .and_where(Expr::col(("u", "id")).equals(("r", "namespace_user_id")))
            .and_where(Expr::col(("r", "id")).equals(("p", "repository_id")))
            .and_where(Expr::col(("r", "namespace_user_id")).eq(to.0))
            .returning(Query::returning().exprs([
                Expr::col(("p", "id")),
                Expr::cust_with_values("$1::jsonb AS row_before", [&*was]),
                Expr::cust("to_jsonb(p) AS row_after"),
            ]))
            .to_string(PostgresQueryBuilder),
    }))
}

/// No operation that came since owns the policy, or left it inactive on purpose.
fn unowned(snapshot: &mut ReadSnapshot<'_>, uuid: &PolicyUuid) -> Result<Expr, PgError> {
    let known: i64 = snapshot
        .query_one(
            "SELECT count(*) FROM quay_doctor.operation o \
             WHERE o.policy_uuid = $1 OR o.options ->> 'staged' = $1",
            &[&uuid.0],
        )?
        .read(0)?;
    Ok(Expr::cust_with_values(
        "(SELECT count(*) FROM quay_doctor.operation o \
         WHERE o.policy_uuid = p.uuid OR o.options ->> 'staged' = p.uuid) = $1",
        [known],
    ))
}

/// The policies that decide in a scope, as the script leaves them until here.
struct Decided {
    registry: Registry,
    book: PolicyBook,
    namespace: Option<NamespaceId>,
    active_column: bool,
}

impl Decided {
    fn of(
        snapshot: &mut ReadSnapshot<'_>,
        site: &Site<'_>,
        scope: Scope,
        gone: &HashSet<PolicyUuid>,
    ) -> Result<Self, ApplyError> {
        let (registry, repositories, namespace) = match scope {
            Scope::Namespace(id) => (Registry::default(), vec![], Some(id)),
            Scope::Repository(id) => {
                let registry = registry_of(snapshot, &[id])?;
                let namespace = registry.namespace_of(id);
                (registry, vec![id], namespace)
            }
        };
        let of = PoliciesOf::Scopes {
            repositories,
            namespaces: namespace.into_iter().collect(),
        };
        let mut rows = policies(snapshot, site.schema, &of)?;
        rows.retain(|row| !gone.contains(&row.uuid));
        Ok(Self {
            registry,
            book: PolicyBook::new(rows),
            namespace,
            active_column: site.schema.active,
        })
    }

    /// The policy as it is, where it still violates the rule and is the one that was planned for.
    fn violating(
        &self,
        snapshot: &mut ReadSnapshot<'_>,
        site: &Site<'_>,
        planned: &Planned,
        expected: &PolicySubject,
    ) -> Result<Option<PolicySubject>, ApplyError> {
        let standings = match site.journal {
            JournalKept::Kept => {
                let operations = unfinished_operations(snapshot)?;
                policy_standings(snapshot, &operations)?
            }
            JournalKept::Absent => std::collections::HashMap::new(),
        };
        let moment = Moment {
            now: server_clock(snapshot)?,
            stale_after: site.options.stale_after,
            features: site.options.features,
            strictness: Strictness::Lenient,
        };
        let mut evaluator = Evaluator::new(site.rules.rules(), &self.registry, &self.book, moment);
        let found = evaluator.policies_where(
            |row| standings.get(&row.uuid).cloned().unwrap_or_default(),
            |judged| judged.uuid == expected.uuid,
        );
        let subject = found
            .into_iter()
            .filter(|violation| violation.rule == planned.rule)
            .find_map(|violation| match violation.subject {
                Subject::Policy(policy) => Some(policy),
                _ => None,
            });
        Ok(subject.filter(|is| {
            is.owner.is_none() && is.text == expected.text && is.activity == expected.activity
        }))
    }

    /// The condition that the twin stays as it was judged, held until the end.
    fn stays(&self, site: &Site<'_>, twin: &PolicyTwin) -> Option<Condition> {
        let mut rows = self.book.rows().iter();
        let row = rows.find(|row| row.uuid == twin.uuid)?;
        let scope = match row.scope {
            Scope::Namespace(id) => Expr::col(("t", "namespace_id")).eq(id.0),
            Scope::Repository(id) => Expr::col(("t", "repository_id")).eq(id.0),
        };
        let active = Expr::col(("t", "active"));
        let active = match (self.active_column, row.activity) {
            (false, _) => None,
            (true, Activity::Active) => Some(active),
            (true, Activity::Inactive) => Some(active.not()),
        };
        let unowned = match site.journal {
            JournalKept::Kept => Some(Expr::cust(
                "NOT EXISTS (SELECT FROM quay_doctor.operation o WHERE o.finished_at IS NULL \
                 AND (o.policy_uuid = t.uuid OR o.options ->> 'staged' = t.uuid))",
            )),
            JournalKept::Absent => None,
        };
        let own = match (self.namespace, row.scope) {
            (Some(namespace), Scope::Namespace(_)) => self.registry_condition(namespace),
            _ => None,
        };
        let twin = Query::select()
            .expr(Expr::cust("1"))
            .from_as(row.scope.table().name(), "t")
            .and_where(Expr::col(("t", "id")).eq(row.id.0))
            .and_where(scope)
            .and_where(Expr::col(("t", "policy")).eq(&*row.text.0))
            .and_where_option(active)
            .and_where_option(unowned)
            .lock(LockType::Share)
            .take();
        Some(Condition {
            why: "The policy that decides alike stays.",
            holds: Cond::all().add(Expr::exists(twin)).add_option(own),
        })
    }

    /// A repository's policy is covered by its namespace only while it is that one's.
    fn registry_condition(&self, namespace: NamespaceId) -> Option<Expr> {
        let has_repository = !self.registry.repositories.is_empty();
        has_repository.then(|| {
            Expr::cust_with_values(
                "EXISTS (SELECT FROM repository r WHERE r.id = p.repository_id \
                 AND r.namespace_user_id = $1)",
                [namespace.0],
            )
        })
    }
}
