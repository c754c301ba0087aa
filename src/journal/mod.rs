//! Room journal: being built.

mod schema;

pub use schema::{
    ActiveColumn, AlembicRevisions, IndexValidity, JournalState, LiveColumn, LiveIndex, MARK,
    Nullness, Origin, PolicyTableState, QuaySchema, SCHEMA, SchemaState, TABLES, active_index_name,
};
