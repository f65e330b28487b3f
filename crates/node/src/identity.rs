//! Who a node is: its keys, and the network it belongs to.

use std::num::NonZeroU32;
use std::sync::Arc;

use trilith_ordering::bls::{GroupKey, KeyShare, deal_for_developer_network};
use trilith_protocol::root::ThresholdKey;
use trilith_protocol::{RootGenesis, Runtime};
use trilith_types::{Hash, SecretKey, WriteLog};

use crate::PoolLimits;

/// The secrets of a node.
pub struct NodeKeys {
    /// Signs proposals, commitments and query answers.
    pub node: SecretKey,
    /// The validators' group for consensus certificates and randomness.
    pub consensus: GroupKey,
    /// This node's shares of it.
    pub consensus_shares: Vec<KeyShare>,
    /// The validators' group for attested leaves.
    pub certification: GroupKey,
    /// This node's shares of it.
    pub certification_shares: Vec<KeyShare>,
}

impl NodeKeys {
    /// The keys of the one node of a developer network, made from a secret seed: the node deals
    /// itself all shares. A network of several nodes generates its keys without a dealer.
    pub fn for_developer_network(seed: &[u8; 32]) -> Self {
        let one = NonZeroU32::MIN;
        let (consensus, consensus_shares) = deal_for_developer_network(seed, "consensus", one);
        let (certification, certification_shares) =
            deal_for_developer_network(seed, "certification", one);
        let node = Hash::of_parts(&[b"trilith/node key", seed]);
        Self {
            node: SecretKey::from_seed(*node.as_bytes()),
            consensus,
            consensus_shares,
            certification,
            certification_shares,
        }
    }

    /// The key with which the node takes part in a beacon of random functions, made from its own:
    /// the one to register.
    pub fn vrf(&self) -> SecretKey {
        let seed = Hash::of_parts(&[b"trilith/vrf key", &self.node.seed()]);
        SecretKey::from_seed(*seed.as_bytes())
    }

    /// The keys of node `index` of a developer network of several, made from the network's secret
    /// seed: the first node is the validator and holds all shares, the others hold none.
    pub fn of_developer_network(seed: &[u8; 32], index: u32) -> Self {
        let keys = Self::for_developer_network(seed);
        if index == 0 {
            return keys;
        }
        let node = Hash::of_parts(&[b"trilith/node key", seed, &index.to_be_bytes()]);
        Self {
            node: SecretKey::from_seed(*node.as_bytes()),
            consensus_shares: Vec::new(),
            certification_shares: Vec::new(),
            ..keys
        }
    }

    /// The group keys as a genesis document states them: consensus, certification.
    pub fn threshold_keys(&self) -> (ThresholdKey, ThresholdKey) {
        (
            ThresholdKey(self.consensus.bytes()),
            ThresholdKey(self.certification.bytes()),
        )
    }
}

/// What a node is started with beside its store and its runtimes.
pub struct NodeConfig {
    /// The network's genesis document. A store that was begun with another one is refused.
    pub genesis: RootGenesis,
    /// The root runtime, under which all others stand.
    pub root: Arc<dyn Runtime>,
    /// The root's state at height 0, made from the genesis document.
    pub root_state: WriteLog,
    /// The node's secrets.
    pub keys: NodeKeys,
    /// Bounds of the pool of each runtime.
    pub pool: PoolLimits,
}
