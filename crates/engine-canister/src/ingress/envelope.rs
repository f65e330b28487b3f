//! The envelope and its delegations as types, and their strict decoding.

use candid::Principal;
use trilith_params::ingress::{
    DELEGATIONS_MAX, ENVELOPE_BYTES_MAX, KEY_BYTES_MAX, SIGNATURE_BYTES_MAX, TARGETS_MAX,
};
use trilith_types::representation_hash::{HashedValue, hash_of_map};

use super::content::{Content, RawContent};
use super::error::IngressError;
use super::reader::Reader;

/// A request with its authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What is asked.
    pub content: Content,
    /// DER encoding of the key that signs, or that starts the chain of delegations.
    pub sender_pubkey: Option<Vec<u8>>,
    /// Signature over the request id.
    pub sender_sig: Option<Vec<u8>>,
    /// Delegations from `sender_pubkey` to the key that signed; empty where there are none.
    pub sender_delegation: Vec<SignedDelegation>,
}

/// A delegation with the signature of the key before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedDelegation {
    /// DER encoding of the key that is delegated to.
    pub pubkey: Vec<u8>,
    /// When it ends, in nanoseconds since 1970.
    pub expiration: u64,
    /// Canisters it is limited to, if it is.
    pub targets: Option<Vec<Principal>>,
    /// What it permits, if it says so.
    pub permissions: Option<Permissions>,
    /// Signature of the delegating key.
    pub signature: Vec<u8>,
}

/// What a delegation permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// Query calls and reads.
    Queries,
    /// Everything.
    All,
}

impl Permissions {
    /// The text that stands in the delegation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::All => "all",
        }
    }
}

impl Envelope {
    /// Decodes an envelope: a CBOR map, with or without the self-describing tag.
    ///
    /// # Errors
    /// [`IngressError`] if it is malformed, has unknown, repeated or missing fields, or exceeds a
    /// limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, IngressError> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            let (value, limit) = (bytes.len() as u64, ENVELOPE_BYTES_MAX as u64);
            return Err(IngressError::TooLarge {
                what: "the envelope",
                value,
                limit,
                unit: "bytes",
            });
        }
        let mut reader = Reader::new(bytes);
        reader.self_describing_tag();
        let (mut content, mut pubkey, mut signature, mut delegation) = (None, None, None, None);
        reader.map(4, |key, reader| match key {
            "content" => set(&mut content, "content", RawContent::read(reader)?),
            "sender_pubkey" | "sender_sig" | "sender_delegation" if reader.null() => Ok(()),
            "sender_pubkey" => set(
                &mut pubkey,
                "sender_pubkey",
                reader.bytes(key_name(key), KEY_BYTES_MAX)?.to_vec(),
            ),
            "sender_sig" => {
                let bytes = reader.bytes(key_name(key), SIGNATURE_BYTES_MAX)?.to_vec();
                set(&mut signature, "sender_sig", bytes)
            }
            "sender_delegation" => set(
                &mut delegation,
                "sender_delegation",
                read_delegations(reader)?,
            ),
            other => Err(IngressError::UnknownField(other.to_owned())),
        })?;
        reader.finish()?;
        Ok(Self {
            content: content
                .ok_or(IngressError::MissingField("content"))?
                .check()?,
            sender_pubkey: pubkey,
            sender_sig: signature,
            sender_delegation: delegation.unwrap_or_default(),
        })
    }
}

/// The name of a field as static text, for messages.
fn key_name(key: &str) -> &'static str {
    match key {
        "sender_pubkey" => "sender_pubkey",
        "sender_sig" => "sender_sig",
        _ => "field",
    }
}

pub(super) fn set<T>(
    slot: &mut Option<T>,
    name: &'static str,
    value: T,
) -> Result<(), IngressError> {
    if slot.replace(value).is_some() {
        return Err(IngressError::RepeatedField(name));
    }
    Ok(())
}

pub(super) fn read_principal(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Principal, IngressError> {
    let bytes = reader.bytes(what, Principal::MAX_LENGTH_IN_BYTES)?;
    Principal::try_from_slice(bytes).map_err(|_| IngressError::Malformed { at: 0, what })
}

fn read_delegations(reader: &mut Reader<'_>) -> Result<Vec<SignedDelegation>, IngressError> {
    let mut delegations = Vec::new();
    reader.array("sender_delegation", DELEGATIONS_MAX, |reader| {
        let (mut delegation, mut signature) = (None, None);
        reader.map(2, |key, reader| match key {
            "delegation" => set(&mut delegation, "delegation", read_delegation(reader)?),
            "signature" => {
                let bytes = reader.bytes("signature", SIGNATURE_BYTES_MAX)?.to_vec();
                set(&mut signature, "signature", bytes)
            }
            other => Err(IngressError::UnknownField(other.to_owned())),
        })?;
        let mut delegation = delegation.ok_or(IngressError::MissingField("delegation"))?;
        delegation.signature = signature.ok_or(IngressError::MissingField("signature"))?;
        delegations.push(delegation);
        Ok(())
    })?;
    Ok(delegations)
}

fn read_delegation(reader: &mut Reader<'_>) -> Result<SignedDelegation, IngressError> {
    let (mut pubkey, mut expiration, mut targets, mut permissions) = (None, None, None, None);
    reader.map(4, |key, reader| match key {
        "pubkey" => set(
            &mut pubkey,
            "pubkey",
            reader.bytes("pubkey", KEY_BYTES_MAX)?.to_vec(),
        ),
        "expiration" => set(&mut expiration, "expiration", reader.uint()?),
        "targets" | "permissions" if reader.null() => Ok(()),
        "targets" => {
            let mut found = Vec::new();
            reader.array("targets", TARGETS_MAX, |reader| {
                found.push(read_principal(reader, "a principal of at most 29 bytes")?);
                Ok(())
            })?;
            set(&mut targets, "targets", found)
        }
        "permissions" => {
            let value = match reader.text("permissions", 32)? {
                "queries" => Permissions::Queries,
                "all" => Permissions::All,
                _ => {
                    return Err(IngressError::Malformed {
                        at: 0,
                        what: "permissions `queries` or `all`",
                    });
                }
            };
            set(&mut permissions, "permissions", value)
        }
        other => Err(IngressError::UnknownField(other.to_owned())),
    })?;
    Ok(SignedDelegation {
        pubkey: pubkey.ok_or(IngressError::MissingField("pubkey"))?,
        expiration: expiration.ok_or(IngressError::MissingField("expiration"))?,
        targets,
        permissions,
        signature: Vec::new(),
    })
}

impl SignedDelegation {
    /// The representation-independent hash of the delegation, which the signature covers.
    pub fn hash(&self) -> [u8; 32] {
        let mut fields = vec![
            ("pubkey", HashedValue::Bytes(&self.pubkey)),
            ("expiration", HashedValue::Nat(self.expiration)),
        ];
        if let Some(targets) = &self.targets {
            let items = targets
                .iter()
                .map(|target| HashedValue::Bytes(target.as_slice()))
                .collect();
            fields.push(("targets", HashedValue::Array(items)));
        }
        if let Some(permissions) = self.permissions {
            fields.push(("permissions", HashedValue::Text(permissions.as_str())));
        }
        hash_of_map(&fields)
    }
}
