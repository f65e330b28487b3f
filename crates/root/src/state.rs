//! Where things stand in the root's state, and how to read them from a view.
//!
//! | key | value |
//! |---|---|
//! | `g` | network: `[chain context, epoch interval, [runtime id, …], transaction parameters]` |
//! | `k` | keys: `[consensus key, certification key]` |
//! | `n` ‖ node | roles |
//! | `r` ‖ runtime | descriptor |
//! | `h` | height: `[height, time, newest randomness]` |
//! | `e` | epoch: `[epoch, its first height]` |
//! | `c` ‖ runtime | committee; absent while suspended |
//! | `b` ‖ runtime | header of the newest block |
//! | `o` ‖ runtime | pool of the running round; absent while empty |
//! | `q` ‖ runtime | results of the newest round with an outcome |
//! | `v` ‖ height, big-endian | events of a height, for `EVENTS_KEPT` heights |
//! | `S` ‖ …, `R` ‖ … | staking and registry; their keys are listed in their modules |
//! | `B` ‖ …, `V` ‖ … | beacon and scheduler; likewise |
//! | `H` ‖ …, `G` ‖ …, `K` ‖ … | roothash, governance and key managers; likewise |
//!
//! Every function fails with [`StateFault`] if the view cannot be read or holds what the root
//! never wrote there.

use trilith_params::root::{COMMITTEE_MEMBERS_MAX, EVENTS_HEIGHT_MAX, RUNTIMES_MAX};
use trilith_protocol::root::{
    NodeRoles, RoundResults as Results, RuntimeDescriptor, ThresholdKey, TransactionParameters,
};
use trilith_protocol::{BlockHeader, Committee, RootEvent};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{
    Epoch, Hash, Height, NodeId, PublicKey, Round, RuntimeId, StateFault, StateRead, TimeNanos,
};

use crate::overlay::Overlay;
use crate::roothash::pool::Pool;

/// Key of [`Network`].
pub(crate) const NETWORK: &[u8] = b"g";
/// Key of the threshold keys.
pub(crate) const KEYS: &[u8] = b"k";
/// Key of [`Tip`].
pub(crate) const TIP: &[u8] = b"h";
/// Key of [`EpochRecord`].
pub(crate) const EPOCH: &[u8] = b"e";
/// Prefix of events.
pub(crate) const EVENTS: &[u8] = b"v";
/// Prefix of nodes.
pub(crate) const NODES: &[u8] = b"n";

/// Key of what the root keeps of one runtime.
#[derive(Clone, Copy)]
pub(crate) enum OfRuntime {
    Descriptor = b'r' as isize,
    Committee = b'c' as isize,
    Block = b'b' as isize,
    Pool = b'o' as isize,
    Results = b'q' as isize,
}

impl OfRuntime {
    pub(crate) fn key(self, runtime: &RuntimeId) -> Vec<u8> {
        let mut key = vec![self as u8];
        key.extend_from_slice(runtime.as_bytes());
        key
    }
}

pub(crate) fn node_key(node: &NodeId) -> Vec<u8> {
    [NODES, node.as_bytes()].concat()
}

pub(crate) fn events_key(height: Height) -> Vec<u8> {
    [EVENTS, &height.0.to_be_bytes()].concat()
}

/// What never changes after genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Hash of the genesis document, which names the network.
    pub chain_context: Hash,
    /// Heights between elections.
    pub epoch_interval: u64,
    /// The runtimes, ascending.
    pub runtimes: Vec<RuntimeId>,
    /// What holds for every signed transaction.
    pub transactions: TransactionParameters,
}

/// The newest height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The height.
    pub height: Height,
    /// Its agreed time.
    pub time: TimeNanos,
    /// The newest randomness the root was given; the chain context before the first.
    pub randomness: [u8; 32],
}

/// The running epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochRecord {
    /// The epoch.
    pub epoch: Epoch,
    /// Its first height.
    pub since: Height,
}

/// What the root made of the newest round with an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoundResults {
    /// The round.
    pub round: Round,
    /// What the runtime's next round is told of it.
    pub results: Results,
    /// Members that voted for the outcome.
    pub good: Vec<NodeId>,
    /// Members that voted for another one.
    pub bad: Vec<NodeId>,
}

/// What the root keeps in one entry.
pub(crate) trait Record: Sized {
    /// What to call it when it cannot be read.
    const NAME: &'static str;
    fn to_bytes(&self) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError>;
}

pub(crate) fn decoded<R: Record>(bytes: &[u8]) -> Result<R, StateFault> {
    R::from_bytes(bytes)
        .map_err(|error| StateFault(format!("the root's state has a bad {}: {error}", R::NAME)))
}

fn missing<R: Record>() -> StateFault {
    StateFault(format!("the root's state has no {}", R::NAME))
}

pub(crate) fn read<R: Record>(view: &dyn StateRead, key: &[u8]) -> Result<Option<R>, StateFault> {
    view.get(key)?.map(|bytes| decoded(&bytes)).transpose()
}

pub(crate) fn read_required<R: Record>(view: &dyn StateRead, key: &[u8]) -> Result<R, StateFault> {
    read(view, key)?.ok_or_else(missing::<R>)
}

impl Overlay<'_> {
    pub(crate) fn record<R: Record>(&mut self, key: &[u8]) -> Result<Option<R>, StateFault> {
        self.get(key)?.map(|bytes| decoded(&bytes)).transpose()
    }

    pub(crate) fn required<R: Record>(&mut self, key: &[u8]) -> Result<R, StateFault> {
        self.record(key)?.ok_or_else(missing::<R>)
    }

    pub(crate) fn put_record<R: Record>(&mut self, key: Vec<u8>, record: &R) {
        self.put(key, Some(record.to_bytes()));
    }
}

/// The constants of the network.
///
/// # Errors
/// See the module.
pub fn network(view: &dyn StateRead) -> Result<Network, StateFault> {
    read_required(view, NETWORK)
}

/// The newest height with its time.
///
/// # Errors
/// See the module.
pub fn tip(view: &dyn StateRead) -> Result<Tip, StateFault> {
    read_required(view, TIP)
}

/// The running epoch.
///
/// # Errors
/// See the module.
pub fn epoch(view: &dyn StateRead) -> Result<EpochRecord, StateFault> {
    read_required(view, EPOCH)
}

/// The group keys of the validators: for consensus, and for certification.
///
/// # Errors
/// See the module.
pub fn keys(view: &dyn StateRead) -> Result<(ThresholdKey, ThresholdKey), StateFault> {
    let Keys(consensus, certification) = read_required(view, KEYS)?;
    Ok((consensus, certification))
}

/// What the root knows of a runtime; `None` if it knows none of this identifier.
///
/// # Errors
/// See the module.
pub fn descriptor(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<Option<RuntimeDescriptor>, StateFault> {
    read(view, &OfRuntime::Descriptor.key(runtime))
}

/// The committee of a runtime; `None` if it is suspended or unknown.
///
/// # Errors
/// See the module.
pub fn committee(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<Option<Committee>, StateFault> {
    read(view, &OfRuntime::Committee.key(runtime))
}

/// The header of the newest block of a runtime; `None` if the runtime is unknown.
///
/// # Errors
/// See the module.
pub fn latest_block(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<Option<BlockHeader>, StateFault> {
    read(view, &OfRuntime::Block.key(runtime))
}

/// The commitments of the running round of a runtime; empty if there are none.
///
/// # Errors
/// See the module.
pub fn pool(view: &dyn StateRead, runtime: &RuntimeId) -> Result<Pool, StateFault> {
    Ok(read(view, &OfRuntime::Pool.key(runtime))?.unwrap_or_default())
}

/// The results of the newest round of a runtime that had an outcome; `None` before the first.
///
/// # Errors
/// See the module.
pub fn round_results(
    view: &dyn StateRead,
    runtime: &RuntimeId,
) -> Result<Option<RoundResults>, StateFault> {
    read(view, &OfRuntime::Results.key(runtime))
}

/// The events of a height that no transaction caused by itself: epochs, elections, blocks,
/// disputes. Empty if there were none, or if they are too old.
///
/// # Errors
/// See the module.
pub fn events(view: &dyn StateRead, height: Height) -> Result<Vec<RootEvent>, StateFault> {
    Ok(read::<Events>(view, &events_key(height))?
        .map(|events| events.0)
        .unwrap_or_default())
}

/// The roles of a node; `None` if the root does not know it.
///
/// # Errors
/// See the module.
pub fn node(view: &dyn StateRead, node: &NodeId) -> Result<Option<NodeRoles>, StateFault> {
    read(view, &node_key(node))
}

pub(crate) struct Events(pub(crate) Vec<RootEvent>);
pub(crate) struct Keys(pub(crate) ThresholdKey, pub(crate) ThresholdKey);

/// Reads an array of exactly `len` items that takes up all of `bytes`.
fn tuple<T>(
    bytes: &[u8],
    len: usize,
    read: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    if decoder.array("record", len)? != len {
        return Err(DecodeError::Field("record"));
    }
    let value = read(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

fn put_nodes(encoder: &mut Encoder, nodes: &[NodeId]) {
    encoder.array(nodes.len());
    for node in nodes {
        encoder.bytes(node.as_bytes());
    }
}

fn read_nodes(decoder: &mut Decoder<'_>) -> Result<Vec<NodeId>, DecodeError> {
    let count = decoder.array("nodes", 2 * COMMITTEE_MEMBERS_MAX)?;
    (0..count)
        .map(|_| Ok(PublicKey::from_bytes(decoder.bytes_exact::<32>("node")?)))
        .collect()
}

impl Record for Network {
    const NAME: &'static str = "description of the network";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder
            .array(4)
            .bytes(self.chain_context.as_bytes())
            .uint(self.epoch_interval);
        encoder.array(self.runtimes.len());
        for runtime in &self.runtimes {
            encoder.bytes(runtime.as_bytes());
        }
        encoder.raw(&self.transactions.encode());
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        tuple(bytes, 4, |d| {
            let chain_context = Hash::from_bytes(d.bytes_exact::<32>("chain context")?);
            let epoch_interval = d.uint()?;
            let count = d.array("runtimes", RUNTIMES_MAX)?;
            let runtimes = (0..count)
                .map(|_| Ok(RuntimeId::from_bytes(d.bytes_exact::<32>("runtime")?)))
                .collect::<Result<_, DecodeError>>()?;
            Ok(Self {
                chain_context,
                epoch_interval,
                runtimes,
                transactions: TransactionParameters::decode(d.skip()?)?,
            })
        })
    }
}

impl Record for Tip {
    const NAME: &'static str = "height";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder
            .array(3)
            .uint(self.height.0)
            .uint(self.time.0)
            .bytes(&self.randomness);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        tuple(bytes, 3, |d| {
            let (height, time) = (Height(d.uint()?), TimeNanos(d.uint()?));
            Ok(Self {
                height,
                time,
                randomness: d.bytes_exact("randomness")?,
            })
        })
    }
}

impl Record for EpochRecord {
    const NAME: &'static str = "epoch";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).uint(self.epoch.0).uint(self.since.0);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        tuple(bytes, 2, |d| {
            Ok(Self {
                epoch: Epoch(d.uint()?),
                since: Height(d.uint()?),
            })
        })
    }
}

impl Record for Keys {
    const NAME: &'static str = "threshold keys";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(2).bytes(&self.0.0).bytes(&self.1.0);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        tuple(bytes, 2, |d| {
            let consensus = ThresholdKey(d.bytes_exact("consensus key")?);
            Ok(Self(
                consensus,
                ThresholdKey(d.bytes_exact("certification key")?),
            ))
        })
    }
}

impl Record for NodeRoles {
    const NAME: &'static str = "node";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.array(1).uint(self.bits().into());
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        tuple(bytes, 1, |d| {
            let bits = u32::try_from(d.uint()?).map_err(|_| DecodeError::Field("roles"))?;
            Self::from_bits(bits).ok_or(DecodeError::Field("roles"))
        })
    }
}

impl Record for RoundResults {
    const NAME: &'static str = "round results";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder
            .array(4)
            .uint(self.round.0)
            .raw(&self.results.encode());
        put_nodes(&mut encoder, &self.good);
        put_nodes(&mut encoder, &self.bad);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        tuple(bytes, 4, |d| {
            let round = Round(d.uint()?);
            let results = Results::decode(d.skip()?)?;
            Ok(Self {
                round,
                results,
                good: read_nodes(d)?,
                bad: read_nodes(d)?,
            })
        })
    }
}

impl Record for Events {
    const NAME: &'static str = "list of events";

    fn to_bytes(&self) -> Vec<u8> {
        RootEvent::encode_list(&self.0)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        RootEvent::decode_list(bytes, EVENTS_HEIGHT_MAX).map(Self)
    }
}

/// Makes a [`Record`] of what has `encode` and `decode`.
macro_rules! record_of_encoded {
    ($type:ty, $name:literal) => {
        impl $crate::state::Record for $type {
            const NAME: &'static str = $name;

            fn to_bytes(&self) -> Vec<u8> {
                self.encode()
            }

            fn from_bytes(bytes: &[u8]) -> Result<Self, trilith_types::cbor::DecodeError> {
                Self::decode(bytes)
            }
        }
    };
}

pub(crate) use record_of_encoded;

record_of_encoded!(RuntimeDescriptor, "descriptor");
record_of_encoded!(Committee, "committee");
record_of_encoded!(BlockHeader, "block header");
record_of_encoded!(Pool, "pool of commitments");
