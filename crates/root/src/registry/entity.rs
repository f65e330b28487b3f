//! Registering and removing entities.

use std::collections::BTreeSet;

use trilith_protocol::RootEvent;
use trilith_protocol::root::registry::{
    ENTITY_VERSION, Entity, EntityEvent, GAS_DEREGISTER_ENTITY, GAS_REGISTER_ENTITY,
    GAS_REGISTER_NODE, RegistryEvent, RegistryParameters,
};
use trilith_protocol::root::{Address, Signed};
use trilith_types::{Hash, PublicKey, SignatureContext};

use super::RegistryError;
use super::error::malformed;
use super::stake;
use super::store::{ENTITIES, NODES_OF, RUNTIMES_OF, key, parameters_of};
use crate::Refusal;
use crate::scope::{Call, Scope};
use crate::staking;

/// Charges the gas of an operation, several times.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    parameters: &RegistryParameters,
    operation: &str,
    times: u64,
) -> Result<(), Refusal> {
    let cost = parameters.gas_costs.get(&operation.into());
    call.charge(scope, cost.copied().unwrap_or(0).saturating_mul(times))?;
    Ok(())
}

/// Checks a signed descriptor by itself.
pub(super) fn open(signed: &Signed) -> Result<Entity, RegistryError> {
    // The context of descriptors carries no network.
    let raw = signed.open(SignatureContext::RegisterEntity, &Hash::EMPTY)?;
    let entity = Entity::decode(raw).map_err(malformed("entity"))?;
    if entity.v != ENTITY_VERSION {
        return Err(RegistryError::Version {
            what: "entity",
            found: entity.v,
            expected: ENTITY_VERSION,
        });
    }
    let found = signed.signature.public_key;
    if found != entity.id {
        return Err(RegistryError::Signer {
            found,
            expected: entity.id,
        });
    }
    let mut seen = BTreeSet::new();
    match entity.nodes.iter().find(|node| !seen.insert(**node)) {
        Some(twice) => Err(RegistryError::NodeTwice(*twice)),
        None => Ok(entity),
    }
}

/// `registry.RegisterEntity`.
pub(super) fn register(scope: &mut Scope<'_>, call: &mut Call, body: &[u8]) -> Result<(), Refusal> {
    let signed = Signed::decode(body).map_err(malformed("signed entity"))?;
    let entity = open(&signed)?;
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_REGISTER_ENTITY, 1)?;
    let nodes = entity.nodes.len() as u64;
    charge(scope, call, &parameters, GAS_REGISTER_NODE, nodes)?;
    must_be(&call.signer, &entity.id)?;
    let address = Address::of_key(&entity.id);
    staking::add_claim(scope, &address, stake::entity_claim(), stake::of_entity())?;
    scope
        .overlay
        .put_record(key(ENTITIES, entity.id.as_bytes()), &signed);
    emit(scope, entity.id, true);
    Ok(())
}

fn emit(scope: &mut Scope<'_>, id: PublicKey, is_registration: bool) {
    scope.emit(RootEvent::Registry(RegistryEvent::Entity(EntityEvent {
        id,
        is_registration,
    })));
}

/// Refuses a transaction that somebody else signed.
pub(super) fn must_be(found: &PublicKey, expected: &PublicKey) -> Result<(), RegistryError> {
    if found == expected {
        return Ok(());
    }
    Err(RegistryError::Signer {
        found: *found,
        expected: *expected,
    })
}

/// `registry.DeregisterEntity`. It has no argument.
pub(super) fn deregister(
    scope: &mut Scope<'_>,
    call: &mut Call,
    body: &[u8],
) -> Result<(), Refusal> {
    if !body.is_empty() {
        let error = trilith_types::cbor::DecodeError::Trailing { count: body.len() };
        return Err(malformed("argument")(error).into());
    }
    let parameters = parameters_of(scope)?;
    charge(scope, call, &parameters, GAS_DEREGISTER_ENTITY, 1)?;
    let id = call.signer;
    if !scope.overlay.all(&key(NODES_OF, id.as_bytes()))?.is_empty() {
        return Err(RegistryError::HasNodes(id).into());
    }
    if !scope
        .overlay
        .all(&key(RUNTIMES_OF, id.as_bytes()))?
        .is_empty()
    {
        return Err(RegistryError::HasRuntimes(id).into());
    }
    if scope.overlay.entity(&id)?.is_none() {
        return Err(RegistryError::NoSuchEntity(id).into());
    }
    scope.overlay.put(key(ENTITIES, id.as_bytes()), None);
    staking::remove_claim(scope, &Address::of_key(&id), &stake::entity_claim())?;
    emit(scope, id, false);
    Ok(())
}
