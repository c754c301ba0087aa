//! Lists the rule files in `checks/` for the catalogue, so that adding one touches no code, and puts
//! the version together.

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    version();
    println!("cargo::rerun-if-changed=checks");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(Path::new(&root).join("checks"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") {
            names.push(name);
        }
    }
    names.sort();
    let mut list = String::from("[\n");
    for name in &names {
        let path = Path::new(&root).join("checks").join(name);
        let _ = writeln!(
            list,
            "    ({:?}, include_str!({:?})),",
            format!("checks/{name}"),
            path.display().to_string()
        );
    }
    list.push_str("]\n");
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("built_in_rules.rs"), list)
}

/// What `--version` prints: a release tells its commit, too. Asked from the environment and not from
/// git, so that a build from an archive is the same one, and a commit compiles nothing again.
fn version() {
    println!("cargo::rerun-if-env-changed=QUAY_DOCTOR_COMMIT");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    match env::var("QUAY_DOCTOR_COMMIT") {
        Ok(commit) if !commit.is_empty() => {
            println!("cargo::rustc-env=QUAY_DOCTOR_VERSION={version} ({commit})");
        }
        _ => println!("cargo::rustc-env=QUAY_DOCTOR_VERSION={version}"),
    }
}
