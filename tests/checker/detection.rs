//! The bug report's detection query on a registry on which it is wrong both ways.

use std::collections::BTreeSet;

use quay_doctor::pg::{Columns, Statements};

use crate::line::stage::Stage;

const WORLD: &str = r#"
    seed = 10826
    [[namespace]]
    name = "acme"
    [[namespace.policy]]
    pattern = "release-.*"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1"
    immutable = true
    [[namespace.repository.tags]]
    name = "release-1"
    immutable = true
    [[namespace]]
    name = "globex"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "signed"
    immutable = true
    evidence = "label"
    [[namespace.repository.tags]]
    name = "golden"
    immutable = true
    evidence = "set-by-user"
    [[namespace.repository.tags]]
    name = "old"
    immutable = true
    life = "dead"
    [[namespace.repository.tags]]
    name = "lost"
    immutable = true
"#;

/// The page that shows the query and both results.
fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/detection-query.md");
    std::fs::read_to_string(path).expect("the page")
}

#[test]
fn the_query_misses_an_orphan_and_accuses_tags_that_somebody_protects() {
    let stage = Stage::migrated(WORLD);
    let page = page();
    let query = page
        .split("```sql")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("a query");
    let rows = stage.session().query(query, &[]).expect("rows");
    let named: BTreeSet<String> = rows
        .iter()
        .map(|row| {
            let column = |place| row.read::<&str>(place).expect("a name");
            format!("{}/{}:{}", column(0), column(1), column(2))
        })
        .collect();
    let report = stage
        .run(&[
            "check",
            "--rule",
            "orphaned-immutable-tag",
            "--format",
            "json",
        ])
        .expect_status(1)
        .json();
    let found: BTreeSet<String> = report["violations"]
        .as_array()
        .expect("violations")
        .iter()
        .map(|violation| {
            let part = |key: &str| {
                violation["subject"][key]
                    .as_str()
                    .expect("a name")
                    .to_owned()
            };
            format!(
                "{}/{}:{}",
                part("namespace"),
                part("repository"),
                part("name")
            )
        })
        .collect();
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let portal = ["signed", "golden", "old", "lost"].map(|tag| format!("globex/portal:{tag}"));
    assert_eq!(named, portal.into_iter().collect());
    assert_eq!(found, set(&["acme/shop:v1", "globex/portal:lost"]));
    assert_eq!(report["rules"][0]["explained"], 2);

    // The page says of each tag what was just seen.
    for line in page
        .lines()
        .filter(|line| line.starts_with("| acme") || line.starts_with("| globex"))
    {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (tag, query, ours) = (cells[1], cells[3], cells[4]);
        let says = matches!(query, "accuses it" | "names it");
        assert_eq!(says, named.contains(tag), "{line}");
        assert_eq!(
            ours == "orphaned-immutable-tag",
            found.contains(tag),
            "{line}"
        );
    }
}
