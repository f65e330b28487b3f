//! One strict check of a signature over a message as long as a transfer's.
//!
//! ```text
//! cargo bench -p trilith-types --bench signature
//! RUSTFLAGS="-C target-cpu=native" cargo bench -p trilith-types --bench signature
//! ```
//!
//! The second takes what the processor has, with AVX-512 where the compiler and the curve's crate
//! offer it; into a target folder of its own, or it replaces what was compiled for every processor.

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use trilith_types::SecretKey;

/// Bytes of the message of a transfer: three keys, a blockhash, one instruction.
const MESSAGE_BYTES: usize = 150;

fn signature(criterion: &mut Criterion) {
    let secret = SecretKey::from_seed([7; 32]);
    let message = [9; MESSAGE_BYTES];
    let (key, signature) = (secret.public(), secret.sign_raw(&message));
    criterion.bench_function("strict check", |bencher| {
        bencher.iter(|| {
            let checked = key.verify_raw(black_box(&message), black_box(&signature));
            assert_eq!(checked, Ok(()));
        });
    });
    criterion.bench_function("signing", |bencher| {
        bencher.iter(|| secret.sign_raw(black_box(&message)));
    });
}

criterion_group!(benches, signature);
criterion_main!(benches);
