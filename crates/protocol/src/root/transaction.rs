//! Transactions of the root ledger that deliver what committee members signed: commitments, and
//! evidence that a member signed two different things.
//!
//! Source: Oasis Core `roothash/api` (`ExecutorCommit`, `Evidence`).

pub use trilith_params::root::{COMMITMENTS_MAX, TRANSACTION_BYTES_MAX};

use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{Hash, PublicKey, RuntimeId, Signature, SignatureContext, SignatureError};

use crate::commitment::{ExecutorCommitment, Proposal, ProposalHeader};
use crate::wire::{self, Wire, put, wire_struct};

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
/// Shows that a node signed two different things; the body is an [`Evidence`].
pub const SUBMIT_EVIDENCE: &str = "roothash.Evidence";
/// Sends a message to a runtime; the body is a [`super::SubmitMessage`].
pub const SUBMIT_MESSAGE: &str = "roothash.SubmitMsg";

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

/// In evidence a commitment or a proposal stands as it was signed, and without what it delivered.
macro_rules! wire_of_encoded {
    ($type:ty) => {
        impl Wire for $type {
            fn put(&self, encoder: &mut Encoder) {
                encoder.raw(&self.encode());
            }

            fn read(decoder: &mut Decoder<'_>, _: &'static str) -> Result<Self, DecodeError> {
                Self::read(decoder)
            }

            fn is_empty(&self) -> bool {
                false
            }
        }
    };
}

wire_of_encoded!(ExecutorCommitment);
wire_of_encoded!(ProposalHeader);

wire_struct! {
    /// A proposal without its batch and time, which are bound by the batch hash.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProposalStatement as "proposal statement", at most 512, {
        /// Who proposes.
        node_id: PublicKey = always "node_id",
        /// What.
        header: ProposalHeader = always "header",
        /// The node's signature over the encoded header.
        signature: Signature = always "sig",
    }
}

impl ProposalStatement {
    /// What is signed of a proposal.
    pub fn of(proposal: &Proposal) -> Self {
        Self {
            node_id: proposal.node_id,
            header: proposal.header.clone(),
            signature: proposal.signature,
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] if it is not the node's, or for another runtime or network.
    pub fn verify(&self, runtime: &RuntimeId, chain: &Hash) -> Result<(), SignatureError> {
        let context = SignatureContext::Proposal.full(Some(runtime), chain);
        self.node_id
            .verify(&context, &self.header.encode(), &self.signature)
    }
}

wire_struct! {
    /// Two commitments of one node to one scheduler's proposal of one round.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct CommitmentEquivocation as "commitment equivocation",
        at most TRANSACTION_BYTES_MAX, {
        /// One of them, without messages.
        first: ExecutorCommitment = always "commit_a",
        /// The other, without messages.
        second: ExecutorCommitment = always "commit_b",
    }
}

wire_struct! {
    /// Two proposals of one node for one round.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct ProposalEquivocation as "proposal equivocation", at most TRANSACTION_BYTES_MAX, {
        /// One of them.
        first: ProposalStatement = always "prop_a",
        /// The other.
        second: ProposalStatement = always "prop_b",
    }
}

wire_struct! {
    /// Argument of [`SUBMIT_EVIDENCE`]: that a node signed two different things, one of both kinds.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Evidence as "evidence", at most TRANSACTION_BYTES_MAX, {
        /// The runtime.
        id: RuntimeId = always "id",
        /// Two commitments.
        commitments: Option<CommitmentEquivocation> = unless_empty "equivocation_executor",
        /// Two proposals.
        proposals: Option<ProposalEquivocation> = unless_empty "equivocation_prop",
    }
}

impl Evidence {
    /// Evidence of two commitments, from which the messages are taken out.
    pub fn of_commitments(
        id: RuntimeId,
        mut first: ExecutorCommitment,
        mut second: ExecutorCommitment,
    ) -> Self {
        first.messages.clear();
        second.messages.clear();
        Self {
            id,
            commitments: Some(CommitmentEquivocation { first, second }),
            proposals: None,
        }
    }

    /// Evidence of two proposals.
    pub fn of_proposals(id: RuntimeId, first: &Proposal, second: &Proposal) -> Self {
        let (first, second) = (ProposalStatement::of(first), ProposalStatement::of(second));
        Self {
            id,
            commitments: None,
            proposals: Some(ProposalEquivocation { first, second }),
        }
    }

    /// What is the same of all evidence against a node, whatever it signed: it is punished for a
    /// round once.
    ///
    /// Source: Oasis Core `roothash/api` (`Evidence.Hash`).
    pub fn hash(node: &PublicKey) -> Hash {
        /// The kind of evidence: equivocation.
        const EQUIVOCATION: u8 = 1;
        Hash::of_parts(&[&[EQUIVOCATION], node.as_bytes()])
    }
}
