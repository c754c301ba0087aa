//! Rows as subjects: what a violation says of the tag or the policy that it is about.

use super::{
    Account, Decides, OwningOperation, PolicyRow, PolicyStanding, PolicySubject, PolicyTwin,
    Registry, TagRow, TagSubject,
};

/// A tag, with everything that was found about it.
pub(super) fn tag_subject(row: TagRow, account: Account, registry: &Registry) -> TagSubject {
    let (namespace, repository) = registry.repository_names(row.repository);
    TagSubject {
        namespace: namespace.to_owned(),
        repository: repository.to_owned(),
        row,
        account,
    }
}

/// A policy, with the one that it repeats.
pub(super) fn policy_subject(
    row: &PolicyRow,
    stands: &PolicyStanding,
    twin: Option<(&PolicyRow, Option<OwningOperation>)>,
    registry: &Registry,
) -> PolicySubject {
    let (namespace, repository) = registry.scope_names(row.scope);
    let policy = row.text.parse();
    PolicySubject {
        id: row.id,
        uuid: row.uuid.clone(),
        scope: row.scope,
        namespace: namespace.to_owned(),
        repository: repository.map(str::to_owned),
        twin: twin.map(|(twin, owner)| PolicyTwin {
            uuid: twin.uuid.clone(),
            activity: twin.activity,
            decides: match (&policy, twin.text.parse()) {
                (Ok(one), Ok(two)) if *one == two => Decides::Alike,
                _ => Decides::Otherwise,
            },
            owner,
        }),
        pattern: policy.map_or_else(|_| row.text.0.clone(), |policy| policy.pattern),
        text: row.text.clone(),
        activity: row.activity,
        owner: stands.owner,
    }
}
