//! The state a network starts from.

use trilith_protocol::root::{GenesisError, NodeRoles};
use trilith_protocol::{BlockHeader, RootEvent, RootGenesis};
use trilith_types::{Epoch, Height, WriteLog, WriteLogEntry};

use crate::scheduler::elect;
use crate::staking;
use crate::state::{
    EPOCH, EpochRecord, Events, KEYS, Keys, NETWORK, Network, OfRuntime, Record as _, TIP, Tip,
    events_key, node_key,
};

/// The state a network starts from: what is written at height 0. Committees of epoch 0 are elected
/// here, from the document's nodes, with the chain context in place of randomness.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub fn genesis_write_log(genesis: &RootGenesis) -> Result<WriteLog, GenesisError> {
    genesis.validate()?;
    let chain_context = genesis.chain_context();
    let (epoch, height) = (Epoch(0), Height(0));
    let eligible = genesis.nodes_with(NodeRoles::COMPUTE);
    let network = Network {
        chain_context,
        epoch_interval: genesis.epoch_interval,
        runtimes: genesis.runtimes.iter().map(|runtime| runtime.id).collect(),
        transactions: genesis.services.transactions,
    };
    let tip = Tip {
        height,
        time: genesis.time,
        randomness: *chain_context.as_bytes(),
    };
    let running = EpochRecord {
        epoch,
        since: height,
    };
    let keys = Keys(genesis.consensus_key, genesis.certification_key);
    let mut entries = vec![
        (NETWORK.to_vec(), network.to_bytes()),
        (KEYS.to_vec(), keys.to_bytes()),
        (TIP.to_vec(), tip.to_bytes()),
        (EPOCH.to_vec(), running.to_bytes()),
    ];
    entries.extend(
        genesis
            .nodes
            .iter()
            .map(|node| (node_key(&node.id), node.roles.to_bytes())),
    );
    let mut events = vec![RootEvent::EpochStarted { epoch, height }];
    for descriptor in &genesis.runtimes {
        let runtime = descriptor.id;
        let timestamp = genesis.time.as_secs();
        let block = BlockHeader::genesis(runtime, timestamp, descriptor.genesis_state_root);
        entries.push((OfRuntime::Descriptor.key(&runtime), descriptor.encode()));
        entries.push((OfRuntime::Block.key(&runtime), block.encode()));
        if let Some(committee) = elect(descriptor, &eligible, epoch, &tip.randomness) {
            entries.push((OfRuntime::Committee.key(&runtime), committee.encode()));
            events.push(RootEvent::CommitteeElected { runtime, committee });
        }
    }
    entries.push((events_key(height), Events(events).to_bytes()));
    entries.extend(staking::import(&genesis.services.staking)?);
    entries.sort();
    Ok(entries
        .into_iter()
        .map(|(key, value)| WriteLogEntry {
            key,
            value: Some(value),
        })
        .collect())
}
