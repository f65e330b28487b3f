//! Signatures of canisters: a canister signs by putting a digest of what it signs into a tree whose
//! root it certifies.
//!
//! ```text
//! key       = |canister id| ‖ canister id ‖ seed
//! signature = 55799({certificate, tree})
//! lookup(tree, sig/SHA-256(seed)/SHA-256(message)) = ""
//! lookup(certificate, canister/<id>/certified_data) = digest(tree)
//! certificate verifies under this network's key
//! ```
//!
//! Knows the encodings; what proves anything is [`trilith_proof`]'s verdict. How old a certificate
//! is plays no part: what a canister signed once stays signed, and delegations and requests have an
//! expiry of their own.
//!
//! Source: interface specification, "Canister signatures".

use candid::Principal;
use trilith_params::ingress::SIGNATURE_BYTES_MAX;
use trilith_proof::hash_tree::{Lookup, is_well_formed, lookup};
use trilith_proof::{Certificate, CertificateKey, Scope, Trust};
use trilith_types::hash::sha256;
use trilith_types::{HashTree, TimeNanos};

use super::error::CanisterSignatureFault;
use super::reader::Reader;

/// The type of subnets whose canisters' signatures do not count. Source: interface specification,
/// "Canister signatures".
const UNTRUSTED_SUBNET_TYPE: &[u8] = b"cloud_engine";

/// A key under which a canister signs. Each seed is another key of the same canister.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanisterKey {
    canister: Principal,
    seed: Vec<u8>,
}

/// A signature, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CanisterSignature {
    certificate: Certificate,
    tree: HashTree,
}

impl CanisterKey {
    /// A key from the content of its bit string; `None` if the bytes are not one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&len, rest) = bytes.split_first()?;
        let (id, seed) = rest.split_at_checked(usize::from(len))?;
        let canister = Principal::try_from_slice(id).ok()?;
        Some(Self {
            canister,
            seed: seed.to_vec(),
        })
    }

    /// The canister that signs.
    pub fn canister(&self) -> Principal {
        self.canister
    }

    /// Verifies a signature over `message`. `root_key` is the key of this network, if it has one.
    pub(super) fn verify(
        &self,
        root_key: Option<&CertificateKey>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CanisterSignatureFault> {
        let CanisterSignature { certificate, tree } = CanisterSignature::decode(signature)?;
        let (seed, digest) = (sha256(&[&self.seed]), sha256(&[message]));
        let signed = lookup(&tree, &[b"sig", &seed, &digest]) == Lookup::Found(b"");
        if !signed || !is_well_formed(&tree) {
            return Err(CanisterSignatureFault::NotInTree);
        }
        let root_key = root_key.ok_or(CanisterSignatureFault::NoRootKey)?;
        check_subnet_type(&certificate)?;
        let any_time = Trust {
            root_key,
            now: TimeNanos(0),
            skew_nanos: u64::MAX,
        };
        let id = self.canister.as_slice();
        let certificate = certificate
            .verify(Scope::Canister(id), &any_time)
            .map_err(CanisterSignatureFault::Certificate)?;
        let data = certificate.lookup(&[b"canister", id, b"certified_data"]);
        if data == Lookup::Found(&tree.digest()) {
            Ok(())
        } else {
            Err(CanisterSignatureFault::OtherData(self.canister))
        }
    }
}

impl CanisterSignature {
    /// Reads a signature, with or without the self-describing tag.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CanisterSignatureFault> {
        let malformed = |_| CanisterSignatureFault::Malformed;
        let (mut certificate, mut tree) = (None, None);
        let mut reader = Reader::new(bytes);
        reader.self_describing_tag();
        let mut is_new = true;
        reader
            .map(2, |name, reader| {
                is_new &= match name {
                    "certificate" => {
                        let bytes = reader.bytes("certificate", SIGNATURE_BYTES_MAX)?;
                        certificate.replace(bytes).is_none()
                    }
                    "tree" => tree.replace(reader.hash_tree()?).is_none(),
                    other => return Err(Reader::unknown(other)),
                };
                Ok(())
            })
            .map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        let (Some(certificate), Some(tree), true) = (certificate, tree, is_new) else {
            return Err(CanisterSignatureFault::Malformed);
        };
        let certificate =
            Certificate::decode(certificate).map_err(CanisterSignatureFault::Certificate)?;
        Ok(Self { certificate, tree })
    }
}

/// Whether the subnet that certifies under a delegation is of a type whose canisters may sign. That
/// the delegation is genuine is part of the certificate's verification.
fn check_subnet_type(certificate: &Certificate) -> Result<(), CanisterSignatureFault> {
    let Some(delegation) = &certificate.delegation else {
        return Ok(());
    };
    let delegated = Certificate::decode(&delegation.certificate)
        .map_err(CanisterSignatureFault::Certificate)?;
    match lookup(&delegated.tree, &[b"subnet", &delegation.subnet, b"type"]) {
        Lookup::Found(kind) if kind != UNTRUSTED_SUBNET_TYPE => Ok(()),
        _ => Err(CanisterSignatureFault::SubnetType),
    }
}
