//! The state a network starts from.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use trilith_params::root::{
    KEY_MANAGER_STATUS_BYTES_MAX, PARAMETERS_BYTES_MAX, PROPOSAL_BYTES_MAX, RUNTIMES_MAX,
    TRANSACTION_BYTES_MAX,
};
use trilith_protocol::root::{GenesisError, Services};
use trilith_protocol::{BlockHeader, RootEvent, RootGenesis};
use trilith_types::state::Visitor;
use trilith_types::{
    Epoch, Hash, Height, Image, ImageId, Round, RuntimeId, StateFault, StateRead, WriteLog,
    WriteLogEntry,
};

use crate::overlay::{Entry, Overlay, Values};
use crate::scope::Scope;
use crate::state::{
    EPOCH, EpochRecord, Events, KEYS, Keys, NETWORK, Network, OfRuntime, Record as _, TIP, Tip,
    events_key, node_key,
};
use crate::{beacon, governance, keymanager, registry, roothash, scheduler, staking, state};

/// The entries of a document before anything is elected.
struct Document(BTreeMap<Vec<u8>, Vec<u8>>);

impl StateRead for Document {
    fn root(&self) -> Hash {
        Hash::EMPTY
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(self.0.get(key).cloned())
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        for (key, value) in self.0.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) || visitor(key, value) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, _: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(None)
    }
}

/// The state a network starts from: what is written at height 0. Committees of epoch 0 are elected
/// here, from the document's nodes, with the chain context in place of randomness.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub fn genesis_write_log(genesis: &RootGenesis) -> Result<WriteLog, GenesisError> {
    genesis.validate()?;
    let (network, mut entries) = network(genesis);
    let (what, count) = ("runtimes", network.runtimes.len());
    if count > RUNTIMES_MAX {
        let limit = RUNTIMES_MAX;
        return Err(GenesisError::TooMany { what, count, limit });
    }
    // A runtime of the plain list may not be registered too.
    if !network.runtimes.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(GenesisError::Order { what });
    }
    let mut stakes = genesis.services.staking.clone();
    entries.extend(registry::import(&genesis.services.registry, &mut stakes)?);
    entries.extend(staking::import(&stakes)?);
    let services = &genesis.services;
    entries.extend(beacon::import(&services.beacon, genesis.epoch_interval)?);
    entries.extend(scheduler::import(&services.scheduler, stakes.total_supply)?);
    let first_rounds = first_rounds(genesis);
    entries.extend(roothash::import(&genesis.services.roothash, &first_rounds)?);
    entries.extend(governance::import(&genesis.services.governance, &stakes)?);
    let registered = &genesis.services.registry;
    entries.extend(keymanager::import(
        &genesis.services.keymanager,
        registered,
    )?);
    entries.iter().try_for_each(fits)?;
    let document = Document(entries.into_iter().collect());
    let randomness = *network.chain_context.as_bytes();
    let (height, epoch) = (Height(0), Epoch(0));
    let mut scope = Scope::new(
        Overlay::new(&document, Values::new()),
        network,
        (height, genesis.time),
        (epoch, randomness),
    );
    scope.emit(RootEvent::EpochStarted { epoch, height });
    // The document is in memory and was written by this very code: reading it cannot fail.
    let readable = "the entries of a document can be read";
    beacon::start_epoch(&mut scope).expect(readable);
    roothash::start_network(&mut scope).expect(readable);
    scheduler::start_network(&mut scope)
        .expect(readable)
        .map_err(|error| GenesisError::Service(error.into()))?;
    let events = Events(scope.replace_events(Vec::new()));
    scope.overlay.put_record(events_key(height), &events);
    let (log, _) = scope.overlay.finish().expect(readable);
    let mut state = document.0;
    for WriteLogEntry { key, value } in log {
        state.extend(value.map(|value| (key, value)));
    }
    let entries = state.into_iter().map(|(key, value)| WriteLogEntry {
        key,
        value: Some(value),
    });
    Ok(entries.collect())
}

/// Refuses what could not be read back: a document bounds only all of it together.
fn fits((key, value): &Entry) -> Result<(), GenesisError> {
    let (what, limit) = match key.as_slice() {
        [b'S' | b'R' | b'B' | b'V' | b'H' | b'G' | b'K', b'p'] => {
            ("parameters", PARAMETERS_BYTES_MAX)
        }
        [b'S', b's'] => ("a count of signatures", PARAMETERS_BYTES_MAX),
        [b'R', ..] => ("a descriptor", TRANSACTION_BYTES_MAX),
        [b'K', b's', ..] => ("a status", KEY_MANAGER_STATUS_BYTES_MAX),
        [b'K', ..] => ("a secret", TRANSACTION_BYTES_MAX),
        [b'G', b'n', ..] => ("a proposal", PROPOSAL_BYTES_MAX),
        _ => return Ok(()),
    };
    let len = value.len();
    if len > limit {
        return Err(GenesisError::TooLarge { what, len, limit });
    }
    Ok(())
}

/// What the services hold, as a part of a genesis document: a network that starts from it has the
/// same stake and the same registrations.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export(view: &dyn StateRead) -> Result<Services, StateFault> {
    Ok(Services {
        transactions: state::network(view)?.transactions,
        staking: staking::export(view)?,
        registry: registry::export(view)?,
        beacon: beacon::parameters(view)?,
        scheduler: scheduler::parameters(view)?,
        roothash: roothash::export(view)?,
        governance: governance::export(view)?,
        keymanager: keymanager::export(view)?,
    })
}

/// All runtimes of a document that execute transactions, with their first rounds.
fn first_rounds(genesis: &RootGenesis) -> Vec<(RuntimeId, Round)> {
    let registry = &genesis.services.registry;
    let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
    let registered = registered.filter(|runtime| runtime.is_compute());
    let plain = genesis.runtimes.iter().map(|of| (of.id, Round(0)));
    let registered = registered.map(|of| (of.id, Round(of.genesis.round)));
    plain.chain(registered).collect()
}

/// The network's own entries, those of the document's plain list of nodes, and the first blocks of
/// all runtimes.
fn network(genesis: &RootGenesis) -> (Network, Vec<Entry>) {
    let chain_context = genesis.chain_context();
    let registry = &genesis.services.registry;
    let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
    let registered = registered.filter(|runtime| runtime.is_compute());
    let plain = genesis.runtimes.iter().cloned();
    let mut runtimes: Vec<_> = plain.map(|descriptor| (descriptor, 0)).collect();
    runtimes.extend(registered.map(|runtime| (runtime.descriptor(), runtime.genesis.round)));
    runtimes.sort_by_key(|(descriptor, _)| descriptor.id);
    let network = Network {
        chain_context,
        epoch_interval: genesis.epoch_interval,
        runtimes: runtimes
            .iter()
            .map(|(descriptor, _)| descriptor.id)
            .collect(),
        transactions: genesis.services.transactions,
    };
    let tip = Tip {
        height: Height(0),
        time: genesis.time,
        randomness: *chain_context.as_bytes(),
    };
    let running = EpochRecord {
        epoch: Epoch(0),
        since: Height(0),
    };
    let keys = Keys(genesis.consensus_key, genesis.certification_key);
    let mut entries = vec![
        (NETWORK.to_vec(), network.to_bytes()),
        (KEYS.to_vec(), keys.to_bytes()),
        (TIP.to_vec(), tip.to_bytes()),
        (EPOCH.to_vec(), running.to_bytes()),
    ];
    let nodes = genesis.nodes.iter();
    entries.extend(nodes.map(|node| (node_key(&node.id), node.roles.to_bytes())));
    for (descriptor, round) in runtimes {
        let (runtime, timestamp) = (descriptor.id, genesis.time.as_secs());
        let first = BlockHeader::genesis(runtime, timestamp, descriptor.genesis_state_root);
        let block = BlockHeader {
            round: Round(round),
            ..first
        };
        entries.push((OfRuntime::Descriptor.key(&runtime), descriptor.encode()));
        entries.push((OfRuntime::Block.key(&runtime), block.encode()));
    }
    (network, entries)
}
