//! Room journal: being built.

mod schema;

pub use schema::{
    ActiveColumn, AlembicRevisions, IndexValidity, JournalState, LiveColumn, LiveIndex, MARK,
    Nullness, Origin, PolicyTableState, QuaySchema, SCHEMA, SchemaState, TABLES, TESTED_REVISIONS,
    active_index_definition, active_index_name,
};
