//! Descriptors of entities.

use trilith_params::root::TRANSACTION_BYTES_MAX;
use trilith_types::PublicKey;

use crate::wire::wire_struct;

/// The version of entity descriptors that can be registered.
///
/// Source: Oasis Core `common/entity` (`LatestDescriptorVersion`).
pub const ENTITY_VERSION: u16 = 2;

wire_struct! {
    /// Who owns nodes and runtimes, and puts up stake for them.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Entity as "entity", at most TRANSACTION_BYTES_MAX, {
        /// Version of the descriptor.
        v: u16 = always "v",
        /// The entity's key.
        id: PublicKey = always "id",
        /// The keys of its nodes, which register themselves.
        nodes: Vec<PublicKey> = unless_empty "nodes",
    }
}
