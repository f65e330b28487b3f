//! The rules under which an envelope is taken: authentication, delegations, expiry.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use candid::Principal;
use trilith_params::ingress::{
    CANDID_DECODING_FACTOR, CANDID_SKIPPING_BASE, CANDID_SKIPPING_PER_BYTE, DRIFT_NANOS, TTL_NANOS,
    VALIDATOR_DRIFT_NANOS,
};
use trilith_proof::CertificateKey;
use trilith_types::hash::sha256;

use super::content::{CallContent, Content, SenderInfo};
use super::envelope::{Envelope, Permissions};
use super::error::IngressError;
use super::signature::{UserKey, principal_of};

/// Envelopes and signatures of canisters that are remembered as valid.
const REMEMBERED_MAX: usize = 16_384;
/// Domain separator of what canisters attest about senders, its length first. Source: interface
/// specification, "Request: Call".
const SENDER_INFO_SEPARATOR: &[u8] = b"\x0Eic-sender-info";

/// Judges envelopes. Remembers which envelopes (by the hash of all their bytes) carried valid
/// signatures, and which signatures of canisters were valid, whose certificates are costly and come
/// again with every request of a session; that saves verifying them again and cannot change a
/// verdict.
#[derive(Default)]
pub struct Judge {
    /// The key under which certificates of this network verify; `None` where it has none, and then
    /// no canister's signature counts.
    root_key: Option<CertificateKey>,
    remembered: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    valid: BTreeSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Remembered {
    fn note(&mut self, digest: [u8; 32]) {
        if self.valid.insert(digest) {
            self.order.push_back(digest);
        }
        if self.order.len() > REMEMBERED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.valid.remove(&oldest);
        }
    }
}

impl Judge {
    /// A judge for a network whose certificates verify under the key with this DER encoding, which
    /// is part of the network's definition. Bytes that are no key are the key of no network.
    pub fn new(root_key_der: &[u8]) -> Self {
        Self {
            root_key: CertificateKey::from_der(root_key_der).ok(),
            remembered: Mutex::default(),
        }
    }

    /// Judges an envelope that was decoded from `bytes` at the time `now`. `in_round` grants
    /// [`VALIDATOR_DRIFT_NANOS`]. Gives the request id.
    ///
    /// # Errors
    /// [`IngressError`]: expired, not authentic, or a delegation that does not cover it.
    pub fn judge(
        &self,
        envelope: &Envelope,
        bytes: &[u8],
        now: u64,
        in_round: bool,
    ) -> Result<[u8; 32], IngressError> {
        let id = envelope.content.request_id();
        check_expiry(&envelope.content, now, in_round)?;
        check_delegations(envelope, now)?;
        let digest = sha256(&[bytes]);
        if self.lock().valid.contains(&digest) {
            return Ok(id);
        }
        self.check_signatures(envelope, &id)?;
        self.check_sender_info(envelope)?;
        self.lock().note(digest);
        Ok(id)
    }

    fn check_signatures(&self, envelope: &Envelope, id: &[u8; 32]) -> Result<(), IngressError> {
        let sender = envelope.content.sender();
        let (pubkey, signature) = match (&envelope.sender_pubkey, &envelope.sender_sig) {
            (None, None) if sender == Principal::anonymous() => {
                if envelope.sender_delegation.is_empty() {
                    return Ok(());
                }
                return Err(IngressError::AnonymousSigned);
            }
            _ if sender == Principal::anonymous() => return Err(IngressError::AnonymousSigned),
            (Some(pubkey), Some(signature)) => (pubkey, signature),
            _ => return Err(IngressError::SignatureMissing(sender)),
        };
        let derived = principal_of(pubkey);
        if derived != sender {
            return Err(IngressError::SenderNotKey { sender, derived });
        }
        let mut key = pubkey;
        for delegation in &envelope.sender_delegation {
            let hash = delegation.hash();
            let message = [b"\x1Aic-request-auth-delegation".as_slice(), &hash].concat();
            self.verify(key, &message, &delegation.signature, "a delegation")?;
            key = &delegation.pubkey;
        }
        let message = [b"\x0Aic-request".as_slice(), id].concat();
        self.verify(key, &message, signature, "the request")
    }

    /// What is attested about the sender must be attested by the canister that speaks for it.
    fn check_sender_info(&self, envelope: &Envelope) -> Result<(), IngressError> {
        let (Content::Call(call) | Content::Query(call)) = &envelope.content else {
            return Ok(());
        };
        let Some(SenderInfo { info, signer, sig }) = &call.sender_info else {
            return Ok(());
        };
        let pubkey = envelope.sender_pubkey.as_deref().unwrap_or_default();
        let Ok(UserKey::Canister(key)) = UserKey::from_der(pubkey) else {
            return Err(IngressError::SenderInfoKey);
        };
        if key.canister() != *signer {
            return Err(IngressError::SenderInfoSigner {
                signer: *signer,
                canister: key.canister(),
            });
        }
        let message = [SENDER_INFO_SEPARATOR, info].concat();
        self.verify(pubkey, &message, sig, "`sender_info`")
    }

    fn verify(
        &self,
        pubkey: &[u8],
        message: &[u8],
        signature: &[u8],
        what: &'static str,
    ) -> Result<(), IngressError> {
        let key = UserKey::from_der(pubkey)?;
        let root_key = self.root_key.as_ref();
        if !matches!(key, UserKey::Canister(_)) {
            return key.verify(root_key, message, signature, what);
        }
        // Hashes of the parts, so that none can pass for another.
        let parts = [sha256(&[pubkey]), sha256(&[message]), sha256(&[signature])];
        let digest = sha256(&[b"canister signature", parts.as_flattened()]);
        if self.lock().valid.contains(&digest) {
            return Ok(());
        }
        key.verify(root_key, message, signature, what)?;
        self.lock().note(digest);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.remembered
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Queries and reads of anonymous senders may leave the expiry out of account: there is nothing
/// that a replay could reveal.
fn check_expiry(content: &Content, now: u64, in_round: bool) -> Result<(), IngressError> {
    let is_call = matches!(content, Content::Call(_));
    if !is_call && content.sender() == Principal::anonymous() {
        return Ok(());
    }
    let expiry = content.ingress_expiry();
    if expiry < now {
        return Err(IngressError::Expired { expiry, now });
    }
    let validator = if in_round { VALIDATOR_DRIFT_NANOS } else { 0 };
    let limit = now.saturating_add(TTL_NANOS + DRIFT_NANOS + validator);
    if expiry > limit {
        return Err(IngressError::ExpiryTooFar { expiry, limit });
    }
    Ok(())
}

fn check_delegations(envelope: &Envelope, now: u64) -> Result<(), IngressError> {
    let is_call = matches!(envelope.content, Content::Call(_));
    for (position, delegation) in envelope.sender_delegation.iter().enumerate() {
        let expiry = delegation.expiration;
        if expiry < now {
            return Err(IngressError::DelegationExpired {
                position,
                expiry,
                now,
            });
        }
        if is_call && delegation.permissions == Some(Permissions::Queries) {
            let permissions = Permissions::Queries.as_str().to_owned();
            return Err(IngressError::DelegationPermissions {
                position,
                permissions,
            });
        }
        let earlier = &envelope.sender_delegation[..position];
        let repeated = envelope.sender_pubkey.as_ref() == Some(&delegation.pubkey)
            || earlier
                .iter()
                .any(|other| other.pubkey == delegation.pubkey);
        if repeated {
            return Err(IngressError::DelegationRepeatedKey(position));
        }
        // A read of the state belongs to no canister, so targets do not limit it; what it may see
        // is limited by its sender.
        if let (Some(targets), Content::Call(call) | Content::Query(call)) =
            (&delegation.targets, &envelope.content)
            && !targets.contains(&call.canister_id)
        {
            return Err(IngressError::DelegationTarget(call.canister_id));
        }
    }
    Ok(())
}

/// The canister that a call belongs to: the callee, or for the management canister the canister
/// that its argument names. `None` for methods that belong to no canister (creation), which may be
/// sent to any effective canister id, and for arguments that cannot be read.
pub fn effective_canister(call: &CallContent) -> Option<Principal> {
    if call.canister_id != Principal::management_canister() {
        return Some(call.canister_id);
    }
    effective_of_method(&call.method_name, &call.arg)
}

/// The canister that a call of a management method belongs to, as in [`effective_canister`].
pub fn effective_of_method(method: &str, argument: &[u8]) -> Option<Principal> {
    #[derive(candid::CandidType, serde::Deserialize)]
    struct WithCanister {
        canister_id: Principal,
    }
    #[derive(candid::CandidType, serde::Deserialize)]
    struct WithTarget {
        target_canister: Principal,
    }
    match method {
        "create_canister"
        | "provisional_create_canister_with_cycles"
        | "raw_rand"
        | "list_canisters" => None,
        "install_chunked_code" => decode_candid::<WithTarget>(argument)
            .ok()
            .map(|found| found.target_canister),
        _ => decode_candid::<WithCanister>(argument)
            .ok()
            .map(|found| found.canister_id),
    }
}

/// Decodes candid with a bound on the work, relative to the argument's own length, that a message
/// of outside origin may cause. Gives the reason of a refusal as text.
pub(crate) fn decode_candid<T>(argument: &[u8]) -> Result<T, String>
where
    T: for<'de> serde::Deserialize<'de> + candid::CandidType,
{
    // Fields that are not asked for (a whole module, say) are skipped at a cost for each byte,
    // which the decoder counts fifty times over.
    let skipping = argument
        .len()
        .saturating_mul(CANDID_SKIPPING_PER_BYTE)
        .saturating_add(CANDID_SKIPPING_BASE);
    let decoding = skipping.saturating_mul(CANDID_DECODING_FACTOR);
    let mut config = candid::DecoderConfig::new();
    config
        .set_decoding_quota(decoding)
        .set_skipping_quota(skipping);
    candid::utils::decode_one_with_config(argument, &config).map_err(|error| error.to_string())
}
