//! Feature gates that this build knows: the ecosystem's, under their own ids, and two of ours.
//!
//! A feature account lies at the id of its gate, is owned by the feature program and holds an
//! option: nothing while it is pending, the slot from which the gate is in force afterwards.
//! Creating one needs a signature by the id, and anyone may make that for our own gates: their
//! keys are derived from their names. It activates nothing, because a gate comes into force only
//! if the root's governance approved its id too.
//!
//! Source of layout and owner: crate `solana-feature-gate-interface` 4.0.

use std::sync::LazyLock;

use agave_feature_set::{self as known, FEATURE_NAMES};
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use solana_pubkey::Pubkey;

/// Bytes of a feature account: an option and a slot.
pub const FEATURE_BYTES: usize = 9;

/// Name of the gate that leads from the budget of each instruction to one for the transaction.
pub const TRANSACTION_WIDE_BUDGET: &str = "transaction_wide_budget";
/// Name of the gate that leads to the rules of access and the budgets of today.
pub const RULES_OF_TODAY: &str = "rules_of_today";

/// Before the name of a gate in the hash that is its key's seed.
const DOMAIN: &[u8] = b"trilith-account-gate:";

/// Gates of the ecosystem whose whole effect lies in the transaction processor, so that this build
/// can put them into force. What the others change lies in parts that are our own, or has no
/// meaning here; this build knows them by name only, but for those in force from genesis.
const BY_PROCESSOR: [Pubkey; 13] = [
    known::account_data_direct_mapping::ID,
    known::blake3_syscall_enabled::ID,
    known::deprecate_legacy_vote_ixs::ID,
    known::direct_account_pointers_in_program_input::ID,
    known::disable_sbpf_v0_execution::ID,
    known::disable_sbpf_v0_v1_v2_deployment::ID,
    known::enable_big_mod_exp_syscall::ID,
    known::enable_sha512_syscall::ID,
    known::raise_cpi_nesting_limit_to_8::ID,
    known::reenable_sbpf_v0_execution::ID,
    known::remaining_compute_units_syscall_enabled::ID,
    known::virtual_address_space_adjustments::ID,
    known::vote_account_initialize_v2::ID,
];

/// A gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The address of its feature account.
    pub id: Pubkey,
    /// What it is called: a name of ours, or the ecosystem's description.
    pub name: &'static str,
    /// Whether this build can put it into force.
    pub is_supported: bool,
    /// Whether it is one of ours.
    pub is_own: bool,
}

/// The state of a feature account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureState {
    /// It waits for the first slot of an epoch and for the root's approval.
    Pending,
    /// It is in force from this slot on.
    Active(u64),
}

impl FeatureState {
    /// Reads the data of a feature account; `None` if it is not of the form.
    pub fn decode(data: &[u8]) -> Option<Self> {
        let (tag, slot) = data.split_first()?;
        let slot: [u8; FEATURE_BYTES - 1] = slot.try_into().ok()?;
        match tag {
            0 => Some(Self::Pending),
            1 => Some(Self::Active(u64::from_le_bytes(slot))),
            _ => None,
        }
    }

    /// The data of a feature account.
    pub fn encode(self) -> [u8; FEATURE_BYTES] {
        let (tag, slot) = match self {
            Self::Pending => (0, 0),
            Self::Active(slot) => (1, slot),
        };
        let mut data = [tag; FEATURE_BYTES];
        data[1..].copy_from_slice(&u64::to_le_bytes(slot));
        data
    }
}

/// The seed of the Ed25519 key of one of our gates: SHA-256 of a domain and the gate's name. It is
/// public, so that anyone can sign for the gate's address.
pub fn seed(name: &str) -> [u8; 32] {
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(name)
        .finalize()
        .into()
}

/// The id of one of our gates: the public key to [`seed`].
pub fn id(name: &str) -> Pubkey {
    let key = SigningKey::from_bytes(&seed(name));
    Pubkey::new_from_array(key.verifying_key().to_bytes())
}

/// [`id`] of [`TRANSACTION_WIDE_BUDGET`].
pub fn transaction_wide_budget() -> Pubkey {
    OWN[0].id
}

/// [`id`] of [`RULES_OF_TODAY`].
pub fn rules_of_today() -> Pubkey {
    OWN[1].id
}

/// Our own gates, in the order in which they lead from one to the next.
pub fn own() -> &'static [Gate] {
    &OWN[..]
}

static OWN: LazyLock<[Gate; 2]> = LazyLock::new(|| {
    [TRANSACTION_WIDE_BUDGET, RULES_OF_TODAY].map(|name| Gate {
        id: id(name),
        name,
        is_supported: true,
        is_own: true,
    })
});

/// All gates that this build knows: ours first, then the ecosystem's by ascending id.
pub fn all() -> Vec<Gate> {
    let mut ecosystem: Vec<Gate> = FEATURE_NAMES.keys().filter_map(find).collect();
    ecosystem.sort_by_key(|gate| gate.id);
    own().iter().copied().chain(ecosystem).collect()
}

/// The gate with an id, if this build knows it.
pub fn find(id: &Pubkey) -> Option<Gate> {
    let own = OWN.iter().find(|gate| gate.id == *id).copied();
    own.or_else(|| {
        FEATURE_NAMES.get(id).map(|name| Gate {
            id: *id,
            name,
            is_supported: BY_PROCESSOR.contains(id)
                || !crate::bank::features::NOT_IN_FORCE.contains(id),
            is_own: false,
        })
    })
}

/// The number that names all of the ecosystem's gates which this build knows: what `getVersion` and
/// the ecosystem's tools call the feature set. Ours are not in it, so that those tools find the
/// number that they know themselves.
pub fn feature_set() -> u32 {
    crate::bank::features::known_set_id()
}

#[cfg(test)]
mod tests {
    use super::{FEATURE_BYTES, FeatureState, all};

    #[test]
    fn every_gate_has_one_id() {
        let gates = all();
        let mut ids: Vec<_> = gates.iter().map(|gate| gate.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), gates.len());
        assert!(gates.len() > 280, "the ecosystem's gates are among them");
    }

    #[test]
    fn the_feature_set_is_that_of_the_ecosystems_release() {
        let hash = agave_feature_set::ID.to_bytes();
        let first = std::array::from_fn(|index| hash[index]);
        assert_eq!(super::feature_set(), u32::from_le_bytes(first));
    }

    #[test]
    fn feature_accounts_are_read_strictly() {
        for state in [
            FeatureState::Pending,
            FeatureState::Active(0),
            FeatureState::Active(u64::MAX),
        ] {
            assert_eq!(FeatureState::decode(&state.encode()), Some(state));
        }
        assert_eq!(FeatureState::decode(&[]), None);
        assert_eq!(FeatureState::decode(&[0; FEATURE_BYTES + 1]), None);
        assert_eq!(FeatureState::decode(&[0; FEATURE_BYTES - 1]), None);
        assert_eq!(FeatureState::decode(&[2; FEATURE_BYTES]), None);
        // What follows a pending feature is not looked at, as in the ecosystem.
        let mut pending = [7; FEATURE_BYTES];
        pending[0] = 0;
        assert_eq!(FeatureState::decode(&pending), Some(FeatureState::Pending));
    }
}
