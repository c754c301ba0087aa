//! Where a world's rows lie: which ids each group of tags has.

use super::{Evidence, Namespace, Repositories, Source, Tags, World};

/// A repository with its id.
pub(super) struct Place<'w> {
    pub(super) namespace: &'w Namespace,
    pub(super) namespace_id: i32,
    pub(super) described: &'w Repositories,
    pub(super) id: i32,
    pub(super) name: String,
}

/// A group of tags of one repository, with the first of each kind of id.
pub(super) struct Block<'w> {
    /// Index into [`Layout::places`].
    pub(super) place: usize,
    pub(super) tags: &'w Tags,
    pub(super) first_tag: i64,
    pub(super) first_manifest: i64,
    pub(super) first_label: i64,
}

impl Block<'_> {
    /// How many manifests the group's tags share.
    pub(super) fn manifests(&self) -> u32 {
        self.tags.count.div_ceil(self.tags.tags_per_manifest)
    }

    /// How many labels its manifests have.
    pub(super) fn labels(&self) -> u32 {
        if self.tags.evidence == Evidence::Label {
            self.manifests()
        } else {
            0
        }
    }
}

/// The whole world laid out. Its size depends on the number of repositories, not of tags.
pub(super) struct Layout<'w> {
    pub(super) places: Vec<Place<'w>>,
    pub(super) blocks: Vec<Block<'w>>,
    /// Organisations that are mirrored, with the id of the robot that does it.
    pub(super) mirrors: Vec<(i32, i32)>,
    pub(super) tags: i64,
}

impl<'w> Layout<'w> {
    pub(super) fn of(world: &'w World) -> Self {
        let mut layout = Self {
            places: Vec::new(),
            blocks: Vec::new(),
            mirrors: Vec::new(),
            tags: 0,
        };
        let (mut manifests, mut labels) = (0, 0);
        let mut last_user = id(world.namespaces.len());
        for (index, namespace) in world.namespaces.iter().enumerate() {
            let namespace_id = id(index + 1);
            if namespace.source == Source::Mirror {
                last_user += 1;
                layout.mirrors.push((namespace_id, last_user));
            }
            for described in &namespace.repositories {
                for number in 0..described.count {
                    let place = layout.places.len();
                    layout.places.push(Place {
                        namespace,
                        namespace_id,
                        described,
                        id: id(place + 1),
                        name: described.name.name(world.seed, number),
                    });
                    for tags in &described.tags {
                        let block = Block {
                            place,
                            tags,
                            first_tag: layout.tags + 1,
                            first_manifest: manifests + 1,
                            first_label: labels + 1,
                        };
                        layout.tags += i64::from(tags.count);
                        manifests += i64::from(block.manifests());
                        labels += i64::from(block.labels());
                        layout.blocks.push(block);
                    }
                }
            }
        }
        layout
    }
}

/// An id from a count. A description whose counts do not fit has been refused.
fn id(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
