//! The instances that are explored: who meets whom, and how much trouble there is.

use super::scenario::{Kind, Safeguard, Scenario, Subject, TagsChoice, UsersAct};
use super::table::Few;

const V1: Few = Few(0b001);
const V2: Few = Few(0b010);
const V3: Few = Few(0b100);
const V4: Few = Few(0b1000);
const BOTH: Few = Few(0b011);
const ALL: Few = Few(0b1111);
/// What lies in the second repository, where there is one.
const BACK: Few = Few(0b1110);

const USERS_DELETE_A: UsersAct = UsersAct::Delete { policy: 0 };
const USERS_POST_B: UsersAct = UsersAct::Post {
    policy: 1,
    names: V1,
};
const USERS_PUT_B: UsersAct = UsersAct::Put {
    policy: 1,
    names: V2,
};
const USERS_DELETE_B: UsersAct = UsersAct::Delete { policy: 1 };

/// How much of everything there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// For every run of the tests.
    Usual,
    /// For a night.
    Full,
}

/// Two tags, one of which expires, and a policy on them and on a third name, which is pushed.
fn creation(title: &'static str) -> Scenario {
    Scenario::new(title, 2)
        .expiring(0)
        .create(0, ALL)
        .pusher(2, true, true)
}

/// The same with the tags under the policy already.
fn governed(title: &'static str) -> Scenario {
    Scenario::new(title, 2).policy(0, ALL).pusher(2, true, true)
}

/// Ours, with everybody in turn.
pub fn of_ours(size: Size) -> Vec<Scenario> {
    let full = size == Size::Full;
    let some = |usual: u8, full_size: u8| if full { full_size } else { usual };
    vec![
        creation("a creation under aware pushers, with and without Quay's lock")
            .pusher(0, true, true)
            .pusher(0, true, false)
            .trouble(1, 2, 0),
        creation("a creation under pushers that do not know the column")
            .pusher(0, false, false)
            .pusher(2, false, true)
            .trouble(1, 2, 0),
        creation("a creation whose worker loses its turn and does not know")
            .pusher(1, false, false)
            .trouble(some(0, 1), some(1, 2), 1),
        creation("a creation and an administrator")
            .administrator(some(2, 3))
            .trouble(1, some(1, 2), 0),
        creation("a creation and an administrator, under an unaware pusher")
            .pusher(0, false, false)
            .administrator(some(1, 2))
            .trouble(1, some(1, 2), 0),
        creation("a creation whose policy Quay's users delete, and post another")
            .pusher(1, false, false)
            .users(&[USERS_DELETE_A, USERS_POST_B])
            .trouble(1, some(1, 2), 0),
        creation("a creation whose policy Quay's users change, and then delete")
            .pusher(1, true, false)
            .users(&[
                UsersAct::Put {
                    policy: 0,
                    names: V1,
                },
                USERS_DELETE_A,
            ])
            .trouble(1, some(1, 2), 0),
        creation("a creation beside a policy that Quay's users post, change and delete")
            .users(&[USERS_POST_B, USERS_PUT_B, USERS_DELETE_B])
            .trouble(1, some(1, 2), 0),
        governed("a deletion with release, and a policy that Quay's users post")
            .pusher(0, true, false)
            .delete(0, ALL)
            .users(&[USERS_POST_B])
            .trouble(0, 2, 0),
        governed("a deletion with release, and an administrator")
            .delete(0, ALL)
            .administrator(some(1, 2))
            .trouble(0, some(1, 2), 1),
        creation("two overlapping creations")
            .create(1, V1)
            .trouble(1, 1, 0),
        creation("two overlapping creations, and an administrator")
            .create(1, V1)
            .administrator(1)
            .trouble(1, some(0, 1), 0),
        governed("a creation that overlaps a deletion")
            .create(1, V1)
            .delete(0, ALL)
            .trouble(1, some(1, 2), 0),
        creation("a creation, and its deletion with release")
            .delete(0, ALL)
            .administrator(some(0, 1))
            .trouble(1, some(1, 2), 0),
        Scenario::new("an activation, and a deactivation with release", 2)
            .expiring(0)
            .inactive(0, BOTH)
            .order(Kind::Activate, 0, Few(0), BOTH)
            .order(Kind::Deactivate, 0, BOTH, Few(0))
            .pusher(0, true, true)
            .users(&[USERS_DELETE_A])
            .trouble(1, 1, 0),
        update("an update that releases what it no longer covers")
            .pusher(0, true, true)
            .pusher(2, false, false)
            .trouble(1, 1, 0),
        update("an update, and an administrator")
            .administrator(some(1, 2))
            .trouble(1, 1, some(0, 1)),
        update("an update whose policy Quay's users delete, and post another")
            .users(&[USERS_DELETE_A, USERS_POST_B])
            .trouble(1, some(1, 2), 0),
        update("an update that overlaps a creation")
            .create(1, V1)
            .trouble(1, 1, 0),
    ]
}

/// Requests that are repeated and changed while the first is at work, interrupted, or being rolled back; pushes that decide by
/// a snapshot that is older than what is committed meanwhile.
pub fn of_requests_and_snapshots(size: Size) -> Vec<Scenario> {
    let full = size == Size::Full;
    let some = |usual: u8, full_size: u8| if full { full_size } else { usual };
    let (release, keep) = (TagsChoice::Release, TagsChoice::Keep);
    vec![
        creation("a creation that is asked for again")
            .again(release)
            .trouble(1, 1, 1),
        governed("a deletion with release that is asked for again, and one that keeps")
            .delete(0, ALL)
            .again(release)
            .again(keep)
            .trouble(0, 2, 1),
        update("an update with release that is asked for again, and one that keeps")
            .again(release)
            .again(keep)
            .trouble(1, 1, some(0, 1)),
        update("an update that keeps and is asked for again, and one that releases")
            .keeping()
            .again(keep)
            .again(release)
            .trouble(1, 1, some(0, 1)),
        Scenario::new("a creation under a push with an older snapshot", 2)
            .expiring(0)
            .create(0, ALL)
            .pusher(2, true, true)
            .repeatable()
            .pusher(0, true, false)
            .repeatable()
            .trouble(1, some(1, 2), 0),
        Scenario::new("a creation under an unaware push with an older snapshot", 2)
            .expiring(0)
            .create(0, ALL)
            .pusher(2, false, true)
            .repeatable()
            .trouble(1, some(1, 2), some(0, 1)),
        Scenario::new(
            "a deletion with release under a push with an older snapshot",
            2,
        )
        .policy(0, ALL)
        .delete(0, ALL)
        .pusher(2, true, true)
        .repeatable()
        .pusher(3, true, false)
        .trouble(0, some(1, 2), some(0, 1)),
    ]
}

/// Hands: a tag in each of two repositories, and a third name, which is pushed to the second.
pub fn of_hands(size: Size) -> Vec<Scenario> {
    let full = size == Size::Full;
    let some = |usual: u8, full_size: u8| if full { full_size } else { usual };
    vec![
        handed("hands, and pushers with and without Quay's lock")
            .create(0, ALL)
            .pusher(2, true, true)
            .pusher(1, true, false)
            .trouble(1, 1, 0)
            .hands(BACK, some(0, 1)),
        handed("hands, and a pusher that does not know the column")
            .create(0, ALL)
            .pusher(2, false, true)
            .trouble(1, some(1, 2), 0)
            .hands(BACK, 1),
        handed("hands, and an administrator")
            .create(0, ALL)
            .administrator(2)
            .trouble(1, some(1, 2), 0)
            .hands(BACK, 1),
        handed("hands whose lead loses its turn and does not know")
            .create(0, ALL)
            .administrator(1)
            .trouble(some(0, 1), 1, 1)
            .hands(BACK, some(0, 1)),
        handed("an activation with hands, and a lead that loses its turn")
            .inactive(0, BOTH)
            .order(Kind::Activate, 0, Few(0), BOTH)
            .trouble(1, 1, 1)
            .hands(BACK, 1),
        handed("hands, and Quay's users, who delete the policy and post another")
            .create(0, ALL)
            .users(&[USERS_DELETE_A, USERS_POST_B])
            .trouble(1, 1, 0)
            .hands(BACK, 1),
        Scenario::new("an update with hands", 3)
            .policy(0, V2)
            .update(2, V2, Few(V1.0 | V3.0))
            .users(&[USERS_DELETE_A])
            .trouble(1, 1, 0)
            .hands(BACK, 1),
        handed("two overlapping creations with hands")
            .create(0, BOTH)
            .create(1, V2)
            .trouble(1, 1, 0)
            .hands(BACK, some(0, 1)),
    ]
}

fn handed(title: &'static str) -> Scenario {
    Scenario::new(title, 2).expiring(1)
}

/// An administrator, Quay's users, a pusher, a fault and a crash, and two operations where it goes.
pub fn of_everybody() -> Vec<Scenario> {
    vec![
        creation("a creation, an administrator and Quay's users")
            .administrator(1)
            .users(&[USERS_POST_B, USERS_DELETE_A])
            .trouble(1, 1, 0),
        Scenario::new("two creations and a deletion, all of which overlap", 2)
            .expiring(1)
            .policy(2, V1)
            .delete(2, V1)
            .create(0, BOTH)
            .create(1, V2)
            .trouble(1, 0, 0),
    ]
}

/// v1, v2 and the new v4 are covered; v2, v3 and v4 are to be.
fn update(title: &'static str) -> Scenario {
    Scenario::new(title, 3)
        .expiring(2)
        .policy(0, Few(V1.0 | V2.0 | V4.0))
        .update(2, Few(V1.0 | V2.0 | V4.0), Few(V2.0 | V3.0 | V4.0))
        .pusher(3, true, true)
}

/// What takes minutes.
pub fn larger() -> Vec<Scenario> {
    vec![
        Scenario::new("three tags, three pushers, everybody in trouble", 3)
            .expiring(0)
            .expiring(1)
            .create(0, ALL)
            .pusher(0, true, true)
            .pusher(1, false, false)
            .pusher(0, true, false)
            .trouble(1, 2, 1),
        creation("two overlapping creations, two pushers, an administrator")
            .create(1, V1)
            .pusher(0, true, false)
            .administrator(1)
            .trouble(1, 1, 0),
        creation("two overlapping creations, and Quay's users")
            .create(1, V1)
            .pusher(0, true, false)
            .users(&[USERS_DELETE_A])
            .trouble(1, 2, 0),
        creation("a creation, an administrator who acts twice, and Quay's users")
            .administrator(2)
            .users(&[USERS_POST_B, USERS_DELETE_A])
            .trouble(1, 1, 0),
        Scenario::new("two creations, a deletion, an administrator", 2)
            .expiring(1)
            .policy(2, V1)
            .delete(2, V1)
            .create(0, BOTH)
            .create(1, BOTH)
            .administrator(1)
            .trouble(1, 0, 0),
    ]
}

/// The instance that all three subjects are explored on.
pub fn of_all(subject: Subject) -> Scenario {
    creation("a creation, an unaware pusher, an administrator")
        .pusher(1, false, true)
        .administrator(1)
        .trouble(1, 1, 0)
        .with_subject(subject)
}

/// What the other subjects' stories are told of: each has one kind of trouble.
pub fn of_stories(subject: Subject) -> Vec<Scenario> {
    let two = |title| Scenario::new(title, 2).expiring(0).create(0, BOTH);
    let mut stories = vec![
        two("a statement fails").trouble(1, 0, 0),
        two("the worker is killed").trouble(0, 1, 0),
        Scenario::new("nothing fails, but somebody pushes", 1)
            .create(0, BOTH)
            .pusher(1, true, true),
    ];
    if subject == Subject::RecommendedFix {
        let unaware = Scenario::new("a Quay that does not know the column pushes", 1)
            .create(0, V2)
            .pusher(1, false, true)
            .trouble(1, 0, 0);
        stories.push(unaware);
    }
    stories
        .into_iter()
        .map(|story| story.with_subject(subject))
        .collect()
}

/// For each safeguard an instance in which its absence does harm, and which property that breaks.
pub fn of_safeguards() -> Vec<(Safeguard, Scenario, usize)> {
    let (orphan, unprotected, users_act, half, turn, otherwise) = (0, 1, 4, 5, 6, 7);
    let pushed = || creation("a creation");
    let unaware = || {
        Scenario::new("a creation under an unaware pusher", 1)
            .create(0, BOTH)
            .pusher(1, false, false)
            .trouble(1, 0, 0)
    };
    let released = || governed("a deletion with release").delete(0, ALL);
    let pushed_without_lock = released().pusher(3, true, false);
    let older = |scenario: Scenario| scenario.pusher(1, true, true).repeatable();
    vec![
        (Safeguard::SettleAtActivation, pushed(), unprotected),
        (Safeguard::SettleAtRollBack, unaware(), orphan),
        (Safeguard::SettleBeforeRelease, pushed_without_lock, orphan),
        (Safeguard::DeleteBeforeUndo, unaware(), orphan),
        (
            Safeguard::ShareMode,
            released().users(&[USERS_POST_B]),
            unprotected,
        ),
        (Safeguard::WholeSweep, pushed(), unprotected),
        (Safeguard::OwnRow, pushed().users(&[USERS_DELETE_A]), orphan),
        (Safeguard::Fence, pushed().trouble(0, 0, 1), turn),
        (
            Safeguard::TakenOff,
            Scenario::new("a creation, Quay's log being elsewhere", 2)
                .create(0, BOTH)
                .administrator(1)
                .log_elsewhere(),
            users_act,
        ),
        (
            Safeguard::NewestOnly,
            creation("two overlapping creations, and an administrator")
                .create(1, V1)
                .administrator(1)
                .trouble(1, 0, 0),
            unprotected,
        ),
        (
            Safeguard::TakenOffByLog,
            creation("a creation").administrator(1),
            users_act,
        ),
        (Safeguard::UsersAct, released().administrator(1), users_act),
        (
            Safeguard::ReleaseToTheEnd,
            Scenario::new("an update", 3)
                .policy(0, BOTH)
                .update(2, BOTH, V3)
                .users(&[USERS_DELETE_A]),
            half,
        ),
        (
            Safeguard::TakenOffAgain,
            with_hands().administrator(1).hands(BACK, 1),
            users_act,
        ),
        (
            Safeguard::TakeOverReads,
            with_hands().administrator(1).trouble(0, 1, 0),
            users_act,
        ),
        (
            Safeguard::HandsFence,
            with_hands().administrator(1).trouble(0, 1, 0),
            users_act,
        ),
        (
            Safeguard::HandsEnd,
            with_hands().pusher(1, true, false),
            unprotected,
        ),
        (
            Safeguard::OlderSnapshots,
            older(Scenario::new("a creation", 1).create(0, BOTH)),
            unprotected,
        ),
        (
            Safeguard::OlderSnapshots,
            older(
                Scenario::new("a deletion with release", 1)
                    .policy(0, BOTH)
                    .delete(0, BOTH),
            ),
            orphan,
        ),
        (
            Safeguard::Identity,
            released().again(TagsChoice::Keep).trouble(0, 1, 0),
            otherwise,
        ),
        (
            Safeguard::Identity,
            Scenario::new("an update that keeps", 3)
                .policy(0, BOTH)
                .update(2, BOTH, V3)
                .keeping()
                .again(TagsChoice::Release)
                .trouble(0, 1, 0),
            otherwise,
        ),
    ]
}

fn with_hands() -> Scenario {
    handed("a creation with hands")
        .create(0, ALL)
        .hands(BACK, 0)
}

/// Safeguards of which either is enough: an instance in which the absence of both does harm, and
/// which property that breaks.
pub fn of_pairs() -> Vec<([Safeguard; 2], Scenario, usize)> {
    let (orphan, unprotected) = (0, 1);
    vec![
        (
            [Safeguard::HandsPhase, Safeguard::SettleAtRollBack],
            handed("an activation with hands")
                .inactive(0, BOTH)
                .order(Kind::Activate, 0, Few(0), BOTH)
                .trouble(1, 1, 0)
                .hands(BACK, 1),
            orphan,
        ),
        (
            [Safeguard::FromTheBack, Safeguard::WholeSweep],
            with_hands().trouble(0, 1, 0),
            unprotected,
        ),
    ]
}
