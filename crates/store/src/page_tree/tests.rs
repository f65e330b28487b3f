use super::*;
use proptest::prelude::*;

/// The format, word for word: all leaves, padded, hashed level by level.
fn naive_root(pages: &[[u8; PAGE_BYTES]]) -> PageHash {
    let mut level: Vec<PageHash> = pages
        .iter()
        .map(|page| *blake3::keyed_hash(b"trilith page tree leaf, format 1", page).as_bytes())
        .collect();
    let zero = *blake3::keyed_hash(LEAF_KEY, &[0u8; PAGE_BYTES]).as_bytes();
    level.resize(pages.len().max(1).next_power_of_two(), zero);
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| {
                let joined = [pair[0], pair[1]].concat();
                *blake3::keyed_hash(b"trilith page tree node, format 1", &joined).as_bytes()
            })
            .collect();
    }
    level[0]
}

fn page(seed: u8) -> [u8; PAGE_BYTES] {
    let mut bytes = [0u8; PAGE_BYTES];
    bytes[7] = seed;
    bytes
}

#[test]
fn a_known_root_does_not_change() {
    let mut tree = PageTree::zero(3);
    tree.set(&[(0, page_hash(&page(1))), (2, page_hash(&page(2)))]);
    assert_eq!(tree.root(), naive_root(&[page(1), page(0), page(2)]));
    let golden: String = tree
        .root()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        golden,
        "0b6862fd222ff29b03f8a3d26eb4f58a8ce0c4bc67c13f8c4d4ed17215fce5c6"
    );
}

#[test]
fn huge_images_are_cheap_while_they_are_zero() {
    let mut tree = PageTree::zero(IMAGE_PAGES_MAX);
    let empty = tree.root();
    tree.set(&[(IMAGE_PAGES_MAX - 1, page_hash(&page(1)))]);
    assert_ne!(tree.root(), empty);
    tree.set(&[(IMAGE_PAGES_MAX - 1, zero_page_hash())]);
    assert_eq!(tree.root(), empty);
    assert!(matches!(tree.top, Subtree::Zero));
}

/// Leaves that are told apart without hashing pages.
fn leaf(number: u64) -> PageHash {
    let mut hash = [0xa5; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    hash
}

/// The root over leaves, level by level.
fn root_over(leaves: &[PageHash]) -> PageHash {
    let mut level = leaves.to_vec();
    level.resize(leaves.len().max(1).next_power_of_two(), zero_page_hash());
    while level.len() > 1 {
        let pairs = level.as_chunks::<2>().0;
        level = pairs
            .iter()
            .map(|[left, right]| inner_hash(left, right))
            .collect();
    }
    level[0]
}

#[test]
fn threads_change_no_root() {
    // Dense and scattered changes, across parts and at their borders, over a tree that has some.
    let pages = 5 * (1 << PART_BITS) + 17;
    let dense: Vec<_> = (0..pages).map(|page| (page, leaf(page))).collect();
    let scattered: Vec<_> = (0..pages)
        .filter(|page| page % 2 == 1 || page % (1 << PART_BITS) == 0)
        .map(|page| (page, leaf(page + pages)))
        .collect();
    assert!(scattered.len() >= PARALLEL_LEAVES);
    let mut leaves: Vec<_> = dense.iter().map(|(_, leaf)| *leaf).collect();
    let first = root_over(&leaves);
    for (page, leaf) in &scattered {
        leaves[*page as usize] = *leaf;
    }
    let second = root_over(&leaves);
    for threads in [1, 2, 7] {
        let workers = Workers::new(threads);
        let mut tree = PageTree::zero(pages);
        tree.set_on(&workers, &dense);
        assert_eq!(tree.root(), first);
        tree.set_on(&workers, &scattered);
        assert_eq!(tree.root(), second);
        // The same leaves in an image of 500 GiB and far apart.
        let far = |page: u64| page * 6000;
        let mut sparse = PageTree::zero(131_072_000);
        let changes: Vec<_> = dense
            .iter()
            .map(|(page, leaf)| (far(*page), *leaf))
            .collect();
        sparse.set_on(&workers, &changes);
        let mut alone = PageTree::zero(131_072_000);
        alone.set(&changes);
        assert_eq!(sparse.root(), alone.root());
        assert_eq!(sparse.leaf(far(7)), leaf(7));
        assert_eq!(sparse.leaf(far(7) + 1), zero_page_hash());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn updates_agree_with_hashing_everything(
        steps in proptest::collection::vec(
            (0u64..300, proptest::collection::btree_map(0u64..300, 0u8..3, 0..20)), 1..8)
    ) {
        let mut tree = PageTree::zero(0);
        let mut model: Vec<[u8; PAGE_BYTES]> = Vec::new();
        for (pages, writes) in steps {
            let before = tree.clone();
            let root_before = before.root();
            tree.resize(pages);
            model.resize(pages as usize, page(0));
            let changes: Vec<_> = writes
                .into_iter()
                .filter(|(number, _)| *number < pages)
                .map(|(number, seed)| {
                    model[number as usize] = page(seed);
                    (number, page_hash(&page(seed)))
                })
                .collect();
            tree.set(&changes);
            prop_assert_eq!(tree.root(), naive_root(&model));
            for (number, bytes) in model.iter().enumerate() {
                prop_assert_eq!(tree.leaf(number as u64), page_hash(bytes));
            }
            prop_assert_eq!(before.root(), root_before);
        }
    }

    #[test]
    fn clearing_agrees_with_setting_zeros(
        pages in 1u64..1000,
        set in proptest::collection::btree_set(0u64..1000, 0..200),
        cuts in proptest::collection::vec((0u64..200, 1u64..150), 0..6),
    ) {
        let mut tree = PageTree::zero(pages);
        let leaves: Vec<_> = set.into_iter().filter(|page| *page < pages).map(|page| (page, leaf(page))).collect();
        tree.set(&leaves);
        let mut model = vec![zero_page_hash(); pages as usize];
        for (page, leaf) in leaves {
            model[page as usize] = leaf;
        }
        let (mut ranges, mut least) = (Vec::new(), 0);
        for (gap, count) in cuts {
            let page = least + gap;
            ranges.push(PageRange { page, count });
            least = page + count;
            for cleared in page..least.min(pages) {
                model[cleared as usize] = zero_page_hash();
            }
        }
        tree.clear(&ranges);
        prop_assert_eq!(tree.root(), root_over(&model));
        if model.iter().all(|leaf| *leaf == zero_page_hash()) {
            prop_assert!(matches!(tree.top, Subtree::Zero), "a zero tree takes no memory");
        }
    }
}

/// The verifier's computation over bytes, which shares no code with this tree.
#[test]
fn the_verifier_computes_the_same_root() {
    for len in [0, 1, 4_095, 4_096, 4_097, 3 * 4_096, 5 * 4_096 + 17, 70_000] {
        let data: Vec<u8> = (0..len).map(|at| (at * 31 + at / 251) as u8).collect();
        let pages = data.chunks(PAGE_BYTES).map(|chunk| {
            let mut page = [0; PAGE_BYTES];
            page[..chunk.len()].copy_from_slice(chunk);
            page_hash(&page)
        });
        let leaves: Vec<(u64, PageHash)> = (0..).zip(pages).collect();
        let mut tree = PageTree::zero(leaves.len() as u64);
        tree.set(&leaves);
        let expected = (leaves.len() as u64, tree.root());
        assert_eq!(
            trilith_proof::pages::root_of(&data),
            expected,
            "{len} bytes"
        );
        let leaf = crate::view::image_leaf(expected.0, &expected.1);
        assert_eq!(trilith_proof::pages::read_image_leaf(&leaf), Ok(expected));
        let id = trilith_types::ImageId::new(*b"an image").unwrap();
        assert_eq!(
            trilith_proof::pages::image_key(&id),
            crate::view::image_key(&id)
        );
    }
}
