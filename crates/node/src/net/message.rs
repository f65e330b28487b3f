//! What nodes of a network say to each other, as bytes.
//!
//! Every message is an array `[kind, field, …]` in canonical CBOR; the kinds are numbered and never
//! reused. A message that decodes is well-formed, not yet believed: signatures, membership and
//! rounds are checked by whoever takes it up.
//!
//! Invariants: what is decoded encodes to the bytes it came from; limits are checked before memory
//! is taken.

use trilith_ordering::{CertifiedBlock, ConsensusCertificate, OrderedBlock};
use trilith_params::host::INPUT_BYTES_MAX;
use trilith_params::root::{BLOCK_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};
use trilith_protocol::commitment::PROPOSAL_BYTES_MAX;
use trilith_protocol::{Batch, NodeSignature, Proposal, Receipt};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Hash, Height, PublicKey, Round, RuntimeId, Signature, TimeNanos};

use super::MessageBytes;
use super::parts::{put_receipts, read_receipts};
use crate::signed::OpenProposal;

pub use super::parts::{Changes, ImageBytes, WrittenImage};

/// Most bytes of a message: a full batch with its receipts, and what it changed. Own choice.
pub const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Most bytes of a batch in a message: what the store takes under one slot.
const BATCH_BYTES_MAX: usize = trilith_store::SIGNED_BYTES_MAX;
/// Most bytes of the key of a leaf.
const LEAF_KEY_BYTES_MAX: usize = trilith_proof::mkvs::KEY_BYTES_MAX;
/// Most bytes of the proof of a leaf.
const LEAF_PROOF_BYTES_MAX: usize = trilith_ordering::certifier::PROOF_BYTES_MAX;

/// A storage node is asked to hold the state that an execution gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apply {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round.
    pub round: Round,
    /// Root of the state that was executed on.
    pub parent: Hash,
    /// What was executed.
    pub batch: Batch,
    /// What became of the inputs.
    pub receipts: Vec<Receipt>,
    /// What the execution changed; `None` where that is too large to be sent, and the storage node
    /// executes itself.
    pub changes: Option<Changes>,
    /// Root over inputs and outputs.
    pub io_root: Hash,
    /// Root of the state afterwards.
    pub state_root: Hash,
}

/// A leaf that is to be signed by the validators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantLeaf {
    /// The runtime.
    pub runtime: RuntimeId,
    /// The round that was finalised.
    pub round: Round,
    /// Root of its state.
    pub state_root: Hash,
    /// The leaf's key.
    pub key: Vec<u8>,
    /// The leaf's value.
    pub value: [u8; 32],
    /// An encoded MKVS proof that the leaf stands under the root.
    pub proof: Vec<u8>,
}

/// The validators' signature over a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The runtime.
    pub runtime: RuntimeId,
    /// Root of the state that has the leaf.
    pub state_root: Hash,
    /// The leaf's value.
    pub value: [u8; 32],
    /// The signature.
    pub signature: [u8; 48],
}

/// A message between two nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A transaction that waits for a batch.
    Transaction {
        /// The runtime.
        runtime: RuntimeId,
        /// The transaction.
        bytes: Vec<u8>,
    },
    /// A scheduler's proposal with its batch.
    Proposal {
        /// The runtime.
        runtime: RuntimeId,
        /// The height whose root state gives the circumstances of the round.
        height: Height,
        /// What the scheduler signed.
        proposal: Box<Proposal>,
        /// The batch that it names.
        batch: Batch,
    },
    /// A storage node is asked to hold a state.
    Apply(Box<Apply>),
    /// A storage node holds a state.
    Receipt {
        /// The runtime.
        runtime: RuntimeId,
        /// The round.
        round: Round,
        /// I/O root, then state root.
        roots: [Hash; 2],
        /// The storage node's signature over the receipt.
        signature: NodeSignature,
    },
    /// A block that the validators have executed.
    Block(Box<CertifiedBlock>),
    /// A transaction for the validator to order.
    Order(Vec<u8>),
    /// The blocks from a height on are wanted.
    WantBlocks(Height),
    /// A block after this height is wanted although there may be no transaction.
    WantBlockAfter(Height),
    /// What was proposed for a round is wanted.
    WantRound {
        /// The runtime.
        runtime: RuntimeId,
        /// The round.
        round: Round,
    },
    /// What was executed in a round that is final, with all its circumstances.
    Round {
        /// The runtime.
        runtime: RuntimeId,
        /// Proposal, batch and circumstances.
        record: Box<OpenProposal>,
    },
    /// The validators' signature over a leaf is wanted.
    WantLeaf(Box<WantLeaf>),
    /// The validators' signature over a leaf.
    Leaf(Box<Leaf>),
    /// A round is wanted although no transaction may wait.
    Refresh {
        /// The runtime.
        runtime: RuntimeId,
        /// The round that is wanted.
        round: Round,
    },
}

impl Message {
    /// The message as it travels.
    pub fn bytes(&self) -> MessageBytes {
        self.encode().into()
    }

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.put(&mut encoder);
        encoder.finish()
    }

    fn put(&self, e: &mut Encoder) {
        match self {
            Self::Transaction { runtime, bytes } => {
                e.array(3).uint(0).bytes(runtime.as_bytes()).bytes(bytes);
            }
            Self::Proposal {
                runtime,
                height,
                proposal,
                batch,
            } => {
                e.array(5).uint(1).bytes(runtime.as_bytes());
                e.uint(height.0)
                    .raw(&proposal.encode())
                    .raw(&batch.encode());
            }
            Self::Apply(apply) => put_apply(e, apply),
            Self::Receipt {
                runtime,
                round,
                roots,
                signature,
            } => {
                e.array(7).uint(3).bytes(runtime.as_bytes()).uint(round.0);
                e.bytes(roots[0].as_bytes()).bytes(roots[1].as_bytes());
                e.bytes(signature.node.as_bytes());
                e.bytes(signature.signature.as_bytes());
            }
            Self::Block(block) => put_block(e, block),
            Self::Order(transaction) => {
                e.array(2).uint(5).bytes(transaction);
            }
            Self::WantBlocks(height) => {
                e.array(2).uint(6).uint(height.0);
            }
            Self::WantBlockAfter(height) => {
                e.array(2).uint(7).uint(height.0);
            }
            Self::WantRound { runtime, round } => {
                e.array(3).uint(8).bytes(runtime.as_bytes()).uint(round.0);
            }
            Self::Round { runtime, record } => {
                e.array(3).uint(9).bytes(runtime.as_bytes());
                e.raw(&record.encode());
            }
            Self::WantLeaf(wanted) => {
                e.array(7).uint(10).bytes(wanted.runtime.as_bytes());
                e.uint(wanted.round.0).bytes(wanted.state_root.as_bytes());
                e.bytes(&wanted.key)
                    .bytes(&wanted.value)
                    .bytes(&wanted.proof);
            }
            Self::Leaf(leaf) => {
                e.array(5).uint(11).bytes(leaf.runtime.as_bytes());
                e.bytes(leaf.state_root.as_bytes());
                e.bytes(&leaf.value).bytes(&leaf.signature);
            }
            Self::Refresh { runtime, round } => {
                e.array(3).uint(12).bytes(runtime.as_bytes()).uint(round.0);
            }
        }
    }

    /// Reads what [`Message::encode`] wrote. No signature is checked.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a message, or exceed
    /// [`MESSAGE_BYTES_MAX`] or a limit of a part.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(DecodeError::TooLong {
                what: "message",
                at: 0,
                len: bytes.len() as u64,
                limit: MESSAGE_BYTES_MAX as u64,
            });
        }
        let mut decoder = Decoder::new(bytes);
        let fields = decoder.array("message", 16)?;
        let message = read_kind(&mut decoder, fields)?;
        decoder.finish()?;
        Ok(message)
    }
}

fn read_kind(d: &mut Decoder<'_>, fields: usize) -> Result<Message, DecodeError> {
    let kind = d.uint()?;
    let expected = match kind {
        5..=7 => 2,
        0 | 8 | 9 | 12 => 3,
        1 | 11 => 5,
        3 | 10 => 7,
        4 => 8,
        2 => 9,
        _ => return Err(DecodeError::Field("kind of message")),
    };
    if fields != expected {
        return Err(DecodeError::Field("message"));
    }
    Ok(match kind {
        0 => Message::Transaction {
            runtime: runtime(d)?,
            bytes: d.bytes("transaction", INPUT_BYTES_MAX)?.to_vec(),
        },
        1 => Message::Proposal {
            runtime: runtime(d)?,
            height: Height(d.uint()?),
            proposal: Box::new(Proposal::decode(limited(
                d,
                "proposal",
                PROPOSAL_BYTES_MAX,
            )?)?),
            batch: Batch::decode(limited(d, "batch", BATCH_BYTES_MAX)?)?,
        },
        2 => Message::Apply(Box::new(read_apply(d)?)),
        3 => Message::Receipt {
            runtime: runtime(d)?,
            round: Round(d.uint()?),
            roots: [hash(d)?, hash(d)?],
            signature: NodeSignature {
                node: PublicKey::from_bytes(d.bytes_exact("node")?),
                signature: Signature::from_bytes(d.bytes_exact("signature")?),
            },
        },
        4 => Message::Block(Box::new(read_block(d)?)),
        5 => Message::Order(d.bytes("transaction", TRANSACTION_BYTES_MAX)?.to_vec()),
        6 => Message::WantBlocks(Height(d.uint()?)),
        7 => Message::WantBlockAfter(Height(d.uint()?)),
        8 => Message::WantRound {
            runtime: runtime(d)?,
            round: Round(d.uint()?),
        },
        9 => Message::Round {
            runtime: runtime(d)?,
            record: Box::new(OpenProposal::decode(d.skip()?)?),
        },
        10 => Message::WantLeaf(Box::new(WantLeaf {
            runtime: runtime(d)?,
            round: Round(d.uint()?),
            state_root: hash(d)?,
            key: d.bytes("key", LEAF_KEY_BYTES_MAX)?.to_vec(),
            value: d.bytes_exact("value")?,
            proof: d.bytes("proof", LEAF_PROOF_BYTES_MAX)?.to_vec(),
        })),
        11 => Message::Leaf(Box::new(Leaf {
            runtime: runtime(d)?,
            state_root: hash(d)?,
            value: d.bytes_exact("value")?,
            signature: d.bytes_exact("signature")?,
        })),
        _ => Message::Refresh {
            runtime: runtime(d)?,
            round: Round(d.uint()?),
        },
    })
}

fn runtime(decoder: &mut Decoder<'_>) -> Result<RuntimeId, DecodeError> {
    decoder.bytes_exact("runtime").map(RuntimeId::from_bytes)
}

fn hash(decoder: &mut Decoder<'_>) -> Result<Hash, DecodeError> {
    decoder.bytes_exact("hash").map(Hash::from_bytes)
}

/// One item of at most `limit` bytes.
fn limited<'a>(
    decoder: &mut Decoder<'a>,
    what: &'static str,
    limit: usize,
) -> Result<&'a [u8], DecodeError> {
    let at = decoder.position();
    let item = decoder.skip()?;
    if item.len() > limit {
        let (len, limit) = (item.len() as u64, limit as u64);
        return Err(DecodeError::TooLong {
            what,
            at,
            len,
            limit,
        });
    }
    Ok(item)
}

fn put_apply(e: &mut Encoder, apply: &Apply) {
    e.array(9).uint(2).bytes(apply.runtime.as_bytes());
    e.uint(apply.round.0).bytes(apply.parent.as_bytes());
    e.raw(&apply.batch.encode());
    put_receipts(e, &apply.receipts);
    match &apply.changes {
        None => {
            e.null();
        }
        Some(changes) => changes.put(e),
    }
    e.bytes(apply.io_root.as_bytes());
    e.bytes(apply.state_root.as_bytes());
}

fn read_apply(d: &mut Decoder<'_>) -> Result<Apply, DecodeError> {
    Ok(Apply {
        runtime: runtime(d)?,
        round: Round(d.uint()?),
        parent: hash(d)?,
        batch: Batch::decode(limited(d, "batch", BATCH_BYTES_MAX)?)?,
        receipts: read_receipts(d)?,
        changes: if d.null() {
            None
        } else {
            Some(Changes::read(d)?)
        },
        io_root: hash(d)?,
        state_root: hash(d)?,
    })
}

/// Writes `[4, height, time, [transaction, …], randomness | null, root, signature, height signed]`.
fn put_block(e: &mut Encoder, certified: &CertifiedBlock) {
    let CertifiedBlock { block, certificate } = certified;
    e.array(8).uint(4).uint(block.height.0).uint(block.time.0);
    e.array(block.transactions.len());
    for transaction in &block.transactions {
        e.bytes(transaction);
    }
    match &block.randomness {
        None => e.null(),
        Some(randomness) => e.bytes(randomness),
    };
    e.bytes(certificate.state_root.as_bytes());
    e.bytes(&certificate.signature).uint(certificate.height.0);
}

fn read_block(d: &mut Decoder<'_>) -> Result<CertifiedBlock, DecodeError> {
    let height = Height(d.uint()?);
    let time = TimeNanos(d.uint()?);
    let mut transactions = Vec::new();
    for _ in 0..d.array("transactions", BLOCK_TRANSACTIONS_MAX)? {
        transactions.push(d.bytes("transaction", TRANSACTION_BYTES_MAX)?.to_vec());
    }
    let randomness = if d.null() {
        None
    } else {
        Some(d.bytes_exact("randomness")?)
    };
    let block = OrderedBlock {
        height,
        time,
        transactions,
        randomness,
    };
    let state_root = hash(d)?;
    let signature = d.bytes_exact("signature")?;
    let certificate = ConsensusCertificate {
        height: Height(d.uint()?),
        state_root,
        signature,
    };
    Ok(CertifiedBlock { block, certificate })
}

/// Reads a stored block: the form of a [`Message::Block`].
pub(crate) fn stored_block(bytes: &[u8]) -> Result<CertifiedBlock, DecodeError> {
    match Message::decode(bytes)? {
        Message::Block(block) => Ok(*block),
        _ => Err(DecodeError::Field("stored block")),
    }
}
