//! A rule's examples, judged as a registry is: the same evaluator, rows from the file.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::json;

use super::{
    Account, Act, Activity, Evaluator, Features, Found, Grace, Moment, Namespace, OperationSubject,
    PolicyBook, PolicyRow, PolicyStanding, Registry, Repository, RuleOutcome, Source, Stated,
    Strictness, TagRow, WorkerLife,
};
use crate::quay::{
    AuditEntryId, Expiry, Immutability, ManifestId, NamespaceId, OperationId, PolicyRowId,
    PolicyText, PolicyUuid, RepositoryId, RepositoryState, Scope, TagId, UnixMillis,
};
use crate::rules::{
    Evidence, Example, ExampleAge, ExampleEnd, ExamplePolicy, ExampleScope, ExampleSource,
    ExampleTag, ExampleWorker, Rule, Shows,
};

/// `acme`, and a namespace that is another.
const ACME: NamespaceId = NamespaceId(1);
const ANOTHER: NamespaceId = NamespaceId(2);
/// `acme/shop`.
const SHOP: RepositoryId = RepositoryId(1);
/// The limits by which examples are old or new.
const LIMIT: Duration = Duration::from_secs(3600);

/// What came of one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleOutcome {
    /// What it is to show.
    pub shows: Shows,
    /// What happened in it.
    pub story: String,
    /// What the rule says of it.
    pub outcome: RuleOutcome,
}

impl ExampleOutcome {
    /// Whether the rule says of it what it is to show.
    pub fn holds(&self) -> bool {
        let sums = &self.outcome;
        let found = (
            sums.violations > 0,
            sums.explained > 0,
            sums.undecided.subjects > 0,
            sums.settling > 0,
        );
        match self.shows {
            Shows::Violated => found == (true, false, false, false),
            Shows::Excused => found == (false, true, false, false),
            Shows::Undecided => found == (false, false, true, false),
            Shows::Settling => found == (false, false, false, true),
            Shows::Sound => found == (false, false, false, false) && sums.subjects > 0,
            Shows::NoSubject => sums.subjects == 0,
        }
    }
}

/// Judges every example of a rule.
pub fn try_examples(rule: &Rule) -> Vec<ExampleOutcome> {
    rule.examples
        .iter()
        .map(|example| ExampleOutcome {
            shows: example.shows,
            story: example.story.clone(),
            outcome: outcome(rule, example),
        })
        .collect()
}

fn outcome(rule: &Rule, example: &Example) -> RuleOutcome {
    let now = DateTime::<Utc>::from_timestamp(1_750_000_000, 0).unwrap_or_default();
    let registry = registry(example.source);
    let accepted: HashSet<PolicyUuid> = numbered(&example.policy)
        .filter(|(_, policy)| policy.accepted)
        .map(|(number, _)| uuid(number))
        .collect();
    let rows = numbered(&example.policy)
        .map(|(number, policy)| policy_row(number, policy, now))
        .collect();
    let book = PolicyBook::new(rows).accepting(&accepted);
    let moment = Moment {
        now,
        stale_after: LIMIT,
        features: Features {
            immutable_tags: Stated::On,
            can_expire: match example.immutable_tags_can_expire {
                Some(true) => Stated::On,
                Some(false) => Stated::Off,
                None => Stated::Unknown,
            },
        },
        strictness: Strictness::Lenient,
    };
    let rules = std::slice::from_ref(rule);
    let mut evaluator = Evaluator::new(rules, &registry, &book, moment).with_grace(Grace(LIMIT));
    let accounts = accounts(&example.tag);
    for (number, tag) in numbered(&example.tag) {
        let candidates = evaluator.tag(&tag_row(number, tag, now));
        evaluator.conclude(candidates, &accounts);
    }
    evaluator.policies(|row| standing(&example.policy, row));
    evaluator.operations(&operations(example, now));
    let mut outcomes = evaluator.into_outcomes();
    outcomes.remove(0)
}

/// Ids from 1.
fn numbered<T>(items: &[T]) -> impl Iterator<Item = (i32, &T)> {
    (1..).zip(items)
}

fn uuid(number: i32) -> PolicyUuid {
    PolicyUuid(format!("policy-{number}"))
}

fn registry(source: ExampleSource) -> Registry {
    let mut registry = Registry::default();
    for (id, name) in [(ACME, "acme"), (ANOTHER, "another")] {
        let name = name.to_owned();
        registry.namespaces.insert(id, Namespace { name });
    }
    let shop = Repository {
        namespace: Some(ACME),
        name: "shop".to_owned(),
        state: RepositoryState::Normal,
    };
    registry.repositories.insert(SHOP, shop);
    match source {
        ExampleSource::Pushes => None,
        ExampleSource::Mirror => registry.sources.insert(ACME, Source::Mirror),
        ExampleSource::ProxyCache => registry.sources.insert(ACME, Source::ProxyCache),
    };
    registry
}

fn tag_row(number: i32, tag: &ExampleTag, now: DateTime<Utc>) -> TagRow {
    let millis = |ago: TimeDelta| UnixMillis((now - ago).timestamp_millis());
    TagRow {
        id: TagId(number),
        repository: SHOP,
        name: tag.name.clone(),
        manifest: Some(ManifestId(number)),
        start: millis(TimeDelta::days(30)),
        expiry: Expiry(tag.ends.map(|ends| match ends {
            ExampleEnd::Later => millis(TimeDelta::days(-30)),
            ExampleEnd::Before => millis(TimeDelta::days(3)),
        })),
        immutability: Immutability::from_column(tag.immutable),
        hidden: tag.hidden,
    }
}

fn accounts(tags: &[ExampleTag]) -> HashMap<TagId, Account> {
    numbered(tags)
        .map(|(number, tag)| {
            let account = tag.evidence.iter().map(|kind| found(*kind)).collect();
            (TagId(number), account)
        })
        .collect()
}

fn found(kind: Evidence) -> Found {
    let act = Act {
        entry: AuditEntryId(1),
        at: NaiveDateTime::default(),
        user: None,
    };
    match kind {
        Evidence::Label => Found::Label,
        Evidence::SetByUser => Found::SetByUser(act),
        Evidence::TakenOffByAdministrator => Found::TakenOffByAdministrator(act),
        Evidence::Kept => Found::Kept {
            actor: "somebody".to_owned(),
            reason: None,
        },
        Evidence::LiveOperation => Found::LiveOperation {
            operation: OperationId(1),
        },
        Evidence::Accepted => Found::Accepted,
    }
}

fn policy_row(number: i32, policy: &ExamplePolicy, now: DateTime<Utc>) -> PolicyRow {
    let text = policy.text.clone().unwrap_or_else(|| {
        let pattern = policy.pattern.as_deref();
        let matches = policy.matches.unwrap_or(true);
        json!({ "tag_pattern": pattern, "tag_pattern_matches": matches }).to_string()
    });
    PolicyRow {
        id: PolicyRowId(number),
        uuid: uuid(number),
        scope: match policy.of {
            ExampleScope::Namespace => Scope::Namespace(ACME),
            ExampleScope::Repository => Scope::Repository(SHOP),
        },
        namespace: if policy.in_another_namespace {
            ANOTHER
        } else {
            ACME
        },
        text: PolicyText(text),
        activity: if policy.inactive {
            Activity::Inactive
        } else {
            Activity::Active
        },
        created: match policy.age {
            ExampleAge::Old => Some(now - TimeDelta::days(30)),
            ExampleAge::New => Some(now),
            ExampleAge::Unknown => None,
        },
    }
}

fn standing(policies: &[ExamplePolicy], row: &PolicyRow) -> PolicyStanding {
    numbered(policies)
        .find(|(number, _)| *number == row.id.0)
        .map(|(_, policy)| PolicyStanding {
            owner: policy.owner.map(|owner| (OperationId(1), life(owner))),
            staged: policy.staged,
        })
        .unwrap_or_default()
}

fn life(worker: ExampleWorker) -> WorkerLife {
    match worker {
        ExampleWorker::Live => WorkerLife::Alive,
        ExampleWorker::Gone => WorkerLife::Gone,
    }
}

fn operations(example: &Example, now: DateTime<Utc>) -> Vec<OperationSubject> {
    numbered(&example.operation)
        .map(|(number, operation)| OperationSubject {
            id: OperationId(i64::from(number)),
            kind: "create",
            phase: "applying",
            life: life(operation.worker),
            worker: "worker".to_owned(),
            started: now,
            namespace: "acme".to_owned(),
            repository: None,
        })
        .collect()
}
