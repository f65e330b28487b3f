//! What is said to the key manager service: methods and their arguments, policies, encrypted
//! secrets, statuses, parameters, the service's part of a genesis document, and its events, in
//! Oasis Core's forms; and pure functions that a node or a guest uses with them.
//!
//! Here are formats only. What the service does with them is the business of the root runtime.
//! There is no secret sharing (CHURP).
//!
//! Source: Oasis Core `keymanager/secrets`, ADR 0022; crate `oasis-core-keymanager`.

mod checksum;
mod genesis;
mod policy;
mod secret;
mod status;

pub use checksum::{ephemeral_secret_checksum, master_secret_checksum};
pub use genesis::{
    GAS_OPERATIONS, GAS_PUBLISH_EPHEMERAL_SECRET, GAS_PUBLISH_MASTER_SECRET, GAS_UPDATE_POLICY,
    KeymanagerGenesis, KeymanagerParameters,
};
pub use policy::{EnclaveIdentity, EnclavePolicy, PolicySgx, SignedPolicySgx};
pub use secret::{
    EncryptedEphemeralSecret, EncryptedMasterSecret, EncryptedSecret,
    SignedEncryptedEphemeralSecret, SignedEncryptedMasterSecret,
};
pub use status::{InitResponse, SignedInitResponse, Status};

use trilith_types::{Epoch, Hash, PublicKey, RuntimeId};

use crate::wire::{wire_choice, wire_struct};

/// Sets the policy of a key manager; the body is a [`SignedPolicySgx`].
pub const UPDATE_POLICY: &str = "keymanager.UpdatePolicy";
/// Proposes the next master secret; the body is a [`SignedEncryptedMasterSecret`].
pub const PUBLISH_MASTER_SECRET: &str = "keymanager.PublishMasterSecret";
/// Publishes the ephemeral secret of the next epoch; the body is a
/// [`SignedEncryptedEphemeralSecret`].
pub const PUBLISH_EPHEMERAL_SECRET: &str = "keymanager.PublishEphemeralSecret";

const EVENT_BYTES_MAX: usize = 256;

wire_struct! {
    /// The status of a key manager changed. What it is now is in the state.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StatusEvent as "status event", at most EVENT_BYTES_MAX, {
        /// The key manager.
        id: RuntimeId = always "id",
        /// How many nodes it has.
        nodes: u32 = always "nodes",
        /// Number of its newest master secret.
        generation: u64 = always "generation",
        /// The epoch in which that was accepted.
        rotation_epoch: Epoch = always "rotation_epoch",
        /// H of the encoded status.
        hash: Hash = always "hash",
    }
}

wire_struct! {
    /// A master secret was proposed.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct MasterSecretEvent as "master secret event", at most EVENT_BYTES_MAX, {
        /// The key manager.
        id: RuntimeId = always "id",
        /// Who published it.
        node: PublicKey = always "node",
        /// Number of the secret.
        generation: u64 = always "generation",
        /// The epoch at whose begin it is accepted or not.
        epoch: Epoch = always "epoch",
    }
}

wire_struct! {
    /// An ephemeral secret was published.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct EphemeralSecretEvent as "ephemeral secret event", at most EVENT_BYTES_MAX, {
        /// The key manager.
        id: RuntimeId = always "id",
        /// Who published it.
        node: PublicKey = always "node",
        /// The epoch it is for.
        epoch: Epoch = always "epoch",
    }
}

wire_choice! {
    /// Something that happened to a key manager. Deviation from Oasis Core, whose events carry
    /// whole statuses and secrets: these name them.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum KeymanagerEvent as "key manager event" {
        /// A status changed.
        Status(StatusEvent) = "status",
        /// A master secret was proposed.
        MasterSecret(MasterSecretEvent) = "master_secret",
        /// An ephemeral secret was published.
        EphemeralSecret(EphemeralSecretEvent) = "ephemeral_secret",
    }
}
