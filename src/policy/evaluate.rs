//! `policy evaluate`: what Quay would decide at a push, with active policies only.

use std::collections::HashMap;
use std::sync::Arc;

use super::Pick;
use super::PolicyError;
use super::target::find;
use crate::evaluate::{Activity, Decision, PolicyBook, PolicyRow};
use crate::journal::SchemaState;
use crate::pattern::{self, Compiled};
use crate::pg::{Columns, ReadSession, Statements};
use crate::quay::{NamespaceId, PolicyRowId, PolicyText, PolicyUuid, RepositoryId, Scope};

/// What was decided on one tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The tag's name.
    pub tag: String,
    /// Whether a push of it becomes immutable; none where that cannot be decided.
    pub immutable: Option<bool>,
    /// The policy that decided.
    pub policy: Option<PolicyUuid>,
    /// Why it cannot be decided.
    pub why: Option<String>,
}

/// Evaluates pushes: one query a push, whatever the number of policies; compiled patterns are kept,
/// and the policies of the last scope are sent again only when they have changed.
pub struct PolicyEvaluator {
    compiled: HashMap<String, Arc<Compiled>>,
    last: Option<Last>,
    sql: &'static str,
}

/// The policies of the last scope.
struct Last {
    scopes: (RepositoryId, NamespaceId),
    /// What the server makes of their texts: a sum of 64-bit hashes, each seeded with its row.
    print: String,
    book: PolicyBook,
}

/// How many compiled patterns are kept; then all are forgotten.
const KEPT: usize = 10_000;

/// The policies that a push is decided by, by what is asked of each row.
///
/// The second look at the rows is behind a filter that is decided once: where the sum is what we know,
/// they are summed up and not sent, sorted or stored.
macro_rules! policies_of_a_push {
    ($active:literal) => {
        concat!(
            r"
            SELECT print.sum, policy.level, policy.id, policy.uuid, policy.policy
            FROM (
                SELECT coalesce(sum(hashtextextended(uuid || policy, 2 * id::bigint + level)), 0)::text
                    AS sum
                FROM (
                    SELECT 0 AS level, id, uuid, policy FROM repositoryimmutabilitypolicy
                    WHERE repository_id = $1 ",
            $active,
            r"
                    UNION ALL
                    SELECT 1, id, uuid, policy FROM namespaceimmutabilitypolicy
                    WHERE namespace_id = $2 ",
            $active,
            r"
                ) known
            ) print
            LEFT JOIN LATERAL (
                SELECT 0 AS level, id, uuid, policy FROM repositoryimmutabilitypolicy
                WHERE repository_id = $1 AND print.sum IS DISTINCT FROM $3 ",
            $active,
            r"
                UNION ALL
                SELECT 1, id, uuid, policy FROM namespaceimmutabilitypolicy
                WHERE namespace_id = $2 AND print.sum IS DISTINCT FROM $3 ",
            $active,
            r"
            ) policy ON true
            ORDER BY 2, 3
            "
        )
    };
}

impl PolicyEvaluator {
    /// An evaluator for a database of this schema.
    pub fn new(schema: &SchemaState) -> Self {
        Self {
            compiled: HashMap::new(),
            last: None,
            // The new indexes begin with the scope and then `active`: inactive rows are not read.
            sql: if schema.knows_active() {
                policies_of_a_push!("AND active")
            } else {
                policies_of_a_push!("")
            },
        }
    }

    /// The statement that one push takes, for whoever explains it.
    pub fn statement(&self) -> &str {
        self.sql
    }

    /// Decides on pushes into a repository.
    ///
    /// # Errors
    /// [`PolicyError`] where the database does not answer.
    pub fn evaluate(
        &mut self,
        pg: &mut impl Statements,
        repository: RepositoryId,
        namespace: NamespaceId,
        tags: &[&str],
    ) -> Result<Vec<Evaluated>, PolicyError> {
        let scopes = (repository, namespace);
        let known = self.last.take().filter(|last| last.scopes == scopes);
        let print = known.as_ref().map(|last| last.print.as_str());
        let mut now = None;
        let mut rows = Vec::new();
        for row in pg.query(self.sql, &[&repository.0, &namespace.0, &print])? {
            now = Some(row.read::<String>(0)?);
            let Some(level) = row.read::<Option<i32>>(1)? else {
                continue;
            };
            rows.push(PolicyRow {
                id: PolicyRowId(row.read(2)?),
                uuid: PolicyUuid(row.read(3)?),
                scope: match level {
                    0 => Scope::Repository(repository),
                    _ => Scope::Namespace(namespace),
                },
                namespace,
                text: PolicyText(row.read(4)?),
                activity: Activity::Active,
                created: None,
            });
        }
        let now = now.unwrap_or_default();
        let last = match known {
            Some(same) if same.print == now => same,
            _ => Last {
                scopes,
                print: now,
                book: self.compile(rows),
            },
        };
        let decided = tags
            .iter()
            .map(|tag| evaluated(tag, &last.book.decide(repository, Some(namespace), tag)))
            .collect();
        self.last = Some(last);
        Ok(decided)
    }

    fn compile(&mut self, rows: Vec<PolicyRow>) -> PolicyBook {
        if self.compiled.len() > KEPT {
            self.compiled.clear();
        }
        PolicyBook::with(rows, |text| {
            let kept = self.compiled.entry(text.to_owned());
            Arc::clone(kept.or_insert_with_key(|text| Arc::new(pattern::compile(text))))
        })
    }
}

fn evaluated(tag: &str, decision: &Decision<'_>) -> Evaluated {
    let (immutable, policy, why) = match decision {
        Decision::Immutable(row) => (Some(true), Some(row.uuid.clone()), None),
        Decision::Mutable => (Some(false), None, None),
        Decision::Unknown(why) => (None, None, Some(why.to_string())),
    };
    Evaluated {
        tag: tag.to_owned(),
        immutable,
        policy,
        why,
    }
}

/// Decides on pushes into a repository that is named.
///
/// # Errors
/// [`PolicyError`] where a name is unknown or the database does not answer.
pub fn evaluate(
    settings: &crate::config::ConnectionSettings,
    namespace: &str,
    repository: &str,
    tags: &[&str],
) -> Result<Vec<Evaluated>, PolicyError> {
    let mut session = ReadSession::open(settings)?;
    let mut snapshot = session.snapshot()?;
    let schema = SchemaState::read(&mut snapshot)?;
    let pick = Pick {
        namespace: namespace.to_owned(),
        repository: Some(repository.to_owned()),
    };
    let target = find(&mut snapshot, &pick)?;
    let Some((id, _)) = target.repository() else {
        return Ok(Vec::new());
    };
    PolicyEvaluator::new(&schema).evaluate(&mut snapshot, id, target.namespace, tags)
}
