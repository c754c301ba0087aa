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
    // Of several labels one that says so is enough: in doubt, evidence counts.
    let own = pg.query(
        &format!(
            r"
            SELECT ml.manifest_id, bool_or({SAYS_TRUE})
            FROM manifestlabel ml
            JOIN label l ON l.id = ml.label_id
            WHERE ml.manifest_id = ANY ($1) AND l.key = $2
            GROUP BY ml.manifest_id
            "
        ),
        &[&ids, &KEY],
    )?;
    let children = pg.query(
        &format!(
            r"
            SELECT c.manifest_id, bool_and({SAYS_TRUE})
            FROM manifestchild c
            LEFT JOIN (manifestlabel ml JOIN label l ON l.id = ml.label_id AND l.key = $2)
                ON ml.manifest_id = c.child_manifest_id
            WHERE c.manifest_id = ANY ($1)
            GROUP BY c.manifest_id
            "
        ),
        &[&ids, &KEY],
    )?;
    let mut decided: HashMap<ManifestId, bool> = HashMap::new();
    for row in own.iter().chain(&children) {
        // A manifest's own label goes before its children's.
        let says = row.read(1)?;
        decided.entry(ManifestId(row.read(0)?)).or_insert(says);
    }
    Ok(decided
        .into_iter()
        .filter_map(|(manifest, says)| says.then_some(manifest))
        .collect())
}

/// Whether a label says `true`, trimmed as Python trims, in any case; no label says nothing. Decided by the server,
/// so that an answer under a lock stays small whatever a label holds.
const SAYS_TRUE: &str = r"coalesce(lower(btrim(l.value,
    E' \t\n\r\f\x0b\x1c\x1d\x1e\x1f' || chr(133) || chr(160))) = 'true', false)";
