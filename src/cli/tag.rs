//! `tag explain`: immutable or not, and everything that accounts for it.

use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use quay_doctor::{ExplainRequest, explain_tag, key, tag_for_people, tag_json};

use super::{Exit, Failure, Format, Globals, output};

/// One tag: immutable or not, and everything that accounts for it
#[derive(Args, Debug)]
pub struct TagArgs {
    #[command(subcommand)]
    sub: Sub,
}

#[derive(Subcommand, Debug)]
enum Sub {
    /// Every policy, label, audit entry and journal row that accounts for a tag, and each rule's verdict
    Explain {
        /// The tag
        #[arg(value_name = "NS/REPO:TAG")]
        tag: TagName,

        /// How long Quay may be applying a policy that it has just created; by default 15m
        #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
        grace: Option<Duration>,
    },
}

/// A tag by name. A repository's name may hold slashes, a tag's no colon.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TagName {
    namespace: String,
    repository: String,
    tag: String,
}

impl FromStr for TagName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').and_then(|(place, tag)| {
            let (namespace, repository) = place.split_once('/')?;
            let full = [namespace, repository, tag]
                .iter()
                .all(|part| !part.is_empty());
            full.then(|| Self {
                namespace: namespace.to_owned(),
                repository: repository.to_owned(),
                tag: tag.to_owned(),
            })
        });
        parts.ok_or_else(|| "it has the form NAMESPACE/REPOSITORY:TAG".to_owned())
    }
}

/// Runs the verb.
pub fn run(args: &TagArgs, globals: &Globals) -> Result<Exit, Failure> {
    let Sub::Explain { tag, grace } = &args.sub;
    let request = ExplainRequest {
        namespace: tag.namespace.clone(),
        repository: tag.repository.clone(),
        tag: tag.tag.clone(),
        features: globals.features()?,
        grace: globals.layers()?.value(&key::GRACE, *grace)?,
    };
    let explanation = explain_tag(&globals.connection()?, &request)?;
    match globals.format {
        Format::Human => output::text(&tag_for_people(&explanation))?,
        Format::Json => output::json(&tag_json(&explanation))?,
    }
    Ok(Exit::AllWell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tags_name_is_taken_apart() {
        let name: TagName = "acme/apps/shop:v1".parse().expect("a name");
        assert_eq!(
            (
                name.namespace.as_str(),
                name.repository.as_str(),
                name.tag.as_str()
            ),
            ("acme", "apps/shop", "v1")
        );
        for wrong in [
            "acme",
            "acme/shop",
            "acme:v1",
            "/shop:v1",
            "acme/:v1",
            "acme/shop:",
        ] {
            assert!(wrong.parse::<TagName>().is_err(), "{wrong}");
        }
    }
}
