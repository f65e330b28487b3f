//! Places: numbers for the accounts that rounds deal with, so that plans and ledgers are lists. They
//! go from round to round with [`super::table::Table`].
//!
//! Places are given while transactions that came before are running. Whether an account has one
//! already says nothing about it: no result may depend on that.

use solana_pubkey::Pubkey;

use crate::keyed::Keyed;

/// Where an account stands among those that rounds deal with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(u32);

impl Place {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    #[cfg(test)]
    pub(crate) fn test(index: u32) -> Self {
        Self(index)
    }
}

/// The places, from 0 on in the order in which they are given.
#[derive(Debug, Default)]
pub(crate) struct Places {
    by_key: Keyed<Place>,
    keys: Vec<Pubkey>,
}

impl Places {
    /// Makes room for so many accounts more.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.by_key.reserve(more);
        self.keys.reserve(more);
    }

    /// Gives an account a place, or the one it has.
    pub(crate) fn give(&mut self, key: &Pubkey) -> Place {
        let keys = &mut self.keys;
        *self.by_key.get_or_insert_with(key.as_array(), || {
            keys.push(*key);
            // Far fewer accounts are remembered.
            Place(u32::try_from(keys.len() - 1).unwrap_or(u32::MAX))
        })
    }

    /// The place of an account that has one.
    pub(crate) fn of(&self, key: &Pubkey) -> Option<Place> {
        self.by_key.get(key.as_array()).copied()
    }

    /// How many were given.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Keys of the accounts from the place `first` on.
    pub(crate) fn keys_from(&self, first: usize) -> impl ExactSizeIterator<Item = &Pubkey> {
        self.keys[first.min(self.keys.len())..].iter()
    }
}
