//! Transactions: from bytes to the method of a service.
//!
//! ```text
//! unsigned: commitments of executors, which are signed themselves
//! signed:   decode, check the signature, find the method
//!           authenticate: the nonce must be the account's, the fee must be payable
//!           in a layer that is kept: take the fee, count the nonce
//!           in a layer that is kept or dropped: charge for the bytes, execute the method
//! ```
//!
//! So a transaction that is not authenticated changes nothing, and one that fails changes nothing
//! but nonce and fee.
//!
//! Source: Oasis Core `consensus/cometbft/abci` (mux), `apps/staking` (`AuthenticateTx`).

use thiserror::Error;
use trilith_protocol::root::{Address, Quantity, Signed, Transaction};
use trilith_protocol::{Reject, RootTransaction};
use trilith_types::{Hash, SignatureContext, SignatureError};

use crate::Refusal;
use crate::roothash::{self, Rejection};
use crate::scope::{Call, Gas, Handler, Scope};
use crate::{governance, keymanager, registry, staking};

/// The module under which receipts name these reasons. Oasis Core's name, and its numbers below
/// 100.
pub const MODULE: &str = "consensus/transaction";

/// Why a signed transaction is refused, whatever its method. The numbers are never reused; gaps
/// stay gaps.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TransactionError {
    /// The nonce is not the account's.
    #[error("the transaction has nonce {found}, account {account} is at {expected}")]
    Nonce {
        /// The account.
        account: Address,
        /// The transaction's nonce.
        found: u64,
        /// The account's nonce.
        expected: u64,
    },
    /// The account cannot pay the fee and keep what it must.
    #[error(
        "account {account} has {balance} base units, the fee of {fee} and the least balance of \
         {min_balance} need more"
    )]
    FeeBalance {
        /// The account.
        account: Address,
        /// What it has.
        balance: Quantity,
        /// The fee.
        fee: Quantity,
        /// What it must keep.
        min_balance: Quantity,
    },
    /// The fee is too low for the gas.
    #[error("the fee pays {found} base units for a unit of gas, the least is {min}")]
    GasPrice {
        /// What it pays.
        found: Quantity,
        /// The least.
        min: Quantity,
    },
    /// No service has the method.
    #[error("there is no method `{0}`")]
    MethodUnknown(String),
    /// The bytes under the signature are no transaction.
    #[error("the signed transaction cannot be decoded: {0}")]
    Malformed(String),
    /// The signature does not stand.
    #[error("the transaction is wrongly signed: {0}")]
    Signature(SignatureError),
    /// The transaction needs more gas than its fee says.
    #[error("the transaction used {used} gas and needs {wanted} more, its limit is {limit}")]
    OutOfGas {
        /// Gas used before.
        used: u64,
        /// Gas that was to be used.
        wanted: u64,
        /// The transaction's limit.
        limit: u64,
    },
    /// The height needs more gas than it may use.
    #[error(
        "the height used {used} gas and the transaction needs {wanted} more, the limit of a \
             height is {limit}"
    )]
    BlockOutOfGas {
        /// Gas used before.
        used: u64,
        /// Gas that was to be used.
        wanted: u64,
        /// The limit of a height.
        limit: u64,
    },
}

impl TransactionError {
    /// The number of the reason.
    pub const fn code(&self) -> u32 {
        match self {
            Self::Nonce { .. } => 1,
            Self::FeeBalance { .. } => 2,
            Self::GasPrice { .. } => 3,
            Self::MethodUnknown(_) => 5,
            Self::Malformed(_) => 101,
            Self::Signature(_) => 102,
            Self::OutOfGas { .. } => 103,
            Self::BlockOutOfGas { .. } => 104,
        }
    }
}

impl From<TransactionError> for Reject {
    fn from(error: TransactionError) -> Self {
        Self {
            module: MODULE,
            code: error.code(),
            message: error.to_string(),
        }
    }
}

impl From<TransactionError> for Refusal {
    fn from(error: TransactionError) -> Self {
        Self::Reject(error.into())
    }
}

/// How the encoding of a signed transaction starts: a map of two fields, of which `signature`
/// comes first.
const SIGNED_START: &[u8] = b"\xa2\x69signature";

/// A transaction as it arrives.
pub(crate) enum Arrived {
    /// Commitments of executors.
    Commitments(RootTransaction),
    /// A signed transaction whose signature is not checked yet.
    Signed(Signed),
}

/// A signed transaction that anyone may have made, but that is what it says it is.
pub(crate) struct Opened {
    pub(crate) call: Call,
    pub(crate) transaction: Transaction,
    pub(crate) handler: Handler,
}

/// Decodes a transaction.
pub(crate) fn arrive(bytes: &[u8]) -> Result<Arrived, Rejection> {
    let malformed =
        |error: trilith_types::cbor::DecodeError| Rejection::Malformed(error.to_string());
    if bytes.starts_with(SIGNED_START) {
        Signed::decode(bytes)
            .map(Arrived::Signed)
            .map_err(malformed)
    } else {
        roothash::decode(bytes).map(Arrived::Commitments)
    }
}

/// The services' methods.
fn handler(method: &str) -> Option<Handler> {
    let services = [
        staking::METHODS,
        registry::METHODS,
        roothash::METHODS,
        governance::METHODS,
        keymanager::METHODS,
    ];
    services
        .into_iter()
        .flatten()
        .find(|(name, _)| *name == method)
        .map(|(_, handler)| *handler)
}

/// Checks the signature, decodes the transaction and finds its method.
pub(crate) fn open(signed: &Signed, chain: &Hash) -> Result<Opened, TransactionError> {
    let raw = signed
        .open(SignatureContext::RootTransaction, chain)
        .map_err(TransactionError::Signature)?;
    let transaction = Transaction::decode(raw)
        .and_then(|transaction| transaction.check_form().map(|()| transaction))
        .map_err(|error| TransactionError::Malformed(error.to_string()))?;
    let handler = handler(&transaction.method)
        .ok_or_else(|| TransactionError::MethodUnknown(transaction.method.clone()))?;
    let signer = signed.signature.public_key;
    let call = Call {
        signer,
        caller: Address::of_key(&signer),
        gas: Gas::new(transaction.fee.unwrap_or_default().gas),
    };
    Ok(Opened {
        call,
        transaction,
        handler,
    })
}

/// Executes a signed transaction. What it gives are its events; the overlay then holds what it
/// changed.
pub(crate) fn execute(
    scope: &mut Scope<'_>,
    signed: &Signed,
    bytes_len: usize,
) -> Result<(), Refusal> {
    let mut opened = open(signed, &scope.network.chain_context)?;
    staking::pay_fee(scope, &opened.call, &opened.transaction)?;
    let paid = scope.events_len();
    let of_bytes = scope
        .network
        .transactions
        .gas_per_byte
        .saturating_mul(bytes_len as u64);
    opened.call.charge(scope, of_bytes)?;
    scope.overlay.open_layer();
    let result = (opened.handler)(scope, &mut opened.call, &opened.transaction.body.0);
    scope.overlay.close_layer(result.is_ok());
    if result.is_err() {
        scope.forget_events(paid);
    }
    result
}
