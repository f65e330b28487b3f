//! Values found by 32 bytes, in no order.
//!
//! The hash function has a seed of its own in every process, so that nobody can choose keys that
//! collide. No result may depend on the order of such a table; therefore it has no way to ask for
//! one.

use ahash::AHashMap;

/// A table from 32 bytes to a value.
#[derive(Clone, Debug)]
pub(crate) struct Keyed<V>(AHashMap<[u8; 32], V>);

impl<V> Default for Keyed<V> {
    fn default() -> Self {
        Self(AHashMap::default())
    }
}

impl<V> Keyed<V> {
    pub(crate) fn get(&self, key: &[u8; 32]) -> Option<&V> {
        self.0.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &[u8; 32]) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    pub(crate) fn contains(&self, key: &[u8; 32]) -> bool {
        self.0.contains_key(key)
    }

    /// The value of a key, `make` where it has none.
    pub(crate) fn get_or_insert_with(
        &mut self,
        key: &[u8; 32],
        make: impl FnOnce() -> V,
    ) -> &mut V {
        self.0.entry(*key).or_insert_with(make)
    }

    pub(crate) fn insert(&mut self, key: [u8; 32], value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub(crate) fn remove(&mut self, key: &[u8; 32]) -> Option<V> {
        self.0.remove(key)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
