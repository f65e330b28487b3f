//! Checksums of secrets, from which whoever has a secret sees that it is the published one.
//!
//! ```text
//! master secrets:  checksum n = KMAC256(secret n, checksum n-1, 32,
//!                                       "ekiden-checksum-master-secret"),
//!                  before the first: the key manager's identifier
//! ephemeral:       KMAC256(secret, identifier ‖ epoch, 32, "ekiden-checksum-ephemeral-secret")
//! ```
//!
//! The epoch is 8 bytes, the least significant first. So the checksum of the newest master secret
//! vouches for all before it.
//!
//! Source: Oasis Core ADR 0022, `keymanager/src/crypto/kdf.rs`; NIST SP 800-185 (KMAC).

use sha3::CShake256;
use sha3::CShake256Core;
use sha3::digest::core_api::CoreWrapper;
use sha3::digest::{ExtendableOutput, Update, XofReader};
use trilith_types::{Epoch, RuntimeId};

/// Bytes of a block of the sponge behind SHAKE256.
const RATE: usize = 136;
/// What stands behind the customization where the secrets come from a build that may show them.
const INSECURE: &str = "-insecure";

/// The checksum of a master secret. `last` is that of the generation before; the first one's is
/// that of the key manager's identifier. `is_secure` says whether the key manager is a secure one.
pub fn master_secret_checksum(
    secret: &[u8; 32],
    last: Option<&[u8]>,
    id: &RuntimeId,
    is_secure: bool,
) -> [u8; 32] {
    let last = last.unwrap_or(id.as_bytes());
    let custom = customization("ekiden-checksum-master-secret", is_secure);
    kmac256(secret, &[last], &custom)
}

/// The checksum of an ephemeral secret.
pub fn ephemeral_secret_checksum(
    secret: &[u8; 32],
    id: &RuntimeId,
    epoch: Epoch,
    is_secure: bool,
) -> [u8; 32] {
    let custom = customization("ekiden-checksum-ephemeral-secret", is_secure);
    kmac256(secret, &[id.as_bytes(), &epoch.0.to_le_bytes()], &custom)
}

fn customization(name: &str, is_secure: bool) -> String {
    let suffix = if is_secure { "" } else { INSECURE };
    format!("{name}{suffix}")
}

/// KMAC256 of 32 bytes over the concatenation of `parts`.
fn kmac256(key: &[u8], parts: &[&[u8]], custom: &str) -> [u8; 32] {
    let core = CShake256Core::new_with_function_name(b"KMAC", custom.as_bytes());
    let mut sponge: CShake256 = CoreWrapper::from_core(core);
    let mut padded = left_encode(RATE as u64);
    padded.extend(left_encode(8 * key.len() as u64));
    padded.extend_from_slice(key);
    padded.resize(padded.len().next_multiple_of(RATE), 0);
    sponge.update(&padded);
    for part in parts {
        sponge.update(part);
    }
    let mut output = [0; 32];
    // The length of the output in bits, most significant byte first, and how many bytes that are.
    sponge.update(&[0x01, 0x00, 2]);
    sponge.finalize_xof().read(&mut output);
    output
}

/// A number with how many bytes it has before it.
fn left_encode(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let skipped = (number.leading_zeros() as usize / 8).min(7);
    let mut encoded = vec![(8 - skipped) as u8];
    encoded.extend_from_slice(&bytes[skipped..]);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures computed with OpenSSL's KMAC-256.
    #[test]
    fn kmac_is_the_standard_one() {
        let key: Vec<u8> = (0x40..0x60).collect();
        let figures = KMAC;
        for (parts, custom, expected) in figures {
            assert_eq!(hex::encode(kmac256(&key, parts, custom)), expected);
        }
    }

    const KMAC: [(&[&[u8]], &str, &str); 2] = [
        (
            &[&[0, 1, 2, 3]],
            "My Tagged Application",
            "f2d95c33c9a201eb10c524b9084b4bacae0092f869122df7d7870b92c842e05b",
        ),
        (
            &[&[0, 1], &[2, 3]],
            "",
            "b423798ac38d465560a058b982f56f7ff5d62a5cfa813ab8522998ed32e00a38",
        ),
    ];

    /// Figures computed with OpenSSL's KMAC-256.
    #[test]
    fn a_chain_of_checksums_vouches_for_all_secrets() {
        let id = RuntimeId::from_bytes([1; 32]);
        let first = master_secret_checksum(&[7; 32], None, &id, true);
        assert_eq!(
            hex::encode(first),
            "43bf4676134894241ba28c3f7d2acc9ca80715bb50eb8421106621b6c21aa4e2"
        );
        let second = master_secret_checksum(&[8; 32], Some(&first), &id, true);
        assert_eq!(
            hex::encode(second),
            "2670860e46a8a1225bc631e83169585eca9f75cccf32b6e9ae892a660bf49713"
        );
        let test = master_secret_checksum(&[7; 32], None, &id, false);
        assert_eq!(
            hex::encode(test),
            "f4cd46b92001aa58658b6c9098bfb8c4b80c7a681622ebcf18f9f967afb27b69"
        );
        let ephemeral = ephemeral_secret_checksum(&[9; 32], &id, Epoch(0x0102), true);
        assert_eq!(
            hex::encode(ephemeral),
            "eaff169b847568c54f1e73decc54ad294086a6861ad3e5e2fd344ec2f3a4bc60"
        );
    }
}
