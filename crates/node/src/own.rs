//! Root transactions that a node makes of itself: nonces, fees and signatures.
//!
//! What a node wants to tell the root in one step is signed together, so that no two of its
//! transactions have one nonce. It must not know what they are about.

use trilith_protocol::RootGenesis;
use trilith_protocol::root::{Address, Fee, Quantity, RawItem, Transaction, TransactionParameters};
use trilith_types::{Hash, SecretKey};

use crate::root::RootState;
use crate::{NodeError, NodeKeys};

/// More bytes than a signed transaction has beside its body, for its gas. Not a consensus number:
/// gas that is not used costs nothing but what the fee says.
const OVERHEAD_BYTES: u64 = 512;

/// A method of the root that the node calls.
pub(crate) struct OwnCall {
    pub(crate) method: &'static str,
    /// The encoded argument.
    pub(crate) body: Vec<u8>,
    /// Gas of the method, without that of the transaction's bytes.
    pub(crate) gas: u64,
}

/// Signs for the node's own account.
pub(crate) struct OwnAccount {
    chain: Hash,
    parameters: TransactionParameters,
    node: SecretKey,
}

impl OwnAccount {
    /// The account of a node in a network.
    pub(crate) fn new(keys: &NodeKeys, genesis: &RootGenesis) -> Self {
        Self {
            chain: genesis.chain_context(),
            parameters: genesis.services.transactions,
            node: keys.node.clone(),
        }
    }

    /// The signed transactions of `calls`, with the account's next nonces and the least fee for
    /// their gas.
    ///
    /// # Errors
    /// [`NodeError`] if the root's state cannot be read.
    pub(crate) fn sign(
        &self,
        root: &RootState,
        calls: Vec<OwnCall>,
    ) -> Result<Vec<Vec<u8>>, NodeError> {
        if calls.is_empty() {
            return Ok(Vec::new());
        }
        let own = Address::of_key(&self.node.public());
        let first = root.account(&own)?.general.nonce;
        let signed = calls.into_iter().zip(first..).map(|(call, nonce)| {
            let fee = self.fee(&call);
            let transaction = Transaction {
                nonce,
                fee: Some(fee),
                method: call.method.into(),
                body: RawItem(call.body),
            };
            transaction.sign(&self.node, &self.chain).encode()
        });
        Ok(signed.collect())
    }

    fn fee(&self, call: &OwnCall) -> Fee {
        let bytes = OVERHEAD_BYTES.saturating_add(call.body.len() as u64);
        let of_bytes = bytes.saturating_mul(self.parameters.gas_per_byte);
        let gas = call.gas.saturating_add(of_bytes);
        let price = Quantity::from(self.parameters.min_gas_price);
        Fee {
            amount: price.times(gas.into()).unwrap_or(Quantity::MAX),
            gas,
        }
    }
}
