//! The server leaves out names that no policy can match: never one too many, whatever they begin with.

use std::collections::BTreeSet;

use quay_doctor::pattern::{Compiled, compile};
use quay_doctor::pg::Statements;
use serde_json::json;

use crate::line::stage::Stage;

const WORLD: &str = r#"
    seed = 12
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "shop"
"#;

/// ASCII of all kinds, what is not ASCII at the beginning or later, control characters, nothing.
const NAMES: [&str; 14] = [
    "v1",
    "V1",
    "v\u{e9}",
    "vv\tv",
    "b1",
    "B",
    "\u{e9}1",
    "",
    " v1",
    "\u{1}x",
    "1.0",
    "kite",
    "\u{212a}ite",
    "b\u{e9}",
];

const POLICIES: [(&str, bool); 9] = [
    ("v.*", true),
    ("(?i)v.*", true),
    ("\u{e9}.*|1.*", true),
    (r"[0-9]\..*", true),
    (".*1", true),
    ("(?i)k.*", true),
    ("(?:v.*)?", true),
    (r"\x01x|v.*", true),
    ("v.*", false),
];

#[test]
fn what_the_server_leaves_out_no_policy_would_have_matched() {
    let stage = Stage::migrated(WORLD);
    let names = NAMES.map(str::to_owned).to_vec();
    let insert = "INSERT INTO tag (name, repository_id, lifetime_start_ms, tag_kind_id, immutable,
            hidden, reversion)
        SELECT name, (SELECT max(id) FROM repository), 1, 1, false, false, false
        FROM unnest($1::text[]) AS given (name)";
    let mut session = stage.session();
    session.query(insert, &[&names]).expect("tags");
    for (pattern, matches) in POLICIES {
        let policy = json!({ "tag_pattern": pattern, "tag_pattern_matches": matches });
        session
            .query(
                "UPDATE namespaceimmutabilitypolicy SET policy = $1",
                &[&policy.to_string()],
            )
            .expect("a policy");
        let Compiled::Valid(matcher) = compile(pattern) else {
            panic!("{pattern}");
        };
        let expected: BTreeSet<String> = NAMES
            .iter()
            .filter(|name| matcher.decide(name) == Ok(matches))
            .map(|name| (*name).to_owned())
            .collect();
        assert!(!expected.is_empty());
        let args = ["check", "--rule", "unprotected-tag", "--format", "json"];
        let report = stage.run(&args).json();
        let found: BTreeSet<String> = report["violations"]
            .as_array()
            .expect("violations")
            .iter()
            .map(|violation| violation["subject"]["name"].as_str().expect("a name"))
            .map(str::to_owned)
            .collect();
        assert_eq!(found, expected, "{pattern} {matches}: {report:#}");
    }
}
