//! Signature programs that check what other instructions claim: ed25519, secp256k1, secp256r1.
//!
//! Layouts, bounds and the order of checks: crate `agave-precompiles` 4.2.2. The curves are those
//! of `ed25519-dalek`, `k256` and `p256`; nothing here needs OpenSSL.

use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use k256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256};
use sha3::Keccak256;
use solana_precompile_error::PrecompileError;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{ed25519_program, secp256k1_program, secp256r1_program};

/// Bytes before the first offsets of ed25519 and secp256r1: count and padding.
const HEAD_BYTES: usize = 2;
/// Bytes of the offsets of ed25519 and secp256r1: seven 16-bit numbers.
const OFFSETS_BYTES: usize = 14;
/// Bytes of the offsets of secp256k1.
const SECP256K1_OFFSETS_BYTES: usize = 11;
/// An instruction index that means the instruction itself.
const SELF: u16 = u16::MAX;
/// Most signatures of one secp256r1 instruction.
const SECP256R1_SIGNATURES_MAX: usize = 8;

/// Whether the program is one of these.
pub(crate) fn is_precompile(program: &Pubkey) -> bool {
    [
        ed25519_program::ID,
        secp256k1_program::ID,
        secp256r1_program::ID,
    ]
    .contains(program)
}

/// Checks the claims of one instruction.
///
/// # Errors
/// [`PrecompileError`] as the ecosystem numbers it.
pub(crate) fn process(
    program: &Pubkey,
    data: &[u8],
    instructions: &[&[u8]],
) -> Result<(), PrecompileError> {
    if *program == ed25519_program::ID {
        return ed25519(data, instructions);
    }
    if *program == secp256k1_program::ID {
        return secp256k1(data, instructions);
    }
    if *program == secp256r1_program::ID {
        return secp256r1(data, instructions);
    }
    Err(PrecompileError::InvalidPublicKey)
}

/// Where an ed25519 or secp256r1 signature, its key and its message are.
struct Offsets([u16; 7]);

impl Offsets {
    fn read(data: &[u8], index: usize) -> Result<Self, PrecompileError> {
        let start = HEAD_BYTES + index * OFFSETS_BYTES;
        let bytes: [u8; OFFSETS_BYTES] = data
            .get(start..start + OFFSETS_BYTES)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(PrecompileError::InvalidInstructionDataSize)?;
        Ok(Self(std::array::from_fn(|number| {
            u16::from_le_bytes([bytes[number * 2], bytes[number * 2 + 1]])
        })))
    }

    fn signature<'a>(
        &self,
        data: &'a [u8],
        instructions: &[&'a [u8]],
    ) -> Result<&'a [u8; 64], PrecompileError> {
        let bytes = slice(data, instructions, self.0[1], self.0[0], 64)?;
        bytes
            .try_into()
            .map_err(|_| PrecompileError::InvalidSignature)
    }

    fn key<'a>(
        &self,
        data: &'a [u8],
        instructions: &[&'a [u8]],
        len: usize,
    ) -> Result<&'a [u8], PrecompileError> {
        slice(data, instructions, self.0[3], self.0[2], len)
    }

    fn message<'a>(
        &self,
        data: &'a [u8],
        instructions: &[&'a [u8]],
    ) -> Result<&'a [u8], PrecompileError> {
        slice(
            data,
            instructions,
            self.0[6],
            self.0[4],
            usize::from(self.0[5]),
        )
    }
}

fn slice<'a>(
    data: &'a [u8],
    instructions: &[&'a [u8]],
    index: u16,
    offset: u16,
    len: usize,
) -> Result<&'a [u8], PrecompileError> {
    let from = if index == SELF {
        data
    } else {
        instructions
            .get(usize::from(index))
            .ok_or(PrecompileError::InvalidDataOffsets)?
    };
    let start = usize::from(offset);
    from.get(start..start.saturating_add(len))
        .ok_or(PrecompileError::InvalidDataOffsets)
}

fn count_of(data: &[u8]) -> Result<usize, PrecompileError> {
    let count = usize::from(
        *data
            .first()
            .ok_or(PrecompileError::InvalidInstructionDataSize)?,
    );
    if data.len() < HEAD_BYTES + count * OFFSETS_BYTES {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    Ok(count)
}

fn ed25519(data: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let count = count_of(data)?;
    if count == 0 && data.len() > HEAD_BYTES {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    for index in 0..count {
        let offsets = Offsets::read(data, index)?;
        let signature = offsets.signature(data, instructions)?;
        // An `s` with one of its three highest bits set has no meaning and is refused first.
        if signature[63] & 0b1110_0000 != 0 {
            return Err(PrecompileError::InvalidSignature);
        }
        let key: &[u8; 32] = offsets
            .key(data, instructions, 32)?
            .try_into()
            .map_err(|_| PrecompileError::InvalidPublicKey)?;
        let key = EdKey::from_bytes(key).map_err(|_| PrecompileError::InvalidPublicKey)?;
        let message = offsets.message(data, instructions)?;
        key.verify_strict(message, &EdSignature::from_bytes(signature))
            .map_err(|_| PrecompileError::InvalidSignature)?;
    }
    Ok(())
}

fn secp256r1(data: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let count = count_of(data)?;
    if count == 0 || count > SECP256R1_SIGNATURES_MAX {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    for index in 0..count {
        let offsets = Offsets::read(data, index)?;
        let signature = offsets.signature(data, instructions)?;
        let key = offsets.key(data, instructions, 33)?;
        let message = offsets.message(data, instructions)?;
        let signature = p256::ecdsa::Signature::from_slice(signature)
            .map_err(|_| PrecompileError::InvalidSignature)?;
        // Of the two values of `s` that verify, only the lower is accepted.
        if signature.normalize_s().is_some() {
            return Err(PrecompileError::InvalidSignature);
        }
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key)
            .map_err(|_| PrecompileError::InvalidPublicKey)?;
        key.verify_prehash(&Sha256::digest(message), &signature)
            .map_err(|_| PrecompileError::InvalidSignature)?;
    }
    Ok(())
}

fn secp256k1(data: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let (count, offsets) = data
        .split_first()
        .ok_or(PrecompileError::InvalidInstructionDataSize)?;
    let count = usize::from(*count);
    if (count == 0 && !offsets.is_empty()) || offsets.len() < count * SECP256K1_OFFSETS_BYTES {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    for entry in offsets.chunks_exact(SECP256K1_OFFSETS_BYTES).take(count) {
        secp256k1_one(entry, instructions)?;
    }
    Ok(())
}

/// Checks one signature: the address of the key recovered from it is the one that is claimed.
fn secp256k1_one(entry: &[u8], instructions: &[&[u8]]) -> Result<(), PrecompileError> {
    let number = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
    let part = |instruction: u8, offset: u16, len: usize| {
        let from = instructions
            .get(usize::from(instruction))
            .ok_or(PrecompileError::InvalidDataOffsets)?;
        let start = usize::from(offset);
        from.get(start..start.saturating_add(len))
            .ok_or(PrecompileError::InvalidSignature)
    };
    if usize::from(entry[2]) >= instructions.len() {
        return Err(PrecompileError::InvalidInstructionDataSize);
    }
    let (signature, recovery) = part(entry[2], number(0), 65)?.split_at(64);
    let (r, s) = signature.split_at(32);
    let (r, s): (&[u8; 32], &[u8; 32]) = r
        .try_into()
        .ok()
        .zip(s.try_into().ok())
        .ok_or(PrecompileError::InvalidSignature)?;
    let recovery = k256::ecdsa::RecoveryId::from_byte(recovery[0])
        .ok_or(PrecompileError::InvalidRecoveryId)?;
    let claimed = part(entry[5], number(3), 20)?;
    let message = part(entry[10], number(6), usize::from(number(8)))?;
    let signature = k256::ecdsa::Signature::from_scalars(*r, *s)
        .map_err(|_| PrecompileError::InvalidSignature)?;
    let hash = Keccak256::digest(message);
    let key = recover(&hash, &signature, recovery).ok_or(PrecompileError::InvalidSignature)?;
    let point = key.to_encoded_point(false);
    let address = Keccak256::digest(&point.as_bytes()[1..]);
    if address[12..] != *claimed {
        return Err(PrecompileError::InvalidSignature);
    }
    Ok(())
}

/// The key of a signature. The library recovers only from signatures with the lower `s`; the
/// higher one, which the ecosystem accepts, is that of the opposite nonce point.
fn recover(
    hash: &[u8],
    signature: &k256::ecdsa::Signature,
    recovery: k256::ecdsa::RecoveryId,
) -> Option<k256::ecdsa::VerifyingKey> {
    let (signature, recovery) = match signature.normalize_s() {
        Some(lower) => (
            lower,
            k256::ecdsa::RecoveryId::new(!recovery.is_y_odd(), recovery.is_x_reduced()),
        ),
        None => (*signature, recovery),
    };
    k256::ecdsa::VerifyingKey::recover_from_prehash(hash, &signature, recovery).ok()
}
