//! Checkpoints against the figures that Oasis Core publishes, round trips, and damage.
//!
//! Origin of the figures: Oasis Core, commit f9f1fdc60,
//! `go/storage/mkvs/checkpoint/checkpoint_test.go`.

#[path = "checkpoint/go_random.rs"]
mod go_random;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::num::NonZeroU16;

use go_random::GoRandom;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use trilith_mkvs::checkpoint::{
    CHUNK_BYTES_MAX, CHUNK_FRAMED_BYTES_MAX, CheckpointError, Chunk, ChunkFault, Chunking,
    METADATA_BYTES_MAX, Metadata, Restore, Root, RootType, verify_chunk,
};
use trilith_mkvs::{Proof, ProofVersion, Tree, root_of};
use trilith_types::cbor::{Decoder, Encoder};
use trilith_types::{Hash, RuntimeId};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The namespace of the published checkpoints: flags of a test runtime, and the first 24 bytes of
/// the hash of a seed.
fn namespace() -> RuntimeId {
    let mut bytes = [0u8; 32];
    bytes[0] = 0x80;
    bytes[8..].copy_from_slice(&Hash::of(b"oasis mkvs checkpoint test ns").as_bytes()[..24]);
    RuntimeId::from_bytes(bytes)
}

fn tree_of<'a>(entries: impl IntoIterator<Item = (&'a Vec<u8>, &'a Vec<u8>)>) -> Tree {
    let mut tree = Tree::empty();
    for (key, value) in entries {
        tree.insert(key, value).unwrap();
    }
    tree
}

fn by_subtree(count: u16) -> Chunking {
    NonZeroU16::new(count).map_or(Chunking::Sequential, Chunking::BySubtree)
}

fn checkpoint(tree: &Tree, chunk_bytes: u64, chunking: Chunking) -> (Metadata, Vec<Vec<u8>>) {
    let chunks: Vec<Chunk> = tree
        .chunks(chunk_bytes, chunking)
        .map(Result::unwrap)
        .collect();
    let root = Root {
        namespace: namespace(),
        version: 1,
        root_type: RootType::State,
        hash: tree.root(),
    };
    let metadata = Metadata {
        root,
        chunks: chunks.iter().map(|chunk| chunk.digest).collect(),
    };
    (
        metadata,
        chunks.into_iter().map(|chunk| chunk.bytes).collect(),
    )
}

/// Restores chunks in the given order; every entry has to come once.
fn restore(
    metadata: &Metadata,
    chunks: &[Vec<u8>],
    order: &[usize],
) -> Result<Model, CheckpointError> {
    let mut restore = Restore::new(metadata.clone());
    let mut model = Model::new();
    for index in order {
        let log = restore.chunk(*index, &chunks[*index])?;
        assert!(log.is_sorted_by(|a, b| a.key < b.key));
        for entry in log {
            let before = model.insert(entry.key, entry.value.unwrap());
            assert!(before.is_none(), "an entry is handed out once");
        }
    }
    restore.finish()?;
    Ok(model)
}

fn in_order(chunks: &[Vec<u8>]) -> Vec<usize> {
    (0..chunks.len()).collect()
}

fn plain(chunk: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    snap::read::FrameDecoder::new(chunk)
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

fn framed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(plain).unwrap();
    encoder.into_inner().unwrap()
}

/// The entries of a chunk, as those of a proof.
fn entries_of(chunk: &[u8]) -> Vec<Option<Vec<u8>>> {
    let plain = plain(chunk);
    let mut decoder = Decoder::new(&plain);
    let mut entries = Vec::new();
    while !decoder.is_at_end() {
        entries.push(match decoder.null() {
            true => None,
            false => Some(decoder.bytes("entry", plain.len()).unwrap().to_vec()),
        });
    }
    entries
}

fn chunk_of(entries: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for entry in entries {
        match entry {
            Some(entry) => encoder.bytes(entry),
            None => encoder.null(),
        };
    }
    framed(&encoder.finish())
}

#[test]
fn a_thousand_numbers_give_the_published_chunks() {
    let mut tree = Tree::empty();
    for number in 0..1000 {
        let text = number.to_string();
        tree.insert(text.as_bytes(), text.as_bytes()).unwrap();
    }
    let (metadata, chunks) = checkpoint(&tree, 16 * 1024, Chunking::Sequential);
    let digests: Vec<_> = metadata.chunks.iter().map(Hash::to_string).collect();
    let published = [
        "bd09a699c0737d8a9783129f896fb6f452d9b77e81869237312e3bd48fb4cbc7",
        "e852d2312ab1fe51ab066cc8a7a687e483d9e73206c3e56fc5caaecf6c347c7f",
    ];
    assert_eq!(digests, published);
    let model = restore(&metadata, &chunks, &in_order(&chunks)).unwrap();
    assert_eq!(root_of(model).unwrap(), tree.root());
}

#[test]
fn a_thousand_random_entries_give_the_published_checkpoints() {
    let published = [
        (
            0,
            "b514dd8299d9b8aaf5ac6eb752f30e8d88b7412e9d064d4fcf89325fa34abcaa",
        ),
        (
            1,
            "b514dd8299d9b8aaf5ac6eb752f30e8d88b7412e9d064d4fcf89325fa34abcaa",
        ),
        (
            12,
            "49e581ea2fee4333778d8dfafd9c3b62ca136b49ef52e8dbb69a4bf19ea02cee",
        ),
    ];
    let mut random = GoRandom::new(1);
    let mut tree = Tree::empty();
    for _ in 0..1000 {
        let mut key = vec![0; random.below(100)];
        let mut value = vec![0; random.below(100)];
        random.fill(&mut key);
        random.fill(&mut value);
        tree.insert(&key, &value).unwrap();
    }
    for (count, digest) in published {
        let (metadata, _) = checkpoint(&tree, 1000, by_subtree(count));
        assert_eq!(metadata.digest().to_string(), digest, "{count} threads");
    }
}

#[test]
fn long_entries_give_the_published_number_of_chunks() {
    let mut tree = Tree::empty();
    for number in 0..100 {
        let key = format!("this is some key at index {number} which is somewhat longish");
        let value = format!(
            "let's generate a somewhat long key at {number} so that we try to overflow chunks"
        );
        tree.insert(key.as_bytes(), value.as_bytes()).unwrap();
    }
    let (metadata, _) = checkpoint(&tree, 128, Chunking::Sequential);
    assert_eq!(metadata.chunks.len(), 100);
}

#[test]
fn an_empty_tree_has_one_chunk() {
    for chunking in [Chunking::Sequential, by_subtree(8)] {
        let (metadata, chunks) = checkpoint(&Tree::empty(), 0, chunking);
        assert_eq!(chunks.len(), 1);
        assert_eq!(plain(&chunks[0]), [0xf6]);
        assert_eq!(restore(&metadata, &chunks, &[0]), Ok(Model::new()));
        let left = Restore::new(metadata).finish();
        let missing = CheckpointError::ChunksMissing {
            missing: 1,
            count: 1,
            first: 0,
        };
        assert_eq!(left, Err(missing));
    }
}

/// Every third prefix of the longest key is a key: a tree of 2,731 levels.
#[test]
fn the_deepest_nesting_is_restored() {
    let longest: Vec<u8> = (0..8191u32).map(|at| (at * 7 % 251) as u8).collect();
    let mut tree = Tree::empty();
    let lens = || (1..longest.len() + 1).step_by(3);
    // From the longest to the shortest, because each then goes in near the top.
    for len in lens().rev() {
        tree.insert(&longest[..len], b"value").unwrap();
    }
    for chunking in [Chunking::Sequential, by_subtree(5)] {
        let (metadata, chunks) = checkpoint(&tree, 1 << 16, chunking);
        let total: usize = chunks.iter().map(|chunk| plain(chunk).len()).sum();
        let once: usize = lens().map(|len| len + 40).sum();
        assert!(total < 4 * once, "{total} bytes for {once}");
        let model = restore(&metadata, &chunks, &in_order(&chunks)).unwrap();
        assert_eq!(model.len(), 2731);
        assert!(model.keys().all(|key| longest.starts_with(key)));
    }
}

#[test]
fn a_chunk_that_would_be_too_large_is_not_made() {
    let mut tree = Tree::empty();
    tree.insert(b"key", &vec![0; CHUNK_BYTES_MAX]).unwrap();
    let error = tree
        .chunks(1, Chunking::Sequential)
        .next()
        .unwrap()
        .unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("chunk 0 would have 2684"), "{message}");
    assert!(
        message.ends_with("over the limit of 268435456"),
        "{message}"
    );
}

#[test]
fn what_decompresses_to_too_much_is_refused_before() {
    // 64 KiB of zeros in a frame of about 3 KiB, 5,000 times over: 312 MiB.
    let frame = &framed(&vec![0; 1 << 16])[10..];
    let mut bomb = framed(b"")
        .into_iter()
        .chain(*b"\xff\x06\x00\x00sNaPpY")
        .collect::<Vec<u8>>();
    for _ in 0..5000 {
        bomb.extend_from_slice(frame);
    }
    assert!(bomb.len() < 20 << 20);
    let fault = verify_chunk(&bomb, &Hash::EMPTY).unwrap_err();
    let expected = ChunkFault::TooLarge {
        len: CHUNK_BYTES_MAX as u64 + (1 << 16),
        limit: CHUNK_BYTES_MAX,
    };
    assert_eq!(fault, expected);
    // A frame that claims more than frames may hold.
    let lie = [
        &b"\xff\x06\x00\x00sNaPpY"[..],
        b"\x00\x09\x00\x00\x00\x00\x00\x00\x80\x80\x80\x7f\x00",
    ]
    .concat();
    let message = verify_chunk(&lie, &Hash::EMPTY).unwrap_err().to_string();
    assert!(message.contains("over the limit of 65536"), "{message}");
}

#[test]
fn streams_that_are_no_chunks_are_refused_with_the_place() {
    let refused = |bytes: &[u8]| verify_chunk(bytes, &Hash::EMPTY).unwrap_err().to_string();
    let long = refused(&vec![0; CHUNK_FRAMED_BYTES_MAX + 1]);
    assert!(
        long.ends_with(&format!("over the limit of {CHUNK_FRAMED_BYTES_MAX}")),
        "{long}"
    );
    assert_eq!(refused(b""), "it ends after 0 entries, inside the tree");
    let start = b"\xff\x06\x00\x00sNaPpY";
    let with = |frames: &[u8]| refused(&[&start[..], frames].concat());
    for (frames, at, fault) in [
        (&b"\x00\x01"[..], 10, "head has 2 bytes instead of 4"),
        (b"\x01\x09\x00\x00abcd", 10, "of 9 bytes is cut off after 4"),
        (b"\x01\x03\x00\x00abc", 10, "a frame of data has 3 bytes"),
        (b"\x01\x05\x00\x00abcde", 19, "checksum"),
        (b"\x02\x01\x00\x00a", 14, "unsupported chunk type: 2"),
        (b"\x00\x04\x00\x00abcd", 18, "empty"),
    ] {
        let message = with(frames);
        let place = format!("stream is damaged at byte {at}: ");
        assert!(message.contains(&place), "{message}");
        assert!(message.contains(fault), "{message}");
    }
    // No start: a chunk is a whole stream.
    let headless = &framed(&[0xf6])[10..];
    assert!(refused(headless).contains("stream is damaged at byte"));
    for (plain, fault) in [
        (
            &b"\x05"[..],
            "its entry 0 cannot be decoded: byte 0 starts an item of another type",
        ),
        (
            b"\x58\x01\x02",
            "its entry 0 cannot be decoded: the item at byte 0 is not in canonical",
        ),
        (
            b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
            "over the limit of 268435456",
        ),
        (
            b"\x5a\x00\xff\xff\xff",
            "its entry 0 cannot be decoded: the input ends",
        ),
        (b"\x43\x01\x05\x05", "its entry 0 is refused: a node"),
        (b"\x42\x02\x05", "its entry 0 is a hash of another length"),
        (b"\x41\x03", "its entry 0 is neither a node nor a hash"),
        (b"\x40", "its entry 0 is neither a node nor a hash"),
        (
            b"\x49\x01\x00\x00\x00\x00\x00\x00\x00\x00",
            "its entry 0 has bytes after its node",
        ),
    ] {
        let message = refused(&framed(plain));
        assert!(message.contains(fault), "{message}");
    }
    let nothing = [&[0x58, 33, 2], &Hash::EMPTY.as_bytes()[..]].concat();
    assert!(refused(&framed(&nothing)).contains("which is written as null"));
}

/// Two entries below one root, in chunks of one entry.
fn small() -> (Tree, Metadata, Vec<Vec<u8>>) {
    let mut tree = Tree::empty();
    for key in [&b"left"[..], b"right", b"right of it", b"\xffar"] {
        tree.insert(key, b"value").unwrap();
    }
    let (metadata, chunks) = checkpoint(&tree, 0, Chunking::Sequential);
    assert_eq!(chunks.len(), 4);
    (tree, metadata, chunks)
}

#[test]
fn damaged_swapped_and_missing_chunks_are_refused() {
    let (_, metadata, chunks) = small();
    for index in 0..chunks.len() {
        let mut restore = Restore::new(metadata.clone());
        for at in 0..chunks[index].len() {
            let mut damaged = chunks[index].clone();
            damaged[at] ^= 1 << (at % 8);
            let error = restore.chunk(index, &damaged).unwrap_err();
            let found = Hash::of(&damaged);
            let expected = metadata.chunks[index];
            let fault = ChunkFault::Digest { expected, found };
            assert_eq!(error, CheckpointError::Chunk { index, fault });
            assert!(restore.chunk(index, &chunks[index][..at]).is_err());
        }
        let other = (index + 1) % chunks.len();
        assert!(restore.chunk(index, &chunks[other]).is_err());
        // What was refused left no trace.
        assert!(!restore.chunk(index, &chunks[index]).unwrap().is_empty());
        let again = restore.chunk(index, &chunks[index]);
        assert_eq!(again, Err(CheckpointError::AlreadyRestored { index }));
        let count = chunks.len();
        let beyond = restore.chunk(count, &chunks[index]);
        let index = count;
        assert_eq!(beyond, Err(CheckpointError::NoSuchChunk { index, count }));
        assert!(matches!(
            restore.finish(),
            Err(CheckpointError::ChunksMissing { missing: 3, .. })
        ));
    }
}

#[test]
fn chunks_that_do_not_cover_the_tree_are_refused() {
    let (_, mut metadata, mut chunks) = small();
    metadata.chunks.remove(2);
    chunks.remove(2);
    let error = restore(&metadata, &chunks, &[0, 1, 2]).unwrap_err();
    assert!(
        matches!(error, CheckpointError::NotCovered { count: 1, .. }),
        "{error}"
    );
    // A chunk that shows nothing but the hash of the root proves the root, and adds nothing.
    let hollow = [&[2], &metadata.root.hash.as_bytes()[..]].concat();
    let hollow = chunk_of(&[Some(hollow)]);
    metadata.chunks = vec![Hash::of(&hollow)];
    let error = restore(&metadata, &[hollow], &[0]).unwrap_err();
    let (count, hash) = (1, metadata.root.hash);
    assert_eq!(error, CheckpointError::NotCovered { count, hash });
}

/// The digest is that of the bytes, so that the proof has to tell.
#[test]
fn chunks_with_the_right_digest_and_a_wrong_proof_are_refused() {
    let (tree, _, chunks) = small();
    let root = tree.root();
    let entries = entries_of(&chunks[1]);
    let refused =
        |entries: &[Option<Vec<u8>>]| verify_chunk(&chunk_of(entries), &root).unwrap_err();
    assert!(verify_chunk(&chunk_of(&entries), &root).is_ok());
    for index in 0..entries.len() {
        let mut changed = entries.clone();
        changed.remove(index);
        refused(&changed);
        changed.insert(index, Some([&[2], &root.as_bytes()[..]].concat()));
        refused(&changed);
        let Some(entry) = &entries[index] else {
            continue;
        };
        changed[index] = None;
        refused(&changed);
        for bit in 0..entry.len() * 8 {
            let mut entry = entry.clone();
            entry[bit / 8] ^= 1 << (bit % 8);
            changed = entries.clone();
            changed[index] = Some(entry);
            refused(&changed);
        }
        changed[index] = Some(Vec::new());
        refused(&changed);
    }
    let more = [entries.as_slice(), &[None]].concat();
    let (count, bytes) = (entries.len(), 1);
    assert_eq!(refused(&more), ChunkFault::Unused { count, bytes });
    assert_eq!(
        refused(&entries[..count - 1]),
        ChunkFault::Incomplete { count: count - 1 }
    );
    let other = verify_chunk(&chunks[1], &Hash::EMPTY).unwrap_err();
    let (expected, found) = (Hash::EMPTY, root);
    assert_eq!(other, ChunkFault::Root { expected, found });
}

#[test]
fn nodes_that_no_tree_has_are_refused_though_they_hash_to_the_root() {
    // An internal node with one child, which every hash would bear out.
    let mut tree = Tree::empty();
    tree.insert(b"key", b"value").unwrap();
    let (_, chunks) = checkpoint(&tree, 0, Chunking::Sequential);
    let leaf = entries_of(&chunks[0]).remove(0);
    let lonely = [Some(b"\x01\x01\x00\x00\x02".to_vec()), leaf.clone(), None];
    let fault = verify_chunk(&chunk_of(&lonely), &tree.root()).unwrap_err();
    assert!(fault.to_string().contains("fewer than two"), "{fault}");
    // A leaf on the wrong side of its parent.
    let astray = [Some(b"\x01\x01\x00\x00\x02".to_vec()), None, leaf];
    let fault = verify_chunk(&chunk_of(&astray), &tree.root()).unwrap_err();
    assert!(
        fault.to_string().contains("does not belong on its path"),
        "{fault}"
    );
}

#[test]
fn metadata_is_read_in_its_one_form() {
    let (_, metadata, _) = small();
    let bytes = metadata.encode();
    assert_eq!(Metadata::decode(&bytes), Ok(metadata.clone()));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Metadata::decode(&changed) {
            assert_ne!(other, metadata);
            assert_eq!(other.encode(), changed);
        }
    }
    for len in 0..bytes.len() {
        assert!(Metadata::decode(&bytes[..len]).is_err());
    }
    let long = Metadata::decode(&vec![0; METADATA_BYTES_MAX + 1]).unwrap_err();
    assert!(
        long.to_string()
            .ends_with(&format!("over the limit of {METADATA_BYTES_MAX}"))
    );
    let none = Metadata {
        chunks: Vec::new(),
        ..metadata
    };
    assert_eq!(
        Metadata::decode(&none.encode()),
        Err(CheckpointError::NoChunks)
    );
    let position = bytes
        .windows(9)
        .position(|part| part == b"root_type")
        .unwrap()
        + 9;
    for found in [0, 3] {
        let mut changed = bytes.clone();
        changed[position] = found;
        let found = u64::from(found);
        assert_eq!(
            Metadata::decode(&changed),
            Err(CheckpointError::RootType { found })
        );
    }
    let last = bytes.len() - 1;
    let changed = [&bytes[..last], &[2]].concat();
    assert_eq!(
        Metadata::decode(&changed),
        Err(CheckpointError::Version { found: 2 })
    );
}

/// Keys that nest, share long prefixes, and are long.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![Just(0u8), Just(1), Just(0x80), Just(0xff), any::<u8>()];
    let long = (any::<u8>(), 1000usize..8191).prop_map(|(byte, len)| vec![byte; len]);
    prop_oneof![9 => vec(byte, 0..6), 1 => long]
}

fn models() -> impl Strategy<Value = Model> {
    btree_map(keys(), vec(any::<u8>(), 0..300), 0..80)
}

fn chunk_sizes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1u64..2000, Just(1 << 20)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_checkpoint_restores_to_the_tree(
        model in models(),
        chunk_bytes in chunk_sizes(),
        count in 0u16..20,
        shuffle in vec(any::<prop::sample::Index>(), 100),
    ) {
        let tree = tree_of(&model);
        let (metadata, chunks) = checkpoint(&tree, chunk_bytes, by_subtree(count));
        prop_assert_eq!(&Metadata::decode(&metadata.encode()).unwrap(), &metadata);
        let mut order = in_order(&chunks);
        prop_assert_eq!(&restore(&metadata, &chunks, &order).unwrap(), &model);
        for (at, other) in shuffle.iter().enumerate().take(chunks.len()) {
            order.swap(at, other.index(chunks.len()));
        }
        prop_assert_eq!(&restore(&metadata, &chunks, &order).unwrap(), &model);
        prop_assert_eq!(checkpoint(&tree, chunk_bytes, by_subtree(count)).1, chunks);
    }

    /// A chunk is an ordinary proof, as long as it is not deeper or larger than these may be.
    #[test]
    fn chunks_are_proofs(model in models(), chunk_bytes in chunk_sizes(), count in 0u16..20) {
        let tree = tree_of(&model);
        for chunk in checkpoint(&tree, chunk_bytes, by_subtree(count)).1 {
            let proof = Proof {
                version: ProofVersion::V0,
                untrusted_root: tree.root(),
                entries: entries_of(&chunk),
            };
            let verified = proof.verify(&tree.root()).unwrap();
            let shown: Vec<_> =
                verified.shown().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
            let entries: Vec<_> = verify_chunk(&chunk, &tree.root())
                .unwrap()
                .entries()
                .into_iter()
                .map(|entry| (entry.key, entry.value.unwrap()))
                .collect();
            prop_assert_eq!(shown, entries);
        }
    }

    #[test]
    fn one_subtree_is_the_sequence(model in models(), chunk_bytes in chunk_sizes()) {
        let tree = tree_of(&model);
        prop_assert_eq!(
            checkpoint(&tree, chunk_bytes, Chunking::Sequential),
            checkpoint(&tree, chunk_bytes, by_subtree(1))
        );
    }

    #[test]
    fn arbitrary_bytes_are_refused_in_peace(bytes in vec(any::<u8>(), 0..400)) {
        if let Ok(metadata) = Metadata::decode(&bytes) {
            prop_assert_eq!(metadata.encode(), bytes.clone());
        }
        prop_assert!(verify_chunk(&bytes, &Hash::EMPTY).is_err());
        // Past the compression, so that the entries are arbitrary.
        prop_assert!(verify_chunk(&framed(&bytes), &Hash::of(b"some root")).is_err());
    }

    #[test]
    fn changed_chunks_are_refused_in_peace(
        model in models(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        within_stream: bool,
    ) {
        let tree = tree_of(&model);
        let (metadata, chunks) = checkpoint(&tree, 500, Chunking::Sequential);
        let original = if within_stream { plain(&chunks[0]) } else { chunks[0].clone() };
        let mut changed = original.clone();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        prop_assume!(changed != original);
        let bytes = if within_stream { framed(&changed) } else { changed };
        // Frames may change in ways that leave the stream as it is; entries may not.
        if let Ok(verified) = verify_chunk(&bytes, &metadata.root.hash) {
            prop_assert!(!within_stream);
            prop_assert_eq!(
                verified.entries(),
                verify_chunk(&chunks[0], &metadata.root.hash).unwrap().entries()
            );
        }
    }
}
