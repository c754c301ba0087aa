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

impl Basis<'_> {
    /// The basis as it is in this snapshot, as text of JSON.
    pub(super) fn now(&self, pg: &mut impl Statements) -> Result<String, PgError> {
        let sql = format!("SELECT ({})::text", self.expression("0"));
        pg.query_one(&sql, &[])?.read(0)
    }

    /// The expression, for a run. Its values are numbers, and names of ours.
    pub(super) fn expression(&self, run: &str) -> String {
        let repository = self.repository;
        let namespace = self
            .namespace
            .map_or_else(|| "NULL".to_owned(), |id| id.to_string());
        let manifests: Vec<String> = self.manifests.iter().map(ToString::to_string).collect();
        let manifests = if manifests.is_empty() {
            "NULL".to_owned()
        } else {
            manifests.join(", ")
        };
        let acts = AuditKind::ChangeTagImmutability.name();
        let journal = if self.has_journal {
            format!(
                r"
        'declared', (
            SELECT count(*) FROM quay_doctor.kept k
            WHERE k.withdrawn_at IS NULL AND k.operation_id <> {run}
                AND (k.scope_kind, k.scope_id)
                    IN (('repository', {repository}), ('namespace', {namespace}))),
        'operations', (
            SELECT jsonb_agg(o.id ORDER BY o.id) FROM quay_doctor.operation o
            WHERE o.finished_at IS NULL AND o.id <> {run}
                AND (o.scope_kind, o.scope_id)
                    IN (('repository', {repository}), ('namespace', {namespace}))),"
            )
        } else {
            String::new()
        };
        format!(
            r#"jsonb_build_object(
        'repository', (
            SELECT jsonb_build_array(r.name, r.state, r.namespace_user_id, u.username)
            FROM repository r LEFT JOIN "user" u ON u.id = r.namespace_user_id
            WHERE r.id = {repository}),
        'repository_policies', (
            SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id)
            FROM repositoryimmutabilitypolicy p WHERE p.repository_id = {repository}),
        'namespace_policies', (
            SELECT jsonb_agg(to_jsonb(p) ORDER BY p.id)
            FROM namespaceimmutabilitypolicy p WHERE p.namespace_id = {namespace}),{journal}
        'acts', (
            SELECT count(*) FROM logentry3 e JOIN logentrykind k ON k.id = e.kind_id
            WHERE e.repository_id = {repository} AND k.name = '{acts}'
                AND strpos(e.metadata_json, '"{MARK_KEY}"') = 0),
        'labels', (
            SELECT count(*) FROM manifestlabel ml JOIN label l ON l.id = ml.label_id
            WHERE l.key = 'quay.immutable'
                AND (ml.manifest_id IN ({manifests}) OR ml.manifest_id IN (
                    SELECT c.child_manifest_id FROM manifestchild c
                    WHERE c.manifest_id IN ({manifests})))))"#
        )
    }
}
