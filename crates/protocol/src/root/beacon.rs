//! What is said to the beacon: its method, its parameters, what it holds of an epoch, and its
//! events.
//!
//! Here are formats only. What the service does with them is the business of the root runtime.
//!
//! Deviations from Oasis Core: the interval of epochs stands in the genesis document once, for all
//! sources; proofs are entries of their own in the state and not a part of [`VrfState`]; `threshold`
//! is not a source there.
//!
//! Source: Oasis Core `beacon/api`.

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, Height};

use crate::wire::{Blob, Name, Wire, wire_choice, wire_struct};

/// Delivers a node's proof for the running epoch; the body is a [`VrfProve`].
pub const VRF_PROVE: &str = "beacon.VRFProve";

/// Delivering a proof.
pub const GAS_VRF_PROVE: &str = "vrf_prove";

/// Where the entropy of elections comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BeaconSource {
    /// The validators' threshold signatures over heights, which nobody can choose or foresee.
    #[default]
    Threshold,
    /// Nodes' verifiable random functions.
    Vrf,
    /// The height, time and state of the root, which a proposer can choose. For tests.
    Insecure,
}

impl BeaconSource {
    const ALL: [Self; 3] = [Self::Threshold, Self::Vrf, Self::Insecure];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Threshold => "threshold",
            Self::Vrf => "vrf",
            Self::Insecure => "insecure",
        }
    }
}

impl Wire for BeaconSource {
    fn put(&self, encoder: &mut Encoder) {
        encoder.text(self.name());
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let name = decoder.text(what, 16)?;
        let source = Self::ALL.into_iter().find(|source| source.name() == name);
        source.ok_or(DecodeError::Field(what))
    }

    /// The source of a network that says nothing.
    fn is_empty(&self) -> bool {
        *self == Self::Threshold
    }
}

wire_struct! {
    /// What the rules of nodes' random functions depend on.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VrfParameters as "vrf parameters", at most params::PARAMETERS_BYTES_MAX, {
        /// How many proofs of an epoch make the next input good, so that committees are elected
        /// from the proofs for it; at least 1.
        alpha_hq_threshold: u64 = unless_empty "alpha_hq_threshold",
        /// How many heights after an epoch's first proofs are refused; at least 1, and less than
        /// an epoch.
        proof_delay: u64 = unless_empty "proof_delay",
        /// Gas of each operation; one that is not there is free.
        gas_costs: BTreeMap<Name, u64> = unless_empty "gas_costs",
    }
}

impl Default for VrfParameters {
    fn default() -> Self {
        Self {
            alpha_hq_threshold: params::VRF_PROOFS_MIN,
            proof_delay: params::VRF_PROOF_DELAY,
            gas_costs: [(GAS_VRF_PROVE.into(), params::GAS_VRF_PROVE)].into(),
        }
    }
}

wire_struct! {
    /// What the beacon's rules depend on; its part of a genesis document.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct BeaconParameters as "beacon parameters", at most params::PARAMETERS_BYTES_MAX, {
        /// The source.
        backend: BeaconSource = unless_empty "backend",
        /// For nodes' random functions; there exactly if they are the source.
        vrf_parameters: Option<VrfParameters> = unless_empty "vrf_parameters",
    }
}

wire_struct! {
    /// Argument of [`VRF_PROVE`].
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VrfProve as "vrf proof", at most TRANSACTION_BYTES_MAX, {
        /// The epoch whose input it is for.
        epoch: Epoch = always "epoch",
        /// The proof's 80 bytes.
        pi: Blob = always "pi",
    }
}

wire_struct! {
    /// How it stands with nodes' random functions in an epoch.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VrfState as "vrf state", at most 512, {
        /// The epoch.
        epoch: Epoch = always "epoch",
        /// The input of the functions, 32 bytes.
        alpha: Blob = always "alpha",
        /// Whether the input is good: made from enough proofs, or the genesis document's.
        alpha_hq: bool = unless_empty "alpha_hq",
        /// Proofs are taken in the heights after this one.
        submit_after: Height = always "submit_after",
        /// How many nodes have delivered a proof for the input.
        proofs: u64 = unless_empty "proofs",
        /// Whether the input before was good, so that its proofs elect this epoch's committees.
        can_elect: bool = unless_empty "can_elect",
    }
}

wire_struct! {
    /// What elections of the running epoch are decided by.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct BeaconRecord as "beacon", at most params::PARAMETERS_BYTES_MAX, {
        /// What the rules depend on.
        params: BeaconParameters = always "params",
        /// The epoch the entropy is for.
        epoch: Epoch = always "epoch",
        /// The entropy, 32 bytes. Where functions are the source it decides only between entities
        /// of equal stake, and in the first epoch.
        entropy: Blob = always "entropy",
        /// How it stands with nodes' functions, where they are the source.
        vrf: Option<VrfState> = unless_empty "vrf",
    }
}

wire_struct! {
    /// A node's proof and what it is a proof of.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VrfDelivered as "delivered proof", at most 512, {
        /// The proof's 80 bytes.
        pi: Blob = always "pi",
        /// The output's 64 bytes.
        beta: Blob = always "beta",
    }
}

wire_struct! {
    /// Nodes' random functions have a new input.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct VrfEvent as "vrf event", at most 256, {
        /// The epoch.
        epoch: Epoch = always "epoch",
        /// The input, 32 bytes.
        alpha: Blob = always "alpha",
        /// Proofs are taken in the heights after this one.
        submit_after: Height = always "submit_after",
    }
}

wire_choice! {
    /// Something that happened to the beacon.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum BeaconEvent as "beacon event" {
        /// Nodes' random functions have a new input.
        Vrf(VrfEvent) = "vrf",
    }
}
