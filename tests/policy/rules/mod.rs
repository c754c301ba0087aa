//! The rules of the protocol, each with its protection, and what goes wrong without it.
//!
//! `make mutants` runs a test of a rule once more, on a program that lacks it.

mod liveness;
mod locks;
mod own_row;
mod settle;
mod sweep;
mod undo;

use quay_doctor::pg::WriteSession;
use testkit::moments::Moment;
use testkit::proxy::Hold;

use super::running::Running;
use super::scene::{Scene, policy};

const CREATE: [&str; 7] = [
    "create",
    "--namespace",
    "acme",
    "--pattern",
    "v.*",
    "--strategy",
    "phased",
];

/// What a push reads before it decides.
const READS_POLICIES: &str = "BEGIN; SELECT policy FROM repositoryimmutabilitypolicy WHERE active;
    SELECT policy FROM namespaceimmutabilitypolicy WHERE active";

/// Starts an operation on policies, and waits until it stands at a moment.
#[track_caller]
fn held(scene: &Scene, at: Moment, args: &[&str]) -> (Hold, Running) {
    scene.held(at, &policy(args))
}

/// Inserts a row as a push does, without a lock; the transaction stays open.
fn insert(session: &mut WriteSession, repository: &str, name: &str, immutable: bool) {
    session
        .run(&format!(
            "INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable)
             SELECT '{name}', id, (extract(epoch FROM now()) * 1000)::bigint, 1, {immutable}
             FROM repository WHERE name = '{repository}'"
        ))
        .expect("a push");
}

/// Quay's entry about a push that a policy made immutable.
fn log_push(session: &mut WriteSession, name: &str) {
    session
        .run(&format!(
            "INSERT INTO logentry3 (kind_id, account_id, datetime, metadata_json)
             SELECT k.id, u.id, timezone('utc', now()), '{{\"tag\": \"{name}\", \"namespace\": \"acme\", \"repo\": null, \"immutable\": true}}'
             FROM logentrykind k, \"user\" u
             WHERE k.name = 'tag_made_immutable_by_policy' AND u.username = 'acme'"
        ))
        .expect("an entry");
}

/// An administrator takes immutability off, and Quay logs it.
fn take_off(scene: &Scene, repository: &str, name: &str) {
    scene.sql(&format!(
        r#"UPDATE tag SET immutable = false WHERE name = '{name}' AND repository_id
               = (SELECT id FROM repository WHERE name = '{repository}');
           INSERT INTO logentry3 (kind_id, account_id, repository_id, datetime, metadata_json)
           SELECT k.id, r.namespace_user_id, r.id, timezone('utc', now()),
               '{{"tag": "{name}", "username": "root", "immutable": false, "previous_immutable": true}}'
           FROM logentrykind k, repository r
           WHERE k.name = 'change_tag_immutability' AND r.name = '{repository}'"#
    ));
}

fn immutable(scene: &Scene, name: &str) -> bool {
    scene.count(&format!(
        "SELECT count(*) FROM tag WHERE name = '{name}' AND immutable"
    )) == 1
}

fn immutable_in(scene: &Scene, repository: &str, name: &str) -> bool {
    scene.count(&format!(
        "SELECT count(*) FROM tag t JOIN repository r ON r.id = t.repository_id
         WHERE t.name = '{name}' AND r.name = '{repository}' AND t.immutable"
    )) == 1
}
