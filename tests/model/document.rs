//! The part of docs/protocol.md that the model writes: how many states, and the stories.

use std::fs;
use std::path::Path;

use super::checking::{BROKEN, OF_ALL, explore};
use super::instances::{
    Size, of_all, of_hands, of_ours, of_pairs, of_requests_and_snapshots, of_safeguards, of_stories,
};
use super::scenario::{Scenario, Subject};
use super::sound;
use super::telling::told;

const REGENERATE: &str = "QUAY_DOCTOR_REGENERATE";
const BEGIN: &str = "<!-- model -->\n";
const END: &str = "<!-- end of model -->";

const SUBJECTS: [(Subject, &str); 3] = [
    (Subject::QuaysWay, "Quay's present way"),
    (Subject::RecommendedFix, "the recommended fix"),
    (Subject::Ours, "ours"),
];

#[test]
fn nothing_leaves_our_operations_half_done_and_the_page_tells_what_the_model_finds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let page = fs::read_to_string(&path).expect("the page");
    let (head, rest) = page.split_once(BEGIN).expect("the part's begin");
    let (there, tail) = rest.split_once(END).expect("the part's end");
    let part = format!("{}{}{}{}", comparison(), ours(), without(), stories());
    if std::env::var_os(REGENERATE).is_some() {
        fs::write(&path, format!("{head}{BEGIN}{part}{END}{tail}")).expect("the page");
    } else {
        assert_eq!(there, part, "docs/protocol.md is stale: set {REGENERATE}=1");
    }
}

/// One instance, three subjects.
fn comparison() -> String {
    let mut text = format!(
        "\nOne instance for all three ({}; a statement may fail once, a worker may be killed once):\n\n",
        of_all(Subject::Ours).title
    );
    text.push_str(&format!(
        "| | states | {} |\n",
        BROKEN[..OF_ALL].join(" | ")
    ));
    text.push_str(&format!("|{}\n", " --- |".repeat(OF_ALL + 2)));
    for (subject, name) in SUBJECTS {
        let explored = explore(&of_all(subject));
        text.push_str(&format!("| {name} | {} |", grouped(explored.states)));
        for property in 0..OF_ALL {
            match explored.story(property) {
                None => text.push_str(" never |"),
                Some(story) => text.push_str(&format!(" **in {} steps** |", story.len() - 1)),
            }
        }
        text.push('\n');
    }
    text
}

fn ours() -> String {
    let mut text = String::from(
        "\nOurs, instance by instance; every state of each has been seen, and none of that happens:\n\n\
         | instance | states |\n| --- | --- |\n",
    );
    let mut all = 0;
    let instances = of_ours(Size::Usual)
        .into_iter()
        .chain(of_hands(Size::Usual))
        .chain(of_requests_and_snapshots(Size::Usual));
    for (title, states) in sound(instances.collect()) {
        all += states;
        text.push_str(&format!("| {title} | {} |\n", grouped(states)));
    }
    text.push_str(&format!("| together | {} |\n", grouped(all)));
    text
}

fn without() -> String {
    let mut text = String::from(
        "\nOurs with one safeguard switched off:\n\n\
         | without | in | this happens | in steps |\n| --- | --- | --- | --- |\n",
    );
    for (safeguard, instance, property) in of_safeguards() {
        let explored = explore(&instance.without(safeguard));
        let story = explored.story(property).expect("a counterexample");
        text.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            safeguard.name(),
            explored.title,
            BROKEN[property],
            story.len() - 1
        ));
    }
    text.push_str(
        "\nOurs with two safeguards switched off, either of which is enough:\n\n\
         | without | and without | in | this happens | in steps |\n| --- | --- | --- | --- | --- |\n",
    );
    for (pair, instance, property) in of_pairs() {
        let explored = explore(&pair.into_iter().fold(instance, Scenario::without));
        let story = explored.story(property).expect("a counterexample");
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            pair[0].name(),
            pair[1].name(),
            explored.title,
            BROKEN[property],
            story.len() - 1
        ));
    }
    text
}

fn stories() -> String {
    let mut text = String::new();
    for (subject, name) in &SUBJECTS[..2] {
        text.push_str(&format!("\n### Stories of {name}\n"));
        for instance in of_stories(*subject) {
            for (property, story) in explore(&instance).stories {
                text.push_str(&format!(
                    "\n{}, and {}:\n\n{}",
                    capital(instance.title),
                    BROKEN[property],
                    told(&instance, &story)
                ));
            }
        }
    }
    text
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// A number with its thousands set apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
