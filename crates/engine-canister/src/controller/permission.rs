//! Who may read which paths of the certified state.
//!
//! ```text
//! /time, /api_boundary_nodes/…, /subnet/…, /canister_ranges/<subnet>    anyone
//! /subnet/<s>/canister_ranges                 anyone; where <s> is not the root subnet, only
//!                                             through endpoints of version 2
//! /subnet/<s>/metrics                         anyone, at the address of <s>
//! /canister/<c>/{module_hash, controllers,
//!   canister_creation_timestamp,
//!   last_install_timestamp}                   anyone, at the address of <c>
//! /canister/<c>/metadata/<name>               the same; a private section: controllers of <c>
//! /request_status/<id>/…                      who sent the request, at the address it belongs to,
//!                                             with delegations that allow the canister called;
//!                                             that it is not known: anyone
//! everything else, certified data too         nobody
//! ```
//!
//! Knows the records of the state and an authenticated request; decides nothing else. Requests for
//! other forms of paths than these are refused as a whole, so that no subtree shows more than its
//! path was checked for.
//!
//! Source: interface specification, "Request: Read state".

use std::collections::BTreeSet;

use candid::Principal;

use super::query_format::Effective;
use super::snapshot::Snapshot;
use crate::ingress::{IngressError, ReadStateContent, SignedDelegation};

/// A read that is to be permitted or refused.
pub(super) struct Permission<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// This subnet, which is the root of trust itself.
    pub(super) subnet: Principal,
    pub(super) read: &'a ReadStateContent,
    /// By which the reader speaks for the sender of the request.
    pub(super) delegations: &'a [SignedDelegation],
    pub(super) effective: Effective,
    /// Version of the endpoint.
    pub(super) version: u64,
}

/// What paths of one read may name only once.
#[derive(Default)]
struct Named<'p> {
    requests: BTreeSet<&'p [u8]>,
    ranges: BTreeSet<&'p [u8]>,
}

impl Permission<'_> {
    pub(super) fn check(&self) -> Result<(), IngressError> {
        if let Effective::Subnet(address) = self.effective
            && address != self.subnet
        {
            return Err(IngressError::EffectiveCanister {
                address,
                effective: self.subnet,
            });
        }
        let mut named = Named::default();
        for path in &self.read.paths {
            self.check_path(path, &mut named)?;
        }
        if named.requests.len() > 1 {
            return Err(IngressError::SeveralRequests(named.requests.len()));
        }
        if named.ranges.len() > 1 {
            return Err(IngressError::SeveralSubnets(named.ranges.len()));
        }
        Ok(())
    }

    fn check_path<'p>(
        &self,
        path: &'p [Vec<u8>],
        named: &mut Named<'p>,
    ) -> Result<(), IngressError> {
        let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
        match labels.as_slice() {
            [b"time"] => Ok(()),
            [b"api_boundary_nodes", rest @ ..] if name_boundary_nodes(rest) => Ok(()),
            [b"canister_ranges", subnet] | [b"canister_ranges", subnet, _] => {
                named.ranges.insert(*subnet);
                Ok(())
            }
            [b"subnet", rest @ ..] => self.check_subnet(rest, path),
            [b"request_status", id, rest @ ..] if name_status(rest) => {
                named.requests.insert(*id);
                self.check_request(id)
            }
            [b"canister", id, rest @ ..] => self.check_canister(id, rest, path),
            _ => Err(IngressError::PathInvalid(text_of(path))),
        }
    }

    fn check_subnet(&self, rest: &[&[u8]], path: &[Vec<u8>]) -> Result<(), IngressError> {
        match rest {
            []
            | [_]
            | [_, b"public_key" | b"type" | b"node"]
            | [_, b"node", _]
            | [_, b"node", _, b"public_key"] => Ok(()),
            [id, b"canister_ranges"] if self.version < 3 || *id == self.subnet.as_slice() => Ok(()),
            [id, b"metrics"] if *id == self.subnet.as_slice() && self.at_subnet() => Ok(()),
            _ => Err(IngressError::PathInvalid(text_of(path))),
        }
    }

    fn at_subnet(&self) -> bool {
        matches!(self.effective, Effective::Subnet(_))
    }

    fn check_canister(
        &self,
        id: &[u8],
        rest: &[&[u8]],
        path: &[Vec<u8>],
    ) -> Result<(), IngressError> {
        let invalid = || IngressError::PathInvalid(text_of(path));
        let Effective::Canister(address) = self.effective else {
            return Err(invalid());
        };
        let effective = Principal::try_from_slice(id).map_err(|_| invalid())?;
        if effective != address {
            return Err(IngressError::EffectiveCanister { address, effective });
        }
        match rest {
            [
                b"module_hash"
                | b"controllers"
                | b"canister_creation_timestamp"
                | b"last_install_timestamp",
            ] => Ok(()),
            [b"metadata", name] => self.check_metadata(effective, name, path),
            [b"certified_data", ..] => Err(IngressError::PathForbidden(text_of(path))),
            _ => Err(invalid()),
        }
    }

    /// The status of a request may be read by its sender, where it belongs. That an unknown one is
    /// absent may be read by anyone.
    fn check_request(&self, id: &[u8]) -> Result<(), IngressError> {
        let id = <[u8; 32]>::try_from(id).map_err(|_| {
            IngressError::PathInvalid(format!(
                "request_status with an id of {} bytes, not 32",
                id.len()
            ))
        })?;
        let Some(record) = self.snapshot.requests.get(&id) else {
            return Ok(());
        };
        if record.sender != self.read.sender {
            let named = format!("request_status/{}", hex(&id));
            return Err(IngressError::PathForbidden(named));
        }
        let allowed = |delegation: &SignedDelegation| {
            let targets = delegation.targets.as_ref();
            targets.is_none_or(|targets| targets.contains(&record.receiver))
        };
        if !self.delegations.iter().all(allowed) {
            return Err(IngressError::ReadTarget(record.receiver));
        }
        match (record.effective, self.effective) {
            (Some(effective), Effective::Canister(address) | Effective::Subnet(address))
                if effective != address =>
            {
                Err(IngressError::EffectiveCanister { address, effective })
            }
            _ => Ok(()),
        }
    }

    fn check_metadata(
        &self,
        id: Principal,
        name: &[u8],
        path: &[Vec<u8>],
    ) -> Result<(), IngressError> {
        if std::str::from_utf8(name).is_err() {
            return Err(IngressError::PathInvalid(text_of(path)));
        }
        let canister = self.snapshot.canisters.get(&id);
        let code =
            canister.and_then(|canister| canister.code.as_ref().map(|code| (canister, code)));
        let Some((canister, code)) = code else {
            return Ok(());
        };
        let section = code
            .module
            .metadata
            .iter()
            .find(|(found, _, _)| found.as_bytes() == name);
        match section {
            Some((_, false, _)) if !canister.is_controller(&self.read.sender) => {
                Err(IngressError::PathForbidden(text_of(path)))
            }
            _ => Ok(()),
        }
    }
}

/// Whether labels name something under `/api_boundary_nodes`.
fn name_boundary_nodes(rest: &[&[u8]]) -> bool {
    matches!(
        rest,
        [] | [_] | [_, b"domain" | b"ipv4_address" | b"ipv6_address"]
    )
}

/// Whether labels name something under `/request_status/<id>`.
fn name_status(rest: &[&[u8]]) -> bool {
    matches!(
        rest,
        [] | [b"status" | b"reply" | b"reject_code" | b"reject_message" | b"error_code"]
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A path as text: labels that are words as they are, others in hexadecimal.
fn text_of(path: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for label in path.iter().take(8) {
        let is_word = label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        text.push('/');
        let shown = &label[..label.len().min(64)];
        text.push_str(&if is_word {
            String::from_utf8_lossy(shown).into_owned()
        } else {
            hex(shown)
        });
    }
    text
}
