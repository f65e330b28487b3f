//! Which nodes may register for a runtime.

use std::collections::BTreeMap;

use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::PublicKey;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use crate::wire::{Shape, Wire, wire_struct};

/// A value that says something by being there: a map without fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marker;

impl Wire for Marker {
    fn put(&self, encoder: &mut Encoder) {
        encoder.map(0);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        decoder.map(what, 0)?;
        Ok(Self)
    }

    fn is_empty(&self) -> bool {
        false
    }

    fn shape() -> Shape {
        Shape::Struct(Vec::new())
    }
}

wire_struct! {
    /// Limits of one entity.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct WhitelistConfig as "whitelist entry", at most TRANSACTION_BYTES_MAX, {
        /// Most nodes by role; none for a role that is not there, any number if there is no role.
        max_nodes: BTreeMap<u32, u16> = unless_empty "max_nodes",
    }
}

wire_struct! {
    /// The entities whose nodes may register.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct EntityWhitelist as "entity whitelist", at most TRANSACTION_BYTES_MAX, {
        /// Limits by entity.
        entities: BTreeMap<PublicKey, WhitelistConfig> = always "entities",
    }
}

wire_struct! {
    /// Limits of one entity for one role.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RoleWhitelistConfig as "role whitelist entry", at most 64, {
        /// Most nodes; 0 is any number.
        max_nodes: u16 = unless_empty "max_nodes",
    }
}

wire_struct! {
    /// The entities whose nodes may register in one role.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct RoleWhitelist as "role whitelist", at most TRANSACTION_BYTES_MAX, {
        /// Limits by entity.
        entities: BTreeMap<PublicKey, RoleWhitelistConfig> = always "entities",
    }
}

wire_struct! {
    /// Which nodes may register in one role.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct PerRolePolicy as "role policy", at most TRANSACTION_BYTES_MAX, {
        /// Only nodes of these entities.
        entity_whitelist: Option<RoleWhitelist> = unless_empty "entity_whitelist",
    }
}

wire_struct! {
    /// Which nodes may register: any, or those that satisfy all that is given.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct AdmissionPolicy as "admission policy", at most TRANSACTION_BYTES_MAX, {
        /// Any node.
        any_node: Option<Marker> = unless_empty "any_node",
        /// Only nodes of these entities.
        entity_whitelist: Option<EntityWhitelist> = unless_empty "entity_whitelist",
        /// By role, who may register in it.
        per_role: BTreeMap<u32, PerRolePolicy> = unless_empty "per_role",
    }
}
