//! How a creation is carried out where nobody says how: in one transaction where its scope is small, not where few tags
//! match.

use std::fmt::Write as _;

use super::scene::Scene;

/// A namespace with so many repositories, each with so many tags that do not match; one tag matches.
fn strategy(repositories: u32, tags: u32) -> String {
    let mut world = String::from("seed = 5\n[[namespace]]\nname = \"acme\"\n");
    for number in 0..repositories {
        let _ = writeln!(world, "[[namespace.repository]]\nname = \"r{number}\"");
        if tags > 0 {
            let _ = writeln!(
                world,
                "[[namespace.repository.tags]]\nname = \"build-{{n}}\"\ncount = {tags}"
            );
        }
    }
    world.push_str("[[namespace.repository]]\nname = \"last\"\n");
    world.push_str("[[namespace.repository.tags]]\nname = \"v1.{n}\"\ncount = 1\n");
    let scene = Scene::of(&world);
    let created = scene.create("v.*", &[]).expect_status(0).json();
    assert_eq!(created["tags_changed"], 1, "{created}");
    scene.check();
    created["strategy"].as_str().expect("a text").to_owned()
}

/// Issue 17, case 14.
#[test]
fn what_will_be_read_and_locked_decides_and_not_what_matches() {
    for (repositories, tags, expected) in [
        (3, 20, "atomic"),
        (63, 0, "atomic"),
        (64, 0, "phased"),
        (2, 5_000, "phased"),
    ] {
        let chosen = strategy(repositories, tags);
        assert_eq!(chosen, expected, "{repositories} repositories, {tags} tags");
    }
}
