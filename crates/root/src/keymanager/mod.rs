//! The key manager service: policies, statuses, and the secrets that key managers publish.
//!
//! A key manager is a runtime whose nodes hold the secrets of other runtimes in enclaves. Its owner
//! sets a policy, which those sign whom the genesis document names, and which counts from the next
//! epoch on. At each epoch the service looks at what the enclaves of the key manager's nodes say of
//! themselves: its nodes are those that follow the policy and have the newest master secret.
//!
//! ```text
//! epoch E:    a node publishes a master secret for E + 1, encrypted for the nodes' enclaves
//!             each enclave that can decrypt it says so in its node's next registration
//! epoch E+1:  at least 66 % of the nodes have it: it is the newest one, and they are the nodes
//!             fewer have it: it is not, and another may be published
//! rotation:   another one can be published when the policy's interval is over
//! ```
//!
//! An ephemeral secret is published for the next epoch, once, and counts without a count.
//!
//! | key | value |
//! |---|---|
//! | `Kp` | parameters; absent while they are the default |
//! | `Ks` ‖ key manager | status |
//! | `Km` ‖ key manager | the newest proposed master secret |
//! | `Ke` ‖ key manager | the newest ephemeral secret |
//!
//! It must not know secrets, only what is published of them. Invariants, which [`check`] checks over
//! the whole state: every status and secret is of a key manager that is registered; policies are
//! signed as they must be.
//!
//! Deviations from Oasis Core: the root counts the signers of policies, where the genesis document
//! names them; nodes of a key manager without enclaves, which is a test one, give keys of their own
//! where Oasis Core uses one that everybody knows; a checksum has 32 bytes; there is no secret
//! sharing (CHURP); attestations are not verified, so that a key manager in enclaves has no nodes.
//!
//! Source: Oasis Core `keymanager/secrets`, `consensus/cometbft/apps/keymanager`, ADR 0022.

mod change;
mod epoch;
mod error;
mod genesis;
mod invariants;
mod policy;
mod secret;
mod status;
mod store;

pub use error::{ArgumentRule, KeymanagerError, MODULE};
pub use genesis::export;
pub use invariants::check;
pub use store::{parameters, record, status, summary};

pub(crate) use change::change_parameters;
pub(crate) use epoch::start_epoch;
pub(crate) use genesis::import;

use trilith_protocol::root::keymanager as methods;

use crate::scope::Handler;

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[
    (methods::UPDATE_POLICY, policy::update),
    (methods::PUBLISH_MASTER_SECRET, secret::publish_master),
    (methods::PUBLISH_EPHEMERAL_SECRET, secret::publish_ephemeral),
];
