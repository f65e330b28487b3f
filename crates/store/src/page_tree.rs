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
//! The tree is persistent: a clone is one reference count, an update copies one block of 64
//! leaves and the path above it, and hashes only ancestors of changed pages. Subtrees of zero
//! pages take no memory.

use std::sync::{Arc, LazyLock};

use trilith_types::PAGE_BYTES;

/// Hash of a page or of two hashes: 32 bytes of BLAKE3.
pub type PageHash = [u8; 32];

const LEAF_KEY: &[u8; 32] = b"trilith page tree leaf, format 1";
const INNER_KEY: &[u8; 32] = b"trilith page tree node, format 1";

/// Leaves of a block, as a power of two: hashes of a block lie in one allocation.
const BLOCK_BITS: u32 = 6;
const BLOCK_LEAVES: usize = 1 << BLOCK_BITS;

/// Most pages of an image: 2^40 pages are 4 PiB, above every engine's limit and far below where
/// byte offsets leave 64 bits.
pub const IMAGE_PAGES_MAX: u64 = 1 << 40;

/// Hashes of all-zero subtrees by height.
static ZERO: LazyLock<[PageHash; 65]> = LazyLock::new(|| {
    let mut hashes = [page_hash(&[0u8; PAGE_BYTES]); 65];
    for height in 1..hashes.len() {
        hashes[height] = inner_hash(&hashes[height - 1], &hashes[height - 1]);
    }
    hashes
});

/// The leaf hash of a page.
pub fn page_hash(page: &[u8; PAGE_BYTES]) -> PageHash {
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

/// 64 leaves and the hashes above them, laid out as a heap: node 1 is the block's root, the
/// children of node `i` are `2i` and `2i + 1`, leaf `j` is node `64 + j`. Node 0 is unused.
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

    /// Sets leaves and hashes their ancestors, level by level, each once.
    fn set(&mut self, changes: &[(u64, PageHash)]) {
        let mut touched: Vec<usize> = Vec::with_capacity(changes.len());
        for (page, hash) in changes {
            let index = BLOCK_LEAVES + (*page as usize & (BLOCK_LEAVES - 1));
            self.0[index] = *hash;
            touched.push(index);
        }
        for _ in 0..BLOCK_BITS {
            for index in &mut touched {
                *index /= 2;
            }
            touched.dedup();
            for &index in &touched {
                self.0[index] = inner_hash(&self.0[2 * index], &self.0[2 * index + 1]);
            }
        }
    }
}

#[derive(Clone)]
enum Node {
    Block(Box<Block>),
    Inner {
        hash: PageHash,
        children: [Subtree; 2],
    },
}

/// `None` is a subtree of zero pages.
type Subtree = Option<Arc<Node>>;

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
            top: None,
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
            Some(node) if height < BLOCK_BITS => match &**node {
                Node::Block(block) => block.0[1 << (BLOCK_BITS - height)],
                Node::Inner { .. } => unreachable!("a tree below one block is a block"),
            },
            top => hash_of(top, height),
        }
    }

    /// The leaf hash of a page; that of a zero page past the end.
    pub fn leaf(&self, page: u64) -> PageHash {
        if page >= self.pages {
            return ZERO[0];
        }
        let mut node = &self.top;
        let mut height = self.height;
        loop {
            match node.as_deref() {
                None => return ZERO[0],
                Some(Node::Block(block)) => {
                    return block.0[BLOCK_LEAVES + (page as usize & (BLOCK_LEAVES - 1))];
                }
                Some(Node::Inner { children, .. }) => {
                    height -= 1;
                    node = &children[(page >> height & 1) as usize];
                }
            }
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
            self.top = truncated(&self.top, self.height, pages);
        }
        self.pages = pages;
        let height = height_of(pages).max(BLOCK_BITS);
        while self.height > height {
            self.height -= 1;
            self.top = match self.top.as_deref() {
                Some(Node::Inner { children, .. }) => children[0].clone(),
                _ => None,
            };
        }
        while self.height < height {
            self.height += 1;
            self.top = inner([self.top.take(), None], self.height);
        }
    }

    /// Sets the leaf hashes of pages.
    ///
    /// # Panics
    /// If the pages are not ascending and below [`PageTree::pages`].
    pub fn set(&mut self, changes: &[(u64, PageHash)]) {
        let Some((last, _)) = changes.last() else {
            return;
        };
        assert!(*last < self.pages, "only pages of the image are set");
        assert!(changes.is_sorted_by(|a, b| a.0 < b.0), "pages ascend");
        self.top = updated(&self.top, self.height, changes);
    }
}

/// Levels between a leaf and the top of an image of `pages` pages.
fn height_of(pages: u64) -> u32 {
    pages.max(1).next_power_of_two().trailing_zeros()
}

fn hash_of(subtree: &Subtree, height: u32) -> PageHash {
    match subtree.as_deref() {
        None => ZERO[height as usize],
        Some(Node::Block(block)) => block.0[1],
        Some(Node::Inner { hash, .. }) => *hash,
    }
}

/// The node at `height` over two children; none where both are zero.
fn inner(children: [Subtree; 2], height: u32) -> Subtree {
    if children.iter().all(Option::is_none) {
        return None;
    }
    let hash = inner_hash(
        &hash_of(&children[0], height - 1),
        &hash_of(&children[1], height - 1),
    );
    Some(Arc::new(Node::Inner { hash, children }))
}

/// A block as a subtree; none where it is zero.
fn block(block: Block) -> Subtree {
    (block.0[1] != ZERO[BLOCK_BITS as usize]).then(|| Arc::new(Node::Block(Box::new(block))))
}

fn updated(subtree: &Subtree, height: u32, changes: &[(u64, PageHash)]) -> Subtree {
    if changes.is_empty() {
        return subtree.clone();
    }
    if height == BLOCK_BITS {
        let mut leaves = match subtree.as_deref() {
            Some(Node::Block(leaves)) => (**leaves).clone(),
            _ => Block::zero(),
        };
        leaves.set(changes);
        return block(leaves);
    }
    let [left, right] = children_of(subtree);
    let below = height - 1;
    let split = changes.partition_point(|(page, _)| page >> below & 1 == 0);
    inner(
        [
            updated(left, below, &changes[..split]),
            updated(right, below, &changes[split..]),
        ],
        height,
    )
}

/// The subtree with the leaves from `keep` on set to zero, counted from its first leaf.
fn truncated(subtree: &Subtree, height: u32, keep: u64) -> Subtree {
    if subtree.is_none() || keep == 0 {
        return None;
    }
    if keep >= 1 << height {
        return subtree.clone();
    }
    if height == BLOCK_BITS {
        let cut: Vec<_> = (keep..BLOCK_LEAVES as u64)
            .map(|page| (page, ZERO[0]))
            .collect();
        return updated(subtree, height, &cut);
    }
    let [left, right] = children_of(subtree);
    let half = 1 << (height - 1);
    inner(
        [
            truncated(left, height - 1, keep),
            truncated(right, height - 1, keep.saturating_sub(half)),
        ],
        height,
    )
}

fn children_of(subtree: &Subtree) -> &[Subtree; 2] {
    match subtree.as_deref() {
        Some(Node::Inner { children, .. }) => children,
        _ => &[None, None],
    }
}

#[cfg(test)]
mod tests;
