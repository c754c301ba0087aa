//! The container file, as far as it can be held to anything without an engine that builds it: what it
//! copies is enough, and what is in the end in the image wants neither a shell nor root.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::files::text;
use crate::documents::commands::root;

/// The instructions of each stage, in one line each, without comments.
fn stages() -> Vec<Vec<String>> {
    let file = text("Containerfile").replace("\\\n", " ");
    let mut stages: Vec<Vec<String>> = vec![Vec::new()];
    for line in file.lines().map(str::trim) {
        if line.starts_with("FROM ") {
            stages.push(Vec::new());
        }
        if !line.is_empty() && !line.starts_with('#') {
            let words: Vec<&str> = line.split_whitespace().collect();
            let stage = stages.last_mut().expect("a stage");
            stage.push(words.join(" "));
        }
    }
    // What stands before the first stage.
    stages.remove(0);
    stages
}

/// What the build's stage takes from the source tree.
fn copied() -> BTreeSet<PathBuf> {
    let stages = stages();
    let copies = stages[0]
        .iter()
        .filter_map(|line| line.strip_prefix("COPY "));
    copies
        .flat_map(|copy| {
            let mut parts: Vec<&str> = copy.split(' ').collect();
            let to = parts.pop().expect("where to");
            assert!(to == "./" || parts == [to], "{copy}: under its own name");
            parts.into_iter().map(PathBuf::from).collect::<Vec<_>>()
        })
        .collect()
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found
}

/// A path without its `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

#[test]
fn what_the_build_copies_is_there_and_has_every_target_of_the_manifest() {
    let source = tempfile::tempdir().expect("a folder");
    for part in copied() {
        let from = root().join(&part);
        assert!(from.exists(), "{}", part.display());
        let parts = if from.is_dir() {
            files(&from)
        } else {
            vec![from]
        };
        for file in parts {
            let to = source.path().join(file.strip_prefix(root()).expect("ours"));
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(&file, to).expect("copied");
        }
    }
    let targets = targets(source.path());
    // Of a target that is missing Cargo says nothing, or refuses the manifest, by its kind.
    assert_eq!(targets, self::targets(root()));
    let stages = stages();
    let build = stages[0].iter().find(|line| line.contains("cargo build"));
    let build = build.expect("a build");
    let program = build.split("--bin ").nth(1).expect("a program").trim();
    let wanted = ("bin".to_owned(), program.to_owned());
    assert!(targets.contains(&wanted), "{wanted:?}: {targets:?}");
    assert!(build.contains("--locked"), "{build}");
}

/// Engines on other machines are sent what is not named there.
#[test]
fn what_the_engine_is_not_sent_is_not_copied() {
    let file = fs::read_to_string(root().join(".dockerignore")).expect("a list");
    let left_out = file.lines().filter_map(|line| line.strip_prefix('/'));
    let left_out: BTreeSet<PathBuf> = left_out.map(PathBuf::from).collect();
    assert!(left_out.contains(Path::new("target")), "{left_out:?}");
    assert!(left_out.is_disjoint(&copied()), "{left_out:?}");
}

/// The targets that Cargo finds in a source tree: kind and name.
fn targets(source: &Path) -> BTreeSet<(String, String)> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked"])
        .args(["--format-version", "1"])
        .current_dir(source)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = told["packages"].as_array().expect("packages");
    let program = packages
        .iter()
        .find(|package| package["name"] == "quay-doctor");
    let targets = program.expect("the program")["targets"].as_array();
    let targets = targets.expect("targets");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    targets
        .iter()
        .map(|target| (text(&target["kind"][0]), text(&target["name"])))
        .collect()
}

/// A file that the compiler is told to take in, and that is not copied, breaks the build only there.
#[test]
fn every_file_that_is_compiled_into_the_program_is_copied() {
    let copied = copied();
    let mut count = 0;
    for file in files(&root().join("src")) {
        let code = fs::read_to_string(&file).unwrap_or_default();
        let code = code.split("#[cfg(test)]").next().unwrap_or_default();
        for macro_name in ["include_str!(", "include_bytes!("] {
            for rest in code.split(macro_name).skip(1) {
                let rest = rest.trim_start().trim_start_matches("concat!(");
                let named = rest.trim_start().split('"').nth(1).expect("a path");
                let path = plain(&file.parent().expect("a folder").join(named));
                let path = path.strip_prefix(root()).expect("a path of ours");
                let there = copied.iter().any(|part| path.starts_with(part));
                assert!(there, "{} takes {}", file.display(), path.display());
                count += 1;
            }
        }
    }
    assert!(count > 10, "{count}");
}

#[test]
fn the_build_is_of_the_toolchain_and_tells_its_commit_and_no_path_as_a_release_does() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .expect("a version");
    let file = text("Containerfile");
    let line = format!("ARG RUST_VERSION={wanted}\n");
    assert!(file.contains(&line), "{line}");
    let readme = fs::read_to_string(root().join("README.md")).expect("a page");
    let needed = format!("Rust {wanted} or later");
    assert!(readme.contains(&needed), "README.md: {needed}");
    let build = fs::read_to_string(root().join("build.rs")).expect("a script");
    assert!(build.contains("\"QUAY_DOCTOR_COMMIT\""));
    assert!(file.contains("QUAY_DOCTOR_COMMIT=\"${COMMIT}\""), "{file}");
    // As in a release: neither where the source is nor where the crates are.
    for path in ["/source=", "${CARGO_HOME:-/usr/local/cargo}="] {
        let remapped = format!("--remap-path-prefix={path}");
        assert!(file.contains(&remapped), "{remapped}: {file}");
    }
}

#[test]
fn the_image_holds_the_program_and_runs_without_a_shell_and_without_root() {
    let stages = stages();
    let last = stages.last().expect("a stage");
    assert_eq!(last[0], "FROM scratch");
    let of = |instruction: &str| {
        let of: Vec<&str> = last
            .iter()
            .filter_map(|line| line.strip_prefix(instruction)?.strip_prefix(' '))
            .collect();
        of
    };
    for wants_a_shell in ["RUN", "SHELL"] {
        assert_eq!(of(wants_a_shell), [""; 0]);
    }
    // A number: there is no file that a name could be looked up in.
    let [user] = of("USER")[..] else {
        panic!("{last:?}")
    };
    for id in user.split(':') {
        assert!(id.parse::<u32>().expect("a number") > 0, "{user}");
    }
    let copies = of("COPY");
    for copy in &copies {
        assert!(copy.starts_with("--from=build /"), "{copy}");
    }
    // A list is carried out as it is; anything else is handed to a shell.
    let listed = |instruction: &str| -> Vec<String> {
        let lines = of(instruction);
        assert_eq!(lines.len(), 1, "{instruction}: {last:?}");
        serde_json::from_str(lines[0]).expect("a list")
    };
    let program = listed("ENTRYPOINT");
    assert_eq!(program.len(), 1, "{program:?}");
    let built = copies.iter().any(|copy| {
        copy.ends_with(&program[0]) && copy.contains("/source/target/release/quay-doctor ")
    });
    assert!(built, "{program:?}: {copies:?}");
    let command = listed("CMD");
    let args: Vec<&str> = command.iter().map(String::as_str).collect();
    crate::program::run(&args).expect_status(0);
}
