//! Any pattern and any tag: read, decided, explained and judged without a panic, alone and in a set.
//!
//! `cargo +nightly fuzz run pattern fuzz/corpus/pattern fuzz/seeds/pattern`
#![no_main]

use libfuzzer_sys::fuzz_target;
use quay_doctor::pattern::{Compiled, Decision, PatternSet, compile, explain, slow_judgement};

fuzz_target!(|text: &str| {
    // The tag follows the first line feed.
    let (pattern, tag) = text.split_once('\n').unwrap_or((text, "v1.2-a"));
    let alone = compile(pattern);
    let set = PatternSet::new(&[pattern, "v.*"]);
    let mut room = set.scratch();
    let together = set.decide(tag, &mut room)[0];
    match &alone {
        Compiled::Valid(matcher) => {
            let decided = Decision::from(matcher.decide(tag));
            assert_eq!(decided, together, "alone and in a set");
            let explained = explain(matcher);
            for example in &explained.matching {
                assert_eq!(matcher.decide(example), Ok(true));
            }
            if let Some(sql) = explained.sql {
                assert!(!sql.render("name", 1).text.is_empty());
            }
        }
        Compiled::Invalid(invalid) => {
            assert_eq!(together, Decision::NoMatch);
            assert!(invalid.position <= pattern.chars().count());
        }
        Compiled::Undecidable(reason) => assert_eq!(together, Decision::Undecided(*reason)),
    }
    let _ = slow_judgement(pattern);
});
