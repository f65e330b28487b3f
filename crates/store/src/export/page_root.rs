//! The root of an image's page tree from its pages in ascending order, in little memory.
//!
//! [`PageTree`] keeps every hash, which for hundreds of gibibytes is too much when only the root
//! is wanted. Here the leaves are grouped by 1,024, the roots of the groups again, and so on; of
//! each level only the group that is being filled is kept, and page trees of 1,024 leaves give
//! their roots.

use crate::page_tree::{PageHash, PageTree, zero_page_hash};

const GROUP_BITS: u32 = 10;

/// A root that is being computed.
pub(super) struct PageRoot {
    pages: u64,
    /// From the pages up; the last has one group.
    levels: Vec<Level>,
}

struct Level {
    /// The root of a subtree of zero pages one level below.
    zero: PageHash,
    /// Number of the group that is being filled.
    group: u64,
    /// The hashes in the group that are not `zero`, by number in the group.
    hashes: Vec<(u64, PageHash)>,
}

impl PageRoot {
    /// The root of an image of `pages` pages, all zero so far. `pages` is at most
    /// [`crate::IMAGE_PAGES_MAX`].
    pub(super) fn new(pages: u64) -> Self {
        let mut levels = Vec::new();
        for number in 0..height(pages).div_ceil(GROUP_BITS).max(1) {
            let zero = match number {
                0 => zero_page_hash(),
                _ => PageTree::zero(1 << (number * GROUP_BITS)).root(),
            };
            levels.push(Level {
                zero,
                group: 0,
                hashes: Vec::new(),
            });
        }
        Self { pages, levels }
    }

    /// Adds the hash of a page that lies behind those added before.
    pub(super) fn push(&mut self, page: u64, hash: PageHash) {
        let (mut number, mut hash) = (page, hash);
        for level in &mut self.levels {
            let group = number >> GROUP_BITS;
            let within = number & ((1 << GROUP_BITS) - 1);
            if level.group == group {
                level.hashes.push((within, hash));
                return;
            }
            let before = std::mem::replace(&mut level.group, group);
            let hashes = std::mem::replace(&mut level.hashes, vec![(within, hash)]);
            if hashes.is_empty() {
                return;
            }
            (number, hash) = (before, group_root(GROUP_BITS, &level.zero, &hashes));
        }
    }

    /// The root.
    pub(super) fn finish(mut self) -> PageHash {
        let height = height(self.pages);
        let Some(top) = self.levels.len().checked_sub(1) else {
            return zero_page_hash();
        };
        for at in 0..top {
            let level = &mut self.levels[at];
            let hashes = std::mem::take(&mut level.hashes);
            if hashes.is_empty() {
                continue;
            }
            let (group, hash) = (level.group, group_root(GROUP_BITS, &level.zero, &hashes));
            // Levels above take it as if a page had come.
            let mut above = Self {
                pages: self.pages,
                levels: self.levels.split_off(at + 1),
            };
            above.push(group, hash);
            self.levels.append(&mut above.levels);
        }
        let level = &self.levels[top];
        group_root(height - top as u32 * GROUP_BITS, &level.zero, &level.hashes)
    }
}

/// The number of levels of inner hashes above the pages.
fn height(pages: u64) -> u32 {
    pages.max(1).next_power_of_two().ilog2()
}

/// The root of a subtree of `2^bits` hashes, which are `zero` except for those given.
fn group_root(bits: u32, zero: &PageHash, hashes: &[(u64, PageHash)]) -> PageHash {
    let mut tree = PageTree::zero(1 << bits);
    if *zero == zero_page_hash() {
        tree.set(hashes);
        return tree.root();
    }
    let mut all: Vec<(u64, PageHash)> = (0..1 << bits).map(|at| (at, *zero)).collect();
    for (at, hash) in hashes {
        all[*at as usize].1 = *hash;
    }
    tree.set(&all);
    tree.root()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_the_root_of_the_page_tree(
            pages in prop_oneof![0u64..5000, Just(1 << 20), Just((1 << 20) + 1), Just(1 << 40)],
            places in proptest::collection::vec(prop_oneof![0u64..3000, any::<u64>()], 0..40),
        ) {
            let mut tree = PageTree::zero(pages);
            let mut root = PageRoot::new(pages);
            let numbers: std::collections::BTreeSet<u64> =
                places.iter().filter_map(|place| place.checked_rem(pages)).collect();
            for page in numbers {
                let hash = *blake3::hash(&page.to_le_bytes()).as_bytes();
                tree.set(&[(page, hash)]);
                root.push(page, hash);
            }
            prop_assert_eq!(root.finish(), tree.root());
        }
    }
}
