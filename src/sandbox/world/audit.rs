//! The rows of the audit log: evidence of single tags, and entries that are written down one by one.

use std::collections::BTreeMap;
use std::io::{self, Write};

use chrono::{DateTime, Duration, Utc};

use super::block::{Block, Place};
use super::line::Line;
use super::rows::{Rows, millis, stamp};
use super::{Evidence, NamespaceKind};
use crate::quay::AuditKind;

/// `logentrykind`, by name.
pub(super) type Kinds = BTreeMap<String, i32>;

/// One entry, but for its id.
struct Entry<'e> {
    kind: i32,
    account: i32,
    performer: Option<i32>,
    repository: Option<i32>,
    time: DateTime<Utc>,
    metadata: &'e str,
}

impl Rows<'_> {
    /// Writes `logentry3`.
    pub(super) fn audit(&self, kinds: &Kinds, out: &mut dyn Write) -> io::Result<()> {
        let mut log = Log {
            line: Line::default(),
            last_id: 0,
            out,
        };
        for block in self
            .layout
            .blocks
            .iter()
            .filter(|block| block.tags.evidence.is_audited())
        {
            self.evidence(block, kinds, &mut log)?;
        }
        for (account, namespace) in (1_i32..).zip(&self.world.namespaces) {
            for described in &namespace.audit {
                let repository = described.repository.as_ref().and_then(|name| {
                    let here =
                        |place: &&Place<'_>| place.namespace_id == account && place.name == *name;
                    self.layout.places.iter().find(here).map(|place| place.id)
                });
                let time = self.now - Duration::milliseconds(millis(described.ago));
                for number in 0..described.count {
                    log.write(&Entry {
                        kind: kind(kinds, &described.kind)?,
                        account,
                        performer: self.performer(),
                        repository,
                        time: time + Duration::milliseconds(number.into()),
                        metadata: &described.metadata,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// One entry for each tag of a group.
    fn evidence(&self, block: &Block<'_>, kinds: &Kinds, log: &mut Log<'_>) -> io::Result<()> {
        let place = &self.layout.places[block.place];
        let by_policy = block.tags.evidence == Evidence::MadeByPolicy;
        let name = if by_policy {
            AuditKind::TagMadeImmutableByPolicy
        } else {
            AuditKind::ChangeTagImmutability
        };
        let kind = kind(kinds, name.name())?;
        for number in 0..block.tags.count {
            let (start, _) = self.lifetime(block, number);
            let pushed = DateTime::from_timestamp_millis(start).unwrap_or(self.now);
            let tag = block.tags.name.name(self.world.seed, number);
            let set = block.tags.evidence == Evidence::SetByUser;
            let metadata = if by_policy {
                // Quay knows the repository and does not write it down.
                serde_json::json!({
                    "tag": tag, "namespace": place.namespace.name, "repo": null,
                })
            } else {
                serde_json::json!({
                    "username": "operator", "repo": place.name, "tag": tag,
                    "namespace": place.namespace.name,
                    "immutable": set, "previous_immutable": !set,
                })
            };
            log.write(&Entry {
                kind,
                account: place.namespace_id,
                performer: self.performer(),
                repository: (!by_policy).then_some(place.id),
                time: if by_policy {
                    pushed
                } else {
                    pushed + Duration::minutes(10)
                },
                metadata: &metadata.to_string(),
            })?;
        }
        Ok(())
    }

    /// Whoever acts in this world: its first user, where there is one.
    fn performer(&self) -> Option<i32> {
        (1_i32..)
            .zip(&self.world.namespaces)
            .find(|(_, namespace)| namespace.kind == NamespaceKind::User)
            .map(|(id, _)| id)
    }
}

struct Log<'o> {
    line: Line,
    last_id: i64,
    out: &'o mut dyn Write,
}

impl Log<'_> {
    fn write(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.last_id += 1;
        self.line
            .number(self.last_id)
            .number(entry.kind)
            .number(entry.account)
            .number_or_null(entry.performer.map(i64::from))
            .number_or_null(entry.repository.map(i64::from))
            .text(&stamp(entry.time))
            .text("192.0.2.7")
            .text(entry.metadata);
        self.line.end(self.out)
    }
}

fn kind(kinds: &Kinds, name: &str) -> io::Result<i32> {
    kinds.get(name).copied().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("Quay has no kind of audit entry `{name}`"),
        )
    })
}
