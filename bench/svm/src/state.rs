//! A state in the memory of a test. Its root names a version and says nothing of its content:
//! roots are judged elsewhere.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use trilith_protocol::{ImageChange, Outcome};
use trilith_types::state::Visitor;
use trilith_types::{Hash, Image, ImageId, StateFault, StateRead};

/// Versions made so far.
static VERSIONS: AtomicU64 = AtomicU64::new(0);

/// One version of a state.
pub struct State {
    leaves: BTreeMap<Vec<u8>, Vec<u8>>,
    images: BTreeMap<ImageId, Image>,
    root: Hash,
}

impl State {
    /// A state with nothing in it.
    pub fn empty() -> Self {
        Self {
            leaves: BTreeMap::new(),
            images: BTreeMap::new(),
            root: Hash::EMPTY,
        }
    }

    /// Takes over what a round wrote.
    pub fn apply(&mut self, outcome: Outcome) {
        for entry in outcome.write_log {
            match entry.value {
                Some(value) => self.leaves.insert(entry.key, value),
                None => self.leaves.remove(&entry.key),
            };
        }
        for write in outcome.images {
            match write.change {
                ImageChange::Delete => {
                    self.images.remove(&write.image);
                }
                ImageChange::Write { reset, pages, runs } => {
                    let mut image = self.images.remove(&write.image).unwrap_or_default();
                    if reset {
                        image = Image::default();
                    }
                    image.resize(pages);
                    // The runs keep the files of the outcome open, which are written no more.
                    runs.into_iter().for_each(|run| image.overlay(run));
                    self.images.insert(write.image, image);
                }
            }
        }
        let version = VERSIONS.fetch_add(1, Ordering::Relaxed);
        self.root = Hash::of(&version.to_le_bytes());
    }
}

impl StateRead for State {
    fn root(&self) -> Hash {
        self.root
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.leaves.get(key).cloned())
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        for (key, value) in self.leaves.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || visitor(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, id: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(self.images.get(id).cloned())
    }
}
