//! Random orders as Go's `math/rand` makes them from a source of 64-bit numbers, which here are
//! those of [`HmacDrbg`]: taken big-endian, 128 at a time.
//!
//! ```text
//! permutation: for i from 0: j below i + 1 by rejection; item i moves to j, i takes its place
//! shuffle:     for i from the last to 1: j below i + 1 by multiplication; i and j change places
//! ```
//!
//! The two draw numbers in two ways, and both are kept as they are in Go: an order that all compute
//! alike is the whole point.
//!
//! Source: Go `math/rand` (`Rand.Perm`, `Rand.Shuffle`, `Rand.Int31n`), whose results the Go 1
//! promise fixes; Oasis Core `common/crypto/mathrand`.

use crate::drbg::HmacDrbg;

/// Numbers that are drawn from the generator at a time. Source: Oasis Core
/// `common/crypto/mathrand` (`bufferSize`).
const BUFFER: usize = 128;

/// A source of random orders.
pub struct Permutations {
    generator: HmacDrbg,
    buffer: [u64; BUFFER],
    next: usize,
}

impl Permutations {
    /// The orders that follow from entropy, a nonce and a purpose; see [`HmacDrbg::new`].
    pub fn new(entropy: &[u8], nonce: &[u8], purpose: &[u8]) -> Self {
        let mut source = Self {
            generator: HmacDrbg::new(entropy, nonce, purpose),
            buffer: [0; BUFFER],
            next: 0,
        };
        source.refill();
        source
    }

    fn refill(&mut self) {
        let mut bytes = [0; 8 * BUFFER];
        self.generator.fill(&mut bytes);
        for (number, chunk) in self.buffer.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_be_bytes(*chunk);
        }
        self.next = 0;
    }

    /// The next number of 63 bits.
    fn number(&mut self) -> u64 {
        if self.next == BUFFER {
            self.refill();
        }
        let number = self.buffer[self.next];
        self.next += 1;
        number & (u64::MAX >> 1)
    }

    /// A number below `bound`, by rejecting the numbers of 31 bits that would favour some.
    fn below_by_rejection(&mut self, bound: u32) -> u32 {
        if bound.is_power_of_two() {
            return (self.number() >> 32) as u32 & (bound - 1);
        }
        let range = 1u32 << 31;
        let max = range - 1 - range % bound;
        loop {
            let number = (self.number() >> 32) as u32;
            if number <= max {
                return number % bound;
            }
        }
    }

    /// A number below `bound`, as the upper half of a product.
    fn below_by_multiplication(&mut self, bound: u32) -> u32 {
        let mut product = (self.number() >> 31) * u64::from(bound);
        if (product as u32) < bound {
            let threshold = bound.wrapping_neg() % bound;
            while (product as u32) < threshold {
                product = (self.number() >> 31) * u64::from(bound);
            }
        }
        (product >> 32) as u32
    }

    /// A random order of the numbers below `count`.
    ///
    /// # Panics
    /// If `count` is not below 2^31: what is put in order is in memory, and far smaller.
    pub fn permutation(&mut self, count: usize) -> Vec<usize> {
        let count = checked(count);
        let mut order: Vec<usize> = Vec::with_capacity(count as usize);
        for place in 0..count {
            // The first draw decides nothing, and yet is made.
            let other = self.below_by_rejection(place + 1) as usize;
            let place = place as usize;
            order.push(place);
            order[place] = order[other];
            order[other] = place;
        }
        order
    }

    /// Puts items into a random order.
    ///
    /// # Panics
    /// If there are 2^31 items or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..checked(items.len())).rev() {
            let other = self.below_by_multiplication(place + 1);
            items.swap(place as usize, other as usize);
        }
    }
}

fn checked(count: usize) -> u32 {
    let count = i32::try_from(count).expect("fewer than 2^31 items are put in order");
    count.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entropy() -> Vec<u8> {
        (0..32).collect()
    }

    fn nonce() -> Vec<u8> {
        (0xa0..0xc0).collect()
    }

    fn digest(order: &[usize]) -> String {
        let bytes: Vec<u8> = order
            .iter()
            .flat_map(|place| (*place as u64).to_be_bytes())
            .collect();
        hex::encode(crate::hash::sha256(&[&bytes]))
    }

    /// Figures that Go 1.27.3 and Oasis Core's `drbg` and `mathrand` packages gave for the entropy
    /// and the nonce above: the order of 10, and SHA-256 of the order of 1,000, which draws more
    /// than a buffer.
    #[test]
    fn permutations_are_those_of_go() {
        /// Nonce, purpose, the order of ten, the digest of that of a thousand.
        type Row<'a> = (&'a [u8], &'a [u8], [usize; 10], &'a str);
        let rows: [Row<'_>; 3] = [
            (
                &nonce(),
                b"EkS-ABCI-ComputeWorker",
                [4, 0, 7, 3, 1, 5, 2, 9, 8, 6],
                "a48e72d2245f5d4dc0ac8a20e44be5dd9aeb086beb8e07b292624a721538e569",
            ),
            (
                &nonce(),
                b"EkS-ABCI-ComputeBackup-Worker",
                [0, 3, 7, 2, 6, 4, 1, 9, 8, 5],
                "4e3f4d2946bf7c0b36a498fd938db6e46708c510a53ddea07fea8eb3bc7eb2c8",
            ),
            (
                b"",
                b"EkS-ABCI-Validators",
                [0, 2, 3, 9, 8, 6, 4, 5, 1, 7],
                "9fa1ef8c20a628211b7d6fd7d771a15bcf1d9d66e1543177351cd4b12b4602f8",
            ),
        ];
        for (nonce, purpose, ten, thousand) in rows {
            let source = || Permutations::new(&entropy(), nonce, purpose);
            assert_eq!(source().permutation(10), ten);
            assert_eq!(digest(&source().permutation(1_000)), thousand);
        }
    }

    /// Orders that follow each other from one source. Figures of Go 1.27.3, as above.
    #[test]
    fn an_order_of_one_draws_a_number_and_one_of_none_does_not() {
        let mut source = Permutations::new(&entropy(), &nonce(), b"EkS-ABCI-ComputeWorker");
        let orders = [3, 3, 0, 1, 5].map(|count| source.permutation(count));
        let expected: [&[usize]; 5] = [&[1, 0, 2], &[0, 1, 2], &[], &[0], &[4, 0, 1, 2, 3]];
        assert_eq!(orders.each_ref().map(Vec::as_slice), expected);
    }

    /// Figures of Go 1.27.3, as above: 10 items are shuffled, then 1,000 from the same source.
    #[test]
    fn shuffles_are_those_of_go() {
        let mut source = Permutations::new(&entropy(), b"", b"EkS-ABCI-Entities");
        let mut ten: Vec<usize> = (0..10).collect();
        source.shuffle(&mut ten);
        assert_eq!(ten, [9, 7, 4, 5, 0, 2, 6, 3, 8, 1]);
        let mut thousand: Vec<usize> = (0..1_000).collect();
        source.shuffle(&mut thousand);
        assert_eq!(
            digest(&thousand),
            "7bcafb182bbb1e2767d30ed7a61825a899d2580aee5f3ba1a64a298279626bcd"
        );
    }

    /// With this bound three numbers of ten are rejected. Figures of Go 1.27.3.
    #[test]
    fn numbers_that_would_favour_some_are_rejected() {
        let mut source = Permutations::new(&entropy(), b"", b"bounds");
        let numbers: Vec<u32> = (0..6)
            .map(|_| source.below_by_rejection(1_500_000_000))
            .collect();
        let expected = [
            1_214_343_304,
            1_194_671_490,
            1_212_864_975,
            1_197_118_143,
            1_387_349_070,
            573_153_746,
        ];
        assert_eq!(numbers, expected);
    }
}
