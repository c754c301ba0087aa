//! The status page: names are data, the search works without scripts, nothing comes from elsewhere.

use testkit::subject::{self, Blow};

use super::service::Watcher;
use crate::line::stage::{BOTH_FAILURES, Stage};

#[test]
fn hostile_names_are_shown_and_never_spoken() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let name = "<script>alert(1)</script>\"'&\u{202e}gpj\u{1b}[31m";
    let mut session = stage.session();
    let mut tx = session.begin().expect("a transaction");
    let sql = "UPDATE tag SET name = $1 WHERE id = (SELECT min(id) FROM tag WHERE name LIKE 'v%' AND immutable)";
    assert_eq!(tx.execute(sql, &[&name]).expect("renamed"), 1);
    tx.commit().expect("committed");
    let watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until_known();
    let page = watcher.get("/?q=alert(1)").body;
    let shown = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;'&amp;\\u{202e}gpj\\u{1b}[31m";
    assert!(page.contains(shown), "{page}");
    let searched = watcher
        .get("/?q=%22%3E%3Cscript%3Ealert(2)&rule=%3Cb%3E")
        .body;
    for page in [&page, &searched] {
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
        assert!(
            !page.contains('\u{202e}') && !page.contains('\u{1b}'),
            "{page}"
        );
    }
}

#[test]
fn the_search_finds_by_every_word_by_rule_and_page_by_page() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until_known();
    for (query, found) in [
        ("", "520 violations."),
        ("q=globex+V3.", "20 violations found."),
        ("q=acme%2Fshop", "300 violations found."),
        ("rule=unprotected-tag", "220 violations found."),
        ("rule=unprotected-tag&q=v3", "20 violations found."),
        ("q=nothing-like-that", "0 violations found."),
    ] {
        let page = watcher.get(&format!("/?{query}")).body;
        assert!(page.contains(found), "{query}: {page}");
    }
    let mut seen = std::collections::BTreeSet::new();
    for number in 1..=6 {
        let page = watcher.get(&format!("/?page={number}")).body;
        let list = page.split("id=\"violations\"").nth(1).expect("the list");
        for row in list.split("<th class=\"name\" scope=\"row\"><bdi>").skip(1) {
            let tag = row.split('<').next().expect("a name").to_owned();
            assert!(
                seen.insert((tag, list.contains("globex"))) || number == 4,
                "{row}"
            );
        }
    }
    assert!(seen.len() >= 520, "{}", seen.len());
}

#[test]
fn nothing_on_the_page_is_from_elsewhere_or_without_its_name() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until_scanned_again();
    let page = watcher.page();
    for foreign in [
        "<script", "src=", "http:", "https:", "url(", "@import", " style=", "onclick",
    ] {
        assert!(!page.contains(foreign), "{foreign}: {page}");
    }
    for there in [
        "<html lang=\"en\">",
        "class=\"skip\" href=\"#rules\"",
        "<main>",
        "<header>",
        "<footer>",
        "<nav aria-label=",
        "<label for=\"q\">",
        "<label for=\"rule\">",
        "role=\"img\"",
        "<desc",
        "<h1",
    ] {
        assert!(page.contains(there), "{there}: {page}");
    }
    assert_eq!(
        page.matches("<table").count(),
        page.matches("<caption").count()
    );
    // A table that is scrolled sideways has to be reached with the Tab key: at its caption, for a browser that is
    // led to the table as a whole shows its middle.
    for table in page.split("<div class=\"wide\"").skip(1) {
        let (region, inside) = table.split_once('>').expect("a tag");
        assert!(!region.contains("tabindex"), "{region}");
        assert!(
            inside.starts_with("<table><caption tabindex=\"0\">"),
            "{inside:.60}"
        );
    }
    assert_eq!(page.matches("<h1").count(), 1);
    for id in page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    for head in page
        .split("<th")
        .skip(1)
        .filter(|rest| !rest.starts_with("ead"))
    {
        assert!(
            head.split('>').next().expect("a tag").contains("scope="),
            "{head:.60}"
        );
    }
    for link in page
        .split("href=\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(
            page.contains(&format!(" id=\"{link}\"")),
            "{link} leads nowhere"
        );
    }
}

#[test]
fn operations_and_policies_are_shown_as_they_stand() {
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
    let how = [
        "--strategy",
        "phased",
        "--on-fault",
        "stop",
        "--immutable-tags-can-expire",
        "false",
    ];
    stage
        .run(&[create.as_slice(), &how].concat())
        .expect_status(3);
    subject::bury_workers(&stage.db.settings().expect("settings")).expect("dead");
    let watcher = Watcher::of(&stage.db.url(), &[]);
    watcher.until_known();
    let page = watcher.page();
    for there in [
        "✗ interrupted",
        "acme",
        "nightly.*",
        "✓ active",
        "applying to tags",
        "1, create",
    ] {
        assert!(page.contains(there), "{there}: {page}");
    }
    let interrupted = "quay_doctor_watch_operations{state=\"interrupted\"}";
    assert_eq!(watcher.figure(interrupted), Some(1.0));
    session
        .run("DROP TRIGGER blow ON tag; DROP FUNCTION blow; DROP SEQUENCE rows_made_immutable")
        .expect("no trigger");
    stage.run(&["recover", "--roll-back"]).expect_status(0);
    watcher.until("ended", |watcher| watcher.figure(interrupted) == Some(0.0));
    assert!(watcher.page().contains("None is under way"));
}

/// Relative luminance after WCAG 2.1, of a colour like `#1d2129`.
fn luminance(colour: &str) -> f64 {
    let channel = |at: usize| {
        let value = u8::from_str_radix(&colour[at..at + 2], 16).expect("a colour");
        let share = f64::from(value) / 255.0;
        if share <= 0.039_28 {
            share / 12.92
        } else {
            ((share + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
}

#[test]
fn every_colour_of_text_stands_out_in_the_light_and_in_the_dark() {
    let style =
        std::fs::read_to_string(crate::documents::commands::root().join("src/report/check.css"))
            .expect("the style");
    let mut themes = 0;
    for block in style.split('{').filter(|block| block.contains("--paper:")) {
        let colour = |name: &str| {
            let value = block
                .split(&format!("--{name}: "))
                .nth(1)
                .expect("a colour");
            luminance(&value[..7])
        };
        for ground in ["paper", "head"] {
            for text in ["ink", "faint", "good", "bad", "open", "wait"] {
                let (one, other) = (colour(ground), colour(text));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast:.2}");
            }
        }
        themes += 1;
    }
    assert_eq!(themes, 2, "light and dark");
}
