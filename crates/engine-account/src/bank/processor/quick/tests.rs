//! The same random transactions in this loop and in `solana-svm`: everything that one says of them
//! the other says too.

use std::borrow::Cow;

use ed25519_dalek::SigningKey;
use solana_account::{Account, ReadableAccount as _};
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{AddressLookupTableAccount, Message, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    address_lookup_table, bpf_loader, bpf_loader_upgradeable, compute_budget, ed25519_program,
    incinerator, system_program, sysvar, vote,
};
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use trilith_types::state::Visitor;
use trilith_types::{Hash as Root, Image, ImageId, RuntimeId, StateFault, StateRead, TimeNanos};

use crate::bank::accounts::Accounts;
use crate::bank::budget;
use crate::bank::decode::{Sanitized, Tables, decode};
use crate::bank::genesis::Genesis;
use crate::bank::lane::{Locked, locked};
use crate::bank::places::Place;
use crate::bank::processor::{Checked, Processed, Processor as _, Slot, Svm};
use crate::bank::sysvar as sysvar_of_bank;
use crate::bank::table::Table;
use crate::bank::warm::Rules;
use crate::token::{TOKEN, TOKEN_2022};

const SOL: u64 = 1_000_000_000;
const SLOT: u64 = 5;
const WALLETS: u8 = 10;
const ASSOCIATED: Pubkey = Pubkey::from_str_const("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
/// A program whose account is large.
const LARGE: Pubkey = Pubkey::new_from_array([0x88; 32]);
const MEMO: Pubkey = Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");

/// A state in which there is nothing.
struct Nothing;

impl StateRead for Nothing {
    fn root(&self) -> Root {
        Root::EMPTY
    }

    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        Ok(None)
    }

    fn iterate(&self, _: &[u8], _: &mut Visitor<'_>) -> Result<(), StateFault> {
        Ok(())
    }

    fn image(&self, _: &ImageId) -> Result<Option<Image>, StateFault> {
        Ok(None)
    }
}

fn at(kind: u8, number: u8) -> Pubkey {
    let mut bytes = [kind; 32];
    bytes[31] = number;
    Pubkey::new_from_array(bytes)
}

/// A key that is on the curve, so that associated accounts of it can be derived.
fn wallet(number: u8) -> Pubkey {
    let pair = SigningKey::from_bytes(&[number + 1; 32]);
    Pubkey::new_from_array(pair.verifying_key().to_bytes())
}

fn mint(number: u8) -> (Pubkey, Pubkey) {
    (
        [TOKEN, TOKEN_2022][usize::from(number % 2)],
        at(0x4d, number),
    )
}

fn associated(holder: &Pubkey, (program, mint): (Pubkey, Pubkey)) -> Pubkey {
    let seeds = [holder.as_ref(), program.as_ref(), mint.as_ref()];
    Pubkey::find_program_address(&seeds, &ASSOCIATED).0
}

fn holding(lamports: u64, data: Vec<u8>, owner: Pubkey) -> Account {
    Account {
        lamports,
        data,
        owner,
        executable: false,
        // Older accounts have another number than that of today.
        rent_epoch: if lamports.is_multiple_of(2) {
            u64::MAX
        } else {
            3
        },
    }
}

/// Accounts with which the transactions can begin.
fn accounts() -> Vec<(Pubkey, Account)> {
    let mut accounts = Vec::new();
    let lamports = [
        0,
        4_000,
        900_000,
        1_000_001,
        SOL,
        SOL,
        5_000 * SOL,
        5_000 * SOL,
        5_000 * SOL,
        5_000 * SOL,
    ];
    for (number, lamports) in (0..WALLETS).zip(lamports) {
        accounts.push((
            wallet(number),
            holding(lamports, Vec::new(), system_program::ID),
        ));
    }
    for number in 0..4 {
        let mut data = vec![0; 82];
        data[..4].copy_from_slice(&1u32.to_le_bytes());
        data[4..36].copy_from_slice(wallet(6).as_ref());
        data[36..44].copy_from_slice(&1_000_000_000u64.to_le_bytes());
        data[44..46].copy_from_slice(&[number, 1]);
        accounts.push((mint(number).1, holding(SOL, data, mint(number).0)));
        for holder in 4..8 {
            let mut data = vec![0; 165];
            data[..32].copy_from_slice(mint(number).1.as_ref());
            data[32..64].copy_from_slice(wallet(holder).as_ref());
            data[64..72].copy_from_slice(&1_000_000u64.to_le_bytes());
            data[108] = 1;
            let key = associated(&wallet(holder), mint(number));
            accounts.push((key, holding(SOL, data, mint(number).0)));
        }
    }
    accounts.extend(odd_accounts());
    accounts
}

/// Accounts that are not what they seem, and a lookup table.
fn odd_accounts() -> Vec<(Pubkey, Account)> {
    let mut accounts = Vec::new();
    // Belongs to the token program and is nothing, and one whose mint is nothing.
    accounts.push((at(0x11, 0), holding(SOL, vec![7; 165], TOKEN)));
    accounts.push((at(0x11, 1), holding(SOL + 1, vec![1; 166], TOKEN_2022)));
    // A nonce account pays only what it does not need.
    let mut nonce = [
        &1u32.to_le_bytes()[..],
        &1u32.to_le_bytes(),
        wallet(4).as_ref(),
    ]
    .concat();
    nonce.extend([9; 32]);
    nonce.extend(5_000u64.to_le_bytes());
    accounts.push((wallet(40), holding(1_500_000, nonce, system_program::ID)));
    // Buffers and code that are no programs, and a program without code.
    accounts.push((
        at(0x22, 0),
        holding(SOL, vec![1; 60], bpf_loader_upgradeable::ID),
    ));
    let mut named = 2u32.to_le_bytes().to_vec();
    named.extend(at(0x22, 9).as_ref());
    accounts.push((at(0x22, 1), holding(SOL, named, bpf_loader_upgradeable::ID)));
    accounts.push((at(0x22, 2), holding(SOL, vec![1; 60], bpf_loader::ID)));
    // A program of the upgradeable loader whose account is larger than it needs to be.
    let memo = solana_program_binaries::by_id(&MEMO, &sysvar_of_bank::rent()).expect("it is known");
    let (_, memo) = memo.first().expect("its code");
    let mut named = 2u32.to_le_bytes().to_vec();
    named.extend(at(0x88, 1).as_ref());
    named.resize(2_000, 0);
    let mut program = holding(SOL, named, bpf_loader_upgradeable::ID);
    program.executable = true;
    accounts.push((LARGE, program));
    let mut code = 3u32.to_le_bytes().to_vec();
    code.resize(45, 0);
    code.extend(memo.data());
    accounts.push((at(0x88, 1), holding(SOL, code, bpf_loader_upgradeable::ID)));
    // A lookup table that is in force.
    let mut table = [&1u32.to_le_bytes()[..], &u64::MAX.to_le_bytes(), &[0; 42]].concat();
    table_keys()
        .iter()
        .for_each(|key| table.extend(key.as_ref()));
    accounts.push((at(0x33, 0), holding(SOL, table, address_lookup_table::ID)));
    // Somebody gave lamports to what is made anew for each transaction.
    accounts.push((
        incinerator::ID,
        holding(SOL, Vec::new(), system_program::ID),
    ));
    accounts
}

fn table_keys() -> Vec<Pubkey> {
    let mut keys: Vec<Pubkey> = (0..WALLETS).map(wallet).collect();
    keys.extend([TOKEN, MEMO, at(0x44, 0)]);
    keys
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn one<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    fn wallet(&mut self) -> Pubkey {
        wallet(self.below(u64::from(WALLETS)) as u8)
    }

    /// A payer who can mostly pay.
    fn payer(&mut self) -> Pubkey {
        match self.below(12) {
            0 => self.wallet(),
            1 => wallet(40),
            _ => wallet(4 + self.below(6) as u8),
        }
    }

    fn amount(&mut self) -> u64 {
        match self.below(7) {
            0 => 0,
            1 => 100 * SOL,
            2 => 890_880,
            3 => self.below(2_000_000),
            _ => self.below(SOL / 10),
        }
    }

    /// Accounts of all kinds.
    fn any(&mut self) -> Pubkey {
        match self.below(9) {
            0 => at(0x55, self.below(6) as u8),
            1 => associated(&self.wallet(), mint(self.below(4) as u8)),
            2 => mint(self.below(4) as u8).1,
            3 => self.one(&[sysvar::clock::ID, sysvar::rent::ID, incinerator::ID]),
            4 => self.one(&[TOKEN, TOKEN_2022, MEMO, system_program::ID]),
            5 => at(0x11, self.below(2) as u8),
            _ => self.wallet(),
        }
    }

    fn instruction(&mut self, payer: &Pubkey) -> Instruction {
        match self.below(16) {
            0..=3 => self.transfer(payer),
            4 => self.create(payer),
            5..=8 => self.token(payer),
            9 => self.create_associated(payer),
            10 => {
                let text = vec![b'a'; self.below(700) as usize];
                let program = self.one(&[MEMO, LARGE]);
                let accounts =
                    (self.below(3) == 0).then(|| AccountMeta::new_readonly(LARGE, false));
                Instruction::new_with_bytes(program, &text, accounts.into_iter().collect())
            }
            11 => self.budget(),
            12 => self.odd_program(),
            13 => {
                // Allocates or gives away an account that pays or is new.
                let new = at(0x55, self.below(6) as u8);
                let key = self.one(&[*payer, new]);
                let data = if self.below(2) == 0 {
                    [&8u32.to_le_bytes()[..], &self.below(200).to_le_bytes()].concat()
                } else {
                    let owner = match self.below(10) {
                        0 => bpf_loader::ID,
                        _ => self.one(&[TOKEN, at(0x66, 0)]),
                    };
                    [&1u32.to_le_bytes()[..], owner.as_ref()].concat()
                };
                Instruction::new_with_bytes(
                    system_program::ID,
                    &data,
                    vec![AccountMeta::new(key, true)],
                )
            }
            14 => {
                let accounts = (0..self.below(5)).map(|_| self.meta()).collect();
                let program = self.one(&[TOKEN, TOKEN_2022, ASSOCIATED, vote::ID, MEMO, LARGE]);
                let data: Vec<u8> = (0..self.below(12)).map(|_| self.next() as u8).collect();
                Instruction::new_with_bytes(program, &data, accounts)
            }
            _ => self.apart(payer),
        }
    }

    fn meta(&mut self) -> AccountMeta {
        let (key, is_signer) = (self.any(), self.below(4) == 0);
        if self.below(2) == 0 {
            AccountMeta::new(key, is_signer)
        } else {
            AccountMeta::new_readonly(key, is_signer)
        }
    }

    fn transfer(&mut self, payer: &Pubkey) -> Instruction {
        let from = if self.below(3) == 0 {
            self.wallet()
        } else {
            *payer
        };
        let to = self.any();
        let data = [&2u32.to_le_bytes()[..], &self.amount().to_le_bytes()].concat();
        let accounts = vec![AccountMeta::new(from, true), AccountMeta::new(to, false)];
        Instruction::new_with_bytes(system_program::ID, &data, accounts)
    }

    fn create(&mut self, payer: &Pubkey) -> Instruction {
        let new = at(0x55, self.below(6) as u8);
        let owner = match self.below(20) {
            0 => bpf_loader::ID,
            _ => self.one(&[system_program::ID, TOKEN, at(0x66, 0)]),
        };
        let data = [
            &0u32.to_le_bytes()[..],
            &self.amount().to_le_bytes(),
            &self.below(300).to_le_bytes(),
            owner.as_ref(),
        ]
        .concat();
        let accounts = vec![AccountMeta::new(*payer, true), AccountMeta::new(new, true)];
        Instruction::new_with_bytes(system_program::ID, &data, accounts)
    }

    fn token(&mut self, payer: &Pubkey) -> Instruction {
        let mint = mint(self.below(4) as u8);
        let stranger = self.wallet();
        let from = self.one(&[stranger, *payer, *payer]);
        let to = self.wallet();
        let amount = self.below(1_200_000);
        let accounts = vec![
            AccountMeta::new(associated(&from, mint), false),
            AccountMeta::new(associated(&to, mint), false),
            AccountMeta::new_readonly(from, true),
        ];
        let (tag, accounts) = match self.below(8) {
            // Says how large an account is, mints, closes.
            6 => (21, vec![AccountMeta::new_readonly(mint.1, false)]),
            0 => {
                let mut accounts = accounts;
                accounts[0] = AccountMeta::new(mint.1, false);
                accounts[2] = AccountMeta::new_readonly(wallet(6), true);
                (7, accounts)
            }
            1 => (9, accounts),
            _ => (3, accounts),
        };
        let data = if tag == 9 || tag == 21 {
            vec![tag]
        } else {
            [&[tag][..], &amount.to_le_bytes()].concat()
        };
        Instruction::new_with_bytes(mint.0, &data, accounts)
    }

    fn create_associated(&mut self, payer: &Pubkey) -> Instruction {
        let (holder, mint) = (self.wallet(), mint(self.below(4) as u8));
        let accounts = vec![
            AccountMeta::new(*payer, true),
            AccountMeta::new(associated(&holder, mint), false),
            AccountMeta::new_readonly(holder, false),
            AccountMeta::new_readonly(mint.1, false),
            AccountMeta::new_readonly(system_program::ID, false),
            AccountMeta::new_readonly(mint.0, false),
        ];
        Instruction::new_with_bytes(ASSOCIATED, &[self.below(2) as u8], accounts)
    }

    fn budget(&mut self) -> Instruction {
        let data = match self.below(4) {
            0 => [&[2][..], &(self.below(8_000) as u32).to_le_bytes()].concat(),
            1 => [&[3][..], &self.below(100_000_000).to_le_bytes()].concat(),
            2 => [&[4][..], &(1 + self.below(200_000) as u32).to_le_bytes()].concat(),
            _ => {
                let heap = 1_024 * self.one(&[32u32, 33, 64, 256]);
                [&[1][..], &heap.to_le_bytes()].concat()
            }
        };
        Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
    }

    /// Programs that are none.
    fn odd_program(&mut self) -> Instruction {
        let program = self.one(&[
            at(0x77, 0),
            wallet(9),
            mint(0).1,
            sysvar::clock::ID,
            address_lookup_table::ID,
        ]);
        let accounts = vec![self.meta()];
        Instruction::new_with_bytes(program, &[1, 2, 3], accounts)
    }

    /// What is not plain.
    fn apart(&mut self, payer: &Pubkey) -> Instruction {
        if self.below(9) > 0 {
            return self.transfer(payer);
        }
        let accounts = vec![AccountMeta::new_readonly(
            self.one(&[
                sysvar::instructions::ID,
                bpf_loader_upgradeable::ID,
                at(0x22, 0),
                at(0x22, 1),
                at(0x22, 2),
            ]),
            false,
        )];
        let program = self.one(&[
            ed25519_program::ID,
            bpf_loader_upgradeable::ID,
            at(0x22, 0),
            at(0x22, 1),
            at(0x22, 2),
            MEMO,
        ]);
        Instruction::new_with_bytes(program, &[0, 0], accounts)
    }

    fn message(&mut self) -> VersionedMessage {
        let payer = self.payer();
        let mut instructions: Vec<Instruction> = (0..1 + self.below(4))
            .map(|_| self.instruction(&payer))
            .collect();
        if self.below(20) == 0 {
            // More lines than are kept.
            let accounts = vec![AccountMeta::new_readonly(mint(1).1, false)];
            let asking = Instruction::new_with_bytes(TOKEN_2022, &[21], accounts);
            instructions.extend(std::iter::repeat_n(asking, 50));
        }
        // Makes every message unique.
        let note = self.next().to_le_bytes();
        let note = [&[2][..], &1_400_000u32.to_le_bytes(), &note].concat();
        if !instructions
            .iter()
            .any(|one| one.program_id == compute_budget::ID)
        {
            let note = Instruction::new_with_bytes(compute_budget::ID, &note, Vec::new());
            instructions.insert(0, note);
        }
        if self.below(4) > 0 {
            let hash = Hash::default();
            return VersionedMessage::Legacy(Message::new_with_blockhash(
                &instructions,
                Some(&payer),
                &hash,
            ));
        }
        let table = AddressLookupTableAccount {
            key: at(0x33, 0),
            addresses: table_keys(),
        };
        let compiled = v0::Message::try_compile(&payer, &instructions, &[table], Hash::default());
        VersionedMessage::V0(compiled.expect("few accounts"))
    }
}

/// A bank in small: accounts, and the two processors that are compared.
struct Bank<'a> {
    accounts: Accounts<'a>,
    rules: Rules,
    judge: Svm,
    quick: Svm,
    /// Transactions that ran without the machine.
    without_machine: usize,
}

impl Bank<'_> {
    fn new(view: &dyn StateRead) -> Bank<'_> {
        let mut genesis = Genesis::new(wallet(60), None);
        genesis.accounts = accounts();
        let mut accounts = Accounts::new(view, Table::default());
        let time = TimeNanos(1_800_000_000_000_000_000);
        let (_, in_force) = genesis.begin(&mut accounts, RuntimeId::test(5), time);
        let rules = Rules::new(in_force);
        let svm = || Svm::new(&rules).expect("a processor");
        let (judge, quick) = (svm(), svm());
        let mut bank = Bank {
            accounts,
            rules,
            judge,
            quick,
            without_machine: 0,
        };
        bank.begin(SLOT);
        bank
    }

    fn begin(&mut self, slot: u64) {
        let slot = Slot {
            slot,
            epoch: 0,
            blockhash: Hash::default(),
        };
        self.judge.begin(&slot, &self.accounts);
        self.quick.begin(&slot, &self.accounts);
    }

    /// Random transactions that pass what is checked before the processor.
    fn lane(&self, random: &mut Random) -> (Vec<Vec<u8>>, Vec<Result<Checked, TransactionError>>) {
        let tables = Tables::new(&self.accounts, SLOT, &self.rules.reserved);
        let mut lane = (Vec::new(), Vec::new());
        let count = 1 + random.below(16) as usize;
        while lane.0.len() < count {
            let bytes = bytes_of(random.message());
            let Ok(transaction) = decode(&bytes).and_then(|one| one.resolve(&tables)) else {
                continue;
            };
            let Ok(budget) = budget::limits(&transaction, &self.rules) else {
                continue;
            };
            drop(transaction);
            let nonce = (random.below(150) == 0).then(|| wallet(40));
            lane.1.push(if random.below(60) == 0 {
                Err(TransactionError::AlreadyProcessed)
            } else {
                Ok(Checked { nonce, budget })
            });
            lane.0.push(bytes);
        }
        lane
    }

    /// Runs a lane on both, which must say the same; gives what they say and how many of the
    /// transactions ran in the loop.
    fn run(
        &mut self,
        bytes: &[Vec<u8>],
        checked: &[Result<Checked, TransactionError>],
    ) -> (Vec<Processed>, usize) {
        let tables = Tables::new(&self.accounts, SLOT, &self.rules.reserved);
        let resolve = |bytes| decode(bytes).and_then(|one| one.resolve(&tables));
        let transactions: Result<Vec<Sanitized<'_>>, _> =
            bytes.iter().map(|bytes| resolve(bytes)).collect();
        let transactions = &transactions.expect("they were resolved before")[..];
        let locks = locks(&mut self.accounts, transactions);
        let expected = self
            .judge
            .process(&self.accounts, transactions, checked.to_vec(), true);
        let expected = expected.expect("it runs");
        let (given, mut written) = self.plain(transactions, &locks, checked);
        let (plain, rest) = (given.len(), given.len()..transactions.len());
        for (index, (given, expected)) in given.iter().zip(&expected).enumerate() {
            let transaction = &bytes[index];
            assert_eq!(given, expected, "number {index}: {transaction:?}");
            self.without_machine += usize::from(is_without_machine(given));
        }
        // What is not plain goes on where the loop stopped.
        let given = self
            .quick
            .process(
                &self.accounts,
                &transactions[rest.clone()],
                checked[rest.clone()].to_vec(),
                true,
            )
            .expect("it runs");
        assert_eq!(given, expected[rest.clone()]);
        for (charged, locks) in given.into_iter().zip(&locks[rest]) {
            for (index, account) in charged.into_iter().flat_map(|charged| charged.writes) {
                let place = locks[index].0;
                written.extend(self.accounts.put_at(place, account).then_some(place));
            }
        }
        self.accounts.note(&written);
        (expected, plain)
    }

    /// Runs the first transactions of a lane as far as they are plain, and writes what they write.
    fn plain(
        &self,
        transactions: &[Sanitized<'_>],
        locks: &[Locked],
        checked: &[Result<Checked, TransactionError>],
    ) -> (Vec<Processed>, Vec<Place>) {
        let (mut done, mut written) = (Vec::new(), Vec::new());
        let ran = self.quick.quickly(&self.accounts, |quick| {
            for ((transaction, locks), checked) in transactions.iter().zip(locks).zip(checked) {
                let Some(processed) = quick.process(transaction, locks, checked) else {
                    return;
                };
                for (index, account) in processed.iter().flat_map(|charged| &charged.writes) {
                    let (place, account) = (locks[*index].0, account.clone());
                    written.extend(self.accounts.put_at(place, account).then_some(place));
                }
                done.push(processed);
            }
        });
        assert!(ran.is_some());
        (done, written)
    }
}

/// Whether the machine had no part in it: what that logs is written for each transaction anew.
fn is_without_machine(processed: &Processed) -> bool {
    processed.as_ref().is_ok_and(|charged| {
        let mut lines = charged.logs.iter();
        !charged.logs.is_empty() && lines.all(|line| matches!(line, Cow::Borrowed(_)))
    })
}

/// A transaction whose signatures nobody looks at.
fn bytes_of(message: VersionedMessage) -> Vec<u8> {
    let signatures = usize::from(message.header().num_required_signatures);
    let transaction = VersionedTransaction {
        signatures: vec![Signature::default(); signatures],
        message,
    };
    wincode::serialize(&transaction).expect("it has an encoding")
}

/// Gives the accounts of transactions places.
fn locks(accounts: &mut Accounts<'_>, transactions: &[Sanitized<'_>]) -> Vec<Locked> {
    let mut places = accounts.places().write().expect("nobody panicked");
    let mut place = |(key, is_written): (&Pubkey, bool)| (places.give(key), is_written);
    let locks = transactions
        .iter()
        .map(|transaction| locked(transaction).map(&mut place).collect())
        .collect();
    drop(places);
    accounts.grow();
    locks
}

/// What became of the transactions of a run.
#[derive(Debug, Default)]
struct Tally {
    transactions: usize,
    plain: usize,
    succeeded: usize,
    failed: usize,
    fees_only: usize,
    refused: usize,
    with_calls: usize,
    with_tokens: usize,
    truncated: usize,
    returning: usize,
    /// Banks in which both programs ran on short stacks in the end.
    with_short_stacks: usize,
    errors: std::collections::BTreeSet<String>,
}

impl Tally {
    fn note(&mut self, processed: &[Processed], plain: usize) {
        self.transactions += processed.len();
        self.plain += plain;
        // Those that others ran say nothing of the loop.
        for processed in &processed[..plain] {
            let error = match processed {
                Err(error) => {
                    self.refused += 1;
                    Some(error)
                }
                Ok(charged) => {
                    self.with_calls += usize::from(!charged.inner.is_empty());
                    self.with_tokens += usize::from(!charged.tokens[0].is_empty());
                    let is_truncated = charged.logs.iter().any(|line| line == "Log truncated");
                    self.truncated += usize::from(is_truncated);
                    self.returning += usize::from(charged.returned.is_some());
                    match &charged.status {
                        Ok(()) => self.succeeded += 1,
                        Err(TransactionError::InstructionError(..)) => self.failed += 1,
                        Err(_) => self.fees_only += 1,
                    }
                    charged.status.as_ref().err()
                }
            };
            self.errors.extend(error.map(|error| format!("{error:?}")));
        }
    }
}

#[test]
fn random_transactions_come_to_the_same_as_in_the_processor() {
    let mut tally = Tally::default();
    for seed in 0..12 {
        let view = Nothing;
        let mut bank = Bank::new(&view);
        let mut random = Random(seed);
        for lane in 0..40 {
            if lane == 20 {
                bank.begin(SLOT + 1);
            }
            let (bytes, checked) = bank.lane(&mut random);
            let (processed, plain) = bank.run(&bytes, &checked);
            tally.note(&processed, plain);
        }
        let shallow = [TOKEN, MEMO].map(|program| bank.quick.shallow.has(&program));
        tally.with_short_stacks += usize::from(shallow == [true; 2]);
    }
    assert!(tally.plain * 2 > tally.transactions, "{tally:#?}");
    let seen = [
        (tally.succeeded, 300),
        (tally.failed, 300),
        (tally.fees_only, 50),
        (tally.refused, 30),
        (tally.with_calls, 20),
        (tally.with_tokens, 100),
        (tally.truncated, 10),
        (tally.returning, 10),
        (tally.with_short_stacks, 3),
    ];
    assert!(seen.iter().all(|(seen, least)| seen >= least), "{tally:#?}");
    for error in [
        "AccountNotFound",
        "AlreadyProcessed",
        "InsufficientFundsForFee",
        "InsufficientFundsForRent",
        "InvalidAccountForFee",
        "InvalidProgramForExecution",
        "MaxLoadedAccountsDataSizeExceeded",
        "ProgramAccountNotFound",
    ] {
        let is_seen = tally.errors.iter().any(|seen| seen.starts_with(error));
        assert!(is_seen, "{error}: {:#?}", tally.errors);
    }
}

/// Transfers, which have a way of their own, at the edges of what they may do.
#[test]
fn transfers_come_to_the_same_whatever_they_are_asked() {
    let view = Nothing;
    let mut bank = Bank::new(&view);
    let move_by = |from: Pubkey, to: Pubkey, lamports: u64| {
        let data = [&2u32.to_le_bytes()[..], &lamports.to_le_bytes()].concat();
        let accounts = vec![AccountMeta::new(from, true), AccountMeta::new(to, false)];
        Instruction::new_with_bytes(system_program::ID, &data, accounts)
    };
    let budget = |tag: u8, number: u32| {
        let data = [&[tag][..], &number.to_le_bytes()].concat();
        Instruction::new_with_bytes(compute_budget::ID, &data, Vec::new())
    };
    let (rich, other, fresh) = (wallet(6), wallet(7), at(0x61, 1));
    let with = |change: &dyn Fn(&mut Instruction)| {
        let mut instruction = move_by(rich, other, 5);
        change(&mut instruction);
        vec![instruction]
    };
    let mut cases = vec![
        vec![move_by(rich, other, 7)],
        vec![move_by(rich, other, 7), move_by(rich, other, 0)],
        vec![move_by(rich, other, 0)],
        vec![move_by(rich, rich, 7)],
        vec![move_by(rich, other, u64::MAX)],
        // What is left, or arrives, is too little to stay, or nothing.
        vec![move_by(rich, fresh, 1)],
        vec![move_by(rich, fresh, 890_880)],
        vec![move_by(wallet(8), other, 5_000 * SOL - 5_001)],
        vec![move_by(wallet(9), other, 5_000 * SOL - 5_000)],
        // To what must not be written, and from what is no wallet.
        vec![move_by(rich, TOKEN, 7)],
        vec![move_by(rich, system_program::ID, 7)],
        vec![move_by(rich, sysvar::clock::ID, 7)],
        vec![move_by(mint(0).1, rich, 7)],
        vec![
            budget(2, 449),
            move_by(rich, other, 1),
            move_by(rich, other, 2),
        ],
        vec![
            budget(2, 450),
            move_by(rich, other, 1),
            move_by(rich, other, 2),
        ],
        vec![
            move_by(rich, other, 1),
            move_by(other, rich, SOL),
            move_by(rich, fresh, SOL),
        ],
        vec![move_by(rich, other, 1), move_by(rich, other, u64::MAX)],
        std::iter::repeat_n(move_by(rich, other, 1), 64).collect(),
        std::iter::repeat_n(move_by(rich, other, 1), 40).collect(),
    ];
    cases.push(with(&|one| one.data.push(0)));
    cases.push(with(&|one| one.data.truncate(11)));
    cases.push(with(&|one| one.data[0] = 3));
    cases.push(with(&|one| one.accounts.truncate(1)));
    cases.push(with(&|one| one.accounts[0].is_signer = false));
    cases.push(with(&|one| one.accounts[1].is_writable = false));
    cases.push(with(&|one| {
        one.accounts.push(AccountMeta::new_readonly(fresh, false))
    }));
    let mut ends = [0, 0];
    for (number, instructions) in cases.iter().enumerate() {
        // Who pays takes part, and then does not.
        for payer in [
            instructions[instructions.len() - 1].accounts[0].pubkey,
            wallet(5),
        ] {
            let hash = Hash::new_from_array([number as u8; 32]);
            let message = Message::new_with_blockhash(instructions, Some(&payer), &hash);
            let bytes = bytes_of(VersionedMessage::Legacy(message));
            let tables = Tables::new(&bank.accounts, SLOT, &bank.rules.reserved);
            let Ok(transaction) = decode(&bytes).and_then(|one| one.resolve(&tables)) else {
                continue;
            };
            let budget = budget::limits(&transaction, &bank.rules).expect("limits");
            drop(transaction);
            let checked = Ok(Checked {
                nonce: None,
                budget,
            });
            let (processed, plain) = bank.run(&[bytes], &[checked]);
            // The token program is not compiled at first.
            let names_token = instructions[0]
                .accounts
                .iter()
                .any(|one| one.pubkey == TOKEN);
            assert!(plain == 1 || names_token, "number {number}");
            let status = processed[0].as_ref().map(|charged| charged.status.is_ok());
            ends[usize::from(status.unwrap_or(false))] += 1;
        }
    }
    assert!(ends.iter().all(|count| *count >= 14), "{ends:?}");
    // What fails and what is no transfer is left to the machine.
    let without = bank.without_machine;
    assert!((12..=ends[1]).contains(&without), "{without} of {ends:?}");
}

/// An account that nobody named, as the code of a program is, is remembered like the others.
#[test]
fn what_was_asked_for_has_a_place_in_the_next_round() {
    let accounts = Accounts::new(&Nothing, Table::default());
    let key = at(0x62, 1);
    assert_eq!(accounts.place_of(&key), None);
    assert_eq!(accounts.get(&key), None);
    let accounts = Accounts::new(&Nothing, accounts.into_table());
    assert!(accounts.place_of(&key).is_some());
    assert_eq!(accounts.place_of(&at(0x62, 2)), None);
}
