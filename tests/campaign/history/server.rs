//! What a server's administrator has set for the role that operations run as.

use proptest::prelude::*;

use super::super::world::Arena;

/// Settings, and values that get in the way.
const SETTINGS: [(&str, &str); 14] = [
    ("default_transaction_isolation", "repeatable read"),
    ("default_transaction_isolation", "serializable"),
    ("default_transaction_deferrable", "on"),
    ("statement_timeout", "700ms"),
    ("lock_timeout", "80ms"),
    ("idle_in_transaction_session_timeout", "150ms"),
    ("synchronous_commit", "off"),
    ("DateStyle", "SQL, DMY"),
    ("IntervalStyle", "sql_standard"),
    ("TimeZone", "Asia/Kolkata"),
    ("quote_all_identifiers", "on"),
    ("standard_conforming_strings", "off"),
    ("bytea_output", "escape"),
    ("enable_indexscan", "off"),
];

/// What is set.
#[derive(Clone, Debug, Default)]
pub struct ServerSpec(Vec<usize>);

pub fn servers() -> impl Strategy<Value = ServerSpec> {
    prop_oneof![
        2 => Just(Vec::new()),
        2 => prop::collection::vec(0..SETTINGS.len(), 1..3),
    ]
    .prop_map(ServerSpec)
}

impl ServerSpec {
    pub fn lay(&self, arena: &Arena) {
        self.take_away(arena);
        for nth in &self.0 {
            let (name, value) = SETTINGS[*nth];
            set(arena, name, value);
        }
    }

    pub fn take_away(&self, arena: &Arena) {
        of_role(arena, "RESET ALL");
    }
}

/// Sets one for the role in this database: what is set for the role alone comes and goes with faults.
pub fn set(arena: &Arena, name: &str, value: &str) {
    of_role(arena, &format!("SET {name} = ''{value}''"));
}

pub fn reset(arena: &Arena, name: &str) {
    of_role(arena, &format!("RESET {name}"));
}

fn of_role(arena: &Arena, what: &str) {
    arena.sql(&format!(
        "DO $$ BEGIN EXECUTE format('ALTER ROLE {role} IN DATABASE %I {what}', current_database()); END $$",
        role = arena.role
    ));
}
