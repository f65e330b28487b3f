//! Random transactions, valid and broken, between a few people with lamports, tokens of both token
//! programs, nonces and lookup tables. The same seed gives the same transactions.

use ed25519_dalek::SigningKey;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{AddressLookupTableAccount, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_transaction::versioned::VersionedTransaction;
use trilith_params::account::TRANSACTION_BYTES_MAX;

use crate::instructions::{
    MEMO, TOKEN_2022, allocate, assign, associated, authorize_nonce, close_token,
    create_associated, create_with_seed, heap, loaded_bytes, token, transfer_checked,
    withdraw_nonce,
};
use crate::wire::{
    Random, TOKEN, advance_nonce, create, key, keypair, sign, transaction, transfer, unit_limit,
    unit_price,
};

/// Lamports of a SOL.
pub const SOL: u64 = 1_000_000_000;
/// First seed of the wallets, and how many there are. The last three have nothing.
pub const WALLETS: (u16, u16) = (100, 12);
/// First seed of the nonce accounts, and how many there are.
pub const NONCES: (u16, u16) = (600, 6);
/// First seed of the mints: two of each token program.
pub const MINTS: u16 = 500;
/// First seed of accounts that are created, and how many there are.
pub const CREATED: (u16, u16) = (700, 64);

/// One transaction with what is in it.
#[derive(Clone)]
pub struct Trial {
    /// Names of what it does, and of what is broken about it.
    pub kinds: Vec<&'static str>,
    /// The transaction.
    pub transaction: VersionedTransaction,
}

impl Trial {
    /// A transaction that these sign; the first pays.
    pub fn new(
        kinds: Vec<&'static str>,
        instructions: &[Instruction],
        signers: &[u16],
        blockhash: Hash,
    ) -> Self {
        let signers: Vec<SigningKey> = signers.iter().map(|seed| keypair(*seed)).collect();
        let signers: Vec<&SigningKey> = signers.iter().collect();
        Self {
            kinds,
            transaction: decoded(&transaction(instructions, &signers, blockhash)),
        }
    }
}

fn decoded(bytes: &[u8]) -> VersionedTransaction {
    wincode::deserialize(bytes).expect("it was just encoded")
}

/// What a batch is drawn for.
pub struct Circumstances {
    /// The newest blockhash.
    pub blockhash: Hash,
    /// A lookup table whose addresses can be used.
    pub table: AddressLookupTableAccount,
    /// Values of the nonce accounts, in their order.
    pub nonces: Vec<Hash>,
}

/// The token program and the mint of a number from 0 to 3.
pub fn mint(number: u16) -> (Pubkey, Pubkey) {
    let program = if number < 2 { TOKEN } else { TOKEN_2022 };
    (program, key(&keypair(MINTS + number)))
}

/// Where transactions come from.
pub struct Source(Random);

impl Source {
    /// The transactions of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Random(seed))
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0.below(limit)
    }

    fn wallet(&mut self) -> u16 {
        WALLETS.0 + self.below(u64::from(WALLETS.1)) as u16
    }

    /// One transaction, of at most [`TRANSACTION_BYTES_MAX`]: LiteSVM knows no such limit.
    pub fn trial(&mut self, now: &Circumstances) -> Trial {
        loop {
            let trial = self.draw(now);
            let len =
                wincode::serialize(&trial.transaction).map_or(usize::MAX, |bytes| bytes.len());
            if len <= TRANSACTION_BYTES_MAX {
                return trial;
            }
        }
    }

    fn draw(&mut self, now: &Circumstances) -> Trial {
        // Most payers can pay.
        let payer = if self.below(24) == 0 {
            self.wallet()
        } else {
            WALLETS.0 + self.below(9) as u16
        };
        let mut draft = Draft {
            payer,
            signers: vec![payer],
            kinds: Vec::new(),
            instructions: Vec::new(),
        };
        let durable = self.below(24) == 0;
        let mut blockhash = now.blockhash;
        if durable {
            blockhash = self.durable(&mut draft, now);
        }
        self.budget(&mut draft);
        for _ in 0..=self.below(4) {
            self.instruction(&mut draft);
        }
        // Makes every transaction unique.
        let note = self.0.next();
        draft.instructions.push(unique(note));
        self.seal(draft, blockhash, now)
    }

    /// A transaction with a durable nonce in place of a blockhash.
    fn durable(&mut self, draft: &mut Draft, now: &Circumstances) -> Hash {
        let index = self.below(u64::from(NONCES.1)) as u16;
        let authority = WALLETS.0 + index;
        draft.kinds.push("durable nonce");
        draft.signers.push(authority);
        draft.instructions.push(advance_nonce(
            &key(&keypair(NONCES.0 + index)),
            &key(&keypair(authority)),
        ));
        now.nonces
            .get(usize::from(index))
            .copied()
            .unwrap_or_default()
    }

    fn budget(&mut self, draft: &mut Draft) {
        if self.below(4) == 0 {
            // Often too little.
            draft.push("unit limit", unit_limit(self.0.below(20_000) as u32));
        }
        if self.below(8) == 0 {
            draft.push("unit price", unit_price(self.0.below(10_000_000)));
        }
        if self.below(16) == 0 {
            // Sometimes no multiple of 1,024, or too much.
            let bytes = match self.below(4) {
                0 => 33_000,
                1 => 300 * 1_024,
                _ => (32 + self.below(225) as u32) * 1_024,
            };
            draft.push("heap", heap(bytes));
        }
        if self.below(64) == 0 {
            draft.push("budget twice", unit_limit(200_000));
            draft.instructions.push(unit_limit(200_000));
        }
    }

    fn amount(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => 2_000_000 * SOL,
            2 => self.below(1_000_000),
            _ => self.below(SOL / 10),
        }
    }

    fn instruction(&mut self, draft: &mut Draft) {
        match self.below(24) {
            0..=8 => self.system(draft),
            9..=17 => self.tokens(draft),
            18..=19 if draft.kinds.first() != Some(&"durable nonce") => self.nonce(draft),
            18..=20 => {
                let unknown = Pubkey::new_from_array([self.below(4) as u8 + 1; 32]);
                if self.below(4) == 0 {
                    let call = Instruction::new_with_bytes(unknown, &[1], Vec::new());
                    draft.push("unknown program", call);
                }
            }
            _ => {
                let which = self.below(3) as usize;
                let text: &[u8] =
                    [&b"memo"[..], &[0xff, 0xfe], b"", &[b'x'; 300]][self.below(4) as usize];
                let accounts = if self.below(3) == 0 {
                    let signer = self.wallet();
                    draft.signers.push(signer);
                    vec![AccountMeta::new_readonly(key(&keypair(signer)), true)]
                } else {
                    Vec::new()
                };
                let kind = ["memo 1", "memo 2", "memo 4"][which];
                draft.push(
                    kind,
                    Instruction::new_with_bytes(MEMO[which], text, accounts),
                );
            }
        }
    }

    fn system(&mut self, draft: &mut Draft) {
        let payer = key(&keypair(draft.payer));
        let (from, to) = (self.wallet(), key(&keypair(self.wallet())));
        let new = CREATED.0 + self.below(u64::from(CREATED.1)) as u16;
        let new_key = key(&keypair(new));
        let owner = [system_program::ID, TOKEN, TOKEN_2022][self.below(3) as usize];
        let (amount, space) = (self.amount(), self.below(300));
        match self.below(9) {
            0..=2 => draft.push("transfer", transfer(&payer, &to, amount)),
            3..=4 => {
                draft.signers.push(from);
                draft.push(
                    "signed transfer",
                    transfer(&key(&keypair(from)), &to, amount),
                );
            }
            5 => {
                draft.signers.push(new);
                draft.push("create", create(&payer, &new_key, amount, space, &owner));
            }
            6 => {
                draft.signers.push(new);
                draft.push("allocate", allocate(&new_key, space));
            }
            7 => {
                draft.signers.push(new);
                draft.push("assign", assign(&new_key, &owner));
            }
            _ => {
                let seed = ["a", "b", "c", "d"][self.below(4) as usize];
                let made = create_with_seed(&payer, seed, amount, space, &owner);
                draft.push("create with seed", made);
            }
        }
    }

    fn tokens(&mut self, draft: &mut Draft) {
        let number = self.below(4) as u16;
        let (program, mint) = mint(number);
        let (from, to) = (self.wallet(), key(&keypair(self.wallet())));
        let from_key = key(&keypair(from));
        let accounts = [&from_key, &to].map(|holder| associated(&program, holder, &mint));
        let payer = key(&keypair(draft.payer));
        let amount = self.below(3_000_000) / (1 + self.below(100));
        let is_new = number >= 2;
        let kind = |old: &'static str, new: &'static str| if is_new { new } else { old };
        let choice = self.below(10);
        if !matches!(choice, 4 | 7 | 8) {
            draft.signers.push(from);
        }
        let [source, target] = &accounts;
        match choice {
            0..=2 => draft.push(
                kind("token transfer", "token-2022 transfer"),
                token(&program, 3, amount, [source, target, &from_key]),
            ),
            3 => {
                let decimals = if self.below(8) == 0 { 5 } else { 6 };
                let between = [source, &mint, target, &from_key];
                draft.push(
                    kind("token checked", "token-2022 checked"),
                    transfer_checked(&program, amount, decimals, between),
                );
            }
            4 => {
                let authority = WALLETS.0 + self.below(4) as u16;
                draft.signers.push(authority);
                let by = key(&keypair(authority));
                draft.push(
                    kind("token mint", "token-2022 mint"),
                    token(&program, 7, amount, [&mint, target, &by]),
                );
            }
            5 => draft.push(
                kind("token burn", "token-2022 burn"),
                token(&program, 8, amount, [source, &mint, &from_key]),
            ),
            6 => draft.push(
                kind("token approve", "token-2022 approve"),
                token(&program, 4, amount, [source, &to, &from_key]),
            ),
            7..=8 => {
                let idempotent = self.below(2) == 0;
                draft.push(
                    kind("associated token", "associated token-2022"),
                    create_associated(&program, &payer, &to, &mint, idempotent),
                );
            }
            _ => {
                // Closing is possible for those that are empty.
                if self.below(3) == 0 {
                    let all = token(&program, 3, 0, [source, target, &from_key]);
                    draft.instructions.push(all);
                }
                draft.push(
                    kind("token close", "token-2022 close"),
                    close_token(&program, source, &to, &from_key),
                );
            }
        }
    }

    fn nonce(&mut self, draft: &mut Draft) {
        let index = self.below(u64::from(NONCES.1)) as u16;
        let nonce = key(&keypair(NONCES.0 + index));
        let authority = if self.below(4) == 0 {
            self.wallet()
        } else {
            WALLETS.0 + index
        };
        draft.signers.push(authority);
        let by = key(&keypair(authority));
        match self.below(4) {
            0..=1 => {
                let advance = advance_nonce(&nonce, &by);
                draft.push("nonce advance", advance);
            }
            2 => {
                let to = key(&keypair(self.wallet()));
                let lamports = self.below(3) * self.below(SOL);
                draft.push("nonce withdraw", withdraw_nonce(&nonce, &to, &by, lamports));
            }
            _ => draft.push("nonce authorize", authorize_nonce(&nonce, &by, &by)),
        }
    }

    /// Signs a draft, and breaks some.
    fn seal(&mut self, mut draft: Draft, blockhash: Hash, now: &Circumstances) -> Trial {
        let broken = self.below(48);
        if broken == 0 {
            draft.kinds.push("missing signature");
            draft.signers.truncate(1);
        }
        let blockhash = if broken == 1 {
            draft.kinds.push("unknown blockhash");
            Hash::new_from_array([9; 32])
        } else {
            blockhash
        };
        if broken == 2 {
            draft.kinds.push("too little to load");
            draft.limit_loading(1 + self.below(100) as u32);
        }
        if broken == 3 {
            draft.kinds.push("nothing to load");
            draft.limit_loading(0);
        }
        let looked_up = broken > 8 && self.below(5) == 0;
        let signers: Vec<SigningKey> = draft.signers.iter().map(|seed| keypair(*seed)).collect();
        let signers: Vec<&SigningKey> = signers.iter().collect();
        let tables = std::slice::from_ref(&now.table);
        let payer = key(signers[0]);
        let v0 = v0::Message::try_compile(&payer, &draft.instructions, tables, blockhash);
        let bytes = match v0 {
            Ok(message) if looked_up => {
                if !message.address_table_lookups.is_empty() {
                    draft.kinds.push("lookup table");
                }
                sign(VersionedMessage::V0(message), &signers)
            }
            _ => transaction(&draft.instructions, &signers, blockhash),
        };
        let mut transaction = decoded(&bytes);
        match broken {
            4 => {
                draft.kinds.push("damaged signature");
                let mut signature: [u8; 64] = transaction.signatures[0].into();
                signature[self.below(64) as usize] ^= 1;
                transaction.signatures[0] = signature.into();
            }
            5 => {
                if let VersionedMessage::Legacy(message) = &mut transaction.message {
                    draft.kinds.push("index out of range");
                    if let Some(first) = message.instructions.first_mut() {
                        first.program_id_index = 200;
                    }
                }
            }
            6 => {
                if let VersionedMessage::Legacy(message) = &mut transaction.message {
                    draft.kinds.push("account twice");
                    let last = message.account_keys.len() - 1;
                    message.account_keys[last] = message.account_keys[1.min(last - 1)];
                    let again = sign(transaction.message.clone(), &signers);
                    transaction = decoded(&again);
                }
            }
            _ => {}
        }
        Trial {
            kinds: draft.kinds,
            transaction,
        }
    }
}

/// An instruction that does nothing and is seldom the same: a limit far above what is loaded.
fn unique(note: u64) -> Instruction {
    let [a, b, c, ..] = note.to_le_bytes();
    let mut instruction = loaded_bytes(50_000_000 + u32::from_le_bytes([a, b, c, 0]) % 10_000_000);
    instruction.data.extend(note.to_le_bytes());
    instruction
}

/// A transaction that is being put together.
struct Draft {
    payer: u16,
    signers: Vec<u16>,
    kinds: Vec<&'static str>,
    instructions: Vec<Instruction>,
}

impl Draft {
    fn push(&mut self, kind: &'static str, instruction: Instruction) {
        self.kinds.push(kind);
        self.instructions.push(instruction);
    }

    /// Another limit in place of the one that makes it unique.
    fn limit_loading(&mut self, bytes: u32) {
        self.instructions.pop();
        self.instructions.push(loaded_bytes(bytes));
    }
}
