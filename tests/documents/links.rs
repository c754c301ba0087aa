//! Links inside the documents lead to files and headings that are there, and the book has all pages.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::commands::{pages, root};

/// Where the links of a text lead, but for those into the world.
fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
        .collect()
}

/// The file that a page's link leads to; a heading alone is one of the same page.
fn led_to(page: &Path, link: &str) -> PathBuf {
    match link.split('#').next() {
        None | Some("") => page.to_owned(),
        Some(path) => page.parent().expect("a folder").join(path),
    }
}

#[test]
fn every_link_leads_to_a_file() {
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            let file = led_to(&page, link);
            assert!(file.exists(), "{}: {link}", page.display());
            if let Some((_, heading)) = link.split_once('#') {
                let there = fs::read_to_string(&file).expect("a page");
                assert!(
                    anchors(&there).contains(heading),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
}

/// What the headings of a page are called in an address: in small letters, without signs, with hyphens.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| {
        let rest = line.trim_start_matches('#');
        (rest.len() < line.len()).then(|| rest.strip_prefix(' '))?
    });
    let kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
    headings
        .map(|heading| heading.trim().chars().filter(kept).collect::<String>())
        .map(|heading| heading.to_lowercase().replace(' ', "-"))
        .collect()
}

#[test]
fn headings_are_called_in_an_address_as_they_are_on_the_web() {
    let page = "# What it is, and `where`\n#not one\ntext\n## Quay's own_way: 1.\n";
    assert_eq!(
        anchors(page).into_iter().collect::<Vec<_>>(),
        ["quays-own_way-1", "what-it-is-and-where"]
    );
}

/// The book is made of docs/ alone: what else a page leads to is not there.
#[test]
fn the_pages_of_the_book_lead_to_nothing_that_is_not_in_it() {
    let docs = root().join("docs").canonicalize().expect("a folder");
    for page in pages()
        .into_iter()
        .filter(|page| page.starts_with(root().join("docs")))
    {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            let file = led_to(&page, link).canonicalize().expect("a file");
            assert!(file.starts_with(&docs), "{}: {link}", page.display());
        }
    }
}

/// mdBook makes `--apply` in running text a dash and `apply`; and that is then typed.
#[test]
fn options_in_the_books_running_text_keep_their_two_hyphens() {
    let book = fs::read_to_string(root().join("book.toml")).expect("a book");
    assert!(book.contains("\nsmart-punctuation = false\n"), "{book}");
}

#[test]
fn every_page_is_in_the_book() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).expect("a summary");
    let book = fs::read_to_string(root().join("book.toml")).expect("a book");
    assert!(book.contains("src = \"docs\""));
    // Else a README.md is renamed there, and links to it lead nowhere.
    assert!(book.contains("\nuse-default-preprocessors = false\n"));
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
