//! Importing a checkpoint into a store.

use trilith_types::{Hash, WriteLog};

use super::ExportFault;
use super::read::{Checkpoint, CheckpointFiles, ImportSink};
use crate::fault::Result as StoreResult;
use crate::image::ImageUpdate;
use crate::import::Import;
use crate::store::Store;

impl<F: CheckpointFiles> Checkpoint<F> {
    /// Makes the state the current version of its namespace in `store`, durably, or leaves the
    /// store as it was. That the root in the manifest is a certified one is for the caller to
    /// check before.
    ///
    /// # Errors
    /// [`ExportFault::File`] and others with the first file that is not as it should be;
    /// [`ExportFault::Store`] if the namespace has a version already or is being imported, or with
    /// a fault of the disk.
    pub fn import_into(&self, store: &Store) -> Result<(), ExportFault> {
        let import = store.import(self.manifest().namespace)?;
        self.import(&mut IntoStore(Some(import)))
    }
}

/// An import into a store, until it is finished.
struct IntoStore<'s>(Option<Import<'s>>);

impl<'s> IntoStore<'s> {
    fn import(&mut self) -> &mut Import<'s> {
        self.0.as_mut().expect("nothing comes after the end")
    }
}

impl ImportSink for IntoStore<'_> {
    fn entries(&mut self, log: &WriteLog) -> StoreResult<()> {
        self.import().entries(log)
    }

    fn image(&mut self, update: &ImageUpdate) -> StoreResult<()> {
        self.import().image(update)
    }

    fn finish(&mut self, round: u64, root: Hash) -> StoreResult<()> {
        let import = self.0.take().expect("an import ends once");
        import.finish(round, root)
    }
}
