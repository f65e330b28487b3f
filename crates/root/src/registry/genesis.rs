//! The registry's part of a genesis document: into the state, and out of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use trilith_protocol::Reject;
use trilith_protocol::root::registry::{
    Entity, Node, NodeStatus, RegistryGenesis, RegistryParameters, Runtime,
};
use trilith_protocol::root::staking::{StakeThreshold, StakingGenesis};
use trilith_protocol::root::{Address, GenesisError, MultiSigned, Name, Signed};
use trilith_types::{NodeId, PublicKey, RuntimeId, StateFault, StateRead};

use super::store::{
    self, ENTITIES, MARK, NODES, NODES_OF, PARAMETERS, RUNTIMES, RUNTIMES_OF, STATUSES, SUB_KEYS,
    SUSPENDED, index_key, key,
};
use super::{NodeRule, RegistryError, RuntimeRule, entity, node_rules, runtime_rules, stake};
use crate::overlay::{self, Overlay, Values};
use crate::staking::cover_claims;
use crate::state::{Record, decoded};

/// The entries of the state that a document gives. Claims that the accounts do not have yet are
/// added to them, and must be covered.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub(crate) fn import(
    genesis: &RegistryGenesis,
    staking: &mut StakingGenesis,
) -> Result<Vec<overlay::Entry>, GenesisError> {
    let mut entries = vec![(PARAMETERS.to_vec(), genesis.params.to_bytes())];
    let mut claims = Claims {
        staking,
        added: BTreeSet::new(),
    };
    let entities = entities(genesis)?;
    for (signed, entity) in genesis.entities.iter().zip(&entities) {
        entries.push((key(ENTITIES, entity.id.as_bytes()), signed.to_bytes()));
        let address = Address::of_key(&entity.id);
        claims.add(address, stake::entity_claim(), stake::of_entity());
    }
    let known: BTreeMap<PublicKey, &Entity> =
        entities.iter().map(|entity| (entity.id, entity)).collect();
    let runtimes = runtimes(genesis, &known, &mut claims, &mut entries)?;
    nodes(genesis, &known, &runtimes, &mut claims, &mut entries)?;
    let added = claims.added;
    cover_claims(staking, &added).map_err(GenesisError::Registry)?;
    Ok(entries)
}

/// Claims on the accounts of a document.
struct Claims<'a> {
    staking: &'a mut StakingGenesis,
    /// The accounts that got claims they did not have.
    added: BTreeSet<Address>,
}

impl Claims<'_> {
    fn add(&mut self, address: Address, name: Name, thresholds: Vec<StakeThreshold>) {
        let account = self.staking.ledger.entry(address).or_default();
        let claims = &mut account.escrow.stake_accumulator.claims;
        if let Entry::Vacant(vacant) = claims.entry(name) {
            vacant.insert(thresholds);
            self.added.insert(address);
        }
    }
}

fn refused(error: impl Into<RegistryError>) -> GenesisError {
    GenesisError::Registry(Reject::from(error.into()))
}

/// Refuses a list that is not ascending.
fn ascending<T: Ord>(what: &'static str, items: &[T]) -> Result<(), GenesisError> {
    if items.windows(2).all(|pair| pair[0] < pair[1]) {
        Ok(())
    } else {
        Err(GenesisError::Order { what })
    }
}

fn entities(genesis: &RegistryGenesis) -> Result<Vec<Entity>, GenesisError> {
    let opened: Result<Vec<Entity>, RegistryError> =
        genesis.entities.iter().map(entity::open).collect();
    let opened = opened.map_err(refused)?;
    let ids: Vec<PublicKey> = opened.iter().map(|entity| entity.id).collect();
    ascending("entities", &ids)?;
    Ok(opened)
}

fn runtimes<'a>(
    genesis: &'a RegistryGenesis,
    entities: &BTreeMap<PublicKey, &Entity>,
    claims: &mut Claims<'_>,
    entries: &mut Vec<overlay::Entry>,
) -> Result<BTreeMap<RuntimeId, &'a Runtime>, GenesisError> {
    let mut known = BTreeMap::new();
    let lists = [
        ("runtimes", RUNTIMES, &genesis.runtimes),
        ("suspended runtimes", SUSPENDED, &genesis.suspended_runtimes),
    ];
    for (what, prefix, list) in lists {
        let ids: Vec<RuntimeId> = list.iter().map(|runtime| runtime.id).collect();
        ascending(what, &ids)?;
        for runtime in list {
            // A document may come from another network, at any of its epochs.
            let newest = runtime.deployments.iter().map(|of| of.valid_from).max();
            let epoch = newest.unwrap_or_default();
            runtime_rules::check_form(runtime, &genesis.params, epoch).map_err(refused)?;
            if !entities.contains_key(&runtime.entity_id) {
                return Err(refused(RegistryError::NoSuchEntity(runtime.entity_id)));
            }
            if known.insert(runtime.id, runtime).is_some() {
                return Err(GenesisError::Order { what });
            }
            entries.push((key(prefix, runtime.id.as_bytes()), runtime.to_bytes()));
            let index = index_key(RUNTIMES_OF, &runtime.entity_id, runtime.id.as_bytes());
            entries.push((index, MARK.to_vec()));
            if let Some(address) = stake::account_of(runtime) {
                let name = stake::runtime_claim(&runtime.id);
                claims.add(address, name, stake::of_runtime(runtime));
            }
        }
    }
    for runtime in known.values() {
        let Some(keeper) = runtime.key_manager else {
            continue;
        };
        match known.get(&keeper) {
            None => return Err(refused(RegistryError::NoSuchRuntime(keeper))),
            Some(found) if found.is_compute() => {
                return Err(refused(RuntimeRule::KeyManager(keeper)));
            }
            Some(_) => {}
        }
    }
    Ok(known)
}

fn nodes(
    genesis: &RegistryGenesis,
    entities: &BTreeMap<PublicKey, &Entity>,
    runtimes: &BTreeMap<RuntimeId, &Runtime>,
    claims: &mut Claims<'_>,
    entries: &mut Vec<overlay::Entry>,
) -> Result<(), GenesisError> {
    let mut sub_keys: BTreeMap<PublicKey, NodeId> = BTreeMap::new();
    let mut ids = Vec::new();
    for signed in &genesis.nodes {
        let node = node_rules::open(signed).map_err(refused)?;
        let (id, owner) = (node.id, node.entity_id);
        if !entities.contains_key(&owner) {
            return Err(refused(RegistryError::NoSuchEntity(owner)));
        }
        let of_node = runtimes_of(&node, runtimes)?;
        entries.push((key(NODES, id.as_bytes()), signed.to_bytes()));
        entries.push((index_key(NODES_OF, &owner, id.as_bytes()), MARK.to_vec()));
        for sub_key in node.sub_keys() {
            if let Some(other) = sub_keys.insert(sub_key, id) {
                return Err(refused(NodeRule::KeyOfOther {
                    key: sub_key,
                    node: other,
                }));
            }
            let of_key = key(SUB_KEYS, sub_key.as_bytes());
            entries.push((of_key, Record::to_bytes(&id)));
        }
        let status = genesis.node_statuses.get(&id).cloned().unwrap_or_default();
        entries.push((key(STATUSES, id.as_bytes()), status.to_bytes()));
        let thresholds = stake::of_node(&node, &of_node);
        let name = stake::node_claim(&id);
        claims.add(Address::of_key(&owner), name, thresholds);
        ids.push(id);
    }
    ascending("nodes", &ids)?;
    let stray = genesis.node_statuses.keys().find(|id| !ids.contains(id));
    match stray {
        Some(id) => Err(refused(RegistryError::NoSuchNode(*id))),
        None => Ok(()),
    }
}

fn runtimes_of(
    node: &Node,
    runtimes: &BTreeMap<RuntimeId, &Runtime>,
) -> Result<BTreeMap<RuntimeId, Runtime>, GenesisError> {
    let mut found = BTreeMap::new();
    for of_node in node.runtimes() {
        let runtime = runtimes
            .get(&of_node.id)
            .ok_or_else(|| refused(RegistryError::NoSuchRuntime(of_node.id)))?;
        found.insert(of_node.id, (*runtime).clone());
    }
    Ok(found)
}

/// What the state holds, as a part of a genesis document. Importing it gives the same entries.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export(view: &dyn StateRead) -> Result<RegistryGenesis, StateFault> {
    let overlay = Overlay::new(view, Values::new());
    let params: RegistryParameters = store::parameters(view)?;
    let mut node_statuses = BTreeMap::new();
    let nodes: Vec<MultiSigned> = list(&overlay, NODES)?;
    for signed in &nodes {
        let node = store::opened_node(signed)?;
        let status = store::node_status(view, &node.id)?.unwrap_or_default();
        if status != NodeStatus::default() {
            node_statuses.insert(node.id, status);
        }
    }
    let entities: Vec<Signed> = list(&overlay, ENTITIES)?;
    Ok(RegistryGenesis {
        params,
        entities,
        runtimes: list(&overlay, RUNTIMES)?,
        suspended_runtimes: list(&overlay, SUSPENDED)?,
        nodes,
        node_statuses,
    })
}

fn list<R: Record>(overlay: &Overlay<'_>, prefix: &[u8]) -> Result<Vec<R>, StateFault> {
    let entries = overlay.all(prefix)?;
    entries.iter().map(|(_, value)| decoded(value)).collect()
}
