//! The label `quay.immutable`, on manifests and on the children of manifest lists.

use std::collections::{HashMap, HashSet};

use crate::pg::{Columns, PgError, Statements};
use crate::quay::ManifestId;

/// The label's key (registry_oci_model.py:631-661).
const KEY: &str = "quay.immutable";

/// Which of the manifests are labelled immutable: by a label of their own, or, where a manifest
/// list has none, because all of its children are.
///
/// # Errors
/// [`PgError`] where the server does not answer with rows.
pub(super) fn labelled(
    pg: &mut impl Statements,
    manifests: &[ManifestId],
) -> Result<HashSet<ManifestId>, PgError> {
    let ids: Vec<i32> = manifests.iter().map(|id| id.0).collect();
    let own = pg.query(
        r"
        SELECT ml.manifest_id, l.value
        FROM manifestlabel ml
        JOIN label l ON l.id = ml.label_id
        WHERE ml.manifest_id = ANY ($1) AND l.key = $2
        ",
        &[&ids, &KEY],
    )?;
    let mut decided: HashMap<ManifestId, bool> = HashMap::new();
    for row in &own {
        // Of several labels one that says so is enough: in doubt, evidence counts.
        *decided.entry(ManifestId(row.read(0)?)).or_default() |= says_true(row.read(1)?);
    }
    let children = pg.query(
        r"
        SELECT c.manifest_id, l.value
        FROM manifestchild c
        LEFT JOIN (manifestlabel ml JOIN label l ON l.id = ml.label_id AND l.key = $2)
            ON ml.manifest_id = c.child_manifest_id
        WHERE c.manifest_id = ANY ($1)
        ",
        &[&ids, &KEY],
    )?;
    let mut by_children: HashMap<ManifestId, bool> = HashMap::new();
    for row in &children {
        let value: Option<&str> = row.read(1)?;
        *by_children.entry(ManifestId(row.read(0)?)).or_insert(true) &=
            value.is_some_and(says_true);
    }
    for (manifest, agreed) in by_children {
        decided.entry(manifest).or_insert(agreed);
    }
    Ok(decided
        .into_iter()
        .filter_map(|(manifest, says)| says.then_some(manifest))
        .collect())
}

/// `true`, trimmed, in any case.
fn says_true(value: &str) -> bool {
    value.trim().eq_ignore_ascii_case("true")
}
