//! What members of a committee sign: a scheduler's proposal, an executor's commitment, a storage
//! node's receipt.
//!
//! Proposal headers and commitments have Oasis Core's exact encoding. What is signed is always the
//! encoding of a header, under a context that names the runtime and the chain, so that no statement
//! can be moved to another runtime or network. A commitment is public evidence: anyone may deliver
//! it, its signature attributes it.
//!
//! Invariants: a decoded value encodes to the bytes it came from; a value that decodes is
//! well-formed, not yet believed: signatures are checked by the `verify` functions, everything
//! about membership and rounds by the root.
//!
//! Source: Oasis Core `roothash/api/commitment`; storage receipts: `storage/api` before 22.0.

use trilith_types::cbor::{DecodeError, Decoder, Encoder, MapBuilder};
use trilith_types::{
    Hash, NodeId, Round, RuntimeId, SecretKey, Signature, SignatureContext, SignatureError,
    TimeNanos,
};

pub use trilith_params::host::{MESSAGES_BYTES_MAX, MESSAGES_MAX};
pub use trilith_params::root::STORAGE_RECEIPTS_MAX;
use trilith_params::root::TRANSACTION_BYTES_MAX;

use crate::wire::{self, put};

/// Most bytes of an encoded commitment: one fits a root transaction.
pub const COMMITMENT_BYTES_MAX: usize = TRANSACTION_BYTES_MAX;
/// Most bytes of an encoded proposal: a hash of each of the most inputs of a batch, and the rest.
pub const PROPOSAL_BYTES_MAX: usize = crate::batch::INPUTS_MAX * 34 + 1024;
const _: () = assert!(crate::batch::INPUTS_MAX == trilith_params::host::BATCH_INPUTS_MAX);
const _: () = assert!(crate::batch::INPUT_BYTES_MAX == trilith_params::host::INPUT_BYTES_MAX);

/// Version of the storage receipt that this build signs.
pub const STORAGE_RECEIPT_VERSION: u16 = 1;
/// Most roots one storage receipt speaks of.
pub const STORAGE_RECEIPT_ROOTS_MAX: usize = 8;

/// Why an executor commits to no outcome. The numbers are those of the encoding; 0 means no
/// failure and is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// The executor could not execute.
    Unknown = 1,
    /// The executor does not hold the state the round starts from.
    StateUnavailable = 2,
}

/// What a round gave: the part of a commitment on which executors must agree. Roots and hashes are
/// all there, or, where the executor failed, none of them is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComputeResultsHeader {
    /// The round that was executed.
    pub round: Round,
    /// Hash of the block it builds on.
    pub previous_hash: Hash,
    /// Root of the tree of inputs and outputs.
    pub io_root: Option<Hash>,
    /// Root of the state after the round.
    pub state_root: Option<Hash>,
    /// [`crate::io::messages_hash`] of the messages to the root.
    pub messages_hash: Option<Hash>,
    /// Hash of the incoming messages taken up.
    pub in_msgs_hash: Option<Hash>,
    /// How many incoming messages were taken up.
    pub in_msgs_count: u32,
}

impl ComputeResultsHeader {
    /// Canonical encoding; hashes that are absent and a count of 0 are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = MapBuilder::new()
            .field("round", put::uint(self.round.0))
            .field("previous_hash", put::bytes(self.previous_hash.as_bytes()))
            .field_if(
                self.in_msgs_count > 0,
                "in_msgs_count",
                put::uint(self.in_msgs_count.into()),
            );
        let optional = [
            ("io_root", &self.io_root),
            ("state_root", &self.state_root),
            ("messages_hash", &self.messages_hash),
            ("in_msgs_hash", &self.in_msgs_hash),
        ];
        for (name, hash) in optional {
            if let Some(hash) = hash {
                map = map.field(name, put::bytes(hash.as_bytes()));
            }
        }
        map.finish()
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut round, mut previous_hash, mut in_msgs_count) = (None, None, 0);
        let (mut io_root, mut state_root) = (None, None);
        let (mut messages_hash, mut in_msgs_hash) = (None, None);
        decoder.fields("compute results", 7, |name, d| {
            match name {
                "round" => round = Some(Round(d.uint()?)),
                "previous_hash" => previous_hash = Some(wire::hash(d, "previous_hash")?),
                "io_root" => io_root = Some(wire::hash(d, "io_root")?),
                "state_root" => state_root = Some(wire::hash(d, "state_root")?),
                "messages_hash" => messages_hash = Some(wire::hash(d, "messages_hash")?),
                "in_msgs_hash" => in_msgs_hash = Some(wire::hash(d, "in_msgs_hash")?),
                "in_msgs_count" => {
                    in_msgs_count = wire::narrow(d, "in_msgs_count")?;
                    if in_msgs_count == 0 {
                        return Err(DecodeError::Field("in_msgs_count"));
                    }
                }
                _ => return Err(DecodeError::Field("compute results")),
            }
            Ok(())
        })?;
        Ok(Self {
            round: wire::required(round, "round")?,
            previous_hash: wire::required(previous_hash, "previous_hash")?,
            io_root,
            state_root,
            messages_hash,
            in_msgs_hash,
            in_msgs_count,
        })
    }

    /// The hash executors vote with.
    pub fn hash(&self) -> Hash {
        Hash::of(&self.encode())
    }
}

/// A node's signature, with the node it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSignature {
    /// Who signed.
    pub node: NodeId,
    /// The signature.
    pub signature: Signature,
}

impl NodeSignature {
    fn write(&self, encoder: &mut Encoder) {
        let map = MapBuilder::new()
            .field("public_key", put::bytes(self.node.as_bytes()))
            .field("signature", put::bytes(self.signature.as_bytes()));
        encoder.raw(&map.finish());
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut node, mut signature) = (None, None);
        decoder.fields("node signature", 2, |name, d| {
            match name {
                "public_key" => node = Some(wire::node(d, "public_key")?),
                "signature" => signature = Some(wire::signature(d, "signature")?),
                _ => return Err(DecodeError::Field("node signature")),
            }
            Ok(())
        })?;
        Ok(Self {
            node: wire::required(node, "public_key")?,
            signature: wire::required(signature, "signature")?,
        })
    }
}

/// What an executor signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorCommitmentHeader {
    /// Whose proposal was executed.
    pub scheduler_id: NodeId,
    /// What it gave.
    pub header: ComputeResultsHeader,
    /// Why it gave nothing, where it did; left out of the encoding where `None`.
    pub failure: Option<Failure>,
    /// Signature of the runtime's enclave over the results, where the runtime runs in one.
    pub rak_signature: Option<Signature>,
    /// Signatures of storage nodes over the [`StorageReceipt`] of this round's roots; left out of
    /// the encoding where there are none. Trilith's own field (`storage_sigs`).
    pub storage_signatures: Vec<NodeSignature>,
}

impl ExecutorCommitmentHeader {
    /// Canonical encoding: the bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = MapBuilder::new()
            .field("scheduler_id", put::bytes(self.scheduler_id.as_bytes()))
            .field("header", put::raw(&self.header.encode()));
        if let Some(failure) = self.failure {
            map = map.field("failure", put::uint(failure as u64));
        }
        if let Some(signature) = &self.rak_signature {
            map = map.field("rak_sig", put::bytes(signature.as_bytes()));
        }
        map.field_if(
            !self.storage_signatures.is_empty(),
            "storage_sigs",
            put::list(&self.storage_signatures, |encoder, item| {
                item.write(encoder)
            }),
        )
        .finish()
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut scheduler_id, mut header) = (None, None);
        let (mut failure, mut rak_signature, mut storage_signatures) = (None, None, Vec::new());
        decoder.fields("commitment header", 5, |name, d| {
            match name {
                "scheduler_id" => scheduler_id = Some(wire::node(d, "scheduler_id")?),
                "header" => header = Some(ComputeResultsHeader::read(d)?),
                "failure" => {
                    failure = Some(match d.uint()? {
                        1 => Failure::Unknown,
                        2 => Failure::StateUnavailable,
                        _ => return Err(DecodeError::Field("failure")),
                    });
                }
                "rak_sig" => rak_signature = Some(wire::signature(d, "rak_sig")?),
                "storage_sigs" => {
                    let limit = STORAGE_RECEIPTS_MAX;
                    storage_signatures = wire::list(d, "storage_sigs", limit, NodeSignature::read)?;
                    // An empty list is left out: there is one encoding of every value.
                    if storage_signatures.is_empty() {
                        return Err(DecodeError::Field("storage_sigs"));
                    }
                }
                _ => return Err(DecodeError::Field("commitment header")),
            }
            Ok(())
        })?;
        Ok(Self {
            scheduler_id: wire::required(scheduler_id, "scheduler_id")?,
            header: wire::required(header, "header")?,
            failure,
            rak_signature,
            storage_signatures,
        })
    }
}

/// An executor's signed statement of what a round gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorCommitment {
    /// Who commits.
    pub node_id: NodeId,
    /// To what.
    pub header: ExecutorCommitmentHeader,
    /// The node's signature over the encoded header.
    pub signature: Signature,
    /// The messages to the root, each one canonical CBOR item; only in the scheduler's own
    /// commitment. They are bound by the hash in the header.
    pub messages: Vec<Vec<u8>>,
}

impl ExecutorCommitment {
    /// Signs `header` as the node whose key `key` is, for `runtime` on the network `chain`.
    pub fn sign(
        key: &SecretKey,
        header: ExecutorCommitmentHeader,
        messages: Vec<Vec<u8>>,
        runtime: &RuntimeId,
        chain: &Hash,
    ) -> Self {
        let context = SignatureContext::ExecutorCommitment.full(Some(runtime), chain);
        let signature = key.sign(&context, &header.encode());
        Self {
            node_id: key.public(),
            header,
            signature,
            messages,
        }
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`SignatureError`] if it is not the node's, or for another runtime or network.
    pub fn verify(&self, runtime: &RuntimeId, chain: &Hash) -> Result<(), SignatureError> {
        let context = SignatureContext::ExecutorCommitment.full(Some(runtime), chain);
        self.node_id
            .verify(&context, &self.header.encode(), &self.signature)
    }

    /// The vote: the hash of the results, or `None` where the executor failed.
    pub fn vote(&self) -> Option<Hash> {
        self.header
            .failure
            .is_none()
            .then(|| self.header.header.hash())
    }

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("node_id", put::bytes(self.node_id.as_bytes()))
            .field("header", put::raw(&self.header.encode()))
            .field("sig", put::bytes(self.signature.as_bytes()))
            .field_if(
                !self.messages.is_empty(),
                "messages",
                put::list(&self.messages, |encoder, message| {
                    encoder.raw(message);
                }),
            )
            .finish()
    }

    /// Reads what [`ExecutorCommitment::encode`] wrote. The signature is not checked.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a commitment or a limit of
    /// this module is exceeded.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "commitment", COMMITMENT_BYTES_MAX, Self::read)
    }

    pub(crate) fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut node_id, mut header, mut signature) = (None, None, None);
        let mut messages = Vec::new();
        decoder.fields("commitment", 4, |name, d| {
            match name {
                "node_id" => node_id = Some(wire::node(d, "node_id")?),
                "header" => header = Some(ExecutorCommitmentHeader::read(d)?),
                "sig" => signature = Some(wire::signature(d, "sig")?),
                "messages" => messages = read_messages(d)?,
                _ => return Err(DecodeError::Field("commitment")),
            }
            Ok(())
        })?;
        Ok(Self {
            node_id: wire::required(node_id, "node_id")?,
            header: wire::required(header, "header")?,
            signature: wire::required(signature, "sig")?,
            messages,
        })
    }
}

fn read_messages(decoder: &mut Decoder<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let at = decoder.position();
    let mut total = 0;
    let messages = wire::list(decoder, "messages", MESSAGES_MAX, |d| {
        let message = d.skip()?;
        total += message.len();
        Ok(message.to_vec())
    })?;
    // An empty list is left out: there is one encoding of every value.
    if messages.is_empty() {
        return Err(DecodeError::Field("messages"));
    }
    if total > MESSAGES_BYTES_MAX {
        let (len, limit) = (total as u64, MESSAGES_BYTES_MAX as u64);
        return Err(DecodeError::TooLong {
            what: "messages",
            at,
            len,
            limit,
        });
    }
    Ok(messages)
}

/// What a scheduler signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalHeader {
    /// The round that is proposed.
    pub round: Round,
    /// Hash of the block it builds on.
    pub previous_hash: Hash,
    /// [`crate::Batch::hash`]: binds time, inputs and their order.
    pub batch_hash: Hash,
}

impl ProposalHeader {
    /// Canonical encoding: the bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("round", put::uint(self.round.0))
            .field("previous_hash", put::bytes(self.previous_hash.as_bytes()))
            .field("batch_hash", put::bytes(self.batch_hash.as_bytes()))
            .finish()
    }

    pub(crate) fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut round, mut previous_hash, mut batch_hash) = (None, None, None);
        decoder.fields("proposal header", 3, |name, d| {
            match name {
                "round" => round = Some(Round(d.uint()?)),
                "previous_hash" => previous_hash = Some(wire::hash(d, "previous_hash")?),
                "batch_hash" => batch_hash = Some(wire::hash(d, "batch_hash")?),
                _ => return Err(DecodeError::Field("proposal header")),
            }
            Ok(())
        })?;
        Ok(Self {
            round: wire::required(round, "round")?,
            previous_hash: wire::required(previous_hash, "previous_hash")?,
            batch_hash: wire::required(batch_hash, "batch_hash")?,
        })
    }
}

/// A scheduler's signed proposal of a batch. It names the inputs by hash; who lacks one asks for
/// it. Travels between nodes only, never through the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Who proposes.
    pub node_id: NodeId,
    /// What.
    pub header: ProposalHeader,
    /// The node's signature over the encoded header.
    pub signature: Signature,
    /// Hashes of the inputs in order; together with `time` they are bound by the batch hash, once
    /// the inputs themselves are known.
    pub batch: Vec<Hash>,
    /// The proposed time of the round. Trilith's own field: Oasis Core's rounds have no time of
    /// their own.
    pub time: TimeNanos,
}

impl Proposal {
    /// Signs a proposal of `batch` for `round` on top of the block `previous_hash`.
    pub fn sign(
        key: &SecretKey,
        round: Round,
        previous_hash: Hash,
        batch: &crate::Batch,
        runtime: &RuntimeId,
        chain: &Hash,
    ) -> Self {
        let header = ProposalHeader {
            round,
            previous_hash,
            batch_hash: batch.hash(),
        };
        let context = SignatureContext::Proposal.full(Some(runtime), chain);
        let signature = key.sign(&context, &header.encode());
        let hashes = batch.inputs.iter().map(crate::Input::hash).collect();
        Self {
            node_id: key.public(),
            header,
            signature,
            batch: hashes,
            time: batch.time,
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

    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("node_id", put::bytes(self.node_id.as_bytes()))
            .field("header", put::raw(&self.header.encode()))
            .field("sig", put::bytes(self.signature.as_bytes()))
            .field("time", put::uint(self.time.0))
            .field_if(
                !self.batch.is_empty(),
                "batch",
                put::list(&self.batch, |encoder, hash| {
                    encoder.bytes(hash.as_bytes());
                }),
            )
            .finish()
    }

    /// Reads what [`Proposal::encode`] wrote. The signature is not checked.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a proposal or longer than
    /// [`PROPOSAL_BYTES_MAX`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        wire::whole(bytes, "proposal", PROPOSAL_BYTES_MAX, Self::read)
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (mut node_id, mut header, mut signature, mut time) = (None, None, None, None);
        let mut batch = Vec::new();
        decoder.fields("proposal", 5, |name, d| {
            match name {
                "node_id" => node_id = Some(wire::node(d, "node_id")?),
                "header" => header = Some(ProposalHeader::read(d)?),
                "sig" => signature = Some(wire::signature(d, "sig")?),
                "time" => time = Some(TimeNanos(d.uint()?)),
                "batch" => {
                    let limit = crate::batch::INPUTS_MAX;
                    batch = wire::list(d, "batch", limit, |d| wire::hash(d, "input hash"))?;
                    if batch.is_empty() {
                        return Err(DecodeError::Field("batch"));
                    }
                }
                _ => return Err(DecodeError::Field("proposal")),
            }
            Ok(())
        })?;
        Ok(Self {
            node_id: wire::required(node_id, "node_id")?,
            header: wire::required(header, "header")?,
            signature: wire::required(signature, "sig")?,
            batch,
            time: wire::required(time, "time")?,
        })
    }
}

/// A storage node's statement that it holds roots of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageReceipt {
    /// The runtime.
    pub namespace: RuntimeId,
    /// The round the roots belong to.
    pub round: Round,
    /// The roots: I/O root, then state root.
    pub roots: Vec<Hash>,
}

impl StorageReceipt {
    /// Canonical encoding: the bytes that are signed.
    pub fn encode(&self) -> Vec<u8> {
        MapBuilder::new()
            .field("version", put::uint(STORAGE_RECEIPT_VERSION.into()))
            .field("ns", put::bytes(self.namespace.as_bytes()))
            .field("round", put::uint(self.round.0))
            .field(
                "roots",
                put::list(&self.roots, |encoder, root| {
                    encoder.bytes(root.as_bytes());
                }),
            )
            .finish()
    }

    /// Reads what [`StorageReceipt::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a receipt of the version
    /// this build knows, or name more than [`STORAGE_RECEIPT_ROOTS_MAX`] roots.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let limit = 128 + STORAGE_RECEIPT_ROOTS_MAX * 34;
        wire::whole(bytes, "storage receipt", limit, |decoder| {
            let (mut version, mut namespace, mut round, mut roots) = (None, None, None, None);
            decoder.fields("storage receipt", 4, |name, d| {
                match name {
                    "version" => version = Some(d.uint()?),
                    "ns" => namespace = Some(wire::runtime(d, "ns")?),
                    "round" => round = Some(Round(d.uint()?)),
                    "roots" => {
                        let limit = STORAGE_RECEIPT_ROOTS_MAX;
                        roots = Some(wire::list(d, "roots", limit, |d| wire::hash(d, "root"))?);
                    }
                    _ => return Err(DecodeError::Field("storage receipt")),
                }
                Ok(())
            })?;
            if version != Some(STORAGE_RECEIPT_VERSION.into()) {
                return Err(DecodeError::Field("version"));
            }
            Ok(Self {
                namespace: wire::required(namespace, "ns")?,
                round: wire::required(round, "round")?,
                roots: wire::required(roots, "roots")?,
            })
        })
    }

    /// Signs the receipt on the network `chain`.
    pub fn sign(&self, key: &SecretKey, chain: &Hash) -> NodeSignature {
        let context = SignatureContext::StorageReceipt.full(None, chain);
        NodeSignature {
            node: key.public(),
            signature: key.sign(&context, &self.encode()),
        }
    }

    /// Checks a node's signature over the receipt.
    ///
    /// # Errors
    /// [`SignatureError`] if it is not the node's, or for another receipt or network.
    pub fn verify(&self, by: &NodeSignature, chain: &Hash) -> Result<(), SignatureError> {
        let context = SignatureContext::StorageReceipt.full(None, chain);
        by.node.verify(&context, &self.encode(), &by.signature)
    }
}
