//! What of `deploy/` is about `watch`: the Deployment and what finds it, the alerts, the unit.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use testkit::subject::{self, Blow};

use super::files::{REPOSITORY, args, deploy, tool, yaml};
use crate::documents::commands::{is_known, root, typed};
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::program;
use crate::watch::service::Watcher;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A registry with something of everything that an alert is about.
fn registry() -> Stage {
    let stage = Stage::migrated(BOTH_FAILURES);
    let mut session = stage.session();
    subject::prepare(&mut session, Blow::Connection(2), 0).expect("a trigger");
    let create = [
        "policy",
        "create",
        "--namespace",
        "acme",
        "--pattern",
        "nightly.*",
    ];
    let how = ["--strategy", "phased", "--on-fault", "stop"];
    stage
        .run(
            &[
                create.as_slice(),
                &how,
                &["--immutable-tags-can-expire", "false"],
            ]
            .concat(),
        )
        .expect_status(3);
    subject::bury_workers(&stage.db.settings().expect("settings")).expect("dead");
    stage
}

/// The Deployment's program with its own arguments and variables, on a free port.
fn deployed(stage: &Stage) -> (Value, Watcher) {
    let manifest = yaml("kubernetes/watch-deployment.yaml");
    let container = manifest["spec"]["template"]["spec"]["containers"][0].clone();
    let mut given = args(&container);
    let port = container["ports"][0]["containerPort"].to_string();
    let listen = given
        .iter_mut()
        .find(|arg| arg.ends_with(&format!(":{port}")))
        .expect("it listens where the container's port is");
    *listen = "0.0.0.0:0".to_owned();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let mut command = program::command(&given);
    for entry in container["env"].as_array().expect("variables") {
        let name = entry["name"].as_str().expect("a name");
        match (name, entry["value"].as_str()) {
            ("DATABASE_URL", None) => command.env(name, stage.db.url()),
            ("QUAY_DOCTOR_TOKEN", None) => command.env(name, TOKEN),
            (_, Some(value)) => command.env(name, value),
            (other, None) => panic!("{other}"),
        };
    }
    (container, Watcher::start(&mut command))
}

#[test]
fn the_deployment_watches_and_its_probes_need_no_token() {
    let stage = registry();
    let (container, watcher) = deployed(&stage);
    let begun = std::time::Instant::now();
    for probe in ["livenessProbe", "readinessProbe"] {
        let path = container[probe]["httpGet"]["path"]
            .as_str()
            .expect("a path");
        assert_eq!(
            container[probe]["httpGet"]["port"],
            container["ports"][0]["name"]
        );
        while watcher.get(path).status != 200 {
            assert!(
                begun.elapsed() < crate::watch::service::PATIENCE,
                "{}",
                watcher.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
    let monitor = yaml("kubernetes/watch-servicemonitor.yaml");
    let endpoint = &monitor["spec"]["endpoints"][0];
    let path = endpoint["path"].as_str().expect("a path");
    let kind = endpoint["authorization"]["type"].as_str().expect("a type");
    assert_eq!(watcher.get(path).status, 401);
    let bearer = format!("{kind} {TOKEN}");
    assert_eq!(
        watcher.get_with(path, &[("Authorization", &bearer)]).status,
        200
    );
}

#[test]
fn the_service_and_the_monitor_find_the_deployment_and_its_token() {
    let deployment = yaml("kubernetes/watch-deployment.yaml");
    let service = yaml("kubernetes/watch-service.yaml");
    let monitor = yaml("kubernetes/watch-servicemonitor.yaml");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&service["spec"]["selector"], labels);
    assert_eq!(
        &monitor["spec"]["selector"]["matchLabels"],
        &service["metadata"]["labels"]
    );
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    let port = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["name"];
    assert_eq!(&service["spec"]["ports"][0]["targetPort"], port);
    assert_eq!(
        &monitor["spec"]["endpoints"][0]["port"],
        &service["spec"]["ports"][0]["name"]
    );
    let wanted = &monitor["spec"]["endpoints"][0]["authorization"]["credentials"];
    let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .expect("variables");
    let token = variables
        .iter()
        .find(|one| one["name"] == "QUAY_DOCTOR_TOKEN");
    assert_eq!(
        &token.expect("a token")["valueFrom"]["secretKeyRef"],
        wanted
    );
}

#[test]
fn the_alerts_are_about_metrics_that_are_shown_and_pages_that_are_there() {
    let stage = registry();
    let watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until_known();
    let figures = watcher.figures();
    let names: BTreeSet<&str> = figures
        .keys()
        .map(|name| name.split('{').next().expect("a name"))
        .collect();
    let alerts = yaml("prometheus/watch-alerts.yaml");
    let rules = alerts["groups"][0]["rules"].as_array().expect("alerts");
    let mut used = BTreeSet::new();
    for alert in rules {
        let expression = alert["expr"].as_str().expect("an expression");
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("quay_doctor_")) {
            assert!(names.contains(name), "{name}: {names:?}");
            used.insert(name);
        }
        for label in ["rule=\"", "state=\""] {
            for value in expression.split(label).skip(1) {
                let value = value.split('"').next().expect("a value");
                let wanted = format!("{label}{value}\"");
                assert!(
                    figures.keys().any(|name| name.contains(&wanted)),
                    "{wanted}"
                );
            }
        }
        let page = alert["annotations"]["runbook_url"]
            .as_str()
            .expect("a link");
        let page = page.strip_prefix(REPOSITORY).expect("a page of ours");
        assert!(root().join(page).exists(), "{page}");
    }
    assert!(rules.len() >= 7 && used.len() >= 8, "{used:?}");
    // What two of them wait for is so in this registry.
    assert_eq!(
        figures["quay_doctor_watch_operations{state=\"interrupted\"}"],
        1.0
    );
    assert!(figures.iter().any(|(name, value)| {
        name.starts_with("quay_doctor_watch_violations{rule=\"orphaned") && *value > 0.0
    }));
}

#[test]
fn every_metric_is_in_the_documents_and_every_one_there_is_shown() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &["--record"]);
    watcher.until("recorded", |watcher| {
        watcher.figure("quay_doctor_watch_record_last_successful") == Some(1.0)
    });
    watcher.until_known();
    let shown: BTreeSet<String> = watcher
        .figures()
        .into_keys()
        .map(|name| {
            let name = name.split('{').next().expect("a name");
            name.replace("quay_doctor_watch_", "")
        })
        .collect();
    let page = fs::read_to_string(root().join("docs/watch.md")).expect("the page");
    let part = page.split("## Metrics").nth(1).expect("the part");
    let part = part.split("\n## ").next().expect("its end");
    let rows = part.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = rows
        .flat_map(|row| {
            let first = row.split('|').nth(1).expect("a cell");
            first
                .split('`')
                .skip(1)
                .step_by(2)
                .map(|name| name.split('{').next().expect("a name").to_owned())
        })
        .collect();
    assert_eq!(shown, documented);
}

#[test]
fn the_unit_starts_what_the_program_knows_and_systemd_accepts_it() {
    let unit: PathBuf = deploy("systemd/quay-doctor-watch.service");
    let text = fs::read_to_string(&unit).expect("the unit");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/env quay-doctor"));
    is_known(&typed(line.expect("a command"), "the unit".into()));
    assert!(text.contains("ExecReload=/bin/kill -HUP $MAINPID"));
    if let Some((good, said)) = tool("systemd-analyze", &[unit], &["verify"]) {
        assert!(good && !said.contains("quay-doctor-watch"), "{said}");
    }
}
