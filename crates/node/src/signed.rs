//! The slots in which a node keeps what it signed for a round, so that it never signs two
//! different things: a proposal with its batch, a commitment for each scheduler's proposal, receipts
//! of a storage node; and beside them what a node needs to go on after a restart: whose proposals
//! it took up, what was executed in rounds that are final, and the certified end of the round.

use trilith_params::root::COMMITTEE_MEMBERS_MAX;
use trilith_protocol::root::FromRoot;
use trilith_protocol::{AttestedSignature, Batch, Proposal};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, Hash, Height, NodeId, Round, RuntimeId, TimeNanos};

/// What was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Slot {
    /// The node's own proposal.
    Proposal = 1,
    /// A commitment to the proposal of one rank.
    Commitment = 2,
    /// How the round ended.
    Certified = 3,
    /// The proposal of another scheduler, of one rank, that this node took up.
    Followed = 4,
    /// A storage node's receipt for two roots.
    Receipt = 5,
    /// The record of the finalised round, for nodes that lag.
    Record = 6,
}

/// Name of the slot: runtime, round in big-endian, kind; so that all slots of earlier rounds lie
/// below those of a round.
pub(crate) fn slot(runtime: &RuntimeId, round: Round, slot: Slot) -> Vec<u8> {
    let mut name = round_prefix(runtime, round);
    name.push(slot as u8);
    name
}

/// Name of a slot of which a round has one for each rank.
pub(crate) fn slot_of_rank(runtime: &RuntimeId, round: Round, kind: Slot, rank: u64) -> Vec<u8> {
    let mut name = slot(runtime, round, kind);
    name.extend_from_slice(&rank.to_be_bytes());
    name
}

/// Name of the slot of a receipt: there is one for each pair of roots.
pub(crate) fn receipt_slot(runtime: &RuntimeId, round: Round, roots: &[Hash; 2]) -> Vec<u8> {
    let mut name = slot(runtime, round, Slot::Receipt);
    name.extend_from_slice(roots[0].as_bytes());
    name.extend_from_slice(roots[1].as_bytes());
    name
}

/// What the names of all slots of a round start with.
pub(crate) fn round_prefix(runtime: &RuntimeId, round: Round) -> Vec<u8> {
    [runtime.as_bytes(), &round.0.to_be_bytes()[..]].concat()
}

/// Most bytes of a proposal or its batch, as they are stored: the store takes no more.
const STORED_PROPOSAL_BYTES_MAX: usize = trilith_store::SIGNED_BYTES_MAX;

/// Most bytes beside the inputs themselves: each of them comes with its hash (34 bytes) and its
/// length (5 bytes); then the committee and what the root says.
const FRAME_BYTES_MAX: usize = trilith_params::host::BATCH_INPUTS_MAX * 39
    + COMMITTEE_MEMBERS_MAX * 34
    + trilith_protocol::root::FROM_ROOT_BYTES_MAX
    + 4096;

/// Most bytes of the inputs of a batch that this node can store with its proposal. It proposes no
/// larger batch, even where the runtime's descriptor allows one.
pub(crate) const STORED_BATCH_BYTES_MAX: u64 =
    (trilith_store::SIGNED_BYTES_MAX - FRAME_BYTES_MAX) as u64;

const _: () = assert!(STORED_BATCH_BYTES_MAX >= trilith_params::host::INPUT_BYTES_MAX as u64);

/// A proposal together with the batch it names and the circumstances under which it is executed.
/// They are kept because the root goes on: executed again under later ones, the same batch could
/// give another outcome than the one already committed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenProposal {
    /// What the scheduler signed.
    pub proposal: Proposal,
    /// The batch that it names.
    pub batch: Batch,
    /// The agreed circumstances.
    pub circumstances: Circumstances,
}

/// What the root's state of the height that a proposal names says of the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// The height.
    pub height: Height,
    /// The epoch of that height.
    pub epoch: Epoch,
    /// The newest randomness.
    pub randomness: Option<[u8; 32]>,
    /// The primaries, in committee order.
    pub committee: Vec<NodeId>,
    /// Features and incoming messages.
    pub from_root: FromRoot,
}

impl Circumstances {
    fn put(&self, encoder: &mut Encoder) {
        encoder.array(5).uint(self.height.0).uint(self.epoch.0);
        match &self.randomness {
            None => encoder.null(),
            Some(randomness) => encoder.bytes(randomness),
        };
        encoder.array(self.committee.len());
        for node in &self.committee {
            encoder.bytes(node.as_bytes());
        }
        encoder.raw(&self.from_root.encode());
    }

    fn read(decoder: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        if decoder.array("circumstances", 5)? != 5 {
            return Err(DecodeError::Field("circumstances"));
        }
        let height = Height(decoder.uint()?);
        let epoch = Epoch(decoder.uint()?);
        let randomness = if decoder.null() {
            None
        } else {
            Some(decoder.bytes_exact("randomness")?)
        };
        let mut committee = Vec::new();
        for _ in 0..decoder.array("committee", COMMITTEE_MEMBERS_MAX)? {
            committee.push(NodeId::from_bytes(decoder.bytes_exact("node")?));
        }
        let from_root = FromRoot::decode(decoder.skip()?)?;
        Ok(Self {
            height,
            epoch,
            randomness,
            committee,
            from_root,
        })
    }
}

impl OpenProposal {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder
            .array(3)
            .bytes(&self.proposal.encode())
            .bytes(&self.batch.encode());
        self.circumstances.put(&mut encoder);
        encoder.finish()
    }

    /// Reads what [`OpenProposal::encode`] wrote. The signature is not checked.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not the canonical encoding of a proposal with its batch.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array("open proposal", 3)? != 3 {
            return Err(DecodeError::Field("open proposal"));
        }
        let proposal = Proposal::decode(decoder.bytes("proposal", STORED_PROPOSAL_BYTES_MAX)?)?;
        let batch = Batch::decode(decoder.bytes("batch", STORED_PROPOSAL_BYTES_MAX)?)?;
        let circumstances = Circumstances::read(&mut decoder)?;
        decoder.finish()?;
        Ok(Self {
            proposal,
            batch,
            circumstances,
        })
    }
}

/// How a round ended: its time, and the signature over its attested leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certified {
    pub(crate) time: TimeNanos,
    pub(crate) attested: Option<AttestedSignature>,
}

impl Certified {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).uint(self.time.0);
        match &self.attested {
            None => {
                encoder.null();
            }
            Some(attested) => {
                encoder
                    .array(3)
                    .bytes(attested.state_root.as_bytes())
                    .bytes(&attested.value);
                encoder.bytes(&attested.signature);
            }
        }
        encoder.finish()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.array("certified round", 2)? != 2 {
            return Err(DecodeError::Field("certified round"));
        }
        let time = TimeNanos(decoder.uint()?);
        let attested = if decoder.null() {
            None
        } else {
            if decoder.array("attested", 3)? != 3 {
                return Err(DecodeError::Field("attested"));
            }
            Some(AttestedSignature {
                state_root: Hash::from_bytes(decoder.bytes_exact("state root")?),
                value: decoder.bytes_exact("value")?,
                signature: decoder.bytes("signature", 96)?.to_vec(),
            })
        };
        decoder.finish()?;
        Ok(Self { time, attested })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_rounds_lie_below() {
        let runtime = RuntimeId::test(1);
        let end = round_prefix(&runtime, Round(256));
        assert!(slot(&runtime, Round(255), Slot::Certified) < end);
        assert!(slot(&runtime, Round(256), Slot::Proposal) > end);
    }

    #[test]
    fn what_is_stored_is_read() {
        let attested = AttestedSignature {
            state_root: Hash::EMPTY,
            value: [3; 32],
            signature: vec![4; 48],
        };
        for attested in [None, Some(attested)] {
            let certified = Certified {
                time: TimeNanos(5),
                attested,
            };
            assert_eq!(
                Certified::decode(&certified.encode()),
                Ok(certified.clone())
            );
            assert!(Certified::decode(&certified.encode()[1..]).is_err());
        }
        let key = trilith_types::SecretKey::from_seed([1; 32]);
        let batch = Batch {
            time: TimeNanos(7),
            inputs: Vec::new(),
        };
        let runtime = RuntimeId::test(1);
        let proposal = Proposal::sign(&key, Round(1), Hash::EMPTY, &batch, &runtime, &Hash::EMPTY);
        for randomness in [None, Some([9; 32])] {
            let open = OpenProposal {
                proposal: proposal.clone(),
                batch: batch.clone(),
                circumstances: Circumstances {
                    height: Height(3),
                    epoch: Epoch(4),
                    randomness,
                    committee: vec![key.public()],
                    from_root: FromRoot::default(),
                },
            };
            assert_eq!(OpenProposal::decode(&open.encode()), Ok(open));
        }
    }
}
