//! The status page: rendered here, complete without scripts, with nothing from elsewhere.

mod ask;
mod parts;
mod plot;
mod state;
mod violations;
mod words;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::WatchPlan;
use super::board::Facts;
use crate::report::PAGE_STYLE;

pub(super) use ask::Ask;

/// The page's style: the report's, and what a page of its own needs besides.
static STYLE: LazyLock<String> =
    LazyLock::new(|| format!("{PAGE_STYLE}{}", include_str!("page.css")));

/// Forbids everything but the one style sheet, known by its digest, and the search form.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let digest = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
});

/// The Content-Security-Policy of every answer.
pub(super) fn security_policy() -> &'static str {
    &POLICY
}

/// The page.
pub(super) fn render(facts: &Facts, plan: &WatchPlan, ask: &Ask, now: DateTime<Utc>) -> Markup {
    let headline = state::headline(facts, now);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (headline.title()) " – quay-doctor watch" }
                style { (PreEscaped(STYLE.as_str())) }
            }
            body {
                a.skip href="#rules" { "Skip to the rules" }
                (state::header(facts, &headline, now))
                nav aria-label="On this page" {
                    ul {
                        @for (id, name) in [
                            ("rules", "Rules"), ("trend", "Trend"), ("policies", "Policies"),
                            ("operations", "Operations"), ("violations", "Violations"),
                        ] {
                            li { a href={ "#" (id) } { (name) } }
                        }
                    }
                }
                main {
                    (parts::rules(facts, now))
                    (plot::trend(&facts.trend.points()))
                    (parts::policies(facts, now))
                    (parts::operations(facts, now))
                    (violations::section(facts, ask, now))
                }
                (state::footer(facts, plan))
            }
        }
    }
}
