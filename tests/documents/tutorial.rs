//! The tutorial, followed on the registry that the demo leaves up.

use std::process::{Command, Stdio};

use super::commands::{of_page, root};
use super::guides::type_all;
use crate::program;

/// The demo's server. Dropped, it is ended by the command that the demo printed.
pub struct Kept {
    pub url: String,
    end: String,
}

impl Kept {
    pub fn new() -> Self {
        let told = program::run(&["demo", "--keep"]).expect_status(0).stdout;
        let after = |words: &str| {
            let rest = told.split(words).nth(1).expect("the demo's last lines");
            rest.lines().nth(1).expect("a line").trim().to_owned()
        };
        Self {
            url: after("The server is still up:"),
            end: after("To end it:"),
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = Command::new("sh")
            .args(["-c", &self.end])
            .stdin(Stdio::null())
            .status();
    }
}

#[test]
fn a_lost_policy_on_the_demo() {
    let mut commands = of_page(&root().join("docs/tutorial.md"));
    let first = commands.remove(0);
    assert_eq!(first.args, ["demo", "--keep"]);
    let kept = Kept::new();
    assert!(kept.url.starts_with("postgresql://"), "{}", kept.url);
    type_all(&commands, &kept.url);
}
