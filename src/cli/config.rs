//! `config show`: every setting, its value, and where it comes from. Never connects.

use clap::{Args, Subcommand};
use quay_doctor::{Shown, harmless};
use serde_json::{Value, json};

use super::{Exit, Failure, Format, Globals, output};

/// The configuration: what counts, and who says so; never connects
#[derive(Args, Debug)]
pub struct ConfigArgs {
    #[command(subcommand)]
    sub: Sub,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Every setting, its value and where it comes from: an option, a variable, quay-doctor.toml, Quay's
    /// config.yaml, or the default; no secret is shown
    Show,
}

/// Runs the verb.
pub fn run(args: &ConfigArgs, globals: &Globals) -> Result<Exit, Failure> {
    let Sub::Show = args.sub;
    let layers = globals.layers()?;
    let (settings, connection) = layers.shown(&globals.database(), &globals.stated())?;
    let file = layers.file().map(|file| file.display().to_string());
    match globals.format {
        Format::Human => {
            let file = file.as_deref().unwrap_or("none");
            let mut text = format!("quay-doctor.toml: {}\n\n", harmless(file));
            text.push_str(&lines(&settings));
            text.push_str("\nthe connection, word by word:\n");
            if connection.is_empty() {
                text.push_str("nothing names a database\n");
            }
            text.push_str(&lines(&connection));
            output::text(&text)?;
        }
        Format::Json => output::json(&json!({
            "tool": "quay-doctor",
            "version": env!("CARGO_PKG_VERSION"),
            "shape": 1,
            "file": file,
            "settings": documents(&settings),
            "connection": documents(&connection),
        }))?,
    }
    Ok(Exit::AllWell)
}

fn lines(shown: &[Shown]) -> String {
    let name = width(shown.iter().map(|one| one.name.as_str()));
    let values: Vec<String> = shown
        .iter()
        .map(|one| harmless(one.value.as_deref().unwrap_or("-")))
        .collect();
    let value = width(values.iter().map(String::as_str));
    let mut text = String::new();
    for (one, said) in shown.iter().zip(&values) {
        let origin = match one.value {
            Some(_) => harmless(&one.origin.to_string()),
            None => "nobody says".to_owned(),
        };
        text.push_str(&format!("{:<name$}  {said:<value$}  {origin}\n", one.name));
    }
    text
}

/// The widest of some texts; one that is very long does not push the others away.
fn width<'t>(texts: impl Iterator<Item = &'t str>) -> usize {
    const WIDEST: usize = 40;
    let widths = texts.map(|text| text.chars().count());
    widths.filter(|width| *width <= WIDEST).max().unwrap_or(0)
}

fn documents(shown: &[Shown]) -> Vec<Value> {
    shown
        .iter()
        .map(|one| {
            let origin = one.value.as_ref().map(|_| one.origin.to_string());
            json!({ "name": one.name, "value": one.value, "from": origin })
        })
        .collect()
}
