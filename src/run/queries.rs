//! Rules that are queries: each row a violation, a failure the rule's own.

use serde_json::Value;

use super::second_look::SecondLook;
use super::{CheckRequest, RunError};
use crate::evaluate::{RowSubject, Violation};
use crate::pg::ReadSnapshot;
use crate::rules::{Rule, RuleId};
use crate::scan::{self, QueryEnded};

/// Violations that are told together.
const AT_ONCE: usize = 1_000;

/// Runs every rule that is a query. What belongs to no shard by itself is the first one's.
pub(super) fn run(
    snapshot: &mut ReadSnapshot<'_>,
    request: &CheckRequest,
    look: &mut SecondLook<'_>,
) -> Result<(), RunError> {
    if !request.shard.is_first() {
        return Ok(());
    }
    for rule in request.rules.rules() {
        let Some(query) = &rule.query else { continue };
        let mut taken = Taken {
            rule,
            request,
            number: 0,
            pending: Vec::new(),
        };
        let ended = scan::rows(snapshot, query, |row| taken.take(&row, look))?;
        look.found(std::mem::take(&mut taken.pending));
        if let QueryEnded::Failed(why) = ended {
            look.evaluator.failed(&rule.id, why);
        }
    }
    Ok(())
}

struct Taken<'r> {
    rule: &'r Rule,
    request: &'r CheckRequest,
    number: i32,
    pending: Vec<Violation>,
}

impl Taken<'_> {
    fn take(&mut self, row: &Value, look: &mut SecondLook<'_>) {
        self.number = self.number.saturating_add(1);
        let subject = subject(row, self.number);
        let selection = &self.request.selection;
        let elsewhere = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_some_and(|name| is != Some(name))
        };
        if elsewhere(&selection.namespace, Some(&subject.namespace))
            || elsewhere(&selection.repository, subject.repository.as_deref())
        {
            return;
        }
        let id: &RuleId = &self.rule.id;
        let found = look.evaluator.row(id, subject, |column| text(row, column));
        self.pending.extend(found);
        if self.pending.len() >= AT_ONCE {
            look.found(std::mem::take(&mut self.pending));
        }
    }
}

fn subject(row: &Value, number: i32) -> RowSubject {
    RowSubject {
        number,
        namespace: text(row, "namespace").unwrap_or_default(),
        repository: text(row, "repository"),
        name: text(row, "name").unwrap_or_else(|| row.to_string()),
    }
}

/// A column as text; none where it is not there or NULL.
fn text(row: &Value, column: &str) -> Option<String> {
    match row.get(column)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}
