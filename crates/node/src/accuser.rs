//! What a node does about a scheduler that contradicts itself: it shows the root the two proposals,
//! so that the scheduler's entity pays for them.
//!
//! Every node that sees both tells the root; the root takes the first and refuses the others, and a
//! node is punished once for a round however often it is told. Nothing needs to be stored before it
//! is sent: what is shown was signed by somebody else.
//!
//! It must not judge: whether the proposals are evidence is for the root to say.
//!
//! Source: Oasis Core `worker/compute/executor` (`submitEvidence`).

use trilith_protocol::RootGenesis;
use trilith_protocol::root::{
    Address, Evidence, Fee, GAS_EVIDENCE, Quantity, RawItem, SUBMIT_EVIDENCE, Transaction,
    TransactionParameters,
};
use trilith_types::{Hash, SecretKey};

use crate::ledger::Equivocation;
use crate::root::RootState;
use crate::{NodeError, NodeKeys};

/// More bytes than a transaction with two proposals has, for its gas. Not a consensus number: gas
/// that is not used costs nothing but what the fee says.
const TRANSACTION_BYTES: u64 = 1_536;

/// Tells the root of contradictions.
pub(crate) struct Accuser {
    chain: Hash,
    transactions: TransactionParameters,
    node: SecretKey,
}

impl Accuser {
    /// The accuser of a node in a network.
    pub(crate) fn new(keys: &NodeKeys, genesis: &RootGenesis) -> Self {
        Self {
            chain: genesis.chain_context(),
            transactions: genesis.services.transactions,
            node: keys.node.clone(),
        }
    }

    /// The transactions that show what was seen. A node does not accuse itself.
    ///
    /// # Errors
    /// [`NodeError`] if the root's state cannot be read.
    pub(crate) fn transactions(
        &self,
        root: &RootState,
        seen: &[Equivocation],
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        let own = self.node.public();
        let costs = root.roothash_parameters()?.gas_costs;
        let gas = costs.get(&GAS_EVIDENCE.into()).copied().unwrap_or_default();
        let of_bytes = TRANSACTION_BYTES.saturating_mul(self.transactions.gas_per_byte);
        let gas = gas.saturating_add(of_bytes);
        let price = Quantity::from(self.transactions.min_gas_price);
        let fee = Fee {
            amount: price.times(gas.into()).unwrap_or(Quantity::MAX),
            gas,
        };
        let first = root.account(&Address::of_key(&own))?.general.nonce;
        let accused = seen.iter().filter(|of| of.first.node_id != own);
        let signed = accused.zip(first..).map(|(of, nonce)| {
            let evidence = Evidence::of_proposals(of.runtime, &of.first, &of.second);
            let transaction = Transaction {
                nonce,
                fee: Some(fee),
                method: SUBMIT_EVIDENCE.into(),
                body: RawItem(evidence.encode()),
            };
            transaction.sign(&self.node, &self.chain).encode()
        });
        Ok(signed.collect())
    }
}
