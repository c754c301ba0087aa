//! From a description as typed to a world as meant.

use std::collections::HashSet;
use std::time::Duration;

use super::name::Template;
use super::{
    Audit, Evidence, Life, Namespace, NamespaceKind, Policy, Repositories, Source, Tags, World, raw,
};
use crate::sandbox::SandboxError;

/// Ids are 32-bit integers in Quay.
const MAX_ROWS: u64 = i32::MAX as u64;
const DAY: Duration = Duration::from_secs(86_400);

/// A complaint about one place of the description.
fn wrong(place: &str, reason: impl std::fmt::Display) -> SandboxError {
    SandboxError::World {
        reason: format!("{place}: {reason}"),
        help: "fixtures/worlds/acme.toml shows every key".to_owned(),
    }
}

pub(super) fn world(raw: raw::World) -> Result<World, SandboxError> {
    let namespaces = raw
        .namespace
        .into_iter()
        .map(namespace)
        .collect::<Result<Vec<_>, _>>()?;
    let world = World {
        seed: raw.seed,
        namespaces,
    };
    names_are_free(&world)?;
    ids_suffice(&world)?;
    Ok(world)
}

fn namespace(raw: raw::Namespace) -> Result<Namespace, SandboxError> {
    let place = format!("namespace `{}`", raw.name);
    let kind = match raw.kind {
        raw::Kind::User => NamespaceKind::User,
        raw::Kind::Organization => NamespaceKind::Organization,
        raw::Kind::Robot => NamespaceKind::Robot,
    };
    if (kind == NamespaceKind::Robot) != raw.name.contains('+') {
        return Err(wrong(
            &place,
            "a robot, and nobody else, is called owner+name",
        ));
    }
    let source = match raw.source {
        raw::Source::Pushes => Source::Pushes,
        raw::Source::Mirror => Source::Mirror,
        raw::Source::ProxyCache => Source::ProxyCache,
    };
    if source != Source::Pushes && kind != NamespaceKind::Organization {
        return Err(wrong(
            &place,
            "only an organization has a source of its own",
        ));
    }
    Ok(Namespace {
        kind,
        enabled: raw.enabled,
        source,
        policies: policies(&place, raw.policy)?,
        repositories: each(raw.repository, |item| repositories(&place, item))?,
        audit: each(raw.audit, |item| audit(&place, item))?,
        name: raw.name,
    })
}

fn each<T, U>(
    items: Vec<T>,
    one: impl FnMut(T) -> Result<U, SandboxError>,
) -> Result<Vec<U>, SandboxError> {
    items.into_iter().map(one).collect()
}

fn policies(place: &str, raw: Vec<raw::Policy>) -> Result<Vec<Policy>, SandboxError> {
    each(raw, |raw| {
        let text = match (raw.pattern, raw.text) {
            (Some(pattern), None) => stored(&pattern, raw.matches.unwrap_or(true)),
            (None, Some(text)) if raw.matches.is_none() => text,
            _ => {
                return Err(wrong(
                    place,
                    "a policy has either a pattern or a stored text",
                ));
            }
        };
        Ok(Policy {
            text,
            uuid: raw.uuid,
            namespace: raw.namespace,
        })
    })
}

/// A policy's text as Quay's `json.dumps` writes it: blanks after commas and colons, ASCII only.
fn stored(pattern: &str, matches: bool) -> String {
    let quoted: String = serde_json::Value::from(pattern)
        .to_string()
        .chars()
        .flat_map(ascii)
        .collect();
    format!(r#"{{"tag_pattern": {quoted}, "tag_pattern_matches": {matches}}}"#)
}

/// A character as it is, or as UTF-16 escapes.
fn ascii(character: char) -> Vec<char> {
    if character.is_ascii() {
        return vec![character];
    }
    let mut units = [0_u16; 2];
    let escaped = character.encode_utf16(&mut units).iter();
    escaped
        .flat_map(|unit| format!("\\u{unit:04x}").chars().collect::<Vec<_>>())
        .collect()
}

fn repositories(place: &str, raw: raw::Repository) -> Result<Repositories, SandboxError> {
    let place = format!("{place}, repository `{}`", raw.name);
    let name = Template::parse(&raw.name).map_err(|reason| wrong(&place, reason))?;
    if name.is_constant() && raw.count > 1 {
        return Err(wrong(&place, "several of one name; put {n} into the name"));
    }
    Ok(Repositories {
        name,
        count: raw.count,
        state: match raw.state {
            raw::State::Normal => 0,
            raw::State::ReadOnly => 1,
            raw::State::Mirror => 2,
            raw::State::MarkedForDeletion => 3,
            raw::State::OrganizationMirror => 4,
        },
        policies: policies(&place, raw.policy)?,
        tags: each(raw.tags, |item| tags(&place, item))?,
    })
}

fn tags(place: &str, raw: raw::Tags) -> Result<Tags, SandboxError> {
    let place = format!("{place}, tags `{}`", raw.name);
    let name = Template::parse(&raw.name).map_err(|reason| wrong(&place, reason))?;
    let life = match raw.life {
        raw::Life::Live => Life::Live,
        raw::Life::Expiring => Life::Expiring(span(&place, raw.expires_in.as_deref(), 14 * DAY)?),
        raw::Life::Hidden => Life::Hidden(span(&place, raw.expires_in.as_deref(), DAY)?),
        raw::Life::Dead => Life::Dead(span(&place, raw.ended_ago.as_deref(), DAY)?),
    };
    let dead = matches!(life, Life::Dead(_));
    if raw.ended_ago.is_some() && !dead {
        return Err(wrong(&place, "only a dead tag has an end in the past"));
    }
    if raw.expires_in.is_some() && !matches!(life, Life::Expiring(_) | Life::Hidden(_)) {
        return Err(wrong(
            &place,
            "only an expiring or hidden tag has an end to come",
        ));
    }
    if name.is_constant() && raw.count > 1 && !dead {
        return Err(wrong(
            &place,
            "several live tags of one name; put {n} into the name",
        ));
    }
    if raw.tags_per_manifest == 0 {
        return Err(wrong(&place, "a manifest has at least one tag"));
    }
    Ok(Tags {
        name,
        count: raw.count,
        life,
        immutable: raw.immutable,
        age: span(&place, raw.age.as_deref(), 90 * DAY)?,
        tags_per_manifest: raw.tags_per_manifest,
        evidence: match raw.evidence {
            raw::Evidence::None => Evidence::None,
            raw::Evidence::SetByUser => Evidence::SetByUser,
            raw::Evidence::TakenOff => Evidence::TakenOff,
            raw::Evidence::MadeByPolicy => Evidence::MadeByPolicy,
            raw::Evidence::Label => Evidence::Label,
        },
    })
}

fn audit(place: &str, raw: raw::Audit) -> Result<Audit, SandboxError> {
    let place = format!("{place}, audit `{}`", raw.kind);
    let metadata = match raw.metadata {
        raw::Metadata::Text(text) => text,
        raw::Metadata::Table(table) => {
            serde_json::to_string(&table).map_err(|error| wrong(&place, error))?
        }
    };
    Ok(Audit {
        ago: span(&place, raw.ago.as_deref(), DAY)?,
        kind: raw.kind,
        repository: raw.repository,
        count: raw.count,
        metadata,
    })
}

/// A span of time such as `14d` or `90m`, bounded so that no sum of times overflows.
fn span(place: &str, text: Option<&str>, usual: Duration) -> Result<Duration, SandboxError> {
    let Some(text) = text else { return Ok(usual) };
    let span = humantime::parse_duration(text)
        .map_err(|error| wrong(place, format!("`{text}` is no span of time: {error}")))?;
    if span > 36_500 * DAY {
        return Err(wrong(
            place,
            format!("`{text}` is longer than a hundred years"),
        ));
    }
    Ok(span)
}

fn names_are_free(world: &World) -> Result<(), SandboxError> {
    let mut seen = HashSet::new();
    for namespace in &world.namespaces {
        let place = format!("namespace `{}`", namespace.name);
        if !seen.insert((namespace.name.clone(), String::new())) {
            return Err(wrong(&place, "the name is taken"));
        }
        for repositories in &namespace.repositories {
            for number in 0..repositories.count {
                let name = repositories.name.name(world.seed, number);
                if !seen.insert((namespace.name.clone(), name.clone())) {
                    return Err(wrong(
                        &place,
                        format!("the repository `{name}` is there twice"),
                    ));
                }
            }
        }
    }
    let known = |name: &Option<String>| {
        name.as_ref()
            .is_none_or(|name| world.namespaces.iter().any(|other| other.name == *name))
    };
    for namespace in &world.namespaces {
        let mut policies = namespace.repositories.iter().flat_map(|all| &all.policies);
        if !policies.all(|policy| known(&policy.namespace)) {
            let place = format!("namespace `{}`", namespace.name);
            return Err(wrong(
                &place,
                "a policy names a namespace that is not described",
            ));
        }
        for entry in &namespace.audit {
            let is_there = |name: &String| seen.contains(&(namespace.name.clone(), name.clone()));
            if !entry.repository.as_ref().is_none_or(is_there) {
                let place = format!("namespace `{}`, audit `{}`", namespace.name, entry.kind);
                return Err(wrong(&place, "there is no such repository"));
            }
        }
    }
    Ok(())
}

fn ids_suffice(world: &World) -> Result<(), SandboxError> {
    let tags: u64 = world
        .namespaces
        .iter()
        .flat_map(|namespace| &namespace.repositories)
        .map(|all| {
            let each: u64 = all.tags.iter().map(|tags| u64::from(tags.count)).sum();
            each.saturating_mul(u64::from(all.count))
        })
        .fold(0, u64::saturating_add);
    if tags > MAX_ROWS {
        return Err(wrong(
            "the whole",
            format!("{tags} tags are more than there are ids"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let error = World::parse(text).expect_err("a wrong description");
        let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
        format!("{error} / {}", help.unwrap_or_default())
    }

    #[test]
    fn a_wrong_key_is_an_error_with_a_suggestion() {
        let text = "seed = 1\n[[namespace]]\nname = 'a'\nenabld = false\n";
        let complaint = complaint(text);
        assert!(complaint.contains("line 4"), "{complaint}");
        assert!(
            complaint.ends_with("did you mean `enabled`?"),
            "{complaint}"
        );
    }

    /// The description of acme is the reference that complaints point to.
    #[test]
    fn every_key_occurs_in_the_description_of_acme() {
        let acme = include_str!("../../../fixtures/worlds/acme.toml");
        let namespace = "seed = 1\n[[namespace]]\nname = 'a'\n";
        let repository = "[[namespace.repository]]\nname = 'r'\n";
        for section in [
            String::new(),
            namespace.to_owned(),
            format!("{namespace}[[namespace.policy]]\n"),
            format!("{namespace}[[namespace.audit]]\nkind = 'k'\n"),
            format!("{namespace}{repository}"),
            format!("{namespace}{repository}[[namespace.repository.tags]]\nname = 't'\n"),
        ] {
            let complaint = complaint(&format!("{section}no_such_key = 1\n"));
            let (_, keys) = complaint.split_once("expected one of ").unwrap_or_else(|| {
                complaint
                    .split_once("expected ")
                    .expect("the keys that there are")
            });
            let keys = keys.lines().next().unwrap_or_default();
            for key in keys.split('`').skip(1).step_by(2) {
                let written = |line: &str| {
                    line.starts_with(&format!("{key} = "))
                        || (line.starts_with("[[") && line.ends_with(&format!("{key}]]")))
                };
                assert!(acme.lines().any(written), "`{key}` is not shown");
            }
        }
    }

    #[test]
    fn impossible_worlds_are_refused_with_the_place() {
        let namespace = "seed = 1\n[[namespace]]\nname = 'a'\n";
        for (rest, expected) in [
            ("kind = 'robot'", "owner+name"),
            ("[[namespace]]\nname = 'a'", "taken"),
            ("[[namespace.policy]]\nmatches = true", "either a pattern"),
            ("[[namespace.repository]]\nname = 'r'\ncount = 2", "{n}"),
            (
                "[[namespace.repository]]\nname = 'r'\n[[namespace.repository.tags]]\nname = 't'\ncount = 2",
                "{n}",
            ),
            (
                "[[namespace.repository]]\nname = 'r'\n[[namespace.repository.tags]]\nname = 't'\nage = 'old'",
                "span",
            ),
            (
                "[[namespace.audit]]\nkind = 'x'\nrepository = 'r'",
                "no such repository",
            ),
        ] {
            let complaint = complaint(&format!("{namespace}{rest}\n"));
            assert!(complaint.contains(expected), "{complaint}");
            assert!(complaint.contains("namespace `a`"), "{complaint}");
        }
    }

    #[test]
    fn a_policy_is_stored_as_pythons_json_dumps_writes_it() {
        assert_eq!(
            stored("v\"ü🦀", false),
            r#"{"tag_pattern": "v\"\u00fc\ud83e\udd80", "tag_pattern_matches": false}"#
        );
    }
}
