//! The work that both peers get: keys, values, and which of them change when.
//!
//! Everything follows from a seed and from positions, so a process that did not do the first part
//! knows what it left. There is no clock and no entropy here, and no memory of keys: a key is
//! computed when it is needed, so that what a process holds is the peer's.
//!
//! Keys and values are uniform random bytes. Values therefore do not compress.

use crate::plan::KEY_BYTES;

/// A key. Its first byte is not zero, because the store keeps such keys for itself.
pub type Key = [u8; KEY_BYTES];

/// A generator of 64-bit numbers (SplitMix64): a counter, and a bijective mix of it.
pub struct Numbers(u64);

impl Numbers {
    /// The numbers of a seed and two positions. Streams of different positions start apart.
    pub fn new(seed: u64, stream: u64, position: u64) -> Self {
        let start = mix(seed ^ mix(stream.wrapping_add(1)));
        Self(start ^ mix(position.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// The next number.
    pub fn take(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `limit`. The bias is below one in 2^40 for the limits used here.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.take() % limit
    }

    /// Fills a slice.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.take().to_le_bytes()[..chunk.len()]);
        }
    }
}

fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// What a stream of numbers is drawn for.
#[derive(Clone, Copy)]
enum Stream {
    Key = 0,
    Value = 1,
    Update = 2,
    Query = 3,
}

/// Keys with values of one length, and how often each was written.
pub struct Dataset {
    seed: u64,
    value_bytes: usize,
    /// 0 for a key that was not written yet.
    versions: Vec<u32>,
    updates: u64,
}

impl Dataset {
    /// A data set of which nothing was written yet.
    pub fn new(seed: u64, keys: u64, value_bytes: usize) -> Self {
        let versions = vec![0; usize::try_from(keys).expect("keys fit into memory")];
        Self {
            seed,
            value_bytes,
            versions,
            updates: 0,
        }
    }

    /// How many keys there are.
    pub fn keys(&self) -> u64 {
        self.versions.len() as u64
    }

    /// Length of a key and its value in bytes.
    pub fn entry_bytes(&self) -> u64 {
        (KEY_BYTES + self.value_bytes) as u64
    }

    /// The key at an index. Indices from [`Dataset::keys`] on give keys that are never written.
    pub fn key(&self, index: u64) -> Key {
        let mut numbers = self.numbers(Stream::Key, index);
        let mut key = [0; KEY_BYTES];
        while key[0] == 0 {
            numbers.fill(&mut key);
        }
        key
    }

    /// The value that the key at an index has now; `None` if it was not written.
    pub fn value(&self, index: u64) -> Option<Vec<u8>> {
        let version = self.versions.get(index as usize).copied().unwrap_or(0);
        (version > 0).then(|| {
            let mut value = vec![0; self.value_bytes];
            self.numbers(Stream::Value, index << 24 | u64::from(version))
                .fill(&mut value);
            value
        })
    }

    /// Writes part `part` of `parts` for the first time: its entries in the order of keys.
    pub fn load(&mut self, part: u64, parts: u64) -> Vec<(Key, Vec<u8>)> {
        let bound = |part: u64| self.keys() * part / parts;
        let indices: Vec<u64> = (bound(part)..bound(part + 1)).collect();
        self.write(&indices)
    }

    /// Writes `count` distinct random keys anew, which are fewer than half of all: the entries in
    /// the order of keys, and their indices.
    pub fn update(&mut self, count: u64) -> (Vec<(Key, Vec<u8>)>, Vec<u64>) {
        let mut numbers = self.numbers(Stream::Update, self.updates);
        self.updates += 1;
        let mut indices = Vec::new();
        while (indices.len() as u64) < count {
            let missing = count - indices.len() as u64;
            indices.extend((0..missing).map(|_| numbers.below(self.keys())));
            indices.sort_unstable();
            indices.dedup();
        }
        (self.write(&indices), indices)
    }

    /// `count` random indices of keys, repetitions included; another `which` gives others.
    pub fn queries(&self, which: u64, count: u64) -> Vec<u64> {
        let mut numbers = self.numbers(Stream::Query, which);
        (0..count).map(|_| numbers.below(self.keys())).collect()
    }

    fn write(&mut self, indices: &[u64]) -> Vec<(Key, Vec<u8>)> {
        for index in indices {
            self.versions[*index as usize] += 1;
        }
        let entry = |index: &u64| {
            let value = self.value(*index).expect("it was just written");
            (self.key(*index), value)
        };
        let mut entries: Vec<_> = indices.iter().map(entry).collect();
        entries.sort_unstable_by_key(|entry| entry.0);
        entries
    }

    fn numbers(&self, stream: Stream, position: u64) -> Numbers {
        Numbers::new(self.seed, stream as u64, position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_work() {
        let (mut left, mut right) = (Dataset::new(7, 1000, 20), Dataset::new(7, 1000, 20));
        for part in 0..3 {
            assert_eq!(left.load(part, 3), right.load(part, 3));
        }
        assert_eq!(left.update(100), right.update(100));
        assert_eq!(left.queries(1, 50), right.queries(1, 50));
        assert_ne!(Dataset::new(8, 1000, 20).key(0), left.key(0));
    }

    #[test]
    fn batches_are_sorted_distinct_and_complete() {
        let mut dataset = Dataset::new(1, 1001, 20);
        let mut loaded: Vec<_> = (0..4).flat_map(|part| dataset.load(part, 4)).collect();
        loaded.sort();
        loaded.dedup_by(|left, right| left.0 == right.0);
        assert_eq!(loaded.len(), 1001);
        for _ in 0..20 {
            let (entries, indices) = dataset.update(400);
            assert_eq!((entries.len(), indices.len()), (400, 400));
            assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
            assert!(entries.iter().all(|entry| entry.0[0] != 0));
        }
    }

    #[test]
    fn a_written_key_changes_its_value_and_no_other_has_one() {
        let mut dataset = Dataset::new(1, 10, 20);
        assert_eq!(dataset.value(0), None);
        dataset.load(0, 1);
        let before: Vec<_> = (0..10).map(|index| dataset.value(index)).collect();
        let (_, changed) = dataset.update(4);
        for index in 0..10 {
            let same = dataset.value(index) == before[index as usize];
            assert_eq!(same, !changed.contains(&index));
        }
        assert_eq!(dataset.value(10), None);
    }
}
