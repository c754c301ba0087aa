//! What is in `deploy/`: it parses, the commands in it are ones that the program knows, and it names
//! only what there is.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use testkit::skipped;

use crate::documents::commands::{is_known, root, typed};
use crate::line::stage::{BOTH_FAILURES, Stage};

pub const REPOSITORY: &str = "https://github.com/quay-doctor/quay-doctor/blob/main/";

pub fn deploy(path: &str) -> PathBuf {
    root().join("deploy").join(path)
}

pub fn text(path: &str) -> String {
    fs::read_to_string(deploy(path)).expect("a file")
}

pub fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Kubernetes manifest, with its pod's description.
fn pods() -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(deploy("kubernetes")).expect("a folder") {
        let name = entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8");
        let path = format!("kubernetes/{name}");
        let manifest = yaml(&path);
        let job = match manifest["kind"].as_str() {
            Some("CronJob") => &manifest["spec"]["jobTemplate"],
            Some("Job" | "Deployment") => &manifest,
            // What finds the pods of a Deployment has none of its own.
            Some("Service" | "ServiceMonitor") => continue,
            other => panic!("{path}: {other:?}"),
        };
        let pod = job["spec"]["template"]["spec"].clone();
        assert!(pod.is_object(), "{path}");
        found.push((path, manifest, pod));
    }
    assert_eq!(found.len(), 4);
    found
}

pub fn args(container: &Value) -> Vec<String> {
    let args = container["args"].as_array().expect("arguments");
    args.iter()
        .map(|arg| {
            arg.as_str()
                .expect("text")
                .replace("$(JOB_COMPLETION_INDEX)", "0")
        })
        .collect()
}

#[test]
fn the_pods_run_commands_that_the_program_knows_without_root_and_write_nowhere() {
    for (path, manifest, pod) in pods() {
        let service = manifest["kind"] == "Deployment";
        assert_eq!(pod["restartPolicy"].is_null(), service, "{path}");
        assert!(service || pod["restartPolicy"] == "Never", "{path}");
        assert_eq!(pod["automountServiceAccountToken"], false, "{path}");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{path}");
        let containers = pod["containers"].as_array().expect("containers");
        assert_eq!(containers.len(), 1, "{path}");
        let container = &containers[0];
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true, "{path}");
        assert_eq!(security["allowPrivilegeEscalation"], false, "{path}");
        assert_eq!(security["capabilities"]["drop"][0], "ALL", "{path}");
        let mut line = typed("", path.clone());
        line.args = args(container);
        is_known(&line);
        let owner = container["env"][0]["valueFrom"]["secretKeyRef"]["name"] == "quay-doctor-owner";
        assert_eq!(owner, line.args[0] == "migrate", "{path}: whose login");
    }
}

#[test]
fn the_pods_commands_do_their_work_on_a_registry() {
    let stage = Stage::of(BOTH_FAILURES);
    let jobs = |(_, manifest, _): &(String, Value, Value)| manifest["kind"] != "Deployment";
    for (path, _, pod) in pods().into_iter().filter(jobs) {
        let container = &pod["containers"][0];
        let (args, mut with) = (args(container), Vec::new());
        for entry in container["env"].as_array().expect("variables") {
            if let (Some(name), Some(value)) = (entry["name"].as_str(), entry["value"].as_str()) {
                with.push((name.to_owned(), value.to_owned()));
            }
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let output = crate::program::command(&args)
            .env("DATABASE_URL", stage.db.url())
            .envs(with)
            .output()
            .expect("the program starts");
        let expected: &[i32] = if args[0] == "migrate" { &[0] } else { &[0, 1] };
        let status = output.status.code().expect("a status");
        assert!(expected.contains(&status), "{path}: {output:?}");
        if args[0] == "check" {
            let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
            assert!(report["rules"].is_array(), "{path}");
        }
    }
}

#[test]
fn the_parts_of_the_sharded_scan_are_as_many_as_it_says() {
    let manifest = yaml("kubernetes/sharded-scan-job.yaml");
    let parts = manifest["spec"]["completions"].as_u64().expect("a number");
    assert_eq!(manifest["spec"]["completionMode"], "Indexed");
    let pod = &manifest["spec"]["template"]["spec"]["containers"][0];
    let given = pod["args"].as_array().expect("arguments");
    let wanted = format!("$(JOB_COMPLETION_INDEX)/{parts}");
    assert!(
        given.iter().any(|arg| arg == &Value::from(wanted.clone())),
        "{wanted}"
    );
}

#[test]
fn the_alerts_are_about_figures_that_are_written_and_run_books_that_are_there() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let figures = stage
        .run(&["check", "--format", "prometheus"])
        .expect_status(1)
        .stdout;
    let names: BTreeSet<&str> = figures
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let alerts = yaml("prometheus/alerts.yaml");
    let mut used = BTreeSet::new();
    let rules = alerts["groups"][0]["rules"].as_array().expect("alerts");
    for alert in rules {
        let expression = alert["expr"].as_str().expect("an expression");
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for name in words.filter(|word| word.starts_with("quay_doctor_")) {
            assert!(names.contains(name), "{name}: {names:?}");
            used.insert(name);
        }
        for rule in expression.split("rule=\"").skip(1) {
            let id = rule.split('"').next().expect("an id");
            assert!(figures.contains(&format!("rule=\"{id}\"")), "{id}");
        }
        let page = alert["annotations"]["runbook_url"]
            .as_str()
            .expect("a link");
        let page = page.strip_prefix(REPOSITORY).expect("a page of ours");
        assert!(root().join(page).exists(), "{page}");
    }
    assert!(rules.len() >= 6 && used.len() >= 5, "{used:?}");
}

/// The program at work, or `None`, said aloud, where this machine lacks it.
pub fn tool(name: &str, args: &[PathBuf], verbs: &[&str]) -> Option<(bool, String)> {
    let output = match Command::new(name).args(verbs).args(args).output() {
        Ok(output) => output,
        Err(error) => {
            skipped(&format!("{name} cannot be run here: {error}"));
            return None;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Some((output.status.success(), said))
}

#[test]
fn promtool_accepts_the_alerts() {
    let rules = ["alerts", "watch-alerts"].map(|name| deploy(&format!("prometheus/{name}.yaml")));
    if let Some((good, said)) = tool(&promtool(), &rules, &["check", "rules"]) {
        assert!(good, "{said}");
    }
}

/// Where promtool is; it may not be there.
pub fn promtool() -> String {
    let stated = std::env::var("QUAY_DOCTOR_PROMTOOL").ok();
    let stated = stated.filter(|path| !path.is_empty());
    stated.unwrap_or_else(|| "promtool".to_owned())
}

/// Strictly: a property that the schema does not know is refused. From the oldest version that takes the
/// manifests as they are to the newest whose schemas there are.
#[test]
fn the_manifests_are_as_kubernetes_own_schemas_want_them() {
    let validator = root().join("target/python-venv/bin/kubernetes-validate");
    let manifests: Vec<PathBuf> = fs::read_dir(deploy("kubernetes"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        // A kind of Prometheus' operator: Kubernetes has no schema of it.
        .filter(|path| !path.ends_with("watch-servicemonitor.yaml"))
        .collect();
    let name = validator.to_str().expect("UTF-8");
    for version in ["1.29", "1.37"] {
        let verbs = ["--strict", "-k", version];
        let Some((good, said)) = tool(name, &manifests, &verbs) else {
            return;
        };
        assert!(good, "{version}: {said}");
        assert_eq!(said.matches(" passed ").count(), manifests.len(), "{said}");
        let wrong = text("kubernetes/check-cronjob.yaml").replacen("schedule:", "shedule:", 1);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("wrong.yaml");
        fs::write(&file, wrong).expect("a file");
        let (good, said) = tool(name, &[file], &verbs).expect("it was there");
        assert!(!good, "{said}");
    }
}

#[test]
fn systemd_accepts_the_units() {
    let units = [
        deploy("systemd/quay-doctor-check.service"),
        deploy("systemd/quay-doctor-check.timer"),
    ];
    if let Some((good, said)) = tool("systemd-analyze", &units, &["verify"]) {
        assert!(good && !said.contains("quay-doctor-check"), "{said}");
    }
}

#[test]
fn the_units_command_leaves_the_figures_whole_and_keeps_its_status() {
    let unit = text("systemd/quay-doctor-check.service");
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/bin/sh -c "))
        .expect("a command");
    let script = line.trim_matches('\'').replace("$$", "$");
    let command = script.strip_prefix("quay-doctor").expect("our command");
    is_known(&typed(command, "the unit".into()));
    let stage = Stage::migrated(BOTH_FAILURES);
    let folder = tempfile::tempdir().expect("a folder");
    let figures = folder.path().join("quay_doctor.prom");
    let program = PathBuf::from(env!("CARGO_BIN_EXE_quay-doctor"));
    let run = |url: &str| {
        Command::new("/bin/sh")
            .args(["-c", &script])
            .env(
                "PATH",
                format!(
                    "{}:/usr/bin:/bin",
                    program.parent().expect("a folder").display()
                ),
            )
            .env("FIGURES", &figures)
            .env("DATABASE_URL", url)
            .output()
            .expect("a shell")
            .status
            .code()
    };
    assert_eq!(run(&stage.db.url()), Some(1));
    let whole = fs::read_to_string(&figures).expect("figures");
    assert!(whole.contains("quay_doctor_check_complete 1"), "{whole}");
    let nobody = "postgresql://nobody@127.0.0.1:1/quay?connect_timeout=1";
    assert_eq!(run(nobody), Some(3));
    assert_eq!(fs::read_to_string(&figures).expect("figures"), whole);
}
