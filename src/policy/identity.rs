//! The identity of an operation: a request goes on with an interrupted operation only where it asks for
//! the same in everything that changes the outcome.

use super::{PolicyError, PolicyOptions};
use crate::journal::{OperationOptions, Phase, PolicyOperation, TagsChoice};

/// Refuses a request that asks for something else than the operation that was interrupted, and names
/// the differences.
pub(super) fn same_request(
    found: &PolicyOperation,
    wanted: &OperationOptions,
) -> Result<(), PolicyError> {
    let differences = differences(&found.options, wanted);
    if differences.is_empty() {
        return Ok(());
    }
    let id = found.id;
    let kind = found.kind.as_column();
    let help = match found.phase {
        Phase::Applying => format!(
            "finish it: `quay-doctor recover {id} --resume`, or roll it back: `quay-doctor recover {id} --roll-back`; \
             then run this command again"
        ),
        Phase::Undoing => {
            format!("finish its roll-back: `quay-doctor recover {id}`; then run this command again")
        }
        _ => format!(
            "it can no longer be rolled back. Finish it: `quay-doctor recover {id}`; then look at what is left to do"
        ),
    };
    Err(PolicyError::refused(
        format!(
            "operation {id} ({kind}) was interrupted, and it was asked for otherwise: {}",
            differences.join("; ")
        ),
        help,
    ))
}

/// What a request asks for otherwise. Whether immutable tags may expire, and whether Quay knows the
/// column, are facts: who goes on may state what was not stated, or leave them as they were stated.
fn differences(was: &OperationOptions, is: &OperationOptions) -> Vec<String> {
    let mut found = Vec::new();
    let mut differs = |was: String, is: String| {
        if was != is {
            found.push(format!("{was} then, {is} now"));
        }
    };
    differs(tags(was.tags), tags(is.tags));
    differs(
        flag("--inactive", was.inactive),
        flag("--inactive", is.inactive),
    );
    differs(
        flag("--no-audit", !was.audit),
        flag("--no-audit", !is.audit),
    );
    for (option, was, is) in [
        ("--immutable-tags-can-expire", was.can_expire, is.can_expire),
        (
            "--quay-knows-active",
            was.quay_knows_active,
            is.quay_knows_active,
        ),
    ] {
        if let (Some(was), Some(is)) = (was, is) {
            differs(format!("{option} {was}"), format!("{option} {is}"));
        }
    }
    // An older version did not write these down.
    if let (Some(was), Some(is)) = (was.restore_past_expiry, is.restore_past_expiry) {
        let option = "--restore-past-expiry";
        differs(flag(option, was), flag(option, is));
    }
    if let (Some(was), Some(is)) = (was.clock_margin_ms, is.clock_margin_ms) {
        differs(
            format!("--clock-margin {was}ms"),
            format!("--clock-margin {is}ms"),
        );
    }
    let only = |after: Option<i64>| match after {
        None => "all tags".to_owned(),
        Some(last) => format!("only tags after {last}, as an undo of `fix` asks"),
    };
    differs(only(was.only_after), only(is.only_after));
    found
}

fn tags(choice: Option<TagsChoice>) -> String {
    match choice {
        Some(TagsChoice::Keep) => "tags are to be kept".to_owned(),
        Some(TagsChoice::Release) => "tags are to be released".to_owned(),
        None => "no choice about tags".to_owned(),
    }
}

fn flag(name: &str, given: bool) -> String {
    if given {
        name.to_owned()
    } else {
        format!("no {name}")
    }
}

/// Whether an expiration that has passed is written back: the operation was asked to, or whoever
/// finishes it is.
pub(super) fn restores_past_expiry(operation: &PolicyOperation, given: &PolicyOptions) -> bool {
    given.restore_past_expiry || operation.options.restore_past_expiry == Some(true)
}

/// The margin of clocks that the operation began with, in milliseconds.
pub(super) fn clock_margin_ms(operation: &PolicyOperation, given: &PolicyOptions) -> i64 {
    let given = i64::try_from(given.clock_margin.as_millis()).unwrap_or(i64::MAX);
    operation.options.clock_margin_ms.unwrap_or(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_that_changes_the_outcome_is_compared() {
        let plain = || OperationOptions {
            tags: Some(TagsChoice::Release),
            can_expire: Some(false),
            audit: true,
            restore_past_expiry: Some(false),
            clock_margin_ms: Some(60_000),
            ..OperationOptions::default()
        };
        type Change = fn(&mut OperationOptions);
        let others: [(Change, &str); 8] = [
            (|o| o.tags = Some(TagsChoice::Keep), "kept"),
            (|o| o.inactive = true, "--inactive"),
            (|o| o.audit = false, "--no-audit"),
            (|o| o.can_expire = Some(true), "--immutable-tags-can-expire"),
            (
                |o| o.restore_past_expiry = Some(true),
                "--restore-past-expiry",
            ),
            (|o| o.clock_margin_ms = Some(5), "--clock-margin 5ms"),
            (|o| o.only_after = Some(7), "only tags after 7"),
            (|o| o.tags = None, "no choice about tags"),
        ];
        for (change, named) in others {
            let mut other = plain();
            change(&mut other);
            let told = differences(&plain(), &other);
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].contains(named), "{told:?}");
        }
        // What does not change the outcome, or is stated only now, or was never written down.
        let same: [Change; 5] = [
            |o| o.strategy = "atomic".to_owned(),
            |o| o.last_entry_before = Some(3),
            |o| o.can_expire = None,
            |o| o.quay_knows_active = Some(true),
            |o| (o.restore_past_expiry, o.clock_margin_ms) = (None, None),
        ];
        for change in same {
            let mut other = plain();
            change(&mut other);
            assert_eq!(differences(&plain(), &other), Vec::<String>::new());
            assert_eq!(differences(&other, &plain()), Vec::<String>::new());
        }
    }
}
