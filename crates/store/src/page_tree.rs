//! The hash tree over the pages of an image.
//!
//! Format. An image of `n` pages of 4,096 bytes is padded with zero pages to `2^h` pages, where
//! `2^h` is the smallest power of two that is at least `max(n, 1)`.
//!
//! ```text
//! leaf(page)         = BLAKE3 keyed with "trilith page tree leaf, format 1" over the 4,096 bytes
//! inner(left, right) = BLAKE3 keyed with "trilith page tree node, format 1" over left ‖ right
//! root               = the hash at the top of the complete binary tree over the 2^h leaves
//! ```
//!
//! The keys are the 32 ASCII bytes between the quotes. The root stands in the runtime's state
//! beside `n` (see [`crate::image_leaf`]), so the pair depends on length and bytes alone: a page
//! that was never written and one that was written with zeros are the same page.
//!
//! The tree is persistent: a clone is one reference count, an update copies one block of 8 leaves
//! and the path above it, and hashes each ancestor of changed pages once. Subtrees of zero pages
//! take no memory: a page among others costs 77 bytes, one far from all others one to three kilobytes.
//! Functions that call themselves do so at most 37 deep, the levels above the blocks of the
//! largest image.
//!
//! Invariant: a tree depends on the leaves that were set and on the length alone, not on the order
//! of updates or the number of threads that hashed.

use std::sync::{Arc, LazyLock};

use trilith_types::PAGE_BYTES;

use crate::ranges::PageRange;
use crate::workers::Workers;

/// Hash of a page or of two hashes: 32 bytes of BLAKE3.
pub type PageHash = [u8; 32];

const LEAF_KEY: &[u8; 32] = b"trilith page tree leaf, format 1";
const INNER_KEY: &[u8; 32] = b"trilith page tree node, format 1";

/// Leaves of a block, as a power of two: hashes of a block lie in one allocation. Larger blocks
/// save little where all pages are stored, and cost much where single pages are.
const BLOCK_BITS: u32 = 3;
const BLOCK_LEAVES: usize = 1 << BLOCK_BITS;

/// Leaves of a part, as a power of two: parts are what threads share out. Hashing 4,096 leaves
/// together takes a few hundred microseconds, far more than handing a part over.
const PART_BITS: u32 = 12;
/// From how many changed leaves on it pays to start threads.
const PARALLEL_LEAVES: usize = 2 << PART_BITS;

/// Most pages of an image: 2^40 pages are 4 PiB, above every engine's limit and far below where
/// byte offsets leave 64 bits.
pub const IMAGE_PAGES_MAX: u64 = 1 << 40;

/// Hashes of all-zero subtrees by height.
static ZERO: LazyLock<[PageHash; 65]> = LazyLock::new(|| {
    let mut hashes = [leaf_hash(&ZERO_PAGE); 65];
    for height in 1..hashes.len() {
        hashes[height] = inner_hash(&hashes[height - 1], &hashes[height - 1]);
    }
    hashes
});

static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// The leaf hash of a page.
pub fn page_hash(page: &[u8; PAGE_BYTES]) -> PageHash {
    // The comparison ends at the first byte that is not zero, so it costs other pages nothing.
    if *page == ZERO_PAGE {
        return ZERO[0];
    }
    leaf_hash(page)
}

fn leaf_hash(page: &[u8; PAGE_BYTES]) -> PageHash {
    *blake3::keyed_hash(LEAF_KEY, page).as_bytes()
}

/// The leaf hash of a page of zeros.
pub fn zero_page_hash() -> PageHash {
    ZERO[0]
}

fn inner_hash(left: &PageHash, right: &PageHash) -> PageHash {
    let mut both = [0u8; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    *blake3::keyed_hash(INNER_KEY, &both).as_bytes()
}

/// 8 leaves and the hashes above them, laid out as a heap: node 1 is the block's root, the
/// children of node `i` are `2i` and `2i + 1`, leaf `j` is node `8 + j`. Node 0 is unused.
#[derive(Clone)]
struct Block([PageHash; 2 * BLOCK_LEAVES]);

impl Block {
    fn zero() -> Self {
        let mut nodes = [ZERO[0]; 2 * BLOCK_LEAVES];
        for (index, node) in nodes.iter_mut().enumerate().skip(1) {
            *node = ZERO[(BLOCK_BITS - index.ilog2()) as usize];
        }
        Self(nodes)
    }

    /// Sets leaves and hashes their ancestors, children before parents, each once.
    fn set(&mut self, changes: &[(u64, PageHash)]) {
        let mut touched = [false; 2 * BLOCK_LEAVES];
        for (page, hash) in changes {
            let index = BLOCK_LEAVES + (*page as usize & (BLOCK_LEAVES - 1));
            self.0[index] = *hash;
            touched[index] = true;
        }
        for index in (1..BLOCK_LEAVES).rev() {
            if touched[2 * index] || touched[2 * index + 1] {
                self.0[index] = inner_hash(&self.0[2 * index], &self.0[2 * index + 1]);
                touched[index] = true;
            }
        }
    }
}

/// The leaves below a node and the hashes above them.
#[derive(Clone)]
enum Subtree {
    /// Zero pages only.
    Zero,
    Block(Arc<Block>),
    Inner(Arc<Inner>),
}

/// Two subtrees, not both zero, and the hash over them.
struct Inner {
    hash: PageHash,
    children: [Subtree; 2],
}

/// The hash tree of one version of an image.
#[derive(Clone)]
pub struct PageTree {
    pages: u64,
    /// Height of `top`, at least [`BLOCK_BITS`].
    height: u32,
    top: Subtree,
}

impl PageTree {
    /// The tree of an image of `pages` zero pages.
    ///
    /// # Panics
    /// If `pages` is above [`IMAGE_PAGES_MAX`].
    pub fn zero(pages: u64) -> Self {
        assert!(
            pages <= IMAGE_PAGES_MAX,
            "the caller bounds the length of images"
        );
        Self {
            pages,
            height: height_of(pages).max(BLOCK_BITS),
            top: Subtree::Zero,
        }
    }

    /// Length in pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// The root, as the module's header defines it.
    pub fn root(&self) -> PageHash {
        let height = height_of(self.pages);
        match &self.top {
            // The root of less than a block lies within it.
            Subtree::Block(block) if height < BLOCK_BITS => block.0[1 << (BLOCK_BITS - height)],
            top => hash_of(top, height),
        }
    }

    /// The leaf hash of a page; that of a zero page past the end.
    pub fn leaf(&self, page: u64) -> PageHash {
        if page >= self.pages {
            return ZERO[0];
        }
        match self.subtree(page, BLOCK_BITS) {
            Subtree::Block(block) => block.0[BLOCK_LEAVES + (page as usize & (BLOCK_LEAVES - 1))],
            _ => ZERO[0],
        }
    }

    /// Changes the length: pages cut off are forgotten, pages added are zero.
    ///
    /// # Panics
    /// If `pages` is above [`IMAGE_PAGES_MAX`].
    pub fn resize(&mut self, pages: u64) {
        assert!(
            pages <= IMAGE_PAGES_MAX,
            "the caller bounds the length of images"
        );
        if pages < self.pages {
            let cut = PageRange {
                page: pages,
                count: self.pages - pages,
            };
            self.clear(&[cut]);
        }
        self.pages = pages;
        let height = height_of(pages).max(BLOCK_BITS);
        while self.height > height {
            self.height -= 1;
            self.top = children_of(&self.top)[0].clone();
        }
        while self.height < height {
            self.height += 1;
            let top = std::mem::replace(&mut self.top, Subtree::Zero);
            self.top = inner([top, Subtree::Zero], self.height);
        }
    }

    /// Sets the leaf hashes of pages.
    ///
    /// # Panics
    /// If the pages are not ascending and below [`PageTree::pages`].
    pub fn set(&mut self, changes: &[(u64, PageHash)]) {
        self.set_on(&Workers::new(1), changes);
    }

    /// Does as [`PageTree::set`] on several threads, if there are changes enough.
    pub(crate) fn set_on(&mut self, workers: &Workers, changes: &[(u64, PageHash)]) {
        let Some((last, _)) = changes.last() else {
            return;
        };
        assert!(*last < self.pages, "only pages of the image are set");
        assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "pages ascend");
        let alone = workers.threads() == 1 || changes.len() < PARALLEL_LEAVES;
        if alone || self.height <= PART_BITS {
            self.top = set_leaves(&self.top, self.height, changes);
            return;
        }
        let parts = changes.chunk_by(|a, b| a.0 >> PART_BITS == b.0 >> PART_BITS);
        let parts = workers.map(parts.collect(), |part: &[(u64, PageHash)]| {
            let first = part[0].0;
            let before = self.subtree(first, PART_BITS);
            (first, set_leaves(before, PART_BITS, part))
        });
        self.top = updated(&self.top, self.height, PART_BITS, &parts, &|_, part| {
            part[0].1.clone()
        });
    }

    /// Makes pages zero. The ranges ascend and do not overlap; what of them is past the end is
    /// zero already.
    pub(crate) fn clear(&mut self, ranges: &[PageRange]) {
        self.top = cleared(&self.top, self.height, 0, ranges);
    }

    /// The subtree of `height` levels that holds `page`.
    fn subtree(&self, page: u64, height: u32) -> &Subtree {
        let mut subtree = &self.top;
        for level in (height..self.height).rev() {
            subtree = &children_of(subtree)[(page >> level & 1) as usize];
        }
        subtree
    }
}

/// Levels between a leaf and the top of an image of `pages` pages.
fn height_of(pages: u64) -> u32 {
    pages.max(1).next_power_of_two().trailing_zeros()
}

fn hash_of(subtree: &Subtree, height: u32) -> PageHash {
    match subtree {
        Subtree::Zero => ZERO[height as usize],
        Subtree::Block(block) => block.0[1],
        Subtree::Inner(inner) => inner.hash,
    }
}

/// The node at `height` over two children; zero where both are.
fn inner(children: [Subtree; 2], height: u32) -> Subtree {
    if let [Subtree::Zero, Subtree::Zero] = children {
        return Subtree::Zero;
    }
    let hash = inner_hash(
        &hash_of(&children[0], height - 1),
        &hash_of(&children[1], height - 1),
    );
    Subtree::Inner(Arc::new(Inner { hash, children }))
}

/// The subtree with leaves set.
fn set_leaves(subtree: &Subtree, height: u32, changes: &[(u64, PageHash)]) -> Subtree {
    updated(subtree, height, BLOCK_BITS, changes, &|before, changes| {
        let mut block = match before {
            Subtree::Block(block) => (**block).clone(),
            _ => Block::zero(),
        };
        block.set(changes);
        if block.0[1] == ZERO[BLOCK_BITS as usize] {
            return Subtree::Zero;
        }
        Subtree::Block(Arc::new(block))
    })
}

/// The subtree in which the parts of `base` levels that hold changes are replaced by what
/// `change` makes of them.
fn updated<T>(
    subtree: &Subtree,
    height: u32,
    base: u32,
    changes: &[(u64, T)],
    change: &impl Fn(&Subtree, &[(u64, T)]) -> Subtree,
) -> Subtree {
    if changes.is_empty() {
        return subtree.clone();
    }
    if height == base {
        return change(subtree, changes);
    }
    let [left, right] = children_of(subtree);
    let below = height - 1;
    let split = changes.partition_point(|(page, _)| page >> below & 1 == 0);
    let (before, behind) = changes.split_at(split);
    let left = updated(left, below, base, before, change);
    let right = updated(right, below, base, behind, change);
    inner([left, right], height)
}

/// The subtree, whose first leaf has the number `first`, with the leaves in `ranges` set to zero.
fn cleared(subtree: &Subtree, height: u32, first: u64, ranges: &[PageRange]) -> Subtree {
    let end = first + (1 << height);
    let from = ranges.partition_point(|range| range.end() <= first);
    let to = ranges.partition_point(|range| range.page < end);
    let ranges = &ranges[from..to.max(from)];
    let Some(range) = ranges.first() else {
        return subtree.clone();
    };
    if matches!(subtree, Subtree::Zero) || range.page <= first && range.end() >= end {
        return Subtree::Zero;
    }
    if height == BLOCK_BITS {
        let inside = |range: &PageRange| range.page.max(first)..range.end().min(end);
        let zeros = ranges.iter().flat_map(inside);
        let zeros: Vec<_> = zeros.map(|page| (page, ZERO[0])).collect();
        return set_leaves(subtree, height, &zeros);
    }
    let [left, right] = children_of(subtree);
    let below = height - 1;
    let left = cleared(left, below, first, ranges);
    let right = cleared(right, below, first + (1 << below), ranges);
    inner([left, right], height)
}

fn children_of(subtree: &Subtree) -> &[Subtree; 2] {
    match subtree {
        Subtree::Inner(inner) => &inner.children,
        _ => &[Subtree::Zero, Subtree::Zero],
    }
}

#[cfg(test)]
mod tests;
