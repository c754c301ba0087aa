//! Everybody else: pushers, and Quay's users, while an operation is under way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use quay_doctor::ConnectionSettings;
use quay_doctor::pg::{Columns, PgError, Statements, WriteSession};
use quay_doctor::quay::{PolicyText, RepositoryId, Scope, TagId, retarget_lock_key};
use testkit::oracle::{Act, State};
use testkit::pusher::{Enforces, Flavour, Locking, Pusher};

use super::world::{Arena, NAMES, PATTERNS, REPOSITORIES, open, text, user_act};

/// A pusher's clock, in milliseconds ahead of the server's.
const CLOCKS: [i64; 5] = [0, 5_000, -5_000, 700, -300];

/// How many pushes one pusher makes at most: a registry that grows without end slows itself down.
const PUSHES: u32 = 40;

#[derive(Clone, Debug)]
pub struct PusherSpec {
    pub clock: usize,
    pub locks: bool,
    /// The longest time between evaluation and insertion.
    pub pause_ms: u64,
    pub seed: u64,
}

pub fn pushers(most: usize) -> impl Strategy<Value = Vec<PusherSpec>> {
    let pusher = (0..CLOCKS.len(), any::<bool>(), any::<u64>()).prop_map(|(clock, locks, seed)| {
        PusherSpec {
            clock,
            locks,
            pause_ms: 15,
            seed,
        }
    });
    prop::collection::vec(pusher, 0..=most)
}

/// Pushes names at random until it is told to stop. Quay's own errors (a duplicate, a lock that is
/// not had, a server that is gone) end a push and not a pusher.
pub fn push_about(arena: &Arena, spec: &PusherSpec, aware: bool, stop: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(spec.seed);
    let flavour = Flavour {
        enforces: if aware {
            Enforces::Active
        } else {
            Enforces::Every
        },
        locking: if spec.locks {
            Locking::Repository
        } else {
            Locking::None
        },
        clock_ahead_ms: CLOCKS[spec.clock],
    };
    let settings = ConnectionSettings::resolve(Some(&arena.url())).expect("settings");
    let mut pusher = None;
    for _ in 0..PUSHES {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let repository = arena.repositories[random.usize(..REPOSITORIES)];
        let name = NAMES[random.usize(..NAMES.len())];
        let pause =
            (random.u32(..3) == 0).then(|| Duration::from_millis(random.u64(..spec.pause_ms)));
        if pusher.is_none() {
            pusher = Pusher::open(&settings, flavour).ok();
        }
        if let Some(open) = &mut pusher
            && open.push(repository, name, pause).is_err()
        {
            pusher = None;
        }
        std::thread::sleep(Duration::from_millis(random.u64(1..12)));
    }
}

/// What a user does, to the nth tag or policy that there was before.
#[derive(Clone, Debug)]
pub enum Doing {
    Set(usize),
    TakeOff(usize),
    Expire(usize, bool),
    Delete(usize),
    /// The operation's own policy.
    DeletePolicy,
    /// The operation's own policy, by a text that matches nothing; later its owner deletes it.
    PutPolicy,
    /// Quay's own creation, with its pass.
    PostPolicy(usize),
    /// A push of this name into this repository that began before the operation did, and commits
    /// now: its row has an old id.
    LatePush(usize, usize),
    /// A push of this name into this repository, under REPEATABLE READ, whose snapshot is from before the
    /// operation began, and that inserts its row and commits now.
    OldPush(usize, usize),
}

#[derive(Clone, Debug)]
pub struct ActSpec {
    pub doing: Doing,
    /// After so many statements of the operation.
    pub after: u64,
}

pub fn acts(most: usize) -> impl Strategy<Value = Vec<ActSpec>> {
    let doing = prop_oneof![
        3 => (0..40_usize).prop_map(Doing::Set),
        3 => (0..40_usize).prop_map(Doing::TakeOff),
        3 => (0..40_usize, any::<bool>()).prop_map(|(nth, soon)| Doing::Expire(nth, soon)),
        2 => (0..40_usize).prop_map(Doing::Delete),
        1 => Just(Doing::DeletePolicy),
        1 => Just(Doing::PutPolicy),
        2 => (0..PATTERNS.len()).prop_map(Doing::PostPolicy),
        1 => (0..REPOSITORIES, 0..NAMES.len()).prop_map(|(of, name)| Doing::LatePush(of, name)),
    ];
    let act = (doing, 5_u64..160).prop_map(|(doing, after)| ActSpec { doing, after });
    prop::collection::vec(act, 1..=most)
}

/// A text that makes nothing immutable.
const NOTHING: &str = "nothing-is-called-like-this";

/// The policy that an operation is about: by uuid, or, where that is not known, by scope and text.
#[derive(Clone, Debug)]
pub struct OwnPolicy {
    pub uuid: Option<String>,
    pub scope: Scope,
    pub text: PolicyText,
}

/// What acts there were, and what befell those who did them.
#[derive(Debug, Default)]
pub struct Acted {
    /// Those that were carried out, in their order.
    pub acts: Vec<Act>,
    /// Requests of Quay's that a deadlock ended.
    pub victims: u64,
}

/// The SQLSTATE of a deadlock's victim.
const DEADLOCK: &str = "40P01";

/// A push that has begun.
pub struct Late {
    after: u64,
    session: WriteSession,
    /// What it has still to do.
    rest: String,
}

/// Pushes that have begun and are yet to commit.
pub fn late(arena: &Arena, specs: &[ActSpec], before: &State) -> Vec<Late> {
    let mut late = Vec::new();
    for spec in specs {
        let (of, name, old) = match spec.doing {
            Doing::LatePush(of, name) => (of, name, false),
            Doing::OldPush(of, name) => (of, name, true),
            _ => continue,
        };
        let mut session = arena.session();
        let pushed_as = format!("{}-late-{}", NAMES[name], spec.after);
        let immutable = before.decides(arena.repositories[of], &pushed_as);
        let begins = "SELECT policy FROM repositoryimmutabilitypolicy WHERE active;
             SELECT policy FROM namespaceimmutabilitypolicy WHERE active;";
        let inserts = format!(
            "INSERT INTO tag (name, repository_id, lifetime_start_ms, hidden, tag_kind_id, immutable)
             VALUES ('{pushed_as}', {of},
                 (extract(epoch FROM clock_timestamp()) * 1000)::bigint, false, 1, {immutable});",
            of = arena.repositories[of],
        );
        let (now, rest) = if old {
            let now = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {begins}");
            (now, format!("{inserts} COMMIT"))
        } else {
            (format!("BEGIN; {begins} {inserts}"), "COMMIT".to_owned())
        };
        session.run(&now).expect("a push that has begun");
        late.push(Late {
            after: spec.after,
            session,
            rest,
        });
    }
    late
}

/// Carries acts out.
pub fn act(
    arena: &Arena,
    late_pushes: Vec<Late>,
    specs: &[ActSpec],
    before: &State,
    own: Option<&OwnPolicy>,
    statements: &dyn Fn() -> u64,
    stop: &AtomicBool,
) -> Acted {
    let mut specs = specs.to_vec();
    specs.sort_by_key(|spec| spec.after);
    let ids: Vec<TagId> = before.tags.keys().copied().collect();
    let mut late = late_pushes;
    let mut done = Acted::default();
    for spec in specs {
        let begun = Instant::now();
        while statements() < spec.after && !stop.load(Ordering::Relaxed) {
            if begun.elapsed() > Duration::from_secs(20) {
                return done;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if matches!(spec.doing, Doing::LatePush(..) | Doing::OldPush(..)) {
            if let Some(at) = late.iter().position(|push| push.after == spec.after) {
                let mut push = late.swap_remove(at);
                // The server may be gone: then nobody has pushed.
                let _ = push.session.run(&push.rest);
            }
            continue;
        }
        let Ok(mut session) = open(&arena.url()) else {
            continue;
        };
        match one(arena, &mut session, &spec.doing, before, &ids, own) {
            Ok(act) => done.acts.extend(act),
            // Where it cannot be carried out, nobody has done anything.
            Err(error) => done.victims += u64::from(error.sqlstate() == Some(DEADLOCK)),
        }
    }
    done
}

pub(super) fn one(
    arena: &Arena,
    session: &mut WriteSession,
    doing: &Doing,
    before: &State,
    ids: &[TagId],
    own: Option<&OwnPolicy>,
) -> Result<Option<Act>, PgError> {
    session.run("SET lock_timeout = '3s'")?;
    let tag = |nth: &usize| {
        let id = *ids.get(nth % ids.len().max(1))?;
        before.tags.get(&id).map(|tag| (id, tag.clone()))
    };
    match doing {
        Doing::Set(nth) | Doing::TakeOff(nth) => {
            let Some((id, row)) = tag(nth) else {
                return Ok(None);
            };
            let sets = matches!(doing, Doing::Set(_));
            let mut tx = session.begin()?;
            lock(&mut tx, row.repository)?;
            // PUT of a tag: refused on an expiring one (endpoints/api/tag.py:286-315).
            let changed = tx.execute(
                "UPDATE tag SET immutable = $2
                 WHERE id = $1 AND NOT hidden AND lifetime_end_ms IS NULL AND immutable <> $2",
                &[&id.0, &sets],
            )?;
            if changed == 0 {
                return Ok(None);
            }
            tx.run(&user_act(arena.namespace, row.repository, &row.name, sets))?;
            tx.commit()?;
            Ok(Some(if sets {
                Act::Set(id)
            } else {
                Act::TakenOff(id)
            }))
        }
        Doing::Expire(nth, soon) => {
            let Some((id, _)) = tag(nth) else {
                return Ok(None);
            };
            let end = soon.then(|| before.read_at_ms + 20 * 86_400_000);
            // A Quay before v3.18.0 takes no lock for that.
            let mut tx = session.begin()?;
            let changed = tx.execute(
                "UPDATE tag SET lifetime_end_ms = $2
                 WHERE id = $1 AND NOT hidden AND NOT immutable
                     AND (lifetime_end_ms IS NULL OR lifetime_end_ms >
                         (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 10000)",
                &[&id.0, &end],
            )?;
            tx.commit()?;
            Ok((changed == 1).then_some(Act::Expires(id, end)))
        }
        Doing::Delete(nth) => {
            let Some((id, row)) = tag(nth) else {
                return Ok(None);
            };
            let mut tx = session.begin()?;
            // Quay's delete locks the row, then the repository. This one's clock is ahead: by ours
            // the row lives on for some seconds.
            tx.query("SELECT FROM tag WHERE id = $1 FOR UPDATE", &[&id.0])?;
            std::thread::sleep(Duration::from_millis(25));
            lock(&mut tx, row.repository)?;
            let ended = tx.query_opt(
                "UPDATE tag
                 SET lifetime_end_ms = (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 5000
                 WHERE id = $1 AND NOT hidden AND NOT immutable
                     AND (lifetime_end_ms IS NULL OR lifetime_end_ms >
                         (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 10000)
                 RETURNING lifetime_end_ms",
                &[&id.0],
            )?;
            let end = ended.map(|row| row.read(0)).transpose()?;
            tx.commit()?;
            Ok(end.map(|end| Act::Deleted(id, end)))
        }
        Doing::DeletePolicy => own.map_or(Ok(None), |own| delete_policy(session, own)),
        Doing::PutPolicy => {
            if let Some(own) = own {
                put_policy(session, own)?;
            }
            Ok(None)
        }
        Doing::PostPolicy(nth) => post_policy(arena, session, PATTERNS[*nth]),
        // It has begun long ago.
        Doing::LatePush(..) | Doing::OldPush(..) => Ok(None),
    }
}

fn lock(pg: &mut impl Statements, repository: RepositoryId) -> Result<(), PgError> {
    pg.query_one(
        "SELECT pg_advisory_xact_lock($1)",
        &[&retarget_lock_key(repository)],
    )?;
    Ok(())
}

/// Deletes the operation's policy as its owner; what else it was then.
pub fn delete_policy(session: &mut WriteSession, own: &OwnPolicy) -> Result<Option<Act>, PgError> {
    let table = own.scope.table();
    let (name, column) = (table.name(), table.scope_column());
    let id = match own.scope {
        Scope::Namespace(id) => id.0,
        Scope::Repository(id) => id.0,
    };
    let gone = session.query_opt(
        &format!(
            "DELETE FROM {name}
             WHERE id = (
                 SELECT id FROM {name}
                 WHERE {column} = $1 AND (uuid = $2 OR ($2 IS NULL AND policy IN ($3, $4)))
                 ORDER BY policy = $4 DESC, id
                 LIMIT 1)
             RETURNING uuid, EXISTS (
                 SELECT FROM quay_doctor.operation o
                 WHERE o.finished_at IS NULL AND o.policy_uuid = {name}.uuid)"
        ),
        &[&id, &own.uuid, &own.text.0, &text(NOTHING).0],
    )?;
    let Some(row) = gone else { return Ok(None) };
    Ok(Some(Act::PolicyDeleted {
        uuid: row.read(0)?,
        was: (own.scope, own.text.clone()),
        during: row.read(1)?,
    }))
}

/// Changes the text of the operation's policy, where an operation on it is under way.
fn put_policy(session: &mut WriteSession, own: &OwnPolicy) -> Result<(), PgError> {
    let name = own.scope.table().name();
    session.query(
        &format!(
            "UPDATE {name} SET policy = $1
             WHERE (uuid = $2 OR ($2 IS NULL AND policy = $3)) AND EXISTS (
                 SELECT FROM quay_doctor.operation o
                 WHERE o.finished_at IS NULL AND o.policy_uuid = {name}.uuid
                     AND o.kind IN ('create', 'activate', 'update'))"
        ),
        &[&text(NOTHING).0, &own.uuid, &own.text.0],
    )?;
    Ok(())
}

/// The texts of a scope's policies that a put has left: whoever put them deletes them.
pub fn is_put(state: &State) -> bool {
    let nothing = text(NOTHING);
    state.policies.values().any(|policy| policy.text == nothing)
}

/// Quay's creation (immutability.py:223-275): the row first, then its pass, statement by statement.
fn post_policy(
    arena: &Arena,
    session: &mut WriteSession,
    pattern: &str,
) -> Result<Option<Act>, PgError> {
    let text = text(pattern);
    let twin = session.query_opt(
        "SELECT FROM namespaceimmutabilitypolicy WHERE namespace_id = $1 AND policy = $2 LIMIT 1",
        &[&arena.namespace.0, &text.0],
    )?;
    if twin.is_some() {
        return Ok(None);
    }
    session.query(
        "INSERT INTO namespaceimmutabilitypolicy (uuid, namespace_id, policy) VALUES ($1, $2, $3)",
        &[
            &uuid::Uuid::new_v4().to_string(),
            &arena.namespace.0,
            &text.0,
        ],
    )?;
    // The row is there: whatever becomes of the pass, the policy was added.
    session.run("SET lock_timeout = '20s'")?;
    let ids: Vec<i32> = session
        .query(
            "SELECT t.id, t.name FROM tag t JOIN repository r ON r.id = t.repository_id
             WHERE r.namespace_user_id = $1 AND NOT t.hidden AND NOT t.immutable
                 AND (t.lifetime_end_ms IS NULL OR t.lifetime_end_ms >
                     (extract(epoch FROM clock_timestamp()) * 1000)::bigint)",
            &[&arena.namespace.0],
        )?
        .iter()
        .filter(|row| {
            let name: &str = row.get(1);
            testkit::pusher::makes_immutable(&text, name)
        })
        .map(|row| row.get(0))
        .collect();
    session.query(
        "UPDATE tag SET immutable = true WHERE id = ANY ($1)",
        &[&ids],
    )?;
    session.query(
        "UPDATE tag SET lifetime_end_ms = NULL
         WHERE id = ANY ($1) AND lifetime_end_ms IS NOT NULL",
        &[&ids],
    )?;
    Ok(Some(Act::PolicyAdded(
        Scope::Namespace(arena.namespace),
        text,
    )))
}
