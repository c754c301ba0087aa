//! What a result tells beside its sums: tags that could not be changed as asked, by name.

use std::collections::HashSet;
use std::fmt;

use crate::evaluate::{Registry, TagRow};
use crate::quay::{TagId, UnixMillis};

/// How many names are kept.
const NAMED: usize = 20;

/// Tags of which the first are named: each counts once, however often it is met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedTags {
    tags: HashSet<TagId>,
    names: Vec<String>,
}

impl NamedTags {
    /// Adds a tag as `namespace/repository:tag`.
    pub fn add(&mut self, registry: &Registry, row: &TagRow) {
        self.add_as(row.id, || name(registry, row));
    }

    /// The same with an expiration that the tag had.
    pub fn add_with_end(&mut self, registry: &Registry, row: &TagRow, end: UnixMillis) {
        self.add_as(row.id, || format!("{} (it had {end})", name(registry, row)));
    }

    fn add_as(&mut self, tag: TagId, name: impl FnOnce() -> String) {
        if self.tags.insert(tag) && self.names.len() < NAMED {
            self.names.push(name());
        }
    }

    /// Adds those of another session.
    pub fn append(&mut self, more: Self) {
        self.tags.extend(more.tags);
        for name in more.names {
            if self.names.len() < NAMED && !self.names.contains(&name) {
                self.names.push(name);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.tags.len() as u64
    }

    /// The first of them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }
}

/// The names; and how many more there are.
impl fmt::Display for NamedTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names.join(", "))?;
        match self.count().saturating_sub(self.names.len() as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn name(registry: &Registry, row: &TagRow) -> String {
    let (namespace, repository) = registry.repository_names(row.repository);
    format!("{namespace}/{repository}:{}", row.name)
}

/// The tags that a result has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions {
    /// Released without the expiration that the journal knows: it has passed, and the tag would have
    /// died at once.
    pub past_expiries: NamedTags,
    /// Released without the expiration that the journal knows: somebody has written the tag since.
    pub void_images: NamedTags,
    /// Not written as asked: a trigger of the database swallowed the change, or altered it.
    pub not_written: NamedTags,
    /// Left as they are: the expiration that was to be restored is the one of another row of the same name.
    pub duplicates: NamedTags,
}

impl Exceptions {
    /// Adds those of another session, or of another part of the work.
    pub fn append(&mut self, more: Self) {
        self.past_expiries.append(more.past_expiries);
        self.void_images.append(more.void_images);
        self.not_written.append(more.not_written);
        self.duplicates.append(more.duplicates);
    }

    /// Whether they tell already that a tag has lost the expiration that the journal knows.
    pub fn tells_expiry_of(&self, tag: TagId) -> bool {
        let kinds = [&self.past_expiries, &self.void_images];
        kinds.iter().any(|tags| tags.tags.contains(&tag))
    }

    /// Whether somebody has to look at a tag: the exit status is then not 0.
    pub fn want_a_look(&self) -> bool {
        let kinds = [&self.not_written, &self.void_images, &self.duplicates];
        kinds.iter().any(|tags| !tags.is_empty())
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.past_expiries.is_empty() && !self.want_a_look()
    }

    /// One sentence for each kind.
    pub fn sentences(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if !self.past_expiries.is_empty() {
            sentences.push(format!(
                "{} tags had an expiry that has passed: released without it (--restore-past-expiry writes it): {}",
                self.past_expiries.count(),
                self.past_expiries
            ));
        }
        if !self.void_images.is_empty() {
            sentences.push(format!(
                "{} tags were released without an expiration: they have been written since the one that the journal \
                 knows was cleared, and it may no longer be meant: {}",
                self.void_images.count(),
                self.void_images
            ));
        }
        if !self.not_written.is_empty() {
            sentences.push(format!(
                "{} tags are not as asked, since a trigger of the database swallowed or altered the change: {}",
                self.not_written.count(),
                self.not_written
            ));
        }
        if !self.duplicates.is_empty() {
            sentences.push(format!(
                "{} tags were left as they are, since another row of the same name has the expiration that each would get: {}",
                self.duplicates.count(),
                self.duplicates
            ));
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_counts_once_and_only_the_first_are_named() {
        let mut tags = NamedTags::default();
        for id in 0..25 {
            tags.add_as(TagId(id), || format!("a/b:{id}"));
            tags.add_as(TagId(id), || format!("a/b:{id}"));
        }
        assert_eq!((tags.count(), tags.names().len()), (25, NAMED));
        assert!(tags.to_string().ends_with("a/b:19 and 5 more"));
        let mut twice = tags.clone();
        twice.append(tags.clone());
        assert_eq!(twice, tags);
    }
}
