//! Both sides with the same state, and the comparison of what a batch comes to.
//!
//! Intended differences, each of them handled here and nowhere else:
//!
//! 1. LiteSVM hands fees to nobody: the account that gets ours is not compared.
//! 2. A program that does not exist: ours says `ProgramAccountNotFound` as validators do, LiteSVM
//!    `InvalidProgramForExecution`.
//! 3. A transaction with a durable nonce advances the nonce with us, whether it fails or not, to a
//!    value made from the newest blockhash, as on validators. LiteSVM leaves it where the
//!    transaction fails, and makes the value from the old nonce where not. The nonce is advanced by
//!    hand after such a transaction, and what else looks at the newest blockhash is not drawn into
//!    one.
//! 4. Of a transaction with a malformed budget and an unknown blockhash or an account twice ours, as
//!    validators, names the budget, LiteSVM the other. Both refuse it.
//! 5. A transaction whose accounts cannot be loaded (a missing program, too much data) is charged
//!    by us, as by validators (SIMD-0082); LiteSVM leaves the payer as it was, and tells no fee. The
//!    fee is taken by hand.
//! 6. LiteSVM goes on running a program that was closed; ours says that it is not deployed.
//! 7. LiteSVM knows no limit of a transaction's bytes; longer ones are not drawn.

use std::collections::{BTreeMap, BTreeSet};

use agave_feature_set::FeatureSet;
use litesvm::LiteSVM;
use litesvm::types::TransactionMetadata;
use solana_account::Account;
use solana_hash::Hash;
use solana_instruction::error::InstructionError;
use solana_message::AddressLookupTableAccount;
use solana_nonce::state::DurableNonce;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    address_lookup_table, bpf_loader, bpf_loader_upgradeable, feature, native_loader,
    system_program, sysvar,
};
use solana_transaction_error::{TransactionError, TransactionResult};
use trilith_engine_account::query::{Answer, Question};
use trilith_local::{Failed, Local, Options, Sent};

use crate::instructions::{
    MEMO, TOKEN_2022, associated, create_associated, create_table, extend_table, initialize_mint,
    table, token,
};
use crate::random::{CREATED, Circumstances, MINTS, NONCES, SOL, Trial, WALLETS, mint};
use crate::wire::{TOKEN, create, initialize_nonce, key, keypair};

/// How often a kind was refused, failed and succeeded.
pub type Tally = BTreeMap<&'static str, [u64; 3]>;

/// Both sides.
pub struct Sides {
    /// Ours.
    pub ours: Local,
    /// LiteSVM.
    pub theirs: LiteSVM,
    table: AddressLookupTableAccount,
    /// Outcomes by kind.
    pub tally: Tally,
    /// How often an intended difference was met, by its number.
    pub intended: [u64; 7],
}

/// What one side says of a transaction.
struct Told {
    status: TransactionResult<()>,
    /// `None` where it was refused.
    meta: Option<Meta>,
}

/// What is compared of a transaction that was charged.
#[derive(Debug, PartialEq)]
struct Meta {
    logs: Vec<String>,
    units: u64,
    fee: u64,
    returned: Vec<u8>,
    /// Top-level instruction, stack height, program, accounts and data of each call.
    inner: Vec<(usize, u8, u8, Vec<u8>, Vec<u8>)>,
}

impl Sides {
    /// Both sides with wallets, mints, nonces and a lookup table.
    ///
    /// # Panics
    /// If a side cannot be prepared.
    pub fn new() -> Self {
        let mut ours = Local::with(Options {
            threads: 2,
            epoch_slots: 2_048,
            ..Options::default()
        })
        .expect("the options are valid");
        let table = prepare(&mut ours);
        let theirs = copied(&ours);
        let mut sides = Self {
            ours,
            theirs,
            table,
            tally: Tally::new(),
            intended: [0; 7],
        };
        sides.next_slot();
        sides
    }

    /// What transactions are drawn for.
    pub fn circumstances(&self) -> Circumstances {
        let value = |index: u16| {
            let account = self.ours.account(&key(&keypair(NONCES.0 + index)));
            let data = account.map(|account| account.data).unwrap_or_default();
            let value = data.get(40..72).and_then(|value| value.try_into().ok());
            Hash::new_from_array(value.unwrap_or_default())
        };
        Circumstances {
            blockhash: self.ours.latest_blockhash(),
            table: self.table.clone(),
            nonces: (0..NONCES.1).map(value).collect(),
        }
    }

    /// Begins the next slot on both sides.
    ///
    /// # Panics
    /// If LiteSVM refuses a sysvar.
    pub fn next_slot(&mut self) {
        self.ours.next_slot().expect("time goes on");
        for (key, account) in owned(&self.ours, sysvar::ID) {
            self.theirs
                .set_account(key, account)
                .expect("sysvars are valid");
        }
        self.theirs
            .set_latest_blockhash(self.ours.latest_blockhash());
    }

    /// Executes transactions on both sides and compares what they come to.
    ///
    /// # Errors
    /// What differs.
    pub fn compare(&mut self, trials: &[Trial]) -> Result<(), String> {
        let batch = trials.iter().map(|trial| trial.transaction.clone());
        let results = self.ours.send_batch(batch);
        let mut touched = BTreeSet::new();
        let mut story = String::new();
        for (trial, result) in trials.iter().zip(results) {
            let ours = Told::ours(&result);
            let keys = trial.transaction.message.static_account_keys();
            story.push_str(&format!(
                "\n{:?} of {keys:?}: {:?}",
                trial.kinds, ours.status
            ));
            let payer = keys[0];
            let before = self.theirs.get_balance(&payer);
            let theirs = Told::theirs(self.theirs.send_transaction(trial.transaction.clone()));
            if is_not_loaded(&ours.status) && self.theirs.get_balance(&payer) == before {
                self.charge(&payer, &ours);
            }
            let outcome = usize::from(ours.meta.is_some()) + usize::from(ours.status.is_ok());
            for kind in &trial.kinds {
                self.tally.entry(kind).or_default()[outcome] += 1;
            }
            self.tell(trial, &ours, &theirs)
                .map_err(|text| format!("{:?}: {text}\n{:?}", trial.kinds, trial.transaction))?;
            touched.extend(trial.transaction.message.static_account_keys());
            let sent = match &result {
                Ok(sent) => Some(sent),
                Err(failed) => failed.sent(),
            };
            touched.extend(sent.into_iter().flat_map(|sent| &sent.record().keys));
            let is_durable = trial.kinds.contains(&"durable nonce");
            if is_durable && ours.meta.is_some() {
                self.advance_nonce(trial, ours.status.is_ok());
            }
        }
        self.accounts(&touched).map_err(|(key, text)| {
            let name = key.to_string();
            let about = story.lines().filter(|line| line.contains(&name));
            about.fold(text, |text, line| format!("{text}\n{line}"))
        })
    }

    /// Compares what both sides say of a transaction.
    fn tell(&mut self, trial: &Trial, ours: &Told, theirs: &Told) -> Result<(), String> {
        let missing = Err(TransactionError::ProgramAccountNotFound);
        let invalid = Err(TransactionError::InvalidProgramForExecution);
        if ours.status == missing && theirs.status == invalid {
            self.intended[2] += 1;
            return Ok(());
        }
        let of_budget = matches!(
            ours.status,
            Err(TransactionError::DuplicateInstruction(_)
                | TransactionError::InstructionError(_, _)
                | TransactionError::InvalidLoadedAccountsDataSizeLimit)
        );
        let of_form = matches!(
            theirs.status,
            Err(TransactionError::BlockhashNotFound | TransactionError::AccountLoadedTwice)
        );
        if ours.meta.is_none() && of_budget && of_form {
            self.intended[4] += 1;
            return Ok(());
        }
        let closed = Err(TransactionError::InstructionError(
            0,
            InstructionError::UnsupportedProgramId,
        ));
        if trial.kinds == ["closed call"] && ours.status == closed && theirs.status.is_ok() {
            self.intended[6] += 1;
            return Ok(());
        }
        if ours.status != theirs.status {
            return Err(format!(
                "ours {:?}, theirs {:?}\n{:#?}\n{:#?}",
                ours.status, theirs.status, ours.meta, theirs.meta
            ));
        }
        let Some(told) = &ours.meta else {
            return Ok(());
        };
        // Neither executed anything.
        if is_not_loaded(&ours.status) {
            return Ok(());
        }
        let ours = told;
        match &theirs.meta {
            Some(theirs) if ours == theirs => Ok(()),
            theirs => Err(format!(
                "ours {ours:#?}\ntheirs {theirs:#?}, {:?}",
                trial.kinds
            )),
        }
    }

    /// Compares accounts.
    fn accounts(&mut self, keys: &BTreeSet<Pubkey>) -> Result<(), (Pubkey, String)> {
        for key in keys {
            if *key == self.ours.identity() {
                self.intended[1] += 1;
                continue;
            }
            let ours = self.ours.account(key);
            let theirs = self
                .theirs
                .get_account(key)
                .filter(|account| account.lamports > 0);
            // What stands for sysvars is copied from us.
            let is_sysvar = ours
                .as_ref()
                .is_some_and(|account| account.owner == sysvar::ID);
            if !is_sysvar && ours != theirs {
                let text = format!("account {key}: ours {ours:?}, theirs {theirs:?}");
                return Err((*key, text));
            }
        }
        Ok(())
    }

    /// Compares every account that transactions could have touched.
    ///
    /// # Errors
    /// What differs.
    pub fn compare_all(&mut self) -> Result<(), String> {
        let seeds = [WALLETS, NONCES, CREATED, (MINTS, 4)];
        let mut keys: BTreeSet<Pubkey> = seeds
            .iter()
            .flat_map(|(first, count)| (*first..first + count).map(|seed| key(&keypair(seed))))
            .collect();
        for program in [TOKEN, TOKEN_2022, bpf_loader_upgradeable::ID] {
            let accounts = owned(&self.ours, program);
            keys.extend(accounts.into_iter().map(|(key, _)| key));
            keys.extend(
                self.theirs
                    .get_program_accounts(&program)
                    .into_iter()
                    .map(|(key, _)| key),
            );
        }
        self.accounts(&keys).map_err(|(_, text)| text)
    }

    /// Takes the fee that LiteSVM did not take.
    fn charge(&mut self, payer: &Pubkey, ours: &Told) {
        let (Some(meta), Some(mut account)) = (&ours.meta, self.theirs.get_account(payer)) else {
            return;
        };
        self.intended[5] += 1;
        account.lamports -= meta.fee;
        self.theirs
            .set_account(*payer, account)
            .expect("payers are valid");
    }

    /// Advances the nonce of a transaction as validators do.
    fn advance_nonce(&mut self, trial: &Trial, succeeded: bool) {
        let message = &trial.transaction.message;
        let keys = message.static_account_keys();
        let next = DurableNonce::from_blockhash(&self.ours.latest_blockhash());
        let advances = message.instructions().iter().filter(|instruction| {
            let program = keys.get(usize::from(instruction.program_id_index));
            program == Some(&system_program::ID) && instruction.data.starts_with(&[4, 0, 0, 0])
        });
        // What others than the first did was rolled back if the transaction failed.
        for advance in advances.take(if succeeded { usize::MAX } else { 1 }) {
            // Writable accounts with a signer beside them are not looked up.
            let Some(nonce) = keys.get(usize::from(advance.accounts[0])).copied() else {
                continue;
            };
            let Some(mut account) = self.theirs.get_account(&nonce) else {
                continue;
            };
            self.intended[3] += 1;
            account.data[40..72].copy_from_slice(next.as_hash().as_ref());
            self.theirs
                .set_account(nonce, account)
                .expect("nonces are valid");
        }
    }
}

/// Whether the accounts of a transaction could not be loaded.
fn is_not_loaded(status: &TransactionResult<()>) -> bool {
    matches!(
        status,
        Err(TransactionError::ProgramAccountNotFound
            | TransactionError::InvalidProgramForExecution
            | TransactionError::MaxLoadedAccountsDataSizeExceeded)
    )
}

impl Default for Sides {
    fn default() -> Self {
        Self::new()
    }
}

impl Told {
    fn ours(result: &Result<Sent, Failed>) -> Self {
        let sent = match result {
            Ok(sent) => sent,
            Err(Failed::Charged(sent)) => sent,
            Err(Failed::Refused(error)) => {
                return Self {
                    status: Err(error.clone()),
                    meta: None,
                };
            }
            Err(Failed::Fault(fault)) => panic!("{fault}"),
        };
        let inner = sent.inner().iter().flat_map(|group| {
            group.instructions.iter().map(|inner| {
                let (height, program) = (inner.stack_height, inner.program);
                let (accounts, data) = (inner.accounts.clone(), inner.data.clone());
                (usize::from(group.index), height, program, accounts, data)
            })
        });
        Self {
            status: sent.status().clone(),
            meta: Some(Meta {
                logs: sent.logs().to_vec(),
                units: sent.units(),
                fee: sent.fee(),
                returned: sent
                    .returned()
                    .map(|returned| returned.data.clone())
                    .unwrap_or_default(),
                inner: inner.collect(),
            }),
        }
    }

    fn theirs(result: litesvm::types::TransactionResult) -> Self {
        match result {
            Ok(meta) => Self {
                status: Ok(()),
                meta: Some(Meta::theirs(meta)),
            },
            Err(failed) => Self {
                status: Err(failed.err),
                meta: Some(Meta::theirs(failed.meta)),
            },
        }
    }
}

impl Meta {
    fn theirs(meta: TransactionMetadata) -> Self {
        let inner = meta
            .inner_instructions
            .into_iter()
            .enumerate()
            .flat_map(|(index, group)| {
                group.into_iter().map(move |inner| {
                    let called = inner.instruction;
                    (
                        index,
                        inner.stack_height,
                        called.program_id_index,
                        called.accounts,
                        called.data,
                    )
                })
            })
            .collect();
        Self {
            logs: meta.logs,
            units: meta.compute_units_consumed,
            fee: meta.fee,
            returned: meta.return_data.data,
            inner,
        }
    }
}

/// Sends what must succeed.
fn sent(
    ours: &mut Local,
    kind: &'static str,
    list: &[solana_instruction::Instruction],
    by: &[u16],
) {
    let trial = Trial::new(vec![kind], list, by, ours.latest_blockhash());
    if let Err(failed) = ours.send(trial.transaction) {
        panic!("{kind}: {failed}");
    }
}

/// Wallets with lamports and tokens, nonces, a lookup table.
fn prepare(ours: &mut Local) -> AddressLookupTableAccount {
    let payer = key(&keypair(WALLETS.0));
    for seed in WALLETS.0..WALLETS.0 + 9 {
        ours.airdrop(&key(&keypair(seed)), 1_000_000 * SOL)
            .expect("the faucet has enough");
    }
    let mut addresses = vec![TOKEN, TOKEN_2022, MEMO[0], MEMO[2]];
    for number in 0..4 {
        let (program, mint) = mint(number);
        let authority = WALLETS.0 + number;
        let by = key(&keypair(authority));
        let made = [
            create(&payer, &mint, SOL / 100, 82, &program),
            initialize_mint(&program, &mint, &by),
        ];
        sent(ours, "mint", &made, &[WALLETS.0, MINTS + number]);
        for seed in WALLETS.0..WALLETS.0 + 6 {
            let holder = key(&keypair(seed));
            let account = associated(&program, &holder, &mint);
            let made = [
                create_associated(&program, &payer, &holder, &mint, false),
                token(&program, 7, 1_000_000_000, [&mint, &account, &by]),
            ];
            sent(ours, "token account", &made, &[WALLETS.0, authority]);
            addresses.push(account);
        }
    }
    for index in 0..NONCES.1 {
        let nonce = key(&keypair(NONCES.0 + index));
        let authority = key(&keypair(WALLETS.0 + index));
        let made = [
            create(&payer, &nonce, 10 * SOL, 80, &system_program::ID),
            initialize_nonce(&nonce, &authority),
        ];
        sent(ours, "nonce", &made, &[WALLETS.0, NONCES.0 + index]);
    }
    addresses.extend((WALLETS.0..WALLETS.0 + WALLETS.1).map(|seed| key(&keypair(seed))));
    ours.next_slot().expect("time goes on");
    let slot = ours.slot() - 1;
    let (table, _) = table(&payer, slot);
    sent(ours, "table", &[create_table(&payer, slot)], &[WALLETS.0]);
    for part in addresses.chunks(20) {
        sent(
            ours,
            "table",
            &[extend_table(table, &payer, part)],
            &[WALLETS.0],
        );
    }
    ours.next_slot().expect("time goes on");
    AddressLookupTableAccount {
        key: table,
        addresses,
    }
}

/// The accounts of a program.
fn owned(ours: &Local, program: Pubkey) -> Vec<(Pubkey, Account)> {
    let question = Question::ProgramAccounts {
        program,
        filters: Vec::new(),
        slice: None,
    };
    match ours.ask(&question) {
        Ok(Answer::Keyed(found)) => found
            .into_iter()
            .map(|(key, account)| {
                let account = Account {
                    lamports: account.lamports,
                    data: account.data,
                    owner: account.owner,
                    executable: account.executable,
                    rent_epoch: account.rent_epoch,
                };
                (key, account)
            })
            .collect(),
        other => panic!("not accounts: {other:?}"),
    }
}

/// LiteSVM with our gates and accounts.
fn copied(ours: &Local) -> LiteSVM {
    let mut gates = FeatureSet::default();
    for (id, _) in owned(ours, feature::ID) {
        gates.activate(&id, 0);
    }
    let mut theirs = LiteSVM::default()
        .with_feature_set(gates)
        .with_builtins()
        .with_sysvars()
        .with_sigverify(true)
        .with_blockhash_check(true)
        .with_transaction_history(200_000);
    let mut accounts: Vec<_> = [
        sysvar::ID,
        native_loader::ID,
        bpf_loader_upgradeable::ID,
        bpf_loader::ID,
        address_lookup_table::ID,
        system_program::ID,
        TOKEN,
        TOKEN_2022,
    ]
    .into_iter()
    .flat_map(|program| owned(ours, program))
    .collect();
    // Programs last: loading one looks at its code.
    accounts.sort_by_key(|(_, account)| account.executable);
    for (key, account) in accounts {
        theirs.set_account(key, account).expect("it is good");
    }
    theirs
}
