//! Who votes: the entities with a validator, each with its active pool.
//!
//! This is the one place that says so. Until validators are elected by stake these are the entities
//! whose validators could be.

use std::collections::BTreeMap;

use trilith_protocol::root::Address;
use trilith_protocol::root::staking::SharePool;
use trilith_types::StateFault;

use crate::scope::Scope;
use crate::{registry, staking};

/// By account, the active pools of the voters.
pub(super) type Voters = BTreeMap<Address, SharePool>;

/// The voters, each once however many validators it has.
pub(super) fn voters(scope: &mut Scope<'_>) -> Result<Voters, StateFault> {
    let mut voters = Voters::new();
    for entity in registry::validator_entities(scope)? {
        let address = Address::of_key(&entity);
        let pool = staking::active_pool(scope, &address)?;
        voters.insert(address, pool);
    }
    Ok(voters)
}
