//! Tags made by a known policy and cut off half way: the policy that is inferred accounts for all.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Traces, infer};
use crate::pattern::{Compiled, compile};

/// What people write as policies, and whether the matches become immutable.
const POLICIES: [(&str, bool); 14] = [
    ("v.*", true),
    ("v[0-9]+", true),
    ("v[0-9]+\\.[0-9]+\\.[0-9]+", true),
    ("v?[0-9]+(\\.[0-9]+)*", true),
    ("release-.*", true),
    (".*-rc[0-9]+", true),
    (".*-stable", true),
    ("(v|release-).*", true),
    ("latest|stable", true),
    ("[0-9]{8}", true),
    ("[0-9a-f]{12}", true),
    (".*", true),
    ("nightly-.*", false),
    ("(dev|pr)-.*", false),
];

/// Names as registries have them.
fn name() -> impl Strategy<Value = String> {
    let number = 0..30_u32;
    prop_oneof![
        number.clone().prop_map(|n| format!("v{n}")),
        (0..5_u32, 0..9_u32, 0..30_u32).prop_map(|(a, b, c)| format!("v{a}.{b}.{c}")),
        (0..5_u32, 0..9_u32).prop_map(|(a, b)| format!("{a}.{b}")),
        (0..5_u32, 0..9_u32).prop_map(|(a, b)| format!("v{a}.0-rc{b}")),
        (0..5_u32, 0..9_u32).prop_map(|(a, b)| format!("{a}.{b}-stable")),
        number.clone().prop_map(|n| format!("release-{n}")),
        number.clone().prop_map(|n| format!("nightly-{n}")),
        number.clone().prop_map(|n| format!("pr-{n}")),
        number.clone().prop_map(|n| format!("dev-{n}")),
        (1..13_u32, 1..29_u32).prop_map(|(m, d)| format!("2024{m:02}{d:02}")),
        any::<u64>().prop_map(|bits| format!("{:012x}", bits & 0xffff_ffff_ffff)),
        prop::sample::select(vec![
            "latest", "stable", "edge", "main", "release", "version"
        ])
        .prop_map(str::to_owned),
    ]
}

/// What stays of a pass: the policy made some names and was cut off after so many marks.
fn cut_off(policy: (&str, bool), names: &[String], after: usize) -> Traces {
    let Compiled::Valid(matcher) = compile(policy.0) else {
        panic!("{} is no pattern", policy.0);
    };
    let mut traces = Traces::default();
    for name in names {
        if matcher.decide(name) == Ok(policy.1) {
            if traces.orphans.len() == after {
                break;
            }
            traces.orphans.push(name.clone());
        } else {
            traces.passed_over.push(name.clone());
        }
    }
    // After the last mark nothing is known of what was passed over.
    traces
}

#[test]
fn the_inferred_policy_explains_every_orphan_and_contradicts_nothing() {
    let names = prop::collection::vec(name(), 4..120);
    let mut runner = TestRunner::new(Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (prop::sample::select(POLICIES.to_vec()), names, 1..60_usize);
    runner
        .run(&strategy, |(policy, names, after)| {
            let traces = cut_off(policy, &names, after);
            prop_assume!(!traces.orphans.is_empty());
            let proposals = infer(&traces, &[]);
            let best = proposals.first().expect("a proposal");
            prop_assert_eq!(
                (best.explains, best.contradicts),
                (traces.orphans.len() as u64, 0),
                "{:?} for {:?} of {:?}",
                best,
                policy,
                traces
            );
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_order_of_names_changes_nothing_and_no_names_make_it_fail() {
    let any = prop::collection::vec("[a-c0-2._-]{0,6}|.{0,4}", 0..12);
    let mut runner = TestRunner::new(Config {
        cases: cases() / 5,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&(any.clone(), any), |(orphans, passed_over)| {
            let traces = Traces {
                orphans,
                passed_over,
            };
            let mut turned = traces.clone();
            turned.orphans.reverse();
            turned.passed_over.reverse();
            prop_assert_eq!(infer(&traces, &[]), infer(&turned, &[]));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// `QUAY_DOCTOR_TEST_SCALE` times the default, as in tests/scale.rs.
fn cases() -> u32 {
    let scale = std::env::var("QUAY_DOCTOR_TEST_SCALE")
        .ok()
        .and_then(|text| text.parse::<f64>().ok());
    ((100.0 * scale.unwrap_or(1.0)) as u32).max(5)
}
