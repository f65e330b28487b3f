//! Keys of accounts, from the files in which people have them: the JSON of Solana's tools, or PEM.

use std::path::Path;

use anyhow::Result;
use solana_pubkey::Pubkey;
use trilith_types::SecretKey;

use crate::canister::identity::load_ed25519;
use crate::output::Failure;
use crate::root::document::read_file;

/// Most bytes of a file with a key: 64 numbers, or a PEM with certificates beside it.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Bytes of a key in JSON: the secret seed and the public key. Source: Solana `keypair`.
const JSON_BYTES: usize = 64;

/// The key in a file: a JSON list of 64 bytes as `solana-keygen` writes it, or PEM with an Ed25519
/// key as `trilith identity new` does.
///
/// # Errors
/// If the file cannot be read or holds no such key.
pub(crate) fn load(file: &Path) -> Result<SecretKey> {
    let bytes = read_file(file, FILE_BYTES_MAX)?;
    if bytes.trim_ascii_start().first() != Some(&b'[') {
        return Ok(SecretKey::from_seed(load_ed25519(file)?));
    }
    of_json(&bytes).map_err(|reason| {
        Failure {
            message: format!("the key in {} cannot be used", file.display()),
            causes: vec![reason],
            next: Some(
                "give a file of `solana-keygen new`, or of `trilith identity new`".to_owned(),
            ),
            usage: true,
            ..Failure::default()
        }
        .into()
    })
}

/// The address that a key signs for.
pub(crate) fn address(key: &SecretKey) -> Pubkey {
    Pubkey::new_from_array(*key.public().as_bytes())
}

fn of_json(bytes: &[u8]) -> Result<SecretKey, String> {
    let list: Vec<u8> = serde_json::from_slice(bytes)
        .map_err(|error| format!("it is no JSON list of bytes: {error}"))?;
    let Some((seed, public)) = list.split_first_chunk::<32>() else {
        return Err(format!(
            "it has {} bytes, a key has {JSON_BYTES}",
            list.len()
        ));
    };
    if list.len() != JSON_BYTES {
        return Err(format!(
            "it has {} bytes, a key has {JSON_BYTES}",
            list.len()
        ));
    }
    let key = SecretKey::from_seed(*seed);
    if key.public().as_bytes()[..] != *public {
        return Err("its second half is not the public key of its first".to_owned());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trilith_types::SecretKey;

    use super::{address, of_json};

    fn json(key: &SecretKey) -> Vec<u8> {
        let mut bytes = key.seed().to_vec();
        bytes.extend(key.public().as_bytes());
        serde_json::to_vec(&bytes).expect("bytes are JSON")
    }

    #[test]
    fn keys_of_solanas_tools_are_read() {
        let key = SecretKey::from_seed([7; 32]);
        let read = of_json(&json(&key)).expect("it is a key");
        assert_eq!(address(&read), address(&key));
        let told = |bytes: &[u8]| of_json(bytes).expect_err("it is refused");
        assert!(told(b"[1, 2]").contains("2 bytes"));
        assert!(told(b"[1, 256]").contains("no JSON list of bytes"));
        assert!(told(b"{}").contains("no JSON list of bytes"));
        let mut other = json(&SecretKey::from_seed([8; 32]));
        other.truncate(other.len() - 2);
        other.extend(b"0]");
        assert!(of_json(&other).is_err());
        let long = serde_json::to_vec(&[0u8; 65][..]).expect("bytes are JSON");
        assert!(told(&long).contains("65 bytes"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(of_json(&bytes).is_err());
        }

        #[test]
        fn a_damaged_key_is_no_other_key(seed in any::<[u8; 32]>(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let key = SecretKey::from_seed(seed);
            let mut bytes = json(&key);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(read) = of_json(&bytes) {
                prop_assert_eq!(address(&read), address(&key));
            }
        }
    }
}
