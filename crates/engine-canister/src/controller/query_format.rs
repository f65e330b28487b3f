//! Questions to the canister engine and its answers, as the gateway and the engine exchange them
//! through [`trilith_protocol::Runtime::query`]: types with a canonical encoding.

use candid::Principal;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use crate::ingress::ENVELOPE_BYTES_MAX;

/// Most bytes of an answer that is decoded: a certificate or a reply with what surrounds it.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A question about one version of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryRequest {
    /// Run a query call.
    Call {
        /// The envelope as received; its content is a query.
        envelope: Vec<u8>,
        /// The effective canister id of the address.
        effective: Principal,
    },
    /// As [`QueryRequest::Call`], but only if the same was asked before of this version of the
    /// state and the answer is remembered: takes microseconds and no sandbox. Whether it is
    /// remembered differs from node to node; an answer that is given is that of a new run.
    CallAgain {
        /// The envelope as received; its content is a query.
        envelope: Vec<u8>,
        /// The effective canister id of the address.
        effective: Principal,
    },
    /// Read the certified state.
    ReadState {
        /// The envelope as received; its content is a read_state.
        envelope: Vec<u8>,
        /// The id in the address.
        effective: Effective,
        /// The version in the address, 2 or 3.
        version: u64,
    },
    /// Run a query call that was sent to a subnet.
    SubnetCall {
        /// The envelope as received; its content is a query.
        envelope: Vec<u8>,
        /// The subnet of the address.
        subnet: Principal,
    },
    /// The status of an ingress message and a certificate over it. For the synchronous call
    /// endpoint only, which has authenticated the request itself.
    RequestStatus {
        /// The request id.
        id: [u8; 32],
    },
    /// What exists here.
    Topology,
}

/// The id in the address of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effective {
    /// `/canister/<id>/read_state`.
    Canister(Principal),
    /// `/subnet/<id>/read_state`.
    Subnet(Principal),
}

/// The answer to a [`QueryRequest`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryResponse {
    /// A query call was run.
    Call {
        /// The request id, which the nodes' signatures cover.
        id: [u8; 32],
        /// What it gave.
        result: CallResult,
    },
    /// To [`QueryRequest::CallAgain`]: the answer is not remembered.
    NotRemembered,
    /// A certificate (tagged CBOR) over what was asked.
    ReadState {
        /// The certificate.
        certificate: Vec<u8>,
    },
    /// The status of an ingress message.
    RequestStatus {
        /// The status.
        status: RequestStatus,
        /// The certificate over `/request_status/<id>` and `/time`; `None` while this state has no
        /// signature.
        certificate: Option<Vec<u8>>,
    },
    /// What exists here.
    Topology(Topology),
}

/// What a query call gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// It replied.
    Replied {
        /// The reply.
        arg: Vec<u8>,
    },
    /// It was rejected.
    Rejected {
        /// Reject code, 1 to 6.
        code: u32,
        /// The reason.
        message: String,
        /// `IC0…`.
        error_code: String,
    },
}

/// The status of an ingress message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestStatus {
    /// Not known: never received, or forgotten.
    Unknown,
    /// Waiting to be executed.
    Received,
    /// Being executed.
    Processing,
    /// Answered.
    Replied {
        /// The reply.
        reply: Vec<u8>,
    },
    /// Rejected.
    Rejected {
        /// Reject code, 1 to 6.
        code: u32,
        /// The reason.
        message: String,
        /// `IC0…`.
        error_code: String,
    },
}

impl RequestStatus {
    /// Whether the status is final.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Replied { .. } | Self::Rejected { .. })
    }
}

/// What exists here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// The subnet's id.
    pub subnet: Principal,
    /// Where requests that belong to no canister are sent.
    pub default_effective_canister: Principal,
    /// Ranges of canister ids, first and last.
    pub ranges: Vec<(Principal, Principal)>,
    /// Ids of the nodes and their Ed25519 public keys.
    pub nodes: Vec<(Principal, [u8; 32])>,
}

impl QueryRequest {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        match self {
            Self::Call {
                envelope,
                effective,
            } => {
                e.array(3)
                    .uint(0)
                    .bytes(envelope)
                    .bytes(effective.as_slice());
            }
            Self::ReadState {
                envelope,
                effective,
                version,
            } => {
                let (kind, id) = match effective {
                    Effective::Canister(id) => (0, id),
                    Effective::Subnet(id) => (1, id),
                };
                e.array(5)
                    .uint(1)
                    .bytes(envelope)
                    .uint(kind)
                    .bytes(id.as_slice())
                    .uint(*version);
            }
            Self::SubnetCall { envelope, subnet } => {
                e.array(3).uint(4).bytes(envelope).bytes(subnet.as_slice());
            }
            Self::RequestStatus { id } => {
                e.array(2).uint(2).bytes(id);
            }
            Self::Topology => {
                e.array(1).uint(3);
            }
            Self::CallAgain {
                envelope,
                effective,
            } => {
                e.array(3)
                    .uint(5)
                    .bytes(envelope)
                    .bytes(effective.as_slice());
            }
        }
        e.finish()
    }

    /// Reads what [`QueryRequest::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are malformed or exceed a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let items = d.array("query request", 5)?;
        let request = match (d.uint()?, items) {
            (0, 3) => Self::Call {
                envelope: d.bytes("envelope", ENVELOPE_BYTES_MAX)?.to_vec(),
                effective: principal(&mut d)?,
            },
            (1, 5) => {
                let envelope = d.bytes("envelope", ENVELOPE_BYTES_MAX)?.to_vec();
                let effective = match d.uint()? {
                    0 => Effective::Canister(principal(&mut d)?),
                    1 => Effective::Subnet(principal(&mut d)?),
                    _ => return Err(DecodeError::Field("effective")),
                };
                Self::ReadState {
                    envelope,
                    effective,
                    version: d.uint()?,
                }
            }
            (2, 2) => Self::RequestStatus {
                id: d.bytes_exact("request id")?,
            },
            (3, 1) => Self::Topology,
            (4, 3) => Self::SubnetCall {
                envelope: d.bytes("envelope", ENVELOPE_BYTES_MAX)?.to_vec(),
                subnet: principal(&mut d)?,
            },
            (5, 3) => Self::CallAgain {
                envelope: d.bytes("envelope", ENVELOPE_BYTES_MAX)?.to_vec(),
                effective: principal(&mut d)?,
            },
            _ => return Err(DecodeError::Field("query request")),
        };
        d.finish()?;
        Ok(request)
    }
}

fn principal(d: &mut Decoder<'_>) -> Result<Principal, DecodeError> {
    let bytes = d.bytes("principal", Principal::MAX_LENGTH_IN_BYTES)?;
    Principal::try_from_slice(bytes).map_err(|_| DecodeError::Field("principal"))
}

fn blob(d: &mut Decoder<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(d.bytes("blob", ANSWER_BYTES_MAX)?.to_vec())
}

fn rejected(d: &mut Decoder<'_>) -> Result<(u32, String, String), DecodeError> {
    let code = u32::try_from(d.uint()?).map_err(|_| DecodeError::Field("reject code"))?;
    let message = d.text("reject message", ANSWER_BYTES_MAX)?.to_owned();
    Ok((code, message, d.text("error code", 64)?.to_owned()))
}

impl QueryResponse {
    /// Canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::new();
        match self {
            Self::Call {
                id,
                result: CallResult::Replied { arg },
            } => {
                e.array(3).uint(0).bytes(id).bytes(arg);
            }
            Self::Call {
                id,
                result:
                    CallResult::Rejected {
                        code,
                        message,
                        error_code,
                    },
            } => {
                e.array(5)
                    .uint(1)
                    .bytes(id)
                    .uint(u64::from(*code))
                    .text(message)
                    .text(error_code);
            }
            Self::ReadState { certificate } => {
                e.array(2).uint(2).bytes(certificate);
            }
            Self::RequestStatus {
                status,
                certificate,
            } => {
                e.array(3).uint(3);
                status.write(&mut e);
                match certificate {
                    Some(certificate) => e.bytes(certificate),
                    None => e.null(),
                };
            }
            Self::Topology(topology) => topology.write(e.array(5).uint(4)),
            Self::NotRemembered => {
                e.array(1).uint(5);
            }
        }
        e.finish()
    }

    /// Reads what [`QueryResponse::encode`] wrote.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are malformed or exceed a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        let items = d.array("query response", 5)?;
        let response = match (d.uint()?, items) {
            (0, 3) => {
                let id = d.bytes_exact("request id")?;
                Self::Call {
                    id,
                    result: CallResult::Replied { arg: blob(&mut d)? },
                }
            }
            (1, 5) => {
                let id = d.bytes_exact("request id")?;
                let (code, message, error_code) = rejected(&mut d)?;
                Self::Call {
                    id,
                    result: CallResult::Rejected {
                        code,
                        message,
                        error_code,
                    },
                }
            }
            (2, 2) => Self::ReadState {
                certificate: blob(&mut d)?,
            },
            (3, 3) => {
                let status = RequestStatus::read(&mut d)?;
                let certificate = if d.null() { None } else { Some(blob(&mut d)?) };
                Self::RequestStatus {
                    status,
                    certificate,
                }
            }
            (4, 5) => Self::Topology(Topology::read(&mut d)?),
            (5, 1) => Self::NotRemembered,
            _ => return Err(DecodeError::Field("query response")),
        };
        d.finish()?;
        Ok(response)
    }
}

impl RequestStatus {
    fn write(&self, e: &mut Encoder) {
        match self {
            Self::Unknown => e.array(1).uint(0),
            Self::Received => e.array(1).uint(1),
            Self::Processing => e.array(1).uint(2),
            Self::Replied { reply } => e.array(2).uint(3).bytes(reply),
            Self::Rejected {
                code,
                message,
                error_code,
            } => e
                .array(4)
                .uint(4)
                .uint(u64::from(*code))
                .text(message)
                .text(error_code),
        };
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let items = d.array("request status", 4)?;
        Ok(match (d.uint()?, items) {
            (0, 1) => Self::Unknown,
            (1, 1) => Self::Received,
            (2, 1) => Self::Processing,
            (3, 2) => Self::Replied { reply: blob(d)? },
            (4, 4) => {
                let (code, message, error_code) = rejected(d)?;
                Self::Rejected {
                    code,
                    message,
                    error_code,
                }
            }
            _ => return Err(DecodeError::Field("request status")),
        })
    }
}

impl Topology {
    fn write(&self, e: &mut Encoder) {
        e.bytes(self.subnet.as_slice())
            .bytes(self.default_effective_canister.as_slice());
        e.array(self.ranges.len());
        for (first, last) in &self.ranges {
            e.array(2).bytes(first.as_slice()).bytes(last.as_slice());
        }
        e.array(self.nodes.len());
        for (id, key) in &self.nodes {
            e.array(2).bytes(id.as_slice()).bytes(key);
        }
    }

    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let (subnet, default_effective_canister) = (principal(d)?, principal(d)?);
        let mut ranges = Vec::new();
        for _ in 0..d.array("ranges", 65_536)? {
            pair(d)?;
            ranges.push((principal(d)?, principal(d)?));
        }
        let mut nodes = Vec::new();
        for _ in 0..d.array("nodes", 65_536)? {
            pair(d)?;
            nodes.push((principal(d)?, d.bytes_exact("node key")?));
        }
        Ok(Self {
            subnet,
            default_effective_canister,
            ranges,
            nodes,
        })
    }
}

fn pair(d: &mut Decoder<'_>) -> Result<(), DecodeError> {
    if d.array("pair", 2)? == 2 {
        Ok(())
    } else {
        Err(DecodeError::Field("pair"))
    }
}

/// Entry point for fuzzing: arbitrary bytes as a question and as an answer. What decodes, encodes
/// to the same bytes.
pub fn fuzz_query(bytes: &[u8]) {
    if let Ok(request) = QueryRequest::decode(bytes) {
        assert_eq!(
            request.encode(),
            bytes,
            "the encoding of a question is canonical"
        );
    }
    if let Ok(response) = QueryResponse::decode(bytes) {
        assert_eq!(
            response.encode(),
            bytes,
            "the encoding of an answer is canonical"
        );
    }
}
