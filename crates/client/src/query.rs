//! Query responses: signed by the node that answered, under a key that the subnet certifies.
//!
//! A query is answered by one node from its own copy of the state. Its signature does not make the
//! answer true, it makes the node accountable for it; what a query must prove, a canister proves
//! with certified data.
//!
//! Source: Internet Computer interface specification, "Request: Query call".

use std::collections::BTreeMap;

use thiserror::Error;
use trilith_proof::VerifiedCertificate;
use trilith_proof::certificate::PRINCIPAL_BYTES_MAX;
use trilith_proof::hash_tree::{Lookup, SubtreeLookup, labels, lookup, lookup_subtree};
use trilith_types::cbor::{DecodeError, Decoder};
use trilith_types::representation_hash::{HashedValue, hash_of_map};
use trilith_types::{PublicKey, Signature, TimeNanos};

/// Domain separator of signed query responses, its length first. Source: interface
/// specification, "Request: Query call".
pub const RESPONSE_SEPARATOR: &[u8; 12] = b"\x0Bic-response";
/// Most signatures that are read of one response: more than any subnet has nodes.
pub const SIGNATURES_MAX: usize = 128;

/// What stands before an Ed25519 key in its DER wrapping. Source: RFC 8410.
const ED25519_DER_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Keys of a subnet's nodes, by node id.
pub type NodeKeys = BTreeMap<Vec<u8>, PublicKey>;

/// A query response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// The canister replied.
    Replied {
        /// What it replied.
        reply: Vec<u8>,
        /// Who answers for it.
        signatures: Vec<NodeSignature>,
    },
    /// The canister or the system rejected.
    Rejected {
        /// Reject code, 1 to 6.
        code: u64,
        /// What went wrong.
        message: String,
        /// `IC0…`, where the system gives one.
        error_code: Option<String>,
        /// Who answers for it.
        signatures: Vec<NodeSignature>,
    },
}

/// The signature of a node over a query response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSignature {
    /// When the response was made.
    pub time: TimeNanos,
    /// Ed25519 signature over [`signed_bytes`].
    pub signature: Signature,
    /// The node's id.
    pub node: Vec<u8>,
}

/// Why a query response, or a list of node keys, is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QueryError {
    /// The bytes are not a query response.
    #[error("the query response cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
    /// The certificate does not show the nodes of the subnet.
    #[error("the certificate does not show the nodes of the subnet")]
    NodesNotShown,
    /// A node's key is not an Ed25519 key in its DER wrapping.
    #[error("the certificate shows an invalid key of a node")]
    NodeKey,
    /// Nobody signed, or more than there are nodes.
    #[error("the response has {found} signatures, the subnet {nodes} nodes")]
    SignatureCount {
        /// How many signatures there are.
        found: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// The signer is not a node of the subnet.
    #[error("the response is signed by a node that the subnet does not have")]
    UnknownNode,
    /// A signature does not verify.
    #[error("a signature of the response does not verify")]
    Signature,
    /// The response is too old or from the future.
    #[error("the response is of {found} ns, which differs from {now} ns by more than {limit} ns")]
    TimeOutOfBounds {
        /// Time of the response.
        found: u64,
        /// The caller's time.
        now: u64,
        /// The largest difference the caller allows.
        limit: u64,
    },
}

impl QueryAnswer {
    /// Reads a query response in canonical CBOR, with or without the self-describing tag. The
    /// caller has bounded the length of `bytes`.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not one.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes.strip_prefix(b"\xd9\xd9\xf7").unwrap_or(bytes));
        let (mut status, mut reply, mut code) = (None, None, None);
        let (mut message, mut error_code, mut signatures) = (None, None, Vec::new());
        decoder.fields("query response", 6, |name, decoder| {
            match name {
                "status" => status = Some(decoder.text("status", 16)?.to_owned()),
                "reply" => decoder.fields("reply", 1, |name, decoder| match name {
                    "arg" => {
                        reply = Some(decoder.bytes("arg", usize::MAX)?.to_vec());
                        Ok(())
                    }
                    _ => Err(DecodeError::Field("reply")),
                })?,
                "reject_code" => code = Some(decoder.uint()?),
                "reject_message" => {
                    message = Some(decoder.text("reject_message", usize::MAX)?.to_owned());
                }
                "error_code" => error_code = Some(decoder.text("error_code", 64)?.to_owned()),
                "signatures" => signatures = read_signatures(decoder)?,
                _ => return Err(DecodeError::Field("query response")),
            }
            Ok(())
        })?;
        decoder.finish()?;
        match status.as_deref() {
            Some("replied") => {
                let reply = reply.ok_or(DecodeError::Field("reply"))?;
                Ok(Self::Replied { reply, signatures })
            }
            Some("rejected") => Ok(Self::Rejected {
                code: code.ok_or(DecodeError::Field("reject_code"))?,
                message: message.ok_or(DecodeError::Field("reject_message"))?,
                error_code,
                signatures,
            }),
            _ => Err(DecodeError::Field("status")),
        }
    }

    /// The signatures of the response.
    pub fn signatures(&self) -> &[NodeSignature] {
        let (Self::Replied { signatures, .. } | Self::Rejected { signatures, .. }) = self;
        signatures
    }
}

fn read_signatures(decoder: &mut Decoder<'_>) -> Result<Vec<NodeSignature>, DecodeError> {
    let count = decoder.array("signatures", SIGNATURES_MAX)?;
    let mut signatures = Vec::with_capacity(count);
    for _ in 0..count {
        let (mut time, mut signature, mut node) = (None, None, None);
        decoder.fields("signature", 3, |name, decoder| {
            match name {
                "timestamp" => time = Some(TimeNanos(decoder.uint()?)),
                "signature" => {
                    signature = Some(Signature::from_bytes(decoder.bytes_exact("signature")?));
                }
                "identity" => {
                    node = Some(decoder.bytes("identity", PRINCIPAL_BYTES_MAX)?.to_vec());
                }
                _ => return Err(DecodeError::Field("signature")),
            }
            Ok(())
        })?;
        signatures.push(NodeSignature {
            time: time.ok_or(DecodeError::Field("timestamp"))?,
            signature: signature.ok_or(DecodeError::Field("signature"))?,
            node: node.ok_or(DecodeError::Field("identity"))?,
        });
    }
    Ok(signatures)
}

/// The bytes a node signs to answer the request `id` at `time` with `answer`.
pub fn signed_bytes(answer: &QueryAnswer, id: &[u8; 32], time: TimeNanos) -> Vec<u8> {
    let mut fields = vec![
        ("timestamp", HashedValue::Nat(time.0)),
        ("request_id", HashedValue::Bytes(id)),
    ];
    match answer {
        QueryAnswer::Replied { reply, .. } => {
            fields.push(("status", HashedValue::Text("replied")));
            fields.push((
                "reply",
                HashedValue::Map(vec![("arg", HashedValue::Bytes(reply))]),
            ));
        }
        QueryAnswer::Rejected {
            code,
            message,
            error_code,
            ..
        } => {
            fields.push(("status", HashedValue::Text("rejected")));
            fields.push(("reject_code", HashedValue::Nat(*code)));
            fields.push(("reject_message", HashedValue::Text(message)));
            let error_code = error_code.as_deref();
            fields.extend(error_code.map(|code| ("error_code", HashedValue::Text(code))));
        }
    }
    [&RESPONSE_SEPARATOR[..], &hash_of_map(&fields)].concat()
}

/// The keys of the nodes of `subnet` that a verified certificate lists under
/// `/subnet/<subnet>/node`.
///
/// # Errors
/// [`QueryError::NodesNotShown`] or [`QueryError::NodeKey`].
pub fn node_keys(certificate: &VerifiedCertificate, subnet: &[u8]) -> Result<NodeKeys, QueryError> {
    let path: [&[u8]; 3] = [b"subnet", subnet, b"node"];
    let SubtreeLookup::Found(nodes) = lookup_subtree(certificate.tree(), &path) else {
        return Err(QueryError::NodesNotShown);
    };
    let mut keys = NodeKeys::new();
    for (node, properties) in labels(nodes).shown {
        let Lookup::Found(der) = lookup(properties, &[b"public_key"]) else {
            continue;
        };
        let key = der
            .strip_prefix(&ED25519_DER_PREFIX)
            .and_then(PublicKey::from_slice);
        keys.insert(node.to_vec(), key.ok_or(QueryError::NodeKey)?);
    }
    if keys.is_empty() {
        Err(QueryError::NodesNotShown)
    } else {
        Ok(keys)
    }
}

/// Verifies that nodes of the subnet answer for `answer` to the request `id`, and that they did so
/// within `skew_nanos` nanoseconds of `now`.
///
/// # Errors
/// [`QueryError`] with the first rule that does not hold.
pub fn verify(
    answer: &QueryAnswer,
    id: &[u8; 32],
    nodes: &NodeKeys,
    now: TimeNanos,
    skew_nanos: u64,
) -> Result<(), QueryError> {
    let signatures = answer.signatures();
    if signatures.is_empty() || signatures.len() > nodes.len() {
        return Err(QueryError::SignatureCount {
            found: signatures.len(),
            nodes: nodes.len(),
        });
    }
    for NodeSignature {
        time,
        signature,
        node,
    } in signatures
    {
        if time.0.abs_diff(now.0) > skew_nanos {
            let (found, now, limit) = (time.0, now.0, skew_nanos);
            return Err(QueryError::TimeOutOfBounds { found, now, limit });
        }
        let key = nodes.get(node).ok_or(QueryError::UnknownNode)?;
        key.verify_raw(&signed_bytes(answer, id, *time), signature)
            .map_err(|_| QueryError::Signature)?;
    }
    Ok(())
}
