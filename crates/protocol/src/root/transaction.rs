//! Transactions of the root ledger.

pub use trilith_params::root::{COMMITMENTS_MAX, TRANSACTION_BYTES_MAX};

use trilith_types::RuntimeId;
use trilith_types::cbor::{DecodeError, Decoder, MapBuilder};

use crate::ExecutorCommitment;
use crate::wire::{self, put};

/// A transaction of the root ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootTransaction {
    /// Delivers executors' commitments. It is itself not signed, because each commitment is: who
    /// delivers it does not matter.
    ExecutorCommit {
        /// The runtime.
        runtime: RuntimeId,
        /// The commitments, taken up all together or not at all.
        commitments: Vec<ExecutorCommitment>,
    },
}

/// Name of the method. Source: Oasis Core `roothash/api` (`MethodExecutorCommit`).
pub const EXECUTOR_COMMIT: &str = "roothash.ExecutorCommit";

impl RootTransaction {
    /// Canonical encoding: `{body, method}` as in Oasis Core, without fee and nonce.
    pub fn encode(&self) -> Vec<u8> {
        let Self::ExecutorCommit {
            runtime,
            commitments,
        } = self;
        let body = MapBuilder::new()
            .field("id", put::bytes(runtime.as_bytes()))
            .field(
                "commits",
                put::list(commitments, |encoder, commitment| {
                    encoder.raw(&commitment.encode());
                }),
            )
            .finish();
        MapBuilder::new()
            .field("method", put::text(EXECUTOR_COMMIT))
            .field("body", put::raw(&body))
            .finish()
    }

    /// Reads what [`RootTransaction::encode`] wrote. No signature is checked.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a transaction this build
    /// knows, or exceed [`TRANSACTION_BYTES_MAX`] or [`COMMITMENTS_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(
            bytes,
            "root transaction",
            TRANSACTION_BYTES_MAX,
            |decoder| {
                let (mut known, mut body) = (false, None);
                // Canonical order has the body before the method's name, which says how to read it.
                decoder.fields("root transaction", 2, |name, d| {
                    match name {
                        "body" => body = Some(d.skip()?.to_vec()),
                        "method" => known = d.text("method", 64)? == EXECUTOR_COMMIT,
                        _ => return Err(DecodeError::Field("root transaction")),
                    }
                    Ok(())
                })?;
                if !known {
                    return Err(DecodeError::Field("method"));
                }
                Self::decode_body(&wire::required(body, "body")?)
            },
        )
    }

    /// Reads the body of such a transaction, which a signed transaction may have too.
    ///
    /// # Errors
    /// Those of [`RootTransaction::decode`].
    pub fn decode_body(body: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(body, "body", TRANSACTION_BYTES_MAX, read_executor_commit)
    }
}

fn read_executor_commit(decoder: &mut Decoder<'_>) -> Result<RootTransaction, DecodeError> {
    let (mut runtime, mut commitments) = (None, None);
    decoder.fields("executor commit", 2, |name, d| {
        match name {
            "id" => runtime = Some(wire::runtime(d, "id")?),
            "commits" => {
                let read = ExecutorCommitment::read;
                commitments = Some(wire::list(d, "commits", COMMITMENTS_MAX, read)?);
            }
            _ => return Err(DecodeError::Field("executor commit")),
        }
        Ok(())
    })?;
    Ok(RootTransaction::ExecutorCommit {
        runtime: wire::required(runtime, "id")?,
        commitments: wire::required(commitments, "commits")?,
    })
}
