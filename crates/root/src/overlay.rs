//! Writes on top of a view, and what a root instance remembers between heights.
//!
//! Every write of the root goes through an [`Overlay`]. A transaction writes into a layer of its
//! own, which is kept or dropped: dropping it is the rollback.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use trilith_types::{Hash, StateFault, StateRead, WriteLog, WriteLogEntry};

/// Values by key; `None` where there is none.
pub(crate) type Values = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Key and value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// Writes on top of a view.
pub(crate) struct Overlay<'a> {
    view: &'a dyn StateRead,
    /// What the view is known to hold.
    known: Values,
    changes: Values,
    layer: Option<Values>,
}

impl<'a> Overlay<'a> {
    /// An overlay without writes on a view some of whose entries are known.
    pub(crate) fn new(view: &'a dyn StateRead, known: Values) -> Self {
        Self {
            view,
            known,
            changes: Values::new(),
            layer: None,
        }
    }

    /// The root of the view, which no write changes.
    pub(crate) fn root(&self) -> Hash {
        self.view.root()
    }

    /// The value of `key`, as written last.
    pub(crate) fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        let written = self.layer.as_ref().and_then(|layer| layer.get(key));
        if let Some(value) = written.or_else(|| self.changes.get(key)) {
            return Ok(value.clone());
        }
        if let Some(value) = self.known.get(key) {
            return Ok(value.clone());
        }
        let value = self.view.get(key)?;
        self.known.insert(key.to_vec(), value.clone());
        Ok(value)
    }

    /// The entries whose keys start with `prefix` and for which `wanted` holds, ascending, as
    /// written last. `wanted` may end the search where keys that follow cannot be wanted.
    pub(crate) fn entries(
        &self,
        prefix: &[u8],
        mut wanted: impl FnMut(&[u8]) -> ControlFlow<(), bool>,
    ) -> Result<Vec<Entry>, StateFault> {
        let mut values: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        self.view.iterate(prefix, &mut |key, value| {
            match wanted(key) {
                ControlFlow::Break(()) => return ControlFlow::Break(()),
                ControlFlow::Continue(false) => {}
                ControlFlow::Continue(true) => {
                    values.insert(key.to_vec(), value.to_vec());
                }
            }
            ControlFlow::Continue(())
        })?;
        for layer in [Some(&self.changes), self.layer.as_ref()] {
            let written = layer
                .into_iter()
                .flat_map(|layer| layer.range(prefix.to_vec()..));
            for (key, value) in written {
                if !key.starts_with(prefix) {
                    break;
                }
                match (value, wanted(key)) {
                    (_, ControlFlow::Break(())) => break,
                    (Some(value), ControlFlow::Continue(true)) => {
                        values.insert(key.clone(), value.clone());
                    }
                    (None, ControlFlow::Continue(true)) => {
                        values.remove(key);
                    }
                    (_, ControlFlow::Continue(false)) => {}
                }
            }
        }
        Ok(values.into_iter().collect())
    }

    /// All entries whose keys start with `prefix`, ascending, as written last.
    pub(crate) fn all(&self, prefix: &[u8]) -> Result<Vec<Entry>, StateFault> {
        self.entries(prefix, |_| ControlFlow::Continue(true))
    }

    /// Writes or removes a value.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.layer
            .as_mut()
            .unwrap_or(&mut self.changes)
            .insert(key, value);
    }

    /// Opens the layer of a transaction.
    pub(crate) fn open_layer(&mut self) {
        self.layer = Some(Values::new());
    }

    /// Closes the layer, keeping or dropping what was written.
    pub(crate) fn close_layer(&mut self, keep: bool) {
        let layer = self.layer.take().unwrap_or_default();
        if keep {
            self.changes.extend(layer);
        }
    }

    /// The writes that change something, ascending, and what the state then is known to hold.
    pub(crate) fn finish(mut self) -> Result<(WriteLog, Values), StateFault> {
        self.close_layer(false);
        let mut log = WriteLog::new();
        for (key, value) in std::mem::take(&mut self.changes) {
            if self.get(&key)? != value {
                log.push(WriteLogEntry {
                    key: key.clone(),
                    value: value.clone(),
                });
            }
            self.known.insert(key, value);
        }
        Ok((log, self.known))
    }
}
