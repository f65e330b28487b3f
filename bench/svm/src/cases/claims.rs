//! Signatures that instructions claim, which precompiles verify: the only part of an instruction
//! that the bank itself carries out, by its callbacks.

use ed25519_dalek::{Signer as _, SigningKey};
use solana_instruction::Instruction;
use solana_sdk_ids::{ed25519_program, secp256k1_program, secp256r1_program};

use super::Random;
use crate::harness::Case;

/// An index that means the instruction itself.
const SELF: u16 = u16::MAX;

pub(super) fn case(random: &mut Random) -> Case {
    let program = random.pick(&[
        ed25519_program::ID,
        ed25519_program::ID,
        secp256k1_program::ID,
        secp256r1_program::ID,
    ]);
    let count = random.pick(&[0u8, 1, 1, 1, 2]);
    let pair = SigningKey::from_bytes(&[random.number() as u8; 32]);
    let message = vec![random.number() as u8; random.below(100) as usize];
    let signature = pair.sign(&message).to_bytes();
    // An instruction stands behind it in the bank and none in the harness: it is never named.
    let index = random.pick(&[SELF, SELF, SELF, 300]);
    let start = 2 + 14 * u16::from(count);
    let offsets = [
        start,
        index,
        start + 64,
        index,
        start + 96,
        message.len() as u16,
        index,
    ];
    let mut data = vec![count, 0];
    for _ in 0..count {
        data.extend(offsets.iter().flat_map(|number| number.to_le_bytes()));
    }
    data.extend([&signature[..], &pair.verifying_key().to_bytes(), &message].concat());
    if random.one_in(3) {
        let at = random.below(data.len() as u64) as usize;
        data[at] ^= 1 << random.below(8);
    }
    Case {
        kind: "precompile",
        accounts: Vec::new(),
        shared: Vec::new(),
        instruction: Instruction::new_with_bytes(program, &data, Vec::new()),
        units: 1_000,
    }
}
