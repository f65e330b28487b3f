//! The registry: entities, their nodes, and runtimes.
//!
//! An entity registers itself, then its nodes register themselves for some epochs, for runtimes,
//! and pay for each epoch in advance. A node that is new, or comes back, is elected only after the
//! epoch that follows: nobody can choose a key that wins the next election. A registration that
//! runs out leaves the node known for the debonding interval, so that it can still be punished;
//! then its claim on the entity's stake ends. Whoever owns a runtime registers it with the versions
//! that will run, each from an epoch on. A runtime without committee or without enough stake is
//! suspended, and runs again when a node registers for it.
//!
//! | key | value |
//! |---|---|
//! | `Rp` | parameters |
//! | `Re` ‖ entity | the entity's signed descriptor |
//! | `Rn` ‖ node | the node's multi-signed descriptor |
//! | `Rs` ‖ node | status |
//! | `Rk` ‖ key | the node of which it is a key beside the node's own |
//! | `Rx` ‖ entity ‖ node | that the node is the entity's |
//! | `Rr` ‖ runtime | descriptor of a runtime that runs |
//! | `Rz` ‖ runtime | descriptor of a suspended runtime |
//! | `Ro` ‖ entity ‖ runtime | that the runtime is the entity's |
//!
//! It must not know accounts, only claims on stake. Invariants, which [`check`] checks over the
//! whole state: the indexes have exactly what is registered; every entity, node and runtime has its
//! claim, and no account has others.
//!
//! Deviations from Oasis Core: attestations of enclaves are not verified, so no node can register
//! for a runtime in enclaves; nodes of a key manager that is a test runtime give plain keys in the
//! place of an enclave's; a status of 0 for eligibility means at once, for the nodes of a
//! genesis document; backups of committees are separate by default; storage receipts are back.
//!
//! Source: Oasis Core `registry/api`, `consensus/cometbft/apps/registry`.

mod admission;
mod change;
mod entity;
mod epoch;
mod error;
mod genesis;
mod invariants;
mod liveness;
mod lookup;
mod node;
mod node_rules;
mod runtime;
mod runtime_rules;
mod stake;
mod store;

pub use error::{
    DeploymentRule, Forbidden, MODULE, NodeChange, NodeRule, RegistryError, RuntimeChange,
    RuntimeRule,
};
pub use genesis::export;
pub use invariants::check;
pub use store::{
    entities, entity, node, node_status, nodes, parameters, runtime, runtimes, suspended_runtime,
};

pub(crate) use change::change_parameters;
pub(crate) use epoch::{
    Candidate, Electable, all_nodes, electable, entity_of, start_epoch, vrf_key,
};
pub(crate) use genesis::import;
pub(crate) use liveness::record_liveness;
pub(crate) use lookup::{descriptor_of, is_entity, key_managers, validator_entities};
pub(crate) use node::freeze;
pub(crate) use runtime::{is_suspended, suspend, suspend_without_stake, update_by_runtime};
pub(crate) use store::{descriptor, first_round, parameters_of, running};

use trilith_protocol::root::registry as methods;

use crate::scope::Handler;

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[
    (methods::REGISTER_ENTITY, entity::register),
    (methods::DEREGISTER_ENTITY, entity::deregister),
    (methods::REGISTER_NODE, node::register),
    (methods::UNFREEZE_NODE, node::unfreeze),
    (methods::REGISTER_RUNTIME, runtime::register),
];

/// The epoch that never comes: a node that is to wait until the next one begins.
pub(crate) const NOT_YET: u64 = u64::MAX;
