//! The page in a browser: Chromium, headless, with nothing of anybody's in its profile.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quay_doctor::journal::hold_liveness;
use quay_doctor::quay::OperationId;
use testkit::skipped;
use testkit::subject::{self, Blow};

use super::service::Watcher;
use crate::documents::commands::root;
use crate::line::stage::Stage;

const CHROMIUM: &str = "/usr/bin/chromium";
/// The longest that a look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(90);

/// Something of everything: orphans, tags that a policy does not protect, a company of repositories in
/// which an operation is at work, and a policy that is not in force.
const WORLD: &str = r#"
    seed = 7
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 14
    immutable = true
    [[namespace]]
    name = "globex"
    [[namespace.policy]]
    pattern = "v.*"
    [[namespace.repository]]
    name = "portal"
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 9
    [[namespace]]
    name = "hooli"
    [[namespace.repository]]
    name = "api"
    [[namespace.repository.tags]]
    name = "r{n}"
    count = 40
    [[namespace.repository]]
    name = "box"
    [[namespace.repository.tags]]
    name = "r{n}"
    count = 40
    [[namespace.repository]]
    name = "mail"
    [[namespace.repository.tags]]
    name = "r{n}"
    count = 40
    [[namespace.repository]]
    name = "search"
    [[namespace.repository.tags]]
    name = "r{n}"
    count = 40
    [[namespace]]
    name = "initech"
    [[namespace.repository]]
    name = "print"
    [[namespace.repository.tags]]
    name = "nightly-{n}"
    count = 3
"#;

/// A browser's look at an address: what is left of the page, or a picture of it.
fn look(address: &str, args: &[&str]) -> Option<(String, String)> {
    if !Path::new(CHROMIUM).exists() {
        skipped("there is no Chromium on this machine to look at the status page");
        return None;
    }
    let profile = tempfile::tempdir().expect("a profile");
    let mut child = Command::new(CHROMIUM)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--disable-lcd-text",
            "--enable-logging=stderr",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(address)
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(profile.path().join("said")).expect("a file"))
        .stderr(std::fs::File::create(profile.path().join("complained")).expect("a file"))
        .spawn()
        .expect("Chromium starts");
    let begun = Instant::now();
    while child.try_wait().expect("a status").is_none() {
        if begun.elapsed() > LOOK_WITHIN {
            let _ = child.kill();
            let _ = child.wait();
            skipped("Chromium does not come to an end on this machine");
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let read = |name: &str| {
        let bytes = std::fs::read(profile.path().join(name)).expect("a file");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Some((read("said"), read("complained")))
}

#[test]
fn a_browser_shows_the_page_in_the_light_and_in_the_dark_and_has_nothing_to_complain_of() {
    let stage = Stage::migrated(WORLD);
    let inactive = [
        "policy",
        "create",
        "--namespace",
        "initech",
        "--pattern",
        "nightly-.*",
        "--inactive",
    ];
    stage.run(&inactive).expect_status(0);
    for released in ["v1.1", "v1.3", "v1.4", "v1.9", "v1.12", "v1.14"] {
        stage.run(&["check", "--record"]).expect_status(1);
        stage.sql(&format!(
            "UPDATE tag SET immutable = false WHERE name = '{released}'"
        ));
    }
    stage.sql(
        "UPDATE quay_doctor.scan SET started_at = started_at - interval '15 min' * (7 - id),
            finished_at = finished_at - interval '15 min' * (7 - id)",
    );
    // The worker is cut off at a row of the third repository; whoever holds its lock is, to everybody
    // who looks, a worker that lives.
    let mut session = stage.session();
    subject::prepare(&mut session, Blow::Connection(90), 0).expect("a trigger");
    let create = [
        "policy",
        "create",
        "--namespace",
        "hooli",
        "--pattern",
        "r.*",
    ];
    let how = ["--strategy", "phased", "--on-fault", "stop"];
    let who = [
        "--immutable-tags-can-expire",
        "false",
        "--actor",
        "night shift",
    ];
    stage
        .run(&[create.as_slice(), &how, &who].concat())
        .expect_status(3);
    let operation = stage.count("SELECT max(id) FROM quay_doctor.operation");
    assert!(hold_liveness(&mut session, OperationId(operation)).expect("an answer"));
    let args = ["--every", "15m", "--immutable-tags", "true"];
    let watcher = Watcher::of(&stage.db.url(), &args);
    watcher.until_known();
    watcher.until("at work", |watcher| {
        watcher.page().contains("1 of 4 repositories")
    });
    let address = format!("http://{}/", watcher.address());

    let Some((page, complained)) = look(&address, &["--dump-dom"]) else {
        return;
    };
    for there in [
        "1 of 4 repositories",
        "○ inactive",
        "… being applied",
        "acme/shop",
        "<path class=\"curve\"",
    ] {
        assert!(page.contains(there), "{there}: {page}");
    }
    for complaint in ["Refused to", "Content Security Policy", "CONSOLE"] {
        assert!(!complained.contains(complaint), "{complained}");
    }
    let (found, _) = look(&format!("{address}?q=v2.3"), &["--dump-dom"]).expect("a look");
    assert!(found.contains("1 violation found"), "{found}");

    let folder = tempfile::tempdir().expect("a folder");
    let picture = |name: &str, scheme: u8| -> PathBuf {
        let file = folder.path().join(name);
        let to = format!("--screenshot={}", file.display());
        let colours = format!("--blink-settings=preferredColorScheme={scheme}");
        look(&address, &[&to, &colours, "--window-size=1120,2760"]).expect("a look");
        file
    };
    let (light, dark) = (picture("watch-light.png", 1), picture("watch-dark.png", 0));
    let bytes = |file: &Path| std::fs::read(file).expect("a picture");
    assert!(bytes(&light).starts_with(b"\x89PNG"));
    assert_ne!(bytes(&light), bytes(&dark), "the dark is as the light");
    if std::env::var_os("QUAY_DOCTOR_REGENERATE").is_some() {
        for file in [&light, &dark] {
            let name = file.file_name().expect("a name");
            std::fs::copy(file, root().join("docs").join(name)).expect("copied");
        }
    }
}
