//! Where things of the beacon stand in the state. See the service for the table.

use trilith_protocol::root::Blob;
use trilith_protocol::root::beacon::{BeaconParameters, BeaconRecord, VrfDelivered, VrfState};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, NodeId, StateFault, StateRead};

use crate::scope::Scope;
use crate::state::{Record, read, read_required, record_of_encoded};

pub(super) const PARAMETERS: &[u8] = b"Bp";
pub(super) const ENTROPY: &[u8] = b"Be";
pub(super) const VRF: &[u8] = b"Bv";
pub(super) const PROOFS: &[u8] = b"Bi";

record_of_encoded!(BeaconParameters, "beacon parameters");
record_of_encoded!(VrfState, "state of random functions");
record_of_encoded!(VrfDelivered, "delivered proof");

/// The entropy of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entropy {
    pub(super) epoch: Epoch,
    pub(super) value: [u8; 32],
}

impl Record for Entropy {
    const NAME: &'static str = "entropy";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).uint(self.epoch.0).bytes(&self.value);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array("entropy", 2)? != 2 {
            return Err(DecodeError::Field("entropy"));
        }
        let epoch = Epoch(decoder.uint()?);
        let value = decoder.bytes_exact("entropy")?;
        decoder.finish()?;
        Ok(Self { epoch, value })
    }
}

/// The prefix of the proofs for the alpha of an epoch.
pub(super) fn proofs_of(epoch: Epoch) -> Vec<u8> {
    [PROOFS, &epoch.0.to_be_bytes()].concat()
}

pub(super) fn proof_key(epoch: Epoch, node: &NodeId) -> Vec<u8> {
    [proofs_of(epoch).as_slice(), node.as_bytes()].concat()
}

/// The parameters in a height in the making.
pub(super) fn parameters_of(scope: &mut Scope<'_>) -> Result<BeaconParameters, StateFault> {
    Ok(scope.overlay.record(PARAMETERS)?.unwrap_or_default())
}

/// The parameters.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn parameters(view: &dyn StateRead) -> Result<BeaconParameters, StateFault> {
    Ok(read(view, PARAMETERS)?.unwrap_or_default())
}

/// What elections of the running epoch are decided by.
///
/// # Errors
/// See [`parameters`].
pub fn record(view: &dyn StateRead) -> Result<BeaconRecord, StateFault> {
    let entropy: Entropy = read_required(view, ENTROPY)?;
    Ok(BeaconRecord {
        params: parameters(view)?,
        epoch: entropy.epoch,
        entropy: Blob(entropy.value.to_vec()),
        vrf: read(view, VRF)?,
    })
}

/// The proof that a node delivered for the alpha of the running epoch; `None` if it did not.
///
/// # Errors
/// See [`parameters`].
pub fn delivered(view: &dyn StateRead, node: &NodeId) -> Result<Option<VrfDelivered>, StateFault> {
    let entropy: Entropy = read_required(view, ENTROPY)?;
    read(view, &proof_key(entropy.epoch, node))
}
