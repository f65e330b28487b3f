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
    assert!(tree.top.is_none());
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
}
