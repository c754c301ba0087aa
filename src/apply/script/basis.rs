//! What a batch was judged by, as one expression: compared under the batch's locks with what it was.

use crate::pg::{Columns, PgError, Statements};
use crate::quay::{AuditKind, MARK_KEY, ManifestId, NamespaceId, RepositoryId};

/// Whose basis, and in whose eyes: a run does not count what it has written itself.
pub(super) struct Basis<'a> {
    pub(super) repository: RepositoryId,
    pub(super) namespace: Option<NamespaceId>,
    pub(super) manifests: &'a [ManifestId],
    pub(super) has_journal: bool,
}

/// The expression; with a journal, for the run that is named. Its parameters are `$1` the repository, `$2`
/// its namespace, `$3` the manifests, `$4` the kind of a user's act in the audit log, `$5` what marks our own.
macro_rules! basis {
    () => {
        basis!(@)
    };
    ($run:literal) => {
        basis!(@ r"
        'declared', (
            SELECT count(*) FROM quay_doctor.kept k
            WHERE k.withdrawn_at IS NULL AND k.operation_id <> ", $run, r"
                AND (k.scope_kind, k.scope_id)
                    IN (('repository', $1::int), ('namespace', $2::int))),
        'operations', (
            SELECT jsonb_agg(o.id ORDER BY o.id) FROM quay_doctor.operation o
            WHERE o.finished_at IS NULL AND o.id <> ", $run, r"
                AND (o.scope_kind, o.scope_id)
                    IN (('repository', $1::int), ('namespace', $2::int))),")
    };
    (@ $($of_journal:literal),*) => {
        concat!(
            r#"jsonb_build_object(
        'repository', (
            SELECT jsonb_build_array(r.name, r.state, r.namespace_user_id, u.username)
            FROM repository r LEFT JOIN "user" u ON u.id = r.namespace_user_id
            WHERE r.id = $1::int),
        'repository_policies', (
            SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id)
            FROM repositoryimmutabilitypolicy p WHERE p.repository_id = $1::int),
        'namespace_policies', (
            SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id)
            FROM namespaceimmutabilitypolicy p WHERE p.namespace_id = $2::int),"#,
            $($of_journal,)*
            r"
        'acts', (
            SELECT count(*) FROM logentry3 e JOIN logentrykind k ON k.id = e.kind_id
            WHERE e.repository_id = $1::int AND k.name = $4::text
                AND strpos(e.metadata_json, $5::text) = 0),
        'labels', (
            SELECT count(*) FROM manifestlabel ml JOIN label l ON l.id = ml.label_id
            WHERE l.key = 'quay.immutable'
                AND (ml.manifest_id = ANY ($3::int[]) OR ml.manifest_id IN (
                    SELECT c.child_manifest_id FROM manifestchild c
                    WHERE c.manifest_id = ANY ($3::int[])))))"
        )
    };
}
pub(super) use basis;

impl Basis<'_> {
    /// The basis as it is in this snapshot, as text of JSON. No run has the number 0.
    pub(super) fn now(&self, pg: &mut impl Statements) -> Result<String, PgError> {
        let statement = if self.has_journal {
            concat!("SELECT (", basis!("0"), ")::text")
        } else {
            concat!("SELECT (", basis!(), ")::text")
        };
        let row = pg.query_one(
            statement,
            &[
                &self.repository.0,
                &self.namespace.map(|id| id.0),
                &self.manifests(),
                &AuditKind::ChangeTagImmutability.name(),
                &Self::mark(),
            ],
        )?;
        row.read(0)
    }

    pub(super) fn manifests(&self) -> Vec<i32> {
        self.manifests.iter().map(|id| id.0).collect()
    }

    /// What stands in an entry of ours.
    pub(super) fn mark() -> String {
        format!("\"{MARK_KEY}\"")
    }
}
