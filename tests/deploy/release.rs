//! What `.ci/dist` packs. The program itself is not built with optimisation here: a stand-in runs the one
//! that is tested.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use testkit::skipped;

use crate::documents::commands::root;

/// Packs, and lists what is in the archive, without the folder that everything is in; none where this
/// machine lacks what the script needs.
fn packed(folder: &Path) -> Option<BTreeSet<String>> {
    let program = folder.join("quay-doctor");
    let script = format!(
        "#!/bin/sh\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_quay-doctor")
    );
    std::fs::write(&program, script).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let output = Command::new(root().join(".ci/dist"))
        .env("CARGO_TARGET_DIR", folder)
        .env("QUAY_DOCTOR_PROGRAM", &program)
        .env("QUAY_DOCTOR_COMMIT", "0123456789ab")
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("--sort") || said.contains("command not found") {
        skipped(&format!("a release cannot be packed here: {said}"));
        return None;
    }
    assert!(output.status.success(), "{said}");
    let made: Vec<_> = std::fs::read_dir(folder.join("dist"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    let archive = made
        .iter()
        .find(|path| path.extension().is_some_and(|end| end == "gz"));
    assert!(
        made.iter()
            .any(|path| path.extension().is_some_and(|end| end == "sha256"))
    );
    let listed = Command::new("tar")
        .arg("-tzf")
        .arg(archive.expect("an archive"))
        .output()
        .expect("tar");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8");
    let inside = |line: &str| line.split_once('/').map(|(_, path)| path.to_owned());
    Some(listed.lines().filter_map(inside).collect())
}

#[test]
fn a_release_holds_the_program_its_pages_and_what_an_operator_installs() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(files) = packed(folder.path()) else {
        return;
    };
    for file in [
        "quay-doctor",
        "LICENSE",
        "LICENSES-OF-CRATES",
        "README.md",
        "CHANGELOG.md",
        "man/quay-doctor.1",
        "man/quay-doctor-policy-create.1",
        "completions/quay-doctor.bash",
        "completions/quay-doctor.zsh",
        "completions/quay-doctor.fish",
        "checks/orphaned-immutable-tag.toml",
        "deploy/roles.sql",
        "deploy/kubernetes/migrate-job.yaml",
        "deploy/prometheus/alerts.yaml",
        "docs/SUMMARY.md",
    ] {
        assert!(files.contains(file), "{file}: {files:#?}");
    }
    let licences = std::fs::read_dir(folder.path().join("dist"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path().join("LICENSES-OF-CRATES"))
        .find(|path| path.is_file())
        .expect("the licences");
    let licences = std::fs::read_to_string(licences).expect("a text");
    for crate_and_text in ["rustls ", "tokio-postgres ", "Permission is hereby granted"] {
        assert!(licences.contains(crate_and_text), "{crate_and_text}");
    }
}
