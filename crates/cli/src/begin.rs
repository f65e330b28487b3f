//! What a network in a data folder begins with: the document, the seed that belongs to it, the
//! states it goes on from, and the key files for commands.
//!
//! It knows files and documents, and nothing of how a node runs. Invariant: no key file is ever
//! overwritten with another key, and nothing is written before the document is known to fit.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use trilith_node::NodeKeys;
use trilith_protocol::RootGenesis;
use trilith_root::check_genesis;
use trilith_store::Store;
use trilith_types::{Hash, SecretKey};

use crate::canister::identity::{load_ed25519, write_ed25519};
use crate::genesis::{NodeSecrets, entity_key};
use crate::network::RUNTIMES;
use crate::output::{Failure, NextStep};
use crate::state::names::show_runtime;

/// Folder of the key files within a data folder.
pub(crate) const KEYS: &str = "keys";

/// Name of the entity's key file in it.
pub(crate) const ENTITY: &str = "entity.pem";

/// Which document a network has.
pub(crate) enum Begun {
    /// The one it began with earlier.
    Continued(Box<RootGenesis>),
    /// It begins with the one asked for.
    With(Box<RootGenesis>),
    /// It begins, and nothing was asked for.
    Anew,
}

/// Which document the network in a data folder has, given the one that is stored there and the one
/// that is asked for.
///
/// # Errors
/// If the stored one is damaged or another than the one asked for, or that is not sound.
pub(crate) fn document(
    data: &Path,
    stored: Option<&[u8]>,
    asked: Option<RootGenesis>,
) -> Result<Begun> {
    let stored = stored
        .map(|bytes| RootGenesis::decode(bytes).context("the stored genesis is damaged"))
        .transpose()?;
    match (stored, asked) {
        (Some(stored), Some(asked)) if stored != asked => Err(Failure {
            message: format!(
                "the data folder {} holds the network {}, the document is of the network {}",
                data.display(),
                stored.chain_context(),
                asked.chain_context()
            ),
            next: Some(
                "leave out --genesis to continue the network, choose another folder with --data, \
                 or forget the network with --clean"
                    .to_owned(),
            ),
            ..Failure::default()
        }
        .into()),
        (Some(stored), _) => Ok(Begun::Continued(Box::new(stored))),
        (None, Some(asked)) => {
            check_genesis(&asked)
                .context("the genesis document is refused")
                .context(NextStep(
                    "correct the document; `trilith genesis check FILE` checks it without a node",
                ))?;
            Ok(Begun::With(Box::new(asked)))
        }
        (None, None) => Ok(Begun::Anew),
    }
}

/// The seed in a data folder where a network is to begin with a document, which has keys that
/// follow from it.
///
/// # Errors
/// If there is no seed, or keys of the document are not the seed's.
pub(crate) fn seed_of(data: &Path, document: &RootGenesis) -> Result<[u8; 32]> {
    let path = data.join("seed");
    let next = format!(
        "put the `seed` of the data folder that the document is from into {}, or make a document \
         for this folder with `trilith genesis new --data {}`",
        data.display(),
        data.display()
    );
    let refused = |message: String| Failure {
        message,
        next: Some(next.clone()),
        ..Failure::default()
    };
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let message = format!(
                "there is no seed in {}, and the keys of a document come from one",
                data.display()
            );
            return Err(refused(message).into());
        }
        other => other.with_context(|| format!("{} cannot be read", path.display()))?,
    };
    let seed: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
        refused(format!(
            "{} has {} bytes, a seed has 32",
            path.display(),
            bytes.len()
        ))
    })?;
    let keys = NodeKeys::for_developer_network(&seed);
    let (consensus, certification) = keys.threshold_keys();
    let pairs = [
        ("consensus_key", document.consensus_key, consensus),
        (
            "certification_key",
            document.certification_key,
            certification,
        ),
    ];
    for (name, found, expected) in pairs {
        if found != expected {
            let message = format!(
                "the document's {name} is {}, the seed in {} gives {}",
                short(&found.0),
                data.display(),
                short(&expected.0)
            );
            return Err(refused(message).into());
        }
    }
    Ok(seed)
}

/// As much of a key as tells it from others.
fn short(bytes: &[u8]) -> String {
    format!("{}…", hex::encode(&bytes[..8]))
}

/// Checks that the states which the built-in runtimes go on from are in the store.
///
/// # Errors
/// If one is missing, or another one is there.
pub(crate) fn check_states(data: &Path, store: &Store, document: &RootGenesis) -> Result<()> {
    for descriptor in document.compute_runtimes() {
        let id = descriptor.id;
        let standing = document.services.standings.get(&id);
        let (round, expected) = standing.map_or((0, descriptor.genesis_state_root), |standing| {
            (standing.round, standing.state_root)
        });
        if expected == Hash::EMPTY || !RUNTIMES.contains(&id) {
            continue;
        }
        let found = store.current(id);
        if found.map(|(_, root)| root) == Some(expected) {
            continue;
        }
        let has = match found {
            Some((round, root)) => format!("the data folder has round {round} with {root}"),
            None => "the data folder has no state of it".to_owned(),
        };
        return Err(Failure {
            message: format!(
                "runtime {} stands in round {round} with the state root {expected}, {has}",
                show_runtime(&id)
            ),
            next: Some(format!(
                "bring the state in with `trilith state import --data {} --from FOLDER`, from an \
                 export of the old network",
                data.display()
            )),
            ..Failure::default()
        }
        .into());
    }
    Ok(())
}

/// Writes the key files of a data folder that are not there yet.
///
/// # Errors
/// If a file cannot be written, or one that is there has another key.
pub(crate) fn write_keys(data: &Path, seed: &[u8; 32]) -> Result<()> {
    let folder = data.join(KEYS);
    let of_node = folder.join("node");
    fs::create_dir_all(&of_node)
        .with_context(|| format!("the folder {} cannot be made", of_node.display()))?;
    write_key(&folder.join(ENTITY), &entity_key(seed))?;
    let keys = NodeKeys::for_developer_network(seed);
    write_node_keys(&of_node, &NodeSecrets::of_developer_network(&keys))
}

/// Writes the keys of a node into a folder, those that are not there yet.
///
/// # Errors
/// As of [`write_keys`].
pub(crate) fn write_node_keys(folder: &Path, secrets: &NodeSecrets) -> Result<()> {
    for (name, key) in secrets.named() {
        write_key(&folder.join(format!("{name}.pem")), key)?;
    }
    Ok(())
}

/// Reads the keys of a node from a folder.
///
/// # Errors
/// If one is missing or cannot be read.
pub(crate) fn read_node_keys(folder: &Path) -> Result<NodeSecrets> {
    let read = |name: &str| -> Result<SecretKey> {
        let seed = load_ed25519(&folder.join(format!("{name}.pem")))?;
        Ok(SecretKey::from_seed(seed))
    };
    Ok(NodeSecrets {
        node: read("node")?,
        consensus: read("consensus")?,
        vrf: read("vrf")?,
        tls: read("tls")?,
        p2p: read("p2p")?,
    })
}

fn write_key(file: &Path, key: &SecretKey) -> Result<()> {
    if !file.exists() {
        return write_ed25519(file, key.seed());
    }
    if load_ed25519(file)? == key.seed() {
        return Ok(());
    }
    let what = format!("{} has another key than this network", file.display());
    Err(anyhow!(what).context(NextStep(
        "move the file elsewhere; the network's own key is written in its place",
    )))
}
