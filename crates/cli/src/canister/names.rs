//! Names for canisters: a small file in the project's folder, so that people need not copy ids.
//!
//! The file is meant to be read, edited and committed. Names belong to a network, and a network is
//! known by the principal of its root key, so that a name of a network that is gone never points
//! to a canister of the next one.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use candid::Principal;
use serde::{Deserialize, Serialize};

use super::text::nearest;
use crate::output::{Failure, NextStep};

/// The file with the names; the nearest one in the current folder or those above it is used.
const FILE: &str = "trilith.canisters.json";
/// A file with ten thousand names is below this.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest name. Ids have 27 characters; names are to be shorter to type than that would be.
const NAME_CHARS_MAX: usize = 64;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// By the principal of the root key.
    networks: BTreeMap<String, Network>,
}

/// What the file has of one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    /// Where it was last reached; for the reader of the file.
    address: String,
    canisters: BTreeMap<String, Principal>,
}

/// A canister that a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) id: Principal,
    /// The name that the user gave in the place of the id.
    pub(super) name: Option<String>,
}

impl Target {
    /// A canister without a name.
    pub(super) fn unnamed(id: Principal) -> Self {
        Self { id, name: None }
    }

    /// What the user would type for it.
    pub(super) fn typed(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.id.to_text())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name} ({})", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

/// The names of one network's canisters.
#[derive(Clone, Debug)]
pub(super) struct Names {
    path: PathBuf,
    file: File,
    network: String,
    address: String,
}

impl Names {
    /// Reads the project's names of the network whose root key has the principal `network`.
    pub(super) fn open(network: Principal, address: &str) -> Result<Self> {
        let here = std::env::current_dir().context("the current folder cannot be found")?;
        let found = here.ancestors().map(|folder| folder.join(FILE));
        let found = found.into_iter().find(|path| path.is_file());
        let path = found.unwrap_or_else(|| here.join(FILE));
        let file = read(&path)?;
        Ok(Self {
            path,
            file,
            network: network.to_text(),
            address: address.to_owned(),
        })
    }

    fn canisters(&self) -> impl Iterator<Item = (&String, &Principal)> {
        let network = self.file.networks.get(&self.network);
        network.into_iter().flat_map(|network| &network.canisters)
    }

    /// All names with their canisters.
    pub(super) fn all(&self) -> Vec<(String, Principal)> {
        let all = self.canisters();
        all.map(|(name, id)| (name.clone(), *id)).collect()
    }

    /// The canister that is meant by a name or an id.
    pub(super) fn resolve(&self, text: &str) -> Result<Target> {
        if let Some((name, id)) = self.canisters().find(|(name, _)| *name == text) {
            let name = Some(name.clone());
            return Ok(Target { id: *id, name });
        }
        match Principal::from_text(text) {
            Ok(id) => Ok(Target::unnamed(id)),
            Err(error) => Err(self.unknown(text, &error.to_string()).into()),
        }
    }

    fn unknown(&self, text: &str, error: &str) -> Failure {
        let names = self.canisters().map(|(name, _)| name.as_str());
        let names: Vec<&str> = names.collect();
        let looks_like_an_id = text.len() > 20 && text.contains('-');
        let message = if looks_like_an_id {
            format!("`{text}` is no canister id: {error}")
        } else {
            format!("no canister of {} is called `{text}`", self.address)
        };
        let path = self.path.display();
        let causes = if names.is_empty() {
            vec![format!("{path} has no names for this network")]
        } else {
            vec![format!("{path} has {}", names.join(", "))]
        };
        let next = match nearest(text, names) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!(
                "give the canister's id, or make one with `trilith canister create --name {}`",
                if looks_like_an_id { "NAME" } else { text }
            ),
        };
        Failure {
            message,
            causes,
            next: Some(next),
            usage: true,
            ..Failure::default()
        }
    }

    /// Refuses a name that cannot be given to a new canister.
    pub(super) fn check_free(&self, name: &str) -> Result<()> {
        let next = if let Some((_, id)) = self.canisters().find(|(taken, _)| *taken == name) {
            format!(
                "take another name; {id} is called so in {}",
                self.path.display()
            )
        } else if is_name(name) {
            return Ok(());
        } else {
            format!(
                "a name has at most {NAME_CHARS_MAX} letters, digits, `_` and `-`, begins with a \
                 letter, and is no canister id"
            )
        };
        let message = format!("the canister cannot be called `{name}`");
        Err(Failure {
            message,
            next: Some(next),
            usage: true,
            ..Failure::default()
        }
        .into())
    }

    /// Where the names are kept.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives a canister a name, and writes the file.
    pub(super) fn add(&mut self, name: &str, id: Principal) -> Result<()> {
        let network = self.file.networks.entry(self.network.clone()).or_default();
        network.address.clone_from(&self.address);
        network.canisters.insert(name.to_owned(), id);
        self.write()
    }

    /// Forgets the names of a canister; gives whether it had any.
    pub(super) fn remove(&mut self, id: Principal) -> Result<bool> {
        let Some(network) = self.file.networks.get_mut(&self.network) else {
            return Ok(false);
        };
        let before = network.canisters.len();
        network.canisters.retain(|_, found| *found != id);
        if network.canisters.len() == before {
            return Ok(false);
        }
        if network.canisters.is_empty() {
            self.file.networks.remove(&self.network);
        }
        self.write()?;
        Ok(true)
    }

    /// Replaces the file at once, so that a reader sees the old or the new one.
    fn write(&self) -> Result<()> {
        let write = || -> Result<()> {
            let mut text = serde_json::to_string_pretty(&self.file)?;
            text.push('\n');
            let folder = self.path.parent().unwrap_or(Path::new("."));
            let mut new = tempfile::Builder::new()
                .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
                .tempfile_in(folder)?;
            new.write_all(text.as_bytes())?;
            new.as_file().sync_all()?;
            new.persist(&self.path)?;
            Ok(())
        };
        write()
            .with_context(|| format!("the names cannot be written to {}", self.path.display()))
            .context(NextStep(
                "see that the folder can be written; canisters keep working by their ids",
            ))
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().count() <= NAME_CHARS_MAX
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-'))
        && Principal::from_text(name).is_err()
}

fn read(path: &Path) -> Result<File> {
    let what = || format!("the names in {} cannot be read", path.display());
    let step = NextStep("repair the file, or move it away to begin without names");
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => return Err(error).with_context(what).context(step),
    };
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.with_context(what).context(step)?;
    serde_json::from_str(&text).with_context(what).context(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_no_names() {
        for name in ["counter", "a", "my-canister_2", "Backend"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        let id = "rwlgt-iiaaa-aaaaa-aaaaa-cai";
        for name in ["", "1a", "-a", "a b", "a/b", "ä", "aaaaa-aa", id, &long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
