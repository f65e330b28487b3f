//! The beacon: what elections are decided by, and where it comes from.
//!
//! ```text
//! entropy of an epoch = SHA3-256("EkB-tmnt" ‖ source ‖ epoch, little-endian)
//! threshold: source = the newest threshold signature at the epoch's first height
//! otherwise: source = SHA3-256(height before ‖ time ‖ state root before)
//! ```
//!
//! Where nodes' verifiable random functions are the source, committees are not decided by entropy
//! but by outputs, for an input called alpha that nobody could choose:
//!
//! ```text
//! in epoch e:       nodes deliver proofs of their outputs for alpha(e), once submit_after is over
//! alpha(e + 1)    = TupleHash256(chain, e + 1, outputs for alpha(e) by node), good if there are
//!                   enough proofs; otherwise TupleHash256(chain, e + 1, block entropy)
//! elected in e + 1: by the outputs for alpha(e), if alpha(e) was good; otherwise nobody
//! ```
//!
//! The alpha of the genesis document counts as good: the document that it is the hash of names the
//! nodes that prove for it, whose keys were fixed before. So committees of epoch 0 are elected by
//! entropy, those of epoch 1 by outputs. In Oasis Core there are none in these two epochs.
//!
//! | key | value |
//! |---|---|
//! | `Bp` | parameters; absent where they are the default |
//! | `Be` | entropy: `[epoch, entropy]` |
//! | `Bv` | how it stands with nodes' functions, where they are the source |
//! | `Bi` ‖ epoch, big-endian ‖ node | proof and output for the alpha of this epoch and the last |
//!
//! It must not know who can be elected, nor to what. Invariants: an output in the state was
//! verified; proofs are of the running epoch and the one before.
//!
//! Source: Oasis Core `beacon/api`, `consensus/cometbft/apps/beacon`, ADR 0010.

mod error;
mod store;
mod vrf;

pub use error::{BeaconError, BeaconRule, MODULE};
pub use store::{delivered, parameters, record};

pub(crate) use vrf::Outputs;

use trilith_protocol::Reject;
use trilith_protocol::root::GenesisError;
use trilith_protocol::root::beacon::{BeaconParameters, BeaconSource, VRF_PROVE};
use trilith_types::hash::sha3_256;
use trilith_types::{Epoch, Hash, StateFault};

use crate::overlay::Entry;
use crate::scope::{Handler, Scope};
use crate::state::Record as _;
use store::{ENTROPY, Entropy, PARAMETERS, parameters_of};

/// The methods of this service.
pub(crate) const METHODS: &[(&str, Handler)] = &[(VRF_PROVE, vrf::prove)];

/// What entropy is for. Source: Oasis Core `apps/beacon` (`prodEntropyCtx`).
const ENTROPY_DOMAIN: &[u8] = b"EkB-tmnt";

/// What elections of an epoch are decided by.
pub(crate) struct Lottery {
    pub(crate) chain: Hash,
    pub(crate) epoch: Epoch,
    pub(crate) entropy: [u8; 32],
    /// Where nodes' functions are the source: the outputs, of which one counts for each node.
    pub(crate) outputs: Option<Outputs>,
    /// Whether committees may be elected.
    pub(crate) elects_committees: bool,
}

/// The entries of the state that a document gives.
///
/// # Errors
/// [`GenesisError`] if the parameters break a rule.
pub(crate) fn import(
    parameters: &BeaconParameters,
    epoch_interval: u64,
) -> Result<Vec<Entry>, GenesisError> {
    error::check(parameters, epoch_interval)
        .map_err(|error| GenesisError::Service(Reject::from(error)))?;
    if *parameters == BeaconParameters::default() {
        return Ok(Vec::new());
    }
    Ok(vec![(PARAMETERS.to_vec(), parameters.to_bytes())])
}

/// Makes the entropy of a new epoch, and of the first.
pub(crate) fn start_epoch(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    let parameters = parameters_of(scope)?;
    let source = match parameters.backend {
        BeaconSource::Threshold => scope.randomness,
        BeaconSource::Vrf | BeaconSource::Insecure => block_entropy(scope),
    };
    let epoch = scope.epoch;
    let value = entropy_of(&source, epoch);
    let entropy = Entropy { epoch, value };
    scope.overlay.put_record(ENTROPY.to_vec(), &entropy);
    match &parameters.vrf_parameters {
        Some(parameters) => vrf::start_epoch(scope, parameters),
        None => Ok(()),
    }
}

/// Source: Oasis Core `apps/beacon` (`GetBeacon`).
fn entropy_of(source: &[u8; 32], epoch: Epoch) -> [u8; 32] {
    sha3_256(&[ENTROPY_DOMAIN, source, &epoch.0.to_le_bytes()])
}

/// What follows from the height before and the time of this one. Its proposer can choose it.
///
/// Source: Oasis Core `apps/beacon` (`insecureBlockEntropy`).
fn block_entropy(scope: &Scope<'_>) -> [u8; 32] {
    let height = scope.height.0.saturating_sub(1);
    sha3_256(&[
        &height.to_le_bytes(),
        &scope.time.as_secs().to_le_bytes(),
        scope.overlay.root().as_bytes(),
    ])
}

/// What elections of the running epoch are decided by.
pub(crate) fn lottery(scope: &mut Scope<'_>) -> Result<Lottery, StateFault> {
    let entropy: Entropy = scope.overlay.required(ENTROPY)?;
    let mut lottery = Lottery {
        chain: scope.network.chain_context,
        epoch: scope.epoch,
        entropy: entropy.value,
        outputs: None,
        elects_committees: true,
    };
    // Before the first epoch nobody could prove anything.
    if scope.epoch > Epoch(0) && parameters_of(scope)?.backend == BeaconSource::Vrf {
        let (outputs, good) = vrf::outputs(scope)?;
        lottery.outputs = Some(outputs);
        lottery.elects_committees = good;
    }
    Ok(lottery)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A figure that Go 1.27.3's `crypto/sha3` gave for what Oasis Core hashes.
    #[test]
    fn entropy_is_that_of_oasis_core() {
        assert_eq!(
            Hash::from_bytes(entropy_of(&[9; 32], Epoch(7))).to_string(),
            "31c5a9b2addf96f7c75f95325b01714fe2e6270c59f3a2b564e407221328c046"
        );
    }
}
