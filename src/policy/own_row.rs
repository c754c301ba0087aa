//! Our own policy row, compared under lock: Quay's users can change or delete it while we work.

use super::PolicyError;
use crate::evaluate::Activity;
use crate::journal::{Kind, Phase, PolicyOperation};
use crate::pg::WriteTransaction;
use crate::quay::{PolicyText, PolicyUuid};
use crate::relations::{OwnRow, hold_policy};

/// A row that has to be as the operation has it.
struct Expected<'a> {
    uuid: &'a PolicyUuid,
    text: &'a PolicyText,
    activity: Activity,
}

/// Compares the operation's rows with what they have to be in its phase, and holds them until the
/// transaction ends.
///
/// # Errors
/// [`PolicyError::Gone`] or [`PolicyError::Changed`].
pub(super) fn compare(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
) -> Result<(), PolicyError> {
    for expected in expectations(operation) {
        let Some(row) = hold_policy(tx, operation.scope.table(), expected.uuid)? else {
            // Deactivated and then deleted: it covers nothing either way. What an update's policy
            // covered before, it does not cover now, deleted or not: half a release helps nobody.
            let releases = operation.phase == Phase::Releasing;
            if operation.kind == Kind::Deactivate || releases {
                continue;
            }
            return Err(PolicyError::Gone(expected.uuid.clone()));
        };
        if let Some(difference) = difference(&row, &expected) {
            return Err(PolicyError::Changed {
                operation: operation.id,
                policy: expected.uuid.clone(),
                difference,
            });
        }
    }
    Ok(())
}

/// Compares a row that was written with what was asked for: a trigger may have altered it.
///
/// # Errors
/// [`PolicyError::NotKept`].
pub(super) fn kept_as_asked(
    image: &serde_json::Value,
    uuid: &PolicyUuid,
    text: &PolicyText,
    activity: Activity,
) -> Result<(), PolicyError> {
    let active = activity == Activity::Active;
    if image["policy"] == *text.0 && image["active"] == active && image["uuid"] == *uuid.0 {
        return Ok(());
    }
    Err(PolicyError::NotKept(uuid.clone()))
}

/// Looks whether an updated policy is there when its release is done: deleted by its owner, it takes
/// our marks along.
///
/// # Errors
/// [`PolicyError::Gone`].
pub(super) fn is_there(
    tx: &mut WriteTransaction<'_>,
    operation: &PolicyOperation,
) -> Result<(), PolicyError> {
    let (updates, table) = (operation.kind == Kind::Update, operation.scope.table());
    if updates && hold_policy(tx, table, &operation.policy)?.is_none() {
        return Err(PolicyError::Gone(operation.policy.clone()));
    }
    Ok(())
}

/// A row, where the operation has its text; `begin` always writes it.
fn row<'a>(
    uuid: &'a PolicyUuid,
    text: &'a Option<PolicyText>,
    activity: Activity,
) -> Option<Expected<'a>> {
    text.as_ref().map(|text| Expected {
        uuid,
        text,
        activity,
    })
}

/// What the rows have to be. A deletion has none; nor has an operation that turns back.
fn expectations(operation: &PolicyOperation) -> Vec<Expected<'_>> {
    let own = &operation.policy;
    let (before, after) = (&operation.before, &operation.after);
    let expected = match (operation.kind, operation.phase) {
        (Kind::Create | Kind::Activate, Phase::Applying) => {
            vec![row(own, after, Activity::Inactive)]
        }
        (Kind::Create | Kind::Activate | Kind::Update, Phase::Sweeping) => {
            vec![row(own, after, Activity::Active)]
        }
        (Kind::Update, Phase::Applying) => {
            let mut rows = vec![row(own, before, Activity::Active)];
            if let Some(staged) = &operation.options.staged {
                rows.push(row(staged, after, Activity::Inactive));
            }
            rows
        }
        (Kind::Update, Phase::Releasing) => vec![row(own, after, Activity::Active)],
        (Kind::Deactivate, Phase::Releasing) => vec![row(own, before, Activity::Inactive)],
        _ => Vec::new(),
    };
    expected.into_iter().flatten().collect()
}

fn difference(row: &OwnRow, expected: &Expected<'_>) -> Option<String> {
    if row.text != *expected.text {
        return Some(format!(
            "its text is {}, not {}",
            row.text.0, expected.text.0
        ));
    }
    match (row.activity, expected.activity) {
        (Activity::Active, Activity::Inactive) => Some("it is active already".to_owned()),
        (Activity::Inactive, Activity::Active) => Some("it is inactive again".to_owned()),
        _ => None,
    }
}
