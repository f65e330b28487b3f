//! The services' part of a genesis document.

use std::collections::BTreeMap;

use trilith_params::root as params;
use trilith_params::root::GENESIS_BYTES_MAX;
use trilith_types::{Epoch, Hash, RuntimeId};

use super::governance::GovernanceGenesis;
use super::keymanager::KeymanagerGenesis;
use super::registry::RegistryGenesis;
use super::staking::StakingGenesis;
use crate::wire::wire_struct;

wire_struct! {
    /// What holds for every signed transaction.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TransactionParameters as "transaction parameters", at most 128, {
        /// Most gas of all transactions of a height; 0 is unlimited.
        max_block_gas: u64 = unless_empty "max_block_gas",
        /// What a unit of gas costs at least, in base units.
        min_gas_price: u64 = unless_empty "min_gas_price",
        /// Gas of each byte of a signed transaction.
        gas_per_byte: u64 = unless_empty "gas_per_byte",
    }
}

impl Default for TransactionParameters {
    fn default() -> Self {
        Self {
            max_block_gas: params::BLOCK_GAS_MAX,
            min_gas_price: params::GAS_PRICE_MIN,
            gas_per_byte: params::GAS_TRANSACTION_BYTE,
        }
    }
}

wire_struct! {
    /// Where a runtime stands whose rounds began in another network: it goes on from there.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Standing as "standing", at most 128, {
        /// Its newest round.
        round: u64 = always "round",
        /// Root of its state after that round.
        state_root: Hash = always "state_root",
    }
}

wire_struct! {
    /// What the services of the root start from. A document that says nothing of them starts from
    /// the default: no stake, and nothing that needs any.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Services as "services", at most GENESIS_BYTES_MAX, {
        /// What holds for every signed transaction.
        transactions: TransactionParameters = always "transactions",
        /// Accounts and stake.
        staking: StakingGenesis = always "staking",
        /// Entities, nodes and runtimes.
        registry: RegistryGenesis = always "registry",
        /// The epoch of height 0: that of the network which goes on in this one.
        epoch: Epoch = unless_empty "epoch",
        /// The runtimes that do not begin with what their descriptor says.
        standings: BTreeMap<RuntimeId, Standing> = unless_empty "standings",
        /// Proposals and features.
        governance: GovernanceGenesis = unless_empty "governance",
        /// Key managers.
        keymanager: KeymanagerGenesis = unless_empty "keymanager",
    }
}
