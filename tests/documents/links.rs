//! Links inside the documents lead to files that are there, and the book leaves no page out.

use std::fs;
use std::path::Path;

use super::commands::{pages, root};

/// Where the links of a text lead, but for those into the world.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .collect()
}

#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        let folder = page.parent().expect("a folder");
        for link in links(&text) {
            let file = folder.join(link.split('#').next().unwrap_or(link));
            assert!(file.exists(), "{}: {link}", page.display());
        }
    }
}

#[test]
fn every_page_is_in_the_book() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).expect("a summary");
    let book = fs::read_to_string(root().join("book.toml")).expect("a book");
    assert!(book.contains("src = \"docs\""));
    let listed = links(&summary);
    for page in pages() {
        let Ok(inside) = page.strip_prefix(&docs) else {
            continue;
        };
        assert!(
            inside == Path::new("SUMMARY.md")
                || listed.iter().any(|link| Path::new(link) == inside),
            "{} is missing in docs/SUMMARY.md",
            inside.display()
        );
    }
}

#[test]
fn files_that_the_documents_name_are_there() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for named in text.split('`').skip(1).step_by(2) {
            let ours = ["docs/", "deploy/", "examples/", "checks/", "tests/", "src/"];
            let plain = named
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if plain && ours.iter().any(|folder| named.starts_with(folder)) {
                assert!(root().join(named).exists(), "{}: {named}", page.display());
            }
        }
    }
}
