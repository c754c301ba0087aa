//! A counterexample as a story: who does what, and what the tables look like after it.

use super::bystanders::Bystander;
use super::checking::{Action, Story};
use super::operations::Work;
use super::scenario::{Kind, Scenario, Subject, UsersAct};
use super::state::{FROZEN, Hand, Phase, Push, Stage, State, Walks};
use super::table::{Act, Force, Presence, Tag, policy_name, tag_name};

/// The story as a table in Markdown: one column a tag row, one a policy.
pub fn told(scenario: &Scenario, story: &Story) -> String {
    let last = story.last().map(|(state, _)| state);
    let rows: Vec<usize> = last.map_or_else(Vec::new, |state| (0..state.ids()).collect());
    let policies: Vec<usize> = (0..scenario.policies.len())
        .filter(|slot| {
            let there = |state: &State| state.policies[*slot].force != Force::Absent;
            story.iter().any(|(state, _)| there(state))
        })
        .collect();
    let mut text = String::from("| who | does |");
    for row in &rows {
        let tag = last.map_or_else(Tag::default, |state| state.tags[*row]);
        text.push_str(&format!(" row {}: {} |", row + 1, tag_name(tag.name)));
    }
    for slot in &policies {
        text.push_str(&format!(" policy {} |", policy_name(*slot)));
    }
    let columns = 2 + rows.len() + policies.len();
    text.push_str(&format!("\n|{}\n", " --- |".repeat(columns)));
    let mut before: Option<(&State, Action)> = None;
    for (state, action) in story {
        let (who, what) = match before {
            None => (String::new(), "(at first)".to_owned()),
            Some((state, action)) => step(scenario, state, action),
        };
        text.push_str(&format!("| {who} | {what} |"));
        for row in &rows {
            text.push_str(&format!(" {} |", tag(&state.tags[*row])));
        }
        for slot in &policies {
            text.push_str(&format!(" {} |", state.policies[*slot]));
        }
        text.push('\n');
        before = action.map(|action| (state, action));
    }
    text
}

fn tag(tag: &Tag) -> String {
    match tag.presence {
        Presence::None => return String::new(),
        Presence::Uncommitted => return "(not committed)".to_owned(),
        Presence::Dead => return "replaced".to_owned(),
        Presence::Live => {}
    }
    let mut text = if tag.immutable {
        "**immutable**".to_owned()
    } else {
        "mutable".to_owned()
    };
    if tag.expiring {
        text.push_str(", expires");
    } else if tag.owed_expiry {
        text.push_str(", expiry cleared");
    }
    match tag.act {
        Act::Nothing => {}
        Act::Set => text.push_str(", set by a user"),
        Act::TakenOff => text.push_str(", taken off by an administrator"),
    }
    text
}

/// Who takes a step, and what it is.
fn step(scenario: &Scenario, before: &State, action: Action) -> (String, String) {
    match action {
        Action::Bystander(action) => bystander(scenario, before, action),
        Action::Work(work) => of_work(scenario, before, work),
    }
}

fn bystander(scenario: &Scenario, before: &State, action: Bystander) -> (String, String) {
    let (who, what) = match action {
        Bystander::PushBegins(push)
        | Bystander::PushDecides(push)
        | Bystander::PushCommits(push)
        | Bystander::PushFails(push) => {
            let pusher = scenario.pushers[push];
            let aware = if pusher.aware { "" } else { " (unaware)" };
            return (
                format!("a push{aware}"),
                pushes(scenario, before, action, push),
            );
        }
        Bystander::UsersAct => {
            let what = match scenario.users[before.users as usize] {
                UsersAct::Post { policy, .. } => format!("post policy {}", policy_name(policy)),
                UsersAct::Put { policy, .. } => format!("change policy {}", policy_name(policy)),
                UsersAct::Delete { policy } => format!("delete policy {}", policy_name(policy)),
            };
            ("Quay's users", what)
        }
        Bystander::PassReads => ("Quay's pass", "reads the mutable tags".to_owned()),
        Bystander::PassMarks => ("Quay's pass", "marks what it has read".to_owned()),
        Bystander::PassClears => ("Quay's pass", "clears expiries".to_owned()),
        Bystander::TakesOff(row) => (
            "an administrator",
            format!("takes immutability off row {}", row + 1),
        ),
        Bystander::Sets(row) => ("a user", format!("sets row {} immutable", row + 1)),
    };
    (who.to_owned(), what)
}

fn pushes(scenario: &Scenario, before: &State, action: Bystander, push: usize) -> String {
    let pusher = scenario.pushers[push];
    let name = tag_name(pusher.name);
    let (by, how) = match before.pushes[push] {
        Push::Begun { by, .. } => (by, " by its snapshot"),
        _ => (before.deciding(pusher.name, !pusher.aware), ""),
    };
    let decides = if by.is_empty() {
        "mutable"
    } else {
        "immutable"
    };
    match action {
        Bystander::PushBegins(_) => format!("takes its snapshot, for {name}"),
        Bystander::PushFails(_) => format!("fails: {name} was changed since its snapshot"),
        Bystander::PushCommits(_) => format!("commits {name}"),
        _ => format!("reads the policies for {name}{how}: {decides}; inserts it"),
    }
}

fn of_work(scenario: &Scenario, before: &State, work: Work) -> (String, String) {
    let order = |operation: usize| {
        let order = &scenario.orders[operation];
        let verb = match order.kind {
            Kind::Create => "creation",
            Kind::Activate => "activation",
            Kind::Delete => "deletion",
            Kind::Deactivate => "deactivation",
            Kind::Update { .. } => "update",
        };
        format!("{verb} of {}", policy_name(order.policy))
    };
    let of_worker = |worker: usize| {
        let operation = before.workers[worker].map_or(0, |at_work| at_work.operation());
        let frozen = if worker == FROZEN { ", taken over" } else { "" };
        format!("{}{frozen}", order(operation))
    };
    match work {
        Work::Begins(operation) => (order(operation), begins(scenario, operation).to_owned()),
        Work::BeginsAtOnce(operation) => (
            order(operation),
            "begins, marks and activates in one transaction".to_owned(),
        ),
        Work::Reads { worker, all } => {
            let what = if all {
                "reads all tags that are left"
            } else {
                "reads one tag"
            };
            (of_worker(worker), what.to_owned())
        }
        Work::Steps(worker) => (of_worker(worker), steps(scenario, before, worker)),
        Work::Fails(worker) => {
            let what = match scenario.subject {
                Subject::Ours => "a statement fails: it turns back",
                _ => "a statement fails: the handler deletes the policy row",
            };
            (of_worker(worker), what.to_owned())
        }
        Work::Dies(worker) => (of_worker(worker), "its worker is killed".to_owned()),
        Work::Freezes(worker) => (of_worker(worker), "its worker is out of sight".to_owned()),
        Work::LooksBefore(operation) => (order(operation), "`recover` looks at its row".to_owned()),
        Work::Recovers { operation, back } => {
            let what = match (scenario.subject, back) {
                (Subject::Ours, true) => "`recover` takes it over, and back",
                (Subject::Ours, false) => "`recover` takes it over, and goes on",
                _ => "a clean-up deletes the inactive policy row",
            };
            (order(operation), what.to_owned())
        }
        Work::Asks(request) => (
            order(request),
            "is asked for again, and goes on with what was interrupted".to_owned(),
        ),
        Work::HandTakes(lead) => (
            of_worker(lead),
            "its hand takes the other repository".to_owned(),
        ),
        Work::HandSteps(index)
        | Work::HandStops(index)
        | Work::HandLost(index)
        | Work::HandVanishes(index) => {
            let hand = before.hands[index];
            let operation = hand.map_or(0, |hand| hand.operation as usize);
            let what = match work {
                Work::HandStops(_) => "ends with its lead",
                Work::HandLost(_) => "its connection is lost",
                Work::HandVanishes(_) => "is not carried out",
                _ => hand.as_ref().map_or("", of_hand),
            };
            (format!("a hand, {}", order(operation)), what.to_owned())
        }
    }
}

fn of_hand(hand: &Hand) -> &'static str {
    match (hand.open, hand.compared) {
        _ if !hand.has_read => "reads all tags of its repository",
        (None, _) => "locks the next row, and changes it",
        (Some(_), false) => "compares the policy, and whether its lead lives",
        (Some(_), true) => "compares fence and phase, and commits",
    }
}

fn begins(scenario: &Scenario, operation: usize) -> &'static str {
    match (scenario.subject, scenario.orders[operation].kind) {
        (Subject::QuaysWay, _) => "inserts the policy row, active",
        (_, Kind::Delete) => "deletes the policy row",
        (_, Kind::Deactivate) => "sets the policy row inactive",
        (_, Kind::Update { .. }) => "stages its text as an inactive row",
        (_, Kind::Activate) => "begins",
        (_, Kind::Create) => "inserts the policy row, inactive",
    }
}

fn steps(scenario: &Scenario, before: &State, index: usize) -> String {
    let Some(worker) = before.workers[index] else {
        return String::new();
    };
    if let Some(row) = worker.open {
        return format!("commits the release of row {}", row + 1);
    }
    let next = worker.page.iter().next().map_or(0, |row| row + 1);
    match (worker.stage, worker.phase) {
        (Stage::Walk, _) if worker.walks == Walks::Over => "its hands have ended".to_owned(),
        (Stage::Walk, Phase::Releasing) | (Stage::Undo | Stage::Pushed, _) => {
            "locks the next row, reads the policies, decides".to_owned()
        }
        (Stage::Walk, _) => "looks at the next row under lock".to_owned(),
        (Stage::Activate, _) if scenario.subject == Subject::QuaysWay => "ends".to_owned(),
        (Stage::Activate, _) => "activates".to_owned(),
        (Stage::Look, _) => "looks who has read the policies".to_owned(),
        (Stage::Wait, _) => "has waited for them".to_owned(),
        (Stage::Again, _) => "begins the next walk".to_owned(),
        (Stage::Finish, _) => "is done".to_owned(),
        (Stage::TurnBack, _) => "turns back: the pending policy row goes".to_owned(),
        (Stage::RolledBack, _) => "is rolled back".to_owned(),
        (Stage::Pass, _) if worker.found => format!("clears the expiry of row {next}"),
        (Stage::Pass, _) => format!("marks row {next}"),
    }
}
