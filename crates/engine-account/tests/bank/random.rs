//! Random transactions, valid and broken, between a few people with lamports and tokens.

use ed25519_dalek::SigningKey;
use solana_hash::Hash;
use solana_instruction::Instruction;
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use trilith_engine_account::Profile;

use super::harness::{self, Network, SOL};
use super::wire::{
    Random, TOKEN, associated, create, create_associated, initialize_mint, key, keypair, mint_to,
    token_transfer, transaction, transfer, unit_limit, unit_price,
};

/// People, of whom the last few have nothing.
pub(crate) const WALLETS: u16 = 12;

const MEMO: [Pubkey; 3] = [
    Pubkey::from_str_const("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH"),
];

/// A network of a profile with wallets, two mints and some token accounts.
pub(crate) fn prepared(profile: Profile) -> Network {
    let mut genesis = harness::genesis();
    genesis.profile = profile;
    let mut network = Network::with(genesis);
    // Wallets past the first nine stay empty.
    for seed in 100..109 {
        network.airdrop(&key(&keypair(seed)), 1_000 * SOL);
    }
    let payer = keypair(100);
    for (index, mint) in [keypair(500), keypair(501)].iter().enumerate() {
        let authority = keypair(100 + index as u16);
        network.succeed(
            &[
                create(&key(&payer), &key(mint), SOL / 100, 82, &TOKEN),
                initialize_mint(&key(mint), &key(&authority)),
            ],
            &[&payer, mint],
        );
        for seed in 100..106 {
            let holder = key(&keypair(seed));
            network.succeed(
                &[
                    create_associated(&key(&payer), &holder, &key(mint)),
                    mint_to(
                        &key(mint),
                        &associated(&holder, &key(mint)),
                        &key(&authority),
                        1_000_000,
                    ),
                ],
                &[&payer, &authority],
            );
        }
    }
    network.pass(1);
    network
}

/// A source of transactions.
pub(crate) struct Source(pub(crate) Random);

impl Source {
    fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    fn wallet(&mut self) -> SigningKey {
        keypair(100 + self.below(u64::from(WALLETS)) as u16)
    }

    fn mint(&mut self) -> Pubkey {
        key(&keypair(500 + self.below(2) as u16))
    }

    pub(crate) fn transaction(&mut self, blockhash: Hash) -> Vec<u8> {
        let payer = self.wallet();
        let mut signers = vec![payer.clone()];
        let mut instructions = Vec::new();
        if self.below(4) == 0 {
            // Often too little.
            instructions.push(unit_limit(self.below(20_000) as u32));
        }
        if self.below(8) == 0 {
            instructions.push(unit_price(self.below(10_000_000)));
        }
        for _ in 0..=self.below(4) {
            instructions.push(self.instruction(&payer, &mut signers));
        }
        // Makes every transaction unique.
        let note = self.0.next().to_le_bytes();
        instructions.push(Instruction::new_with_bytes(
            solana_sdk_ids::compute_budget::ID,
            &[
                &[4][..],
                &(1_000_000 + u32::from_le_bytes([note[0], note[1], note[2], 0])).to_le_bytes(),
                &note,
            ]
            .concat(),
            Vec::new(),
        ));
        if self.below(40) == 0 {
            signers.truncate(1);
        }
        let signers: Vec<&SigningKey> = signers.iter().collect();
        let mut bytes = transaction(&instructions, &signers, blockhash);
        if self.below(40) == 0 {
            bytes[5] ^= 1;
        }
        bytes
    }

    fn instruction(&mut self, payer: &SigningKey, signers: &mut Vec<SigningKey>) -> Instruction {
        let (from, to, mint) = (self.wallet(), self.wallet(), self.mint());
        let amount = match self.below(6) {
            0 => 0,
            1 => 2_000 * SOL,
            2 => self.below(1_000_000),
            _ => self.below(SOL),
        };
        let sign = |signer: &SigningKey, signers: &mut Vec<SigningKey>| {
            signers.push(signer.clone());
        };
        match self.below(9) {
            0..=1 => transfer(&key(payer), &key(&to), amount),
            2 => {
                sign(&from, signers);
                transfer(&key(&from), &key(&to), amount)
            }
            3..=4 => {
                sign(&from, signers);
                let tokens = self.below(3_000_000);
                token_transfer(
                    &associated(&key(&from), &mint),
                    &associated(&key(&to), &mint),
                    &key(&from),
                    tokens / (1 + self.below(100)),
                )
            }
            5 => {
                let authority = keypair(100 + self.below(3) as u16);
                sign(&authority, signers);
                mint_to(
                    &mint,
                    &associated(&key(&to), &mint),
                    &key(&authority),
                    amount,
                )
            }
            6 => create_associated(&key(payer), &key(&to), &mint),
            7 => {
                let new = keypair(700 + self.below(32) as u16);
                sign(&new, signers);
                let owner = [system_program::ID, TOKEN][self.below(2) as usize];
                let space = self.below(300);
                create(&key(payer), &key(&new), amount, space, &owner)
            }
            _ => {
                let program = MEMO[self.below(3) as usize];
                let text: &[u8] = [&b"memo"[..], &[0xff, 0xfe], b""][self.below(3) as usize];
                Instruction::new_with_bytes(program, text, Vec::new())
            }
        }
    }
}
