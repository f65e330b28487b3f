//! Cost of the tree: building it, changing one of many leaves with its root, and proving.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use trilith_mkvs::{ProofVersion, Tree};
use trilith_types::Hash;

const LEAVES: u64 = 100_000;

fn key(number: u64) -> [u8; 32] {
    *Hash::of(&number.to_be_bytes()).as_bytes()
}

fn tree_of(leaves: u64) -> Tree {
    let mut tree = Tree::empty();
    for number in 0..leaves {
        tree.insert(&key(number), &number.to_be_bytes())
            .expect("keys are short");
    }
    tree
}

fn tree(criterion: &mut Criterion) {
    criterion.bench_function("insert 1,000 leaves and hash", |bencher| {
        bencher.iter(|| black_box(tree_of(1_000).root()));
    });
    let tree = tree_of(LEAVES);
    tree.root();
    let mut number = 0u64;
    criterion.bench_function("update 1 of 100,000 leaves and hash", |bencher| {
        bencher.iter(|| {
            number += 1;
            let mut changed = tree.clone();
            changed
                .insert(&key(number % LEAVES), b"another value")
                .expect("keys are short");
            black_box(changed.root())
        });
    });
    criterion.bench_function("prove 1 of 100,000 leaves", |bencher| {
        bencher.iter(|| {
            number += 1;
            black_box(tree.prove(&key(number % LEAVES), ProofVersion::V1, false))
        });
    });
    let proof = tree
        .prove(&key(7), ProofVersion::V1, false)
        .expect("the tree is shallow");
    criterion.bench_function("verify a proof of 1 of 100,000 leaves", |bencher| {
        bencher.iter(|| black_box(proof.verify(&tree.root())));
    });
}

criterion_group!(benches, tree);
criterion_main!(benches);
