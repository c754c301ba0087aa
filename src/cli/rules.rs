//! `rules`: the catalogue, its reasons, and each rule's own examples. Never connects.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use quay_doctor::{
    Catalogue, Rule, RuleError, examples_for_people, key, rule_list, rule_page, rules_in,
    try_examples,
};
use serde_json::{Value, json};

use super::{Exit, Failure, Format, Globals, output};

/// The rules: what they are, why, and their own examples; never connects
#[derive(Args, Debug)]
pub struct RulesArgs {
    /// A folder with rules of your own, besides the built-in ones
    #[arg(long, value_name = "DIR", global = true)]
    checks: Option<PathBuf>,

    #[command(subcommand)]
    sub: Sub,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Every rule, with its severity and what must hold
    List,
    /// What a rule looks at, why it matters, what can be done
    Explain {
        /// The rule
        id: String,
    },
    /// Tries each rule's examples; exit status 1 where one does not hold
    Test {
        /// Only these rules
        ids: Vec<String>,
    },
}

/// Runs the verb.
pub fn run(args: &RulesArgs, globals: &Globals) -> Result<Exit, Failure> {
    let checks = globals.layers()?.path(&key::CHECKS, args.checks.clone())?;
    let catalogue = catalogue(checks.as_ref())?;
    match &args.sub {
        Sub::List => match globals.format {
            Format::Json => {
                output::json(&Value::Array(catalogue.rules().iter().map(about).collect()))?
            }
            _ => output::text(&rule_list(&catalogue))?,
        },
        Sub::Explain { id } => {
            let rule = catalogue.get(id)?;
            match globals.format {
                Format::Json => output::json(&about(rule))?,
                _ => output::text(&rule_page(rule))?,
            }
        }
        Sub::Test { ids } => return test(catalogue.choose(ids)?, globals),
    }
    Ok(Exit::AllWell)
}

/// The built-in rules, and those of a folder.
pub fn catalogue(checks: Option<&PathBuf>) -> Result<Catalogue, RuleError> {
    let built_in = Catalogue::built_in()?;
    match checks {
        Some(folder) => built_in.and(rules_in(folder)?),
        None => Ok(built_in),
    }
}

fn test(catalogue: Catalogue, globals: &Globals) -> Result<Exit, Failure> {
    let mut text = String::new();
    let mut documents = Vec::new();
    let mut failed = 0;
    for rule in catalogue.rules() {
        let outcomes = try_examples(rule);
        failed += outcomes.iter().filter(|example| !example.holds()).count();
        text.push_str(&examples_for_people(rule, &outcomes));
        documents.extend(outcomes.iter().map(|example| {
            json!({
                "rule": rule.id,
                "shows": example.shows.name(),
                "story": example.story,
                "holds": example.holds(),
            })
        }));
    }
    match globals.format {
        Format::Json => output::json(&Value::Array(documents))?,
        _ => output::text(&text)?,
    }
    Ok(if failed == 0 {
        Exit::AllWell
    } else {
        Exit::SomethingToDo
    })
}

fn about(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "severity": rule.severity,
        "subject": rule.subject,
        "summary": rule.summary,
        "reason": rule.reason,
        "condition": rule.condition,
        "must_hold": rule.must_hold,
        "excused_by": rule.excused_by,
        "remedies": rule.remedies,
    })
}
