//! A world's description, as typed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sandbox::SandboxError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct World {
    pub(super) seed: u64,
    #[serde(default)]
    pub(super) namespace: Vec<Namespace>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Namespace {
    pub(super) name: String,
    #[serde(default)]
    pub(super) kind: Kind,
    #[serde(default = "yes")]
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) source: Source,
    #[serde(default)]
    pub(super) policy: Vec<Policy>,
    #[serde(default)]
    pub(super) repository: Vec<Repository>,
    #[serde(default)]
    pub(super) audit: Vec<Audit>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    User,
    #[default]
    Organization,
    Robot,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    #[default]
    Pushes,
    Mirror,
    ProxyCache,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    pub(super) pattern: Option<String>,
    pub(super) matches: Option<bool>,
    /// The stored text itself, instead of a pattern.
    pub(super) text: Option<String>,
    pub(super) uuid: Option<String>,
    pub(super) namespace: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Repository {
    pub(super) name: String,
    #[serde(default = "one")]
    pub(super) count: u32,
    #[serde(default)]
    pub(super) state: State,
    #[serde(default)]
    pub(super) policy: Vec<Policy>,
    #[serde(default)]
    pub(super) tags: Vec<Tags>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    #[default]
    Normal,
    ReadOnly,
    Mirror,
    MarkedForDeletion,
    OrganizationMirror,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tags {
    pub(super) name: String,
    #[serde(default = "one")]
    pub(super) count: u32,
    #[serde(default)]
    pub(super) life: Life,
    #[serde(default)]
    pub(super) immutable: bool,
    #[serde(default)]
    pub(super) evidence: Evidence,
    pub(super) age: Option<String>,
    pub(super) expires_in: Option<String>,
    pub(super) ended_ago: Option<String>,
    #[serde(default = "one")]
    pub(super) tags_per_manifest: u32,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Life {
    #[default]
    Live,
    Expiring,
    Dead,
    Hidden,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Evidence {
    #[default]
    None,
    SetByUser,
    TakenOff,
    MadeByPolicy,
    Label,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Audit {
    pub(super) kind: String,
    pub(super) repository: Option<String>,
    pub(super) ago: Option<String>,
    #[serde(default = "one")]
    pub(super) count: u32,
    /// JSON text, stored as it is; a table is written as JSON.
    #[serde(default)]
    pub(super) metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Metadata {
    Text(String),
    Table(BTreeMap<String, serde_json::Value>),
}

impl Default for Metadata {
    fn default() -> Self {
        Self::Table(BTreeMap::new())
    }
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

/// Reads the TOML.
pub(super) fn parse(text: &str) -> Result<World, SandboxError> {
    toml::from_str(text).map_err(|error| SandboxError::World {
        reason: error.to_string().trim().to_owned(),
        help: suggestion(error.message()),
    })
}

/// From serde's complaint about a wrong name and the right ones: which one was meant.
fn suggestion(complaint: &str) -> String {
    // "unknown field `nmae`, expected one of `name`, `kind`": every second piece is a name.
    let mut names = complaint.split('`').skip(1).step_by(2);
    if complaint.starts_with("unknown")
        && let Some(typed) = names.next()
        && let Some(meant) = closest(typed, names)
    {
        return format!("did you mean `{meant}`?");
    }
    "fixtures/worlds/acme.toml shows every key".to_owned()
}

/// The name that is nearest to what was typed, where one is near.
pub(super) fn closest<'n>(typed: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (distance(typed, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(2))
        .map(|(_, name)| name)
}

/// How many letters must be put in, left out or changed to come from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in to.chars().enumerate() {
            let changed = corner + usize::from(a != b);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[row.len() - 1]
}
