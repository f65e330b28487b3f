//! Parameters of the roothash service, and its part of a genesis document.
//!
//! Source: Oasis Core `roothash/api` (`ConsensusParameters`, `ConsensusParameterChanges`,
//! `Genesis`).

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::{GENESIS_BYTES_MAX, PARAMETERS_BYTES_MAX};
use trilith_types::RuntimeId;
use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};

use super::{IncomingMessage, RoundResults};
use crate::wire::{self, Name, Wire, wire_struct};

/// Delivering commitments in a signed transaction.
pub const GAS_COMPUTE_COMMIT: &str = "compute_commit";
/// Submitting evidence.
pub const GAS_EVIDENCE: &str = "evidence";
/// Submitting a message to a runtime.
pub const GAS_SUBMIT_MESSAGE: &str = "submit_msg";

/// What the roothash service's rules depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoothashParameters {
    /// Gas of each operation; one that is not there is free.
    pub gas_costs: BTreeMap<Name, u64>,
    /// Most messages to the root in one round that a registered runtime may ask for.
    pub max_runtime_messages: u32,
    /// Most incoming messages that may wait which a registered runtime may ask for.
    pub max_in_runtime_messages: u32,
    /// For how many rounds evidence can be submitted.
    pub max_evidence_age: u64,
    /// The roots of how many rounds of a runtime stay in the root's state; 0 keeps none.
    pub max_past_roots_stored: u64,
}

impl Default for RoothashParameters {
    fn default() -> Self {
        let gas_costs = [
            (GAS_COMPUTE_COMMIT, params::GAS_EXECUTOR_COMMIT),
            (GAS_EVIDENCE, params::GAS_EVIDENCE),
            (GAS_SUBMIT_MESSAGE, params::GAS_SUBMIT_MESSAGE),
        ];
        Self {
            gas_costs: gas_costs.map(|(name, gas)| (name.into(), gas)).into(),
            max_runtime_messages: params::RUNTIME_MESSAGES_MAX,
            max_in_runtime_messages: params::RUNTIME_INCOMING_MESSAGES_MAX,
            max_evidence_age: params::EVIDENCE_AGE_MAX,
            max_past_roots_stored: params::PAST_ROOTS_STORED_MAX,
        }
    }
}

impl Wire for RoothashParameters {
    fn put(&self, encoder: &mut Encoder) {
        let map = MapBuilder::new()
            .field_if(!self.gas_costs.is_empty(), "gas_costs", |encoder| {
                self.gas_costs.put(encoder);
            })
            .field("max_runtime_messages", |encoder| {
                self.max_runtime_messages.put(encoder);
            })
            .field("max_in_runtime_messages", |encoder| {
                self.max_in_runtime_messages.put(encoder);
            })
            .field("max_evidence_age", |encoder| {
                self.max_evidence_age.put(encoder);
            })
            .field_if(
                self.max_past_roots_stored > 0,
                "max_past_roots_stored",
                |encoder| self.max_past_roots_stored.put(encoder),
            );
        encoder.raw(&map.finish());
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let (mut gas_costs, mut messages, mut incoming) = (None, None, None);
        let (mut age, mut roots) = (None, None);
        decoder.fields("roothash parameters", 5, |name, d| {
            match name {
                "gas_costs" => gas_costs = Some(Wire::read(d, "gas_costs")?),
                "max_runtime_messages" => messages = Some(wire::narrow(d, what)?),
                "max_in_runtime_messages" => incoming = Some(wire::narrow(d, what)?),
                "max_evidence_age" => age = Some(d.uint()?),
                "max_past_roots_stored" => roots = Some(d.uint()?),
                _ => return Err(DecodeError::Field("roothash parameters")),
            }
            Ok(())
        })?;
        Ok(Self {
            gas_costs: wire::filled(gas_costs, "gas_costs")?,
            max_runtime_messages: wire::required(messages, "max_runtime_messages")?,
            max_in_runtime_messages: wire::required(incoming, "max_in_runtime_messages")?,
            max_evidence_age: wire::required(age, "max_evidence_age")?,
            max_past_roots_stored: wire::filled(roots, "max_past_roots_stored")?,
        })
    }

    /// A document that says nothing of them means the default.
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RoothashParameters {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.put(&mut encoder);
        encoder.finish()
    }

    /// Reads what [`RoothashParameters::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of parameters or too many.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "roothash parameters";
        wire::whole(bytes, what, PARAMETERS_BYTES_MAX, |d| Self::read(d, what))
    }
}

wire_struct! {
    /// Changes of the parameters that governance decides; `None` changes nothing.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RoothashParameterChanges as "roothash parameter changes",
        at most PARAMETERS_BYTES_MAX, {
        /// Gas of each operation.
        gas_costs: Option<BTreeMap<Name, u64>> = unless_empty "gas_costs",
        /// Most messages to the root in one round that a runtime may ask for.
        max_runtime_messages: Option<u32> = always "max_runtime_messages",
        /// Most incoming messages that may wait which a runtime may ask for.
        max_in_runtime_messages: Option<u32> = always "max_in_runtime_messages",
        /// For how many rounds evidence can be submitted.
        max_evidence_age: Option<u64> = always "max_evidence_age",
        /// The roots of how many rounds of a runtime stay in the root's state.
        max_past_roots_stored: Option<u64> = unless_empty "max_past_roots_stored",
    }
}

wire_struct! {
    /// What of a runtime outlives its network.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct CarriedRuntime as "carried runtime", at most GENESIS_BYTES_MAX, {
        /// What the root made of the newest round with an outcome.
        results: Option<RoundResults> = unless_empty "results",
        /// Messages that wait for the runtime, oldest first, numbered without gaps.
        incoming: Vec<IncomingMessage> = unless_empty "incoming",
        /// Number of the next incoming message.
        next_message: u64 = unless_empty "next_message",
    }
}

wire_struct! {
    /// The roothash service's part of a genesis document, and what is exported of its state. What
    /// is bound to the network that ends is not part of it: the commitments of running rounds,
    /// evidence, the liveness of the running epoch, past roots.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RoothashGenesis as "roothash genesis", at most GENESIS_BYTES_MAX, {
        /// The parameters.
        params: RoothashParameters = unless_empty "params",
        /// What is carried over, by runtime.
        runtimes: BTreeMap<RuntimeId, CarriedRuntime> = unless_empty "runtimes",
    }
}
