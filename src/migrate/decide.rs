//! What a step has to do, given what is there: run, leave out, build again, or refuse.
//!
//! `up`, `down` and `plan` decide here alike, so that the plan prints what is then done.

use super::MigrateError;
use super::scene::OwnSchema;
use super::script::{PolicyColumn, Subject};
use crate::journal::{
    IndexValidity, LiveColumn, LiveIndex, Nullness, Origin, SchemaState, active_index_definition,
    active_index_name,
};
use crate::quay::PolicyTable;

/// What a step of a script up has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ascent {
    /// Run it.
    Run,
    /// What it makes is there: leave it out, and say so where there is something to say.
    Keep(Option<String>),
    /// An index of ours is there and sound, but not yet marked as ours.
    Mark,
    /// A build that was cut short left its index behind: drop that, then run.
    Rebuild,
}

/// What a step of a script down has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Descent {
    /// Run it.
    Run,
    /// Leave it out, for this reason if there is one to tell.
    Keep(Option<String>),
}

/// Decides a step up.
pub(super) fn ascend(
    subject: Subject,
    state: &SchemaState,
    own_schema: OwnSchema,
) -> Result<Ascent, MigrateError> {
    match subject {
        Subject::Lock | Subject::Tables => Ok(Ascent::Run),
        Subject::Schema => Ok(match own_schema {
            OwnSchema::Absent => Ascent::Run,
            OwnSchema::Present => Ascent::Keep(Some(format!("{subject} is there already: used"))),
        }),
        Subject::Column(table, column) => match live_column(state, table, column) {
            None => Ok(Ascent::Run),
            Some(live) => adopt(table, column, live).map(|remark| Ascent::Keep(Some(remark))),
        },
        Subject::Index(table) => match &state.policies(table).active_index {
            None => Ok(Ascent::Run),
            Some(live) => index_there(table, live, state),
        },
    }
}

/// Decides a step down. What is not ours stays.
pub(super) fn descend(subject: Subject, state: &SchemaState) -> Descent {
    match subject {
        // The schema is looked at when its tables are gone.
        Subject::Lock | Subject::Schema | Subject::Tables => Descent::Run,
        Subject::Column(table, column) => match live_column(state, table, column) {
            None => Descent::Keep(None),
            Some(live) if live.origin == Origin::Ours => Descent::Run,
            Some(_) => Descent::Keep(Some(format!("{subject} is not ours: kept"))),
        },
        Subject::Index(table) => {
            let live = state.policies(table);
            match &live.active_index {
                None => Descent::Keep(None),
                // Not marked, but on a column of ours: a build whose last statement was cut off.
                Some(index) if index.origin == Origin::Ours || stands_on_ours(state, table) => {
                    Descent::Run
                }
                Some(_) => Descent::Keep(Some(format!("{subject} is not ours: kept"))),
            }
        }
    }
}

fn live_column(
    state: &SchemaState,
    table: PolicyTable,
    column: PolicyColumn,
) -> Option<&LiveColumn> {
    let live = state.policies(table);
    match column {
        PolicyColumn::Active => live.active.as_ref(),
        PolicyColumn::CreatedDate => live.created_date.as_ref(),
    }
}

/// Adopts a column that is there, or says how it differs. `active` has to be boolean NOT NULL,
/// whatever its default; `created_date` a timestamp without time zone, whatever else.
pub(super) fn adopt(
    table: PolicyTable,
    column: PolicyColumn,
    live: &LiveColumn,
) -> Result<String, MigrateError> {
    let (wanted, wanted_type, may_be_null) = match column {
        PolicyColumn::Active => ("boolean NOT NULL", "boolean", false),
        PolicyColumn::CreatedDate => ("timestamp", "timestamp without time zone", true),
    };
    let refuse = |difference: String| MigrateError::ColumnShape {
        table: table.name(),
        column: column.name(),
        difference,
        wanted,
    };
    if live.type_name != wanted_type {
        return Err(refuse(format!(
            "its type is {}, not {wanted_type}",
            live.type_name
        )));
    }
    if live.nullness == Nullness::Nullable && !may_be_null {
        return Err(refuse("it takes NULL".to_owned()));
    }
    let default = match &live.default {
        Some(default) => format!("default {default}"),
        None => "no default".to_owned(),
    };
    Ok(format!(
        "{} is there already ({wanted}, {default}): adopted",
        Subject::Column(table, column)
    ))
}

fn index_there(
    table: PolicyTable,
    live: &LiveIndex,
    state: &SchemaState,
) -> Result<Ascent, MigrateError> {
    let promised = active_index_definition(table);
    if live.definition != promised {
        return Err(MigrateError::IndexDiffers {
            index: active_index_name(table),
            found: live.definition.clone(),
            promised: promised.to_owned(),
        });
    }
    Ok(match (live.validity, live.origin) {
        (IndexValidity::Invalid, _) => Ascent::Rebuild,
        (IndexValidity::Valid, Origin::Ours) => Ascent::Keep(None),
        (IndexValidity::Valid, Origin::Foreign) if stands_on_ours(state, table) => Ascent::Mark,
        (IndexValidity::Valid, Origin::Foreign) => Ascent::Keep(Some(format!(
            "{} is there already, as promised: adopted",
            Subject::Index(table)
        ))),
    })
}

/// Whether the table's `active` is ours; then so is an index on it.
fn stands_on_ours(state: &SchemaState, table: PolicyTable) -> bool {
    let active = state.policies(table).active.as_ref();
    active.is_some_and(|active| active.origin == Origin::Ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{AlembicRevisions, JournalState, PolicyTableState, QuaySchema};

    const TABLE: PolicyTable = PolicyTable::Repository;
    const ACTIVE: Subject = Subject::Column(TABLE, PolicyColumn::Active);

    fn column(type_name: &str, nullness: Nullness, origin: Origin) -> LiveColumn {
        LiveColumn {
            type_name: type_name.to_owned(),
            nullness,
            default: Some("false".to_owned()),
            origin,
        }
    }

    fn state(table: PolicyTableState) -> SchemaState {
        SchemaState {
            quay: QuaySchema::WithPolicies,
            alembic: AlembicRevisions::Absent,
            journal: JournalState::Present,
            repository_policies: table,
            namespace_policies: PolicyTableState::default(),
        }
    }

    fn with_active(active: LiveColumn) -> SchemaState {
        state(PolicyTableState {
            active: Some(active),
            ..PolicyTableState::default()
        })
    }

    fn with_index(validity: IndexValidity, index: Origin, active: Origin) -> SchemaState {
        state(PolicyTableState {
            active: Some(column("boolean", Nullness::NotNull, active)),
            active_index: Some(LiveIndex {
                definition: active_index_definition(TABLE).to_owned(),
                validity,
                origin: index,
            }),
            ..PolicyTableState::default()
        })
    }

    fn ascend(subject: Subject, state: &SchemaState) -> Result<Ascent, MigrateError> {
        super::ascend(subject, state, OwnSchema::Present)
    }

    #[test]
    fn an_active_of_quays_is_adopted_whatever_its_default_and_the_default_is_told() {
        let quays = with_active(column("boolean", Nullness::NotNull, Origin::Foreign));
        let Ascent::Keep(Some(remark)) = ascend(ACTIVE, &quays).unwrap() else {
            panic!("not adopted");
        };
        assert!(remark.contains("default false") && remark.contains("adopted"));
        assert!(matches!(descend(ACTIVE, &quays), Descent::Keep(Some(_))));
    }

    #[test]
    fn an_active_of_another_shape_is_refused_and_the_difference_named() {
        for (live, told) in [
            (
                column("integer", Nullness::NotNull, Origin::Foreign),
                "its type is integer",
            ),
            (
                column("boolean", Nullness::Nullable, Origin::Foreign),
                "it takes NULL",
            ),
        ] {
            let refused = ascend(ACTIVE, &with_active(live)).unwrap_err();
            assert!(refused.to_string().contains(told), "{refused}");
        }
    }

    #[test]
    fn an_index_that_a_cut_off_build_left_is_built_again() {
        let left = with_index(IndexValidity::Invalid, Origin::Foreign, Origin::Ours);
        assert_eq!(
            ascend(Subject::Index(TABLE), &left).unwrap(),
            Ascent::Rebuild
        );
    }

    #[test]
    fn an_unmarked_index_is_ours_exactly_where_its_column_is() {
        let ours = with_index(IndexValidity::Valid, Origin::Foreign, Origin::Ours);
        assert_eq!(ascend(Subject::Index(TABLE), &ours).unwrap(), Ascent::Mark);
        assert_eq!(descend(Subject::Index(TABLE), &ours), Descent::Run);
        let quays = with_index(IndexValidity::Valid, Origin::Foreign, Origin::Foreign);
        assert!(matches!(
            ascend(Subject::Index(TABLE), &quays),
            Ok(Ascent::Keep(Some(_)))
        ));
        assert!(matches!(
            descend(Subject::Index(TABLE), &quays),
            Descent::Keep(Some(_))
        ));
    }

    #[test]
    fn an_index_defined_otherwise_is_refused_even_where_it_is_invalid() {
        let mut odd = with_index(IndexValidity::Invalid, Origin::Foreign, Origin::Ours);
        let index = odd.repository_policies.active_index.as_mut().unwrap();
        index.definition = "CREATE INDEX x".to_owned();
        assert!(matches!(
            ascend(Subject::Index(TABLE), &odd),
            Err(MigrateError::IndexDiffers { .. })
        ));
    }
}
