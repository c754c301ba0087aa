//! The corpus of expected decisions that may lie beside the project: nothing decided wrongly, little
//! left undecided.

use std::collections::BTreeMap;
use std::path::Path;

use quay_doctor::pattern::{Compiled, compile};
use serde_json::Value;
use testkit::skipped;

const CORPUS: &str = "../shared/dialect/visible.jsonl";

#[derive(Default)]
struct Count {
    patterns: u32,
    undecidable: u32,
}

#[test]
fn the_corpus_is_decided_without_a_mistake_and_almost_wholly() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CORPUS);
    let Ok(corpus) = std::fs::read_to_string(&path) else {
        skipped("no corpus of decisions beside the project");
        return;
    };
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut undecided = Vec::new();
    for line in corpus.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        let pattern = entry["pattern"].as_str().unwrap();
        let class = entry["class"].as_str().unwrap();
        let expected_error = entry["compile"] == "error";
        let exception = entry["compile"].as_str().unwrap().starts_with("exception");
        let count = counts.entry(class.to_owned()).or_default();
        count.patterns += 1;
        let matcher = match compile(pattern) {
            Compiled::Undecidable(reason) => {
                count.undecidable += 1;
                undecided.push(format!("{class}: {pattern}: {reason}"));
                continue;
            }
            _ if exception => {
                wrong.push(format!(
                    "{pattern}: Quay's engine fails, and we do not say so"
                ));
                continue;
            }
            Compiled::Invalid(invalid) => {
                if !expected_error {
                    wrong.push(format!("{pattern}: valid, not: {invalid}"));
                }
                continue;
            }
            Compiled::Valid(matcher) => matcher,
        };
        if expected_error {
            wrong.push(format!("{pattern}: invalid, and accepted"));
        }
        let mut gave_up = false;
        for case in entry["cases"].as_array().unwrap() {
            let (tag, Some(expected)) = (case[0].as_str().unwrap(), case[1].as_bool()) else {
                continue;
            };
            match matcher.decide(tag) {
                Ok(decided) if decided == expected => {}
                Ok(decided) => wrong.push(format!("{pattern} on {tag:?}: {decided}")),
                Err(_) if !tag.is_ascii() || tag.bytes().any(|b| b < 0x20) => {}
                Err(reason) => {
                    gave_up = true;
                    undecided.push(format!("{class}: {pattern} on {tag:?}: {reason}"));
                }
            }
        }
        count.undecidable += u32::from(gave_up);
    }
    for line in &undecided {
        println!("{line}");
    }
    for (class, count) in &counts {
        println!(
            "{class}: {} of {} undecidable",
            count.undecidable, count.patterns
        );
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let share = |class: &str| {
        let count = &counts[class];
        f64::from(count.undecidable) / f64::from(count.patterns)
    };
    assert_eq!(counts["realistic"].undecidable, 0);
    assert!(share("edge") <= 0.12);
    assert!(share("random") <= 0.17);
}
