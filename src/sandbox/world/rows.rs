//! The rows of each table, one function a table; the same every time they are asked for.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::block::{Block, Layout};
use super::line::Line;
use super::{Life, Namespace, NamespaceKind, Policy, Source, World, random};

/// Ids that differ between registries, looked up by name.
pub(super) struct Lookups {
    pub(super) tag_kind: i32,
    pub(super) image_kind: i32,
    pub(super) public: i32,
    pub(super) manifest_media_type: i32,
    pub(super) text_media_type: i32,
    pub(super) from_manifest: i32,
}

/// What every table's rows are made from.
pub(super) struct Rows<'w> {
    pub(super) world: &'w World,
    pub(super) layout: Layout<'w>,
    pub(super) lookups: Lookups,
    pub(super) now: DateTime<Utc>,
}

type Out<'o> = &'o mut dyn Write;

impl Rows<'_> {
    pub(super) fn users(&self, out: Out<'_>) -> io::Result<()> {
        let described = self.world.namespaces.iter().map(|namespace| {
            let Namespace {
                name,
                kind,
                enabled,
                ..
            } = namespace;
            (name.clone(), *kind, *enabled)
        });
        let robots = self.layout.mirrors.iter().map(|(organization, _)| {
            let owner = self
                .namespace(*organization)
                .map_or("", |owner| &owner.name);
            (format!("{owner}+mirror"), NamespaceKind::Robot, true)
        });
        let seed = random::fork(self.world.seed, "user");
        let then = stamp(self.now - chrono::Duration::days(365));
        let mut line = Line::default();
        for (id, (name, kind, enabled)) in (1_i32..).zip(described.chain(robots)) {
            let email = format!("{}@registry.test", name.replace('+', "-"));
            line.number(id)
                .text(&random::uuid(seed, id.unsigned_abs().into()))
                .text(&name)
                .text(&email)
                .flag(true)
                .flag(kind == NamespaceKind::Organization)
                .flag(kind == NamespaceKind::Robot)
                .flag(false)
                .text(&then)
                .flag(enabled)
                .text(&then);
            line.end(out)?;
        }
        Ok(())
    }

    fn namespace(&self, id: i32) -> Option<&Namespace> {
        let index = usize::try_from(id).ok()?.checked_sub(1)?;
        self.world.namespaces.get(index)
    }

    pub(super) fn mirrors(&self, out: Out<'_>) -> io::Result<()> {
        let then = stamp(self.now - chrono::Duration::days(30));
        let mut line = Line::default();
        for (id, (organization, robot)) in (1_i32..).zip(&self.layout.mirrors) {
            line.number(id).number(*organization).text(&then);
            line.number(1)
                .text("https://upstream.registry.test")
                .text("library")
                .text("{}");
            line.number(*robot)
                .text("[]")
                .number(self.lookups.public)
                .number(86_400);
            line.end(out)?;
        }
        Ok(())
    }

    pub(super) fn proxy_caches(&self, out: Out<'_>) -> io::Result<()> {
        let then = stamp(self.now - chrono::Duration::days(30));
        let caches = (1_i32..)
            .zip(&self.world.namespaces)
            .filter(|(_, namespace)| namespace.source == Source::ProxyCache);
        let mut line = Line::default();
        for (id, (organization, _)) in (1_i32..).zip(caches) {
            line.number(id)
                .number(organization)
                .text(&then)
                .text("upstream.registry.test");
            line.end(out)?;
        }
        Ok(())
    }

    pub(super) fn repositories(&self, out: Out<'_>) -> io::Result<()> {
        let seed = random::fork(self.world.seed, "badge");
        let mut line = Line::default();
        for place in &self.layout.places {
            line.number(place.id)
                .number(place.namespace_id)
                .text(&place.name)
                .number(self.lookups.public)
                .text(&random::uuid(seed, place.id.unsigned_abs().into()))
                .number(self.lookups.image_kind)
                .number(place.described.state);
            line.end(out)?;
        }
        Ok(())
    }

    pub(super) fn namespace_policies(&self, out: Out<'_>) -> io::Result<()> {
        let all = (1_i32..)
            .zip(&self.world.namespaces)
            .flat_map(|(id, namespace)| namespace.policies.iter().map(move |policy| (id, policy)));
        let mut line = Line::default();
        for (id, (namespace, policy)) in (1_i32..).zip(all) {
            let uuid = self.uuid_of(policy, "namespace policy", id);
            line.number(id)
                .text(&uuid)
                .number(namespace)
                .text(&policy.text);
            line.end(out)?;
        }
        Ok(())
    }

    pub(super) fn repository_policies(&self, out: Out<'_>) -> io::Result<()> {
        let all = self.layout.places.iter().flat_map(|place| {
            let policies = place.described.policies.iter();
            policies.map(move |policy| (place, policy))
        });
        let mut line = Line::default();
        for (id, (place, policy)) in (1_i32..).zip(all) {
            let namespace = match &policy.namespace {
                Some(name) => (1_i32..)
                    .zip(&self.world.namespaces)
                    .find(|(_, namespace)| namespace.name == *name)
                    .map_or(place.namespace_id, |(id, _)| id),
                None => place.namespace_id,
            };
            let uuid = self.uuid_of(policy, "repository policy", id);
            line.number(id)
                .text(&uuid)
                .number(place.id)
                .number(namespace)
                .text(&policy.text);
            line.end(out)?;
        }
        Ok(())
    }

    fn uuid_of(&self, policy: &Policy, purpose: &str, id: i32) -> String {
        let seed = random::fork(self.world.seed, purpose);
        let made = || random::uuid(seed, id.unsigned_abs().into());
        policy.uuid.clone().unwrap_or_else(made)
    }

    pub(super) fn manifests(&self, out: Out<'_>) -> io::Result<()> {
        let seed = random::fork(self.world.seed, "manifest");
        let mut line = Line::default();
        for block in &self.layout.blocks {
            let repository = self.layout.places[block.place].id;
            for id in ids(block.first_manifest, block.manifests()) {
                let size = random::mix(seed, id.unsigned_abs()) % 500_000_000;
                let config = hex(&Sha256::digest(
                    random::mix(!seed, id.unsigned_abs()).to_be_bytes(),
                ));
                let bytes = format!(
                    "{{\"schemaVersion\":2,\"mediaType\":\"{MANIFEST_TYPE}\",\
                     \"config\":{{\"mediaType\":\"{CONFIG_TYPE}\",\"size\":7023,\
                     \"digest\":\"sha256:{config}\"}},\"layers\":[]}}"
                );
                line.number(id)
                    .number(repository)
                    .text(&format!(
                        "sha256:{}",
                        hex(&Sha256::digest(bytes.as_bytes()))
                    ))
                    .number(self.lookups.manifest_media_type)
                    .text(&bytes)
                    .text(CONFIG_TYPE)
                    .number(size.cast_signed())
                    .flag(true)
                    .flag(true);
                line.end(out)?;
            }
        }
        Ok(())
    }

    pub(super) fn labels(&self, out: Out<'_>) -> io::Result<()> {
        let seed = random::fork(self.world.seed, "label");
        let mut line = Line::default();
        for block in &self.layout.blocks {
            for id in ids(block.first_label, block.labels()) {
                line.number(id)
                    .text(&random::uuid(seed, id.unsigned_abs()))
                    .text("quay.immutable")
                    .text("true")
                    .number(self.lookups.text_media_type)
                    .number(self.lookups.from_manifest);
                line.end(out)?;
            }
        }
        Ok(())
    }

    pub(super) fn manifest_labels(&self, out: Out<'_>) -> io::Result<()> {
        let mut line = Line::default();
        for block in &self.layout.blocks {
            let repository = self.layout.places[block.place].id;
            let manifests = ids(block.first_manifest, block.labels());
            for (id, manifest) in ids(block.first_label, block.labels()).zip(manifests) {
                line.number(id)
                    .number(repository)
                    .number(manifest)
                    .number(id);
                line.end(out)?;
            }
        }
        Ok(())
    }

    pub(super) fn tags(&self, out: Out<'_>) -> io::Result<()> {
        let mut line = Line::default();
        for block in &self.layout.blocks {
            let repository = self.layout.places[block.place].id;
            for (number, id) in (0..block.tags.count).zip(block.first_tag..) {
                let (start, end) = self.lifetime(block, number);
                let manifest =
                    block.first_manifest + i64::from(number / block.tags.tags_per_manifest);
                line.number(id)
                    .text(&block.tags.name.name(self.world.seed, number))
                    .number(repository)
                    .number(manifest)
                    .number(start)
                    .number_or_null(end)
                    .flag(matches!(block.tags.life, Life::Hidden(_)))
                    .number(self.lookups.tag_kind)
                    .flag(block.tags.immutable);
                line.end(out)?;
            }
        }
        Ok(())
    }

    /// A tag's start and end. Dead tags end a second apart, so that a name may have died often.
    pub(super) fn lifetime(&self, block: &Block<'_>, number: u32) -> (i64, Option<i64>) {
        let now = self.now.timestamp_millis();
        let age = millis(block.tags.age);
        let seed = random::fork(self.world.seed, "start");
        let index = block.first_tag.unsigned_abs() + u64::from(number);
        let later = random::mix(seed, index) % (age.unsigned_abs() / 2 + 1);
        let start = now - age + later.cast_signed();
        match block.tags.life {
            Life::Live => (start, None),
            Life::Expiring(rest) | Life::Hidden(rest) => (start, Some(now + millis(rest))),
            Life::Dead(past) => {
                let end = now - millis(past) - i64::from(number) * 1_000;
                (start.min(end - 1), Some(end))
            }
        }
    }
}

const MANIFEST_TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG_TYPE: &str = "application/vnd.docker.container.image.v1+json";

/// A time as Quay stores it: without a zone.
pub(super) fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Milliseconds of a span. A description allows no span that would not fit.
pub(super) fn millis(span: std::time::Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4)
}

fn ids(first: i64, count: u32) -> std::ops::Range<i64> {
    first..first + i64::from(count)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
