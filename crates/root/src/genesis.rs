//! The state a network starts from.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use trilith_params::root::{
    GENESIS_ROUND_MAX, KEY_MANAGER_STATUS_BYTES_MAX, PARAMETERS_BYTES_MAX, PROPOSAL_BYTES_MAX,
    RUNTIMES_MAX, TRANSACTION_BYTES_MAX,
};
use trilith_protocol::root::{GenesisError, GenesisNode, RuntimeDescriptor, Services, Standing};
use trilith_protocol::{BlockHeader, RootEvent, RootGenesis};
use trilith_types::state::Visitor;
use trilith_types::{
    Hash, Height, Image, ImageId, PublicKey, Round, RuntimeId, StateFault, StateRead, WriteLog,
    WriteLogEntry,
};

use crate::overlay::{Entry, Overlay, Values};
use crate::scope::{Scope, broken};
use crate::state::{
    EPOCH, EpochRecord, Events, KEYS, Keys, NETWORK, Network, OfRuntime, Record as _, TIP, Tip,
    events_key, node_key,
};
use crate::{beacon, governance, keymanager, registry, roothash, scheduler, staking, state};

/// The entries that a document gives, as a state.
pub(crate) struct Document(BTreeMap<Vec<u8>, Vec<u8>>);

impl Document {
    /// The entries that a log writes.
    pub(crate) fn of(log: WriteLog) -> Self {
        let written = log.into_iter().filter_map(|entry| {
            let value = entry.value?;
            Some((entry.key, value))
        });
        Self(written.collect())
    }
}

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

/// The state a network starts from: what is written at height 0. Committees of the first epoch are
/// elected here, from the document's nodes, with the chain context in place of randomness.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub fn genesis_write_log(genesis: &RootGenesis) -> Result<WriteLog, GenesisError> {
    genesis.validate()?;
    let (network, mut entries) = network(genesis)?;
    let (what, count) = ("runtimes", network.runtimes.len());
    if count > RUNTIMES_MAX {
        let limit = RUNTIMES_MAX;
        return Err(GenesisError::TooMany { what, count, limit });
    }
    let mut stakes = genesis.services.staking.clone();
    entries.extend(registry::import(&genesis.services.registry, &mut stakes)?);
    entries.extend(staking::import(&stakes)?);
    let services = &genesis.services;
    entries.extend(beacon::import(&services.beacon, genesis.epoch_interval)?);
    entries.extend(scheduler::import(&services.scheduler, stakes.total_supply)?);
    let standings = runtimes(genesis)?.into_iter();
    let rounds: Vec<_> = standings
        .map(|(descriptor, standing)| (descriptor.id, Round(standing.round)))
        .collect();
    entries.extend(roothash::import(&services.roothash, &rounds)?);
    entries.extend(governance::import(&services.governance, &stakes)?);
    entries.extend(keymanager::import(
        &services.keymanager,
        &services.registry,
    )?);
    entries.iter().try_for_each(fits)?;
    let document = Document(entries.into_iter().collect());
    let randomness = *network.chain_context.as_bytes();
    let (height, epoch) = (Height(0), genesis.services.epoch);
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
/// same stake and the same registrations, and is in the same epoch.
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
        epoch: state::epoch(view)?.epoch,
        standings: standings(view)?,
        governance: governance::export(view)?,
        keymanager: keymanager::export(view)?,
    })
}

/// A document with which another network goes on from this state: with the stake and registrations
/// there are, in the running epoch, and with every runtime in its newest round on its newest state.
/// `began` is the document the network of this state began with, which knows its name.
///
/// Not carried over: committees, which are elected anew; commitments to running rounds, which begin
/// anew; events; the newest randomness, in whose place is the new chain context.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export_genesis(
    view: &dyn StateRead,
    began: &RootGenesis,
) -> Result<RootGenesis, StateFault> {
    let services = export(view)?;
    let network = state::network(view)?;
    let (consensus_key, certification_key) = state::keys(view)?;
    let registry = &services.registry;
    let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
    let registered: BTreeSet<RuntimeId> = registered.map(|runtime| runtime.id).collect();
    let plain = network
        .runtimes
        .iter()
        .filter(|id| !registered.contains(*id));
    let plain = plain.map(|id| {
        let descriptor = state::descriptor(view, id)?;
        descriptor.ok_or_else(|| broken("a runtime has no descriptor"))
    });
    let mut nodes = Vec::new();
    for (key, value) in Overlay::new(view, Values::new()).all(state::NODES)? {
        let id = PublicKey::from_slice(&key[state::NODES.len()..]);
        let id = id.ok_or_else(|| broken("a node has another key than it can have"))?;
        let roles = state::decoded(&value)?;
        nodes.push(GenesisNode { id, roles });
    }
    Ok(RootGenesis {
        chain: began.chain.clone(),
        time: state::tip(view)?.time,
        epoch_interval: network.epoch_interval,
        nodes,
        runtimes: plain.collect::<Result<_, _>>()?,
        consensus_key,
        certification_key,
        services,
    })
}

/// Where the runtimes stand that have gone on since their descriptor's first round.
fn standings(view: &dyn StateRead) -> Result<BTreeMap<RuntimeId, Standing>, StateFault> {
    let mut standings = BTreeMap::new();
    for id in state::network(view)?.runtimes {
        let missing = || broken("a runtime has no descriptor or no block");
        let descriptor = state::descriptor(view, &id)?.ok_or_else(missing)?;
        let block = state::latest_block(view, &id)?.ok_or_else(missing)?;
        let first = registry::first_round(view, &id)?;
        let standing = Standing {
            round: block.round.0,
            state_root: block.state_root,
        };
        if (standing.round, standing.state_root) != (first, descriptor.genesis_state_root) {
            standings.insert(id, standing);
        }
    }
    Ok(standings)
}

/// The compute runtimes of a document, ascending, each with where it stands at height 0.
fn runtimes(genesis: &RootGenesis) -> Result<Vec<(RuntimeDescriptor, Standing)>, GenesisError> {
    let Services {
        registry,
        standings,
        ..
    } = &genesis.services;
    let mut found: BTreeMap<RuntimeId, (RuntimeDescriptor, Standing)> = BTreeMap::new();
    let mut add = |descriptor: RuntimeDescriptor, round| {
        let standing = Standing {
            round,
            state_root: descriptor.genesis_state_root,
        };
        // A runtime of the plain list may not be registered too.
        match found.insert(descriptor.id, (descriptor, standing)) {
            None => Ok(()),
            Some(_) => Err(GenesisError::Order { what: "runtimes" }),
        }
    };
    for descriptor in &genesis.runtimes {
        add(descriptor.clone(), 0)?;
    }
    let registered = registry.runtimes.iter().chain(&registry.suspended_runtimes);
    for runtime in registered.filter(|runtime| runtime.is_compute()) {
        add(runtime.descriptor(), runtime.genesis.round)?;
    }
    for (id, standing) in standings {
        let refused = |limit, reason| GenesisError::Standing {
            runtime: *id,
            round: standing.round,
            limit,
            reason,
        };
        let Some((_, at)) = found.get_mut(id) else {
            return Err(refused(0, "there is no such compute runtime"));
        };
        // As of the round in a descriptor: rounds count up from here for ever.
        if standing.round > GENESIS_ROUND_MAX {
            return Err(refused(GENESIS_ROUND_MAX, "too few rounds would be left"));
        }
        if standing.round < at.round {
            return Err(refused(
                GENESIS_ROUND_MAX,
                "it is before its descriptor's first",
            ));
        }
        if standing == at {
            return Err(refused(GENESIS_ROUND_MAX, "its descriptor says so already"));
        }
        *at = *standing;
    }
    Ok(found.into_values().collect())
}

/// The network's own entries, those of the document's plain list of nodes, and the first blocks of
/// all runtimes.
fn network(genesis: &RootGenesis) -> Result<(Network, Vec<Entry>), GenesisError> {
    let chain_context = genesis.chain_context();
    let runtimes = runtimes(genesis)?;
    // Epochs count up from here for ever, as rounds do.
    let epoch = genesis.services.epoch.0;
    if epoch > GENESIS_ROUND_MAX {
        return Err(GenesisError::TooMany {
            what: "epochs before height 0",
            count: usize::try_from(epoch).unwrap_or(usize::MAX),
            limit: usize::try_from(GENESIS_ROUND_MAX).unwrap_or(usize::MAX),
        });
    }
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
        epoch: genesis.services.epoch,
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
    for (descriptor, standing) in runtimes {
        let (runtime, timestamp) = (descriptor.id, genesis.time.as_secs());
        let first = BlockHeader::genesis(runtime, timestamp, standing.state_root);
        let block = BlockHeader {
            round: Round(standing.round),
            ..first
        };
        entries.push((OfRuntime::Descriptor.key(&runtime), descriptor.encode()));
        entries.push((OfRuntime::Block.key(&runtime), block.encode()));
    }
    Ok((network, entries))
}
