//! The data folder of a node that does not run, opened to look at its states or to bring one in.
//!
//! Looking never changes the folder, and never makes one: what is no data folder is an error.
//! It knows where a node keeps its store, and the store's faults with what can be done about them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use trilith_store::{RecoveryReport, Store, StoreConfig, StoreFault, View};
use trilith_types::RuntimeId;

use super::names::show_runtime;
use super::read_only::ReadOnlyDisk;
use crate::network::store_failure;
use crate::output::NextStep;

/// Name of the folder of the store within a data folder.
const STATE: &str = "state";

/// The file without which a store's folder holds no store.
const MANIFEST: &str = "CURRENT";

const ANOTHER_FOLDER: NextStep = NextStep(
    "give the data folder of a network with --data, the one that `trilith dev` names when it starts",
);

const FOLDER_ABOVE: NextStep =
    NextStep("give the folder above it with --data: the one that has `state` in it");

/// What to do about data that is not what was written.
pub const RESTORE: NextStep = NextStep(
    "restore the data folder from a copy, or bring states back from exports into a new folder with `trilith state import`",
);

/// A store that is open for reading.
pub struct OpenFolder {
    /// The store.
    pub store: Store,
    /// What was found when it was opened.
    pub recovery: RecoveryReport,
}

impl OpenFolder {
    /// Opens the store in a data folder without changing anything there.
    ///
    /// # Errors
    /// If the folder is none of a network, is in use by a node, or is damaged.
    pub fn read(data: &Path) -> Result<Self> {
        let state = state_folder(data)?;
        // Nothing is sealed here, so that no checkpoint is ever due.
        let config = StoreConfig {
            checkpoint_thread: false,
            ..StoreConfig::default()
        };
        let disk = Arc::new(ReadOnlyDisk::new(&state));
        match Store::open(disk, config) {
            Ok((store, recovery)) => Ok(Self { store, recovery }),
            // Where there is no store, opening makes one, and that is what the disk refuses.
            Err(StoreFault::Io {
                kind: ErrorKind::ReadOnlyFilesystem,
                ..
            }) => {
                let what = format!("{} holds no store yet", state.display());
                Err(anyhow!(what).context(ANOTHER_FOLDER))
            }
            Err(fault) => {
                let what = format!("the store in {} cannot be opened", state.display());
                Err(failure(fault).context(what))
            }
        }
    }

    /// A finalised version of a runtime: the one of `round`, or the current one.
    ///
    /// # Errors
    /// If there is no such runtime or version, or it cannot be read.
    pub fn version(&self, runtime: RuntimeId, round: Option<u64>) -> Result<(u64, Arc<View>)> {
        let Some((current, root)) = self.store.current(runtime) else {
            return Err(self.no_version(runtime));
        };
        let round = round.unwrap_or(current);
        let view = if round == current {
            self.store.view(runtime, root)
        } else {
            self.store.view_at(runtime, round).map_err(failure)?
        };
        if let Some(view) = view {
            return Ok((round, view));
        }
        let versions = self.store.versions(runtime);
        let first = versions.first().map_or(current, |(round, _)| *round);
        let count = versions.len();
        Err(anyhow!(
            "round {round} of runtime {} is not among the {count} versions that are kept, of rounds {first} to {current}",
            show_runtime(&runtime)
        )
        .context(NextStep("choose one of the rounds that `trilith inspect state --runtime …` lists")))
    }

    /// The error of a runtime without a version.
    pub fn no_version(&self, runtime: RuntimeId) -> anyhow::Error {
        let known = self.store.namespaces();
        let what = if known.contains(&runtime) {
            "has no finalised version yet"
        } else {
            "has no state in this data folder"
        };
        anyhow!("runtime {} {what}", show_runtime(&runtime)).context(NextStep(
            "leave out --runtime of `trilith inspect state` to see which runtimes the folder has",
        ))
    }
}

/// The folder of the store within a data folder that has one.
fn state_folder(data: &Path) -> Result<PathBuf> {
    let shown = data.display();
    if !data.exists() {
        return Err(anyhow!("there is no folder {shown}").context(ANOTHER_FOLDER));
    }
    if !data.is_dir() {
        return Err(anyhow!("{shown} is not a folder").context(ANOTHER_FOLDER));
    }
    let state = data.join(STATE);
    if !state.is_dir() {
        let step = if data.join(MANIFEST).exists() {
            FOLDER_ABOVE
        } else {
            ANOTHER_FOLDER
        };
        let what = format!("{shown} is no data folder: it has no folder `{STATE}`");
        return Err(anyhow!(what).context(step));
    }
    Ok(state)
}

/// A store that is open to bring a state in.
pub struct ImportFolder {
    /// The store.
    pub store: Store,
    /// Whether there was none before.
    pub created: bool,
    /// The store's folder, and the data folder around it, if they were made for it.
    made: [Option<PathBuf>; 2],
}

impl ImportFolder {
    /// Opens the store in a data folder, or makes both.
    ///
    /// # Errors
    /// If the folder cannot be used or made, is in use by a node, or is damaged.
    pub fn open(data: &Path) -> Result<Self> {
        let state = data.join(STATE);
        if !state.is_dir() && data.join(MANIFEST).exists() {
            let what = format!(
                "{} is a store, not the data folder around it",
                data.display()
            );
            return Err(anyhow!(what).context(FOLDER_ABOVE));
        }
        let made = [&state, data].map(|path| (!path.exists()).then(|| path.to_owned()));
        std::fs::create_dir_all(&state)
            .with_context(|| format!("the folder {} cannot be made", state.display()))
            .context(NextStep("choose another folder with --data"))?;
        let (store, recovery) = Store::open_dir(&state).map_err(failure)?;
        Ok(Self {
            store,
            created: recovery.created,
            made,
        })
    }

    /// Closes a store into which nothing could be brought. A folder that was made for it goes; one
    /// that was there before stays as it was.
    pub fn abandon(self) {
        drop(self.store);
        let [state, data] = self.made;
        // What cannot be removed is an empty store, which does no harm.
        let _removed = state.map(std::fs::remove_dir_all);
        // A data folder that has something else by now is not empty, and stays.
        let _removed = data.map(std::fs::remove_dir);
    }
}

/// The store's fault with what can be done about it.
pub fn failure(fault: StoreFault) -> anyhow::Error {
    match fault {
        StoreFault::Damaged { .. } | StoreFault::Unreadable(_) => {
            anyhow::Error::from(fault).context(RESTORE)
        }
        StoreFault::Locked { .. } => anyhow::Error::from(fault).context(NextStep(
            "stop the node that uses the folder, and try again",
        )),
        StoreFault::Io { .. } => anyhow::Error::from(fault).context(NextStep(
            "see that the folder and its files can be read, and try again",
        )),
        other => store_failure(other),
    }
}
