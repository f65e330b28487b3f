//! Where things of the registry stand in the state. See the service for the table.

use std::ops::ControlFlow;

use trilith_protocol::root::registry::{Entity, Node, NodeStatus, RegistryParameters, Runtime};
use trilith_protocol::root::{LISTED_MAX, MultiSigned, Signed};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{NodeId, PublicKey, RuntimeId, StateFault, StateRead};

use crate::overlay::{Overlay, Values};
use crate::scope::{Scope, broken};
use crate::state::{Record, read, read_required, record_of_encoded};

pub(super) const PARAMETERS: &[u8] = b"Rp";
pub(super) const ENTITIES: &[u8] = b"Re";
pub(super) const NODES: &[u8] = b"Rn";
pub(super) const STATUSES: &[u8] = b"Rs";
pub(super) const SUB_KEYS: &[u8] = b"Rk";
pub(super) const NODES_OF: &[u8] = b"Rx";
pub(super) const RUNTIMES: &[u8] = b"Rr";
pub(super) const SUSPENDED: &[u8] = b"Rz";
pub(super) const RUNTIMES_OF: &[u8] = b"Ro";

record_of_encoded!(RegistryParameters, "registry parameters");
record_of_encoded!(Signed, "entity");
record_of_encoded!(MultiSigned, "node");
record_of_encoded!(NodeStatus, "node status");
record_of_encoded!(Runtime, "runtime");

/// A 32-byte key, or that something is in an index.
impl Record for PublicKey {
    const NAME: &'static str = "key";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.bytes(self.as_bytes());
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let key = Self::from_bytes(decoder.bytes_exact("key")?);
        decoder.finish()?;
        Ok(key)
    }
}

/// What stands at a key of an index: a true.
pub(super) const MARK: &[u8] = &[0xf5];

pub(super) fn key(prefix: &[u8], id: &[u8; 32]) -> Vec<u8> {
    [prefix, id].concat()
}

pub(super) fn index_key(prefix: &[u8], entity: &PublicKey, id: &[u8; 32]) -> Vec<u8> {
    [prefix, entity.as_bytes(), id].concat()
}

/// Reads the descriptor of an entity that was registered, which is therefore sound.
pub(super) fn opened_entity(signed: &Signed) -> Result<Entity, StateFault> {
    Entity::decode(&signed.raw.0).map_err(|_| broken("a registered entity cannot be decoded"))
}

/// Reads the descriptor of a node that was registered, which is therefore sound.
pub(super) fn opened_node(signed: &MultiSigned) -> Result<Node, StateFault> {
    Node::decode(&signed.raw.0).map_err(|_| broken("a registered node cannot be decoded"))
}

impl Overlay<'_> {
    /// The descriptor of a registered entity.
    pub(super) fn entity(&mut self, id: &PublicKey) -> Result<Option<Entity>, StateFault> {
        let signed: Option<Signed> = self.record(&key(ENTITIES, id.as_bytes()))?;
        signed.as_ref().map(opened_entity).transpose()
    }

    /// The descriptor of a registered node.
    pub(super) fn node(&mut self, id: &NodeId) -> Result<Option<Node>, StateFault> {
        let signed: Option<MultiSigned> = self.record(&key(NODES, id.as_bytes()))?;
        signed.as_ref().map(opened_node).transpose()
    }

    /// The status of a registered node.
    pub(super) fn status(&mut self, id: &NodeId) -> Result<NodeStatus, StateFault> {
        self.required(&key(STATUSES, id.as_bytes()))
    }

    /// Writes the status of a node.
    pub(super) fn put_status(&mut self, id: &NodeId, status: &NodeStatus) {
        self.put_record(key(STATUSES, id.as_bytes()), status);
    }

    /// The node that has a key beside its own.
    pub(super) fn node_of_sub_key(
        &mut self,
        sub_key: &PublicKey,
    ) -> Result<Option<NodeId>, StateFault> {
        self.record(&key(SUB_KEYS, sub_key.as_bytes()))
    }

    /// A runtime, and whether it is suspended.
    pub(super) fn any_runtime(
        &mut self,
        id: &RuntimeId,
    ) -> Result<Option<(Runtime, bool)>, StateFault> {
        if let Some(runtime) = self.record(&key(RUNTIMES, id.as_bytes()))? {
            return Ok(Some((runtime, false)));
        }
        let suspended: Option<Runtime> = self.record(&key(SUSPENDED, id.as_bytes()))?;
        Ok(suspended.map(|runtime| (runtime, true)))
    }

    /// The nodes of an entity, ascending.
    pub(super) fn nodes_of(&mut self, entity: &PublicKey) -> Result<Vec<Node>, StateFault> {
        let prefix = key(NODES_OF, entity.as_bytes());
        let mut nodes = Vec::new();
        for (index, _) in self.all(&prefix)? {
            let id = PublicKey::from_slice(&index[prefix.len()..]);
            let node = id.map(|id| self.node(&id)).transpose()?.flatten();
            nodes.push(node.ok_or_else(|| broken("an entity has a node that is not there"))?);
        }
        Ok(nodes)
    }
}

/// The parameters in a height in the making.
pub(crate) fn parameters_of(scope: &mut Scope<'_>) -> Result<RegistryParameters, StateFault> {
    scope.overlay.required(PARAMETERS)
}

/// The descriptor of a registered runtime, suspended or not.
pub(crate) fn descriptor(
    scope: &mut Scope<'_>,
    id: &RuntimeId,
) -> Result<Option<Runtime>, StateFault> {
    Ok(scope.overlay.any_runtime(id)?.map(|(runtime, _)| runtime))
}

/// The descriptor of a runtime that runs.
pub(crate) fn running(
    scope: &mut Scope<'_>,
    id: &RuntimeId,
) -> Result<Option<Runtime>, StateFault> {
    scope.overlay.record(&key(RUNTIMES, id.as_bytes()))
}

/// The descriptor of an entity; `None` if it is not registered.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn entity(view: &dyn StateRead, id: &PublicKey) -> Result<Option<Entity>, StateFault> {
    Overlay::new(view, Values::new()).entity(id)
}

/// The descriptor of a node; `None` if it is not known.
///
/// # Errors
/// See [`entity`].
pub fn node(view: &dyn StateRead, id: &NodeId) -> Result<Option<Node>, StateFault> {
    Overlay::new(view, Values::new()).node(id)
}

/// What is known of a node beside its descriptor; `None` if it is not known.
///
/// # Errors
/// See [`entity`].
pub fn node_status(view: &dyn StateRead, id: &NodeId) -> Result<Option<NodeStatus>, StateFault> {
    read(view, &key(STATUSES, id.as_bytes()))
}

/// The descriptor of a runtime that runs; `None` if there is none.
///
/// # Errors
/// See [`entity`].
pub fn runtime(view: &dyn StateRead, id: &RuntimeId) -> Result<Option<Runtime>, StateFault> {
    read(view, &key(RUNTIMES, id.as_bytes()))
}

/// The descriptor of a suspended runtime; `None` if there is none.
///
/// # Errors
/// See [`entity`].
pub fn suspended_runtime(
    view: &dyn StateRead,
    id: &RuntimeId,
) -> Result<Option<Runtime>, StateFault> {
    read(view, &key(SUSPENDED, id.as_bytes()))
}

/// The parameters.
///
/// # Errors
/// See [`entity`].
pub fn parameters(view: &dyn StateRead) -> Result<RegistryParameters, StateFault> {
    read_required(view, PARAMETERS)
}

/// The round a runtime starts from by its descriptor; 0 if it is not registered.
pub(crate) fn first_round(view: &dyn StateRead, id: &RuntimeId) -> Result<u64, StateFault> {
    let found = Overlay::new(view, Values::new()).any_runtime(id)?;
    Ok(found.map_or(0, |(runtime, _)| runtime.genesis.round))
}

/// Which kind of registration is listed.
#[derive(Clone, Copy)]
enum Listed {
    Entities,
    Nodes,
    Runtimes,
}

impl Listed {
    /// Where the descriptors stand.
    const fn prefixes(self) -> &'static [&'static [u8]] {
        match self {
            Self::Entities => &[ENTITIES],
            Self::Nodes => &[NODES],
            Self::Runtimes => &[RUNTIMES, SUSPENDED],
        }
    }
}

/// The identifiers above `after`, ascending, at most [`LISTED_MAX`].
fn listed(
    view: &dyn StateRead,
    what: Listed,
    after: Option<&[u8; 32]>,
) -> Result<Vec<[u8; 32]>, StateFault> {
    let mut ids: Vec<[u8; 32]> = Vec::new();
    for prefix in what.prefixes() {
        let mut found = 0;
        view.iterate(prefix, &mut |key, _| {
            let id = <[u8; 32]>::try_from(&key[prefix.len()..]);
            if let Ok(id) = id
                && after.is_none_or(|after| id > *after)
            {
                ids.push(id);
                found += 1;
            }
            if found == LISTED_MAX {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
    }
    ids.sort_unstable();
    ids.truncate(LISTED_MAX);
    Ok(ids)
}

/// The registered entities above `after`, ascending, at most [`LISTED_MAX`].
///
/// # Errors
/// See [`entity`].
pub fn entities(
    view: &dyn StateRead,
    after: Option<&PublicKey>,
) -> Result<Vec<PublicKey>, StateFault> {
    let ids = listed(view, Listed::Entities, after.map(PublicKey::as_bytes))?;
    Ok(ids.into_iter().map(PublicKey::from_bytes).collect())
}

/// The nodes that are known above `after`, ascending, at most [`LISTED_MAX`].
///
/// # Errors
/// See [`entity`].
pub fn nodes(view: &dyn StateRead, after: Option<&NodeId>) -> Result<Vec<NodeId>, StateFault> {
    let ids = listed(view, Listed::Nodes, after.map(PublicKey::as_bytes))?;
    Ok(ids.into_iter().map(PublicKey::from_bytes).collect())
}

/// The registered runtimes above `after`, suspended ones included, ascending, at most
/// [`LISTED_MAX`].
///
/// # Errors
/// See [`entity`].
pub fn runtimes(
    view: &dyn StateRead,
    after: Option<&RuntimeId>,
) -> Result<Vec<RuntimeId>, StateFault> {
    let ids = listed(view, Listed::Runtimes, after.map(RuntimeId::as_bytes))?;
    Ok(ids.into_iter().map(RuntimeId::from_bytes).collect())
}
