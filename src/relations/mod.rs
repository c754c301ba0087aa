//! Quay's relations as SQL: one file a relation, each statement beside the rows it reads or writes.
//!
//! Generic over [`crate::pg::Statements`], so that a scan, a second look and a write transaction
//! read by the same text. Nothing here decides: rows go to `evaluate` as they are.

mod audit;
mod audit_entry;
mod blocks;
mod census;
mod clock;
mod evidence;
mod few;
mod holders;
mod images;
mod labels;
mod left;
mod left_out;
mod load;
mod marking;
mod policies;
mod policy_rows;
mod prunable;
mod readers;
mod scope;
mod snapshots;
mod tags;
mod taken_off;
mod trail;
mod written;

pub use audit::{AuditLog, AuditTrail, acts_on, audit_log, made_immutable_at_push};
pub use audit_entry::{MarkedChange, PolicyEntry, write_marked_changes, write_policy_entry};
pub use blocks::{
    Handed, LARGEST_MARKED, Pages, TagsAt, marked_tags_named, tag_pages, tags_of_pages,
    tells_first_characters,
};
pub use census::{Selection, add_sources, census, registry_of, unreadable_names};
pub use clock::{Clocks, server_clock};
pub use evidence::{accounts, accounts_by};
pub use few::{
    Repositories, largest_repository_of_tags, prefer_indexes, ranges_of_few_immutable_tags,
    tags_of_repositories,
};
pub use holders::{HeldTag, held_tags};
pub use images::{LastChange, last_changes};
pub use left::left_mutable;
pub use left_out::add_left_out;
pub use load::{Load, load};
pub use marking::{Marks, mark_at_once, mark_plain};
pub use policies::{
    OwnRow, PoliciesOf, PolicyImages, PolicySchema, change_policy, delete_policy, hold_policy,
    insert_policy, lock_policy_tables, lock_policy_tables_alone, lock_scope, policies,
    restore_policy,
};
pub use policy_rows::{hold_policies, move_policy, remove_policy};
pub use prunable::{
    Prunable, ask_to_prune, hold_ended, prunable, prune_before, prune_operation, prune_tag_changes,
};
pub use readers::{PolicyReader, described, policy_readers};
pub use scope::{
    NamespaceRow, OfSmall, Page, Paged, PagedTag, is_small, last_tag_id, mutable_tags,
    namespace_by_name, namespace_name, page_of_tags, pushed_since, repositories_of,
    repository_by_name, tags_of_small,
};
pub use snapshots::older_snapshots;
pub use tags::{
    RowLock, TAG_COLUMNS, is_wanted, lock_repository, lock_repository_limiting_waits,
    lock_repository_within, names_alive_twice, tag_row, tags_by_id, tags_named,
    try_lock_repositories, write_tags,
};
pub use taken_off::{TakenOff, last_log_entry, policies_changed_since};
pub use trail::Trail;
pub use written::Written;
