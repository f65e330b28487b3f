//! Programs that come and go: a buffer, its bytes, deployment, calls, an upgrade, closing. One step
//! of it is in each batch, because a program can be called from the slot after its deployment on.

use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_rent::Rent;
use solana_sdk_ids::bpf_loader_upgradeable;

use crate::instructions::{MEMO, begin_buffer, close_program, deploy, upgrade, write_buffer};
use crate::random::Trial;
use crate::wire::{create, key, keypair};

/// Bytes of a buffer before the program.
const BUFFER_HEAD: u64 = 37;
/// Bytes of code in one transaction.
const CHUNK: usize = 800;
/// Who deploys: one of the wallets.
const DEPLOYER: u16 = 100;

/// The life of one program after another.
#[derive(Default)]
pub struct Deployment {
    step: u16,
}

/// Steps of one life.
const STEPS: u16 = 8;

impl Deployment {
    /// The transactions of the next step; the slot must have changed since the last.
    pub fn step(&mut self, blockhash: Hash) -> Vec<Trial> {
        let (life, step) = (self.step / STEPS, self.step % STEPS);
        self.step += 1;
        let (program, buffer) = (keypair(2_000 + life), keypair(6_000 + 2 * life));
        let second = keypair(6_001 + 2 * life);
        let payer = keypair(DEPLOYER);
        let elf = memo_program();
        let trial = |kind, instructions: &[Instruction], more: &[u16]| {
            let mut signers = vec![DEPLOYER];
            signers.extend(more);
            Trial::new(vec![kind], instructions, &signers, blockhash)
        };
        let call = |text: &str| {
            let call = Instruction::new_with_bytes(key(&program), text.as_bytes(), Vec::new());
            trial("deployed call", &[call], &[])
        };
        let begin = |seed: u16| {
            let space = BUFFER_HEAD + elf.len() as u64;
            let (owner, buffer) = (bpf_loader_upgradeable::ID, key(&keypair(seed)));
            let made = create(&key(&payer), &buffer, 100_000_000, space, &owner);
            let begun = begin_buffer(&buffer, &key(&payer));
            trial("buffer", &[made, begun], &[seed])
        };
        let writes = |buffer: &ed25519_dalek::SigningKey| {
            elf.chunks(CHUNK)
                .enumerate()
                .map(|(index, chunk)| {
                    let offset = (index * CHUNK) as u32;
                    let write = write_buffer(&key(buffer), &key(&payer), offset, chunk);
                    trial("write", &[write], &[])
                })
                .collect::<Vec<_>>()
        };
        match step {
            0 => vec![begin(6_000 + 2 * life), begin(6_001 + 2 * life)],
            1 => writes(&buffer).into_iter().chain(writes(&second)).collect(),
            2 => {
                let owner = bpf_loader_upgradeable::ID;
                let made = create(&key(&payer), &key(&program), 10_000_000, 36, &owner);
                let space = elf.len() as u64 + 100;
                let deployed = deploy(&key(&payer), &key(&program), &key(&buffer), space);
                vec![trial("deploy", &[made, deployed], &[2_000 + life])]
            }
            3 => vec![call("first"), call("second")],
            4 => {
                let upgraded = upgrade(&key(&payer), &key(&program), &key(&second));
                // Once more fails: the buffer is used up.
                vec![
                    trial("upgrade", &[upgraded.clone()], &[]),
                    trial("upgrade again", &[upgraded, memo("again")], &[]),
                ]
            }
            5 => vec![call("upgraded")],
            6 => {
                let closed = close_program(&key(&payer), &key(&program));
                vec![trial("close", &[closed], &[])]
            }
            _ => {
                let mut closed = call("closed");
                closed.kinds = vec!["closed call"];
                vec![closed]
            }
        }
    }
}

fn memo(text: &str) -> Instruction {
    Instruction::new_with_bytes(MEMO[2], text.as_bytes(), Vec::new())
}

/// The bytes of the newest memo program.
pub fn memo_program() -> Vec<u8> {
    let accounts = solana_program_binaries::by_id(&MEMO[2], &Rent::default());
    accounts
        .and_then(|accounts| accounts.into_iter().nth(1))
        .map(|(_, account)| solana_account::ReadableAccount::data(&account)[45..].to_vec())
        .unwrap_or_default()
}
