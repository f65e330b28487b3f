//! Batches in which everything happens at once: transfers, scripts that call between programs,
//! durable nonces, lookup tables, and programs that are deployed, upgraded, closed and called, all
//! on few accounts, so that most transactions conflict. Any number of threads, any restarts, warm or
//! cold, and any cut into batches come to the same.

use ed25519_dalek::SigningKey;
use solana_account::Account;
use solana_hash::Hash;
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{AddressLookupTableAccount, VersionedMessage, v0};
use solana_pubkey::Pubkey;
use solana_sdk_ids::{address_lookup_table, bpf_loader_upgradeable, system_program, sysvar};
use trilith_engine_account::{Genesis, Profile};

use super::actor::{ACTOR, FOREIGN, FULL, LAMPORTS, OTHER, OWNED, file, program};
use super::cases;
use super::harness::{self, Network, SLOT, SOL};
use super::sbpf::Program;
use super::wire::{
    Random, advance_nonce, create, key, keypair, sign, signature, transaction, transfer, unit_limit,
};

const WALLETS: u16 = 8;
const NONCES: u16 = 4;
const BUFFERS: u8 = 60;
/// Programs: the first few are there from the beginning, and the first two stay.
const PROGRAMS: u16 = 7;
const DEPLOYED: u16 = 4;
const STAYING: u16 = 2;
/// Friends that the lookup tables list.
const FRIENDS: u8 = 10;

fn wallet(number: u16) -> SigningKey {
    keypair(300 + number)
}

fn nonce_key(number: u16) -> Pubkey {
    key(&keypair(330 + number))
}

fn program_key(number: u16) -> SigningKey {
    keypair(340 + number)
}

fn buffer(number: u8) -> Pubkey {
    Pubkey::new_from_array([0x60 + number; 32])
}

fn friend(number: u8) -> Pubkey {
    Pubkey::new_from_array([0x30 + number; 32])
}

fn table(number: u8) -> Pubkey {
    Pubkey::new_from_array([0x50 + number; 32])
}

fn programdata(of: &Pubkey) -> Pubkey {
    Pubkey::find_program_address(&[of.as_ref()], &bpf_loader_upgradeable::ID).0
}

/// A program that tells which one it is.
fn telling(number: u8) -> Vec<u8> {
    let text = format!("program {number:03}");
    let told = Program::default().address_of(1, text.as_bytes());
    told.set(2, text.len() as u64).call("sol_log_").finish()
}

fn holding(lamports: u64, data: Vec<u8>, owner: Pubkey) -> Account {
    Account {
        lamports,
        data,
        owner,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

fn genesis() -> Genesis {
    let mut genesis = harness::genesis();
    let accounts = &mut genesis.accounts;
    let authority = key(&wallet(0));
    for number in 0..WALLETS {
        let lamports = if number < 6 { 100 * SOL } else { SOL / 100 };
        let account = holding(lamports, Vec::new(), system_program::ID);
        accounts.push((key(&wallet(number)), account));
    }
    for number in 0..NONCES {
        let owner = key(&wallet(number));
        let mut data = [&1u32.to_le_bytes()[..], &1u32.to_le_bytes(), owner.as_ref()].concat();
        data.extend([number as u8 + 1; 32]);
        data.extend(5_000u64.to_le_bytes());
        accounts.push((nonce_key(number), holding(SOL, data, system_program::ID)));
    }
    for number in 0..2 {
        // A table that is in force, was extended in slot 0, and may be extended by the authority.
        let mut data = 1u32.to_le_bytes().to_vec();
        data.extend(u64::MAX.to_le_bytes());
        data.extend([0; 9]);
        data.extend([&[1][..], authority.as_ref(), &[0; 2]].concat());
        (0..FRIENDS).for_each(|number| data.extend(friend(number).as_ref()));
        accounts.push((table(number), holding(SOL, data, address_lookup_table::ID)));
    }
    let loader = bpf_loader_upgradeable::ID;
    for number in 0..BUFFERS {
        let mut data = [&1u32.to_le_bytes()[..], &[1], authority.as_ref()].concat();
        let mut file = telling(number);
        if number % 9 == 8 {
            // Not a program.
            file[300] ^= 0xff;
            file[4] = 9;
        }
        data.extend(file);
        accounts.push((buffer(number), holding(SOL, data, loader)));
    }
    for number in 0..DEPLOYED {
        let program = key(&program_key(number));
        let at = programdata(&program);
        let named = [&2u32.to_le_bytes()[..], at.as_ref()].concat();
        let named = Account {
            executable: true,
            ..holding(SOL, named, loader)
        };
        let mut code = [&3u32.to_le_bytes()[..], &[0; 8], &[1], authority.as_ref()].concat();
        code.extend(telling(200 + number as u8));
        code.extend([0; 500]);
        accounts.extend([(program, named), (at, holding(SOL, code, loader))]);
    }
    accounts.extend([
        (ACTOR, program(file())),
        (OTHER, program(file())),
        (OWNED, holding(LAMPORTS, vec![0; 8], ACTOR)),
        (FULL, holding(LAMPORTS, vec![1; 8], ACTOR)),
        (FOREIGN, holding(LAMPORTS, vec![0; 8], OTHER)),
    ]);
    genesis
}

/// What a transaction is to be, for the tally.
const KINDS: [&str; 9] = [
    "transfer", "script", "nonce", "table", "extend", "deploy", "upgrade", "close", "call",
];

struct Source {
    random: Random,
    scripts: Vec<cases::Call>,
    buffers: u8,
}

impl Source {
    fn new(seed: u64) -> Self {
        let scripts = cases::all().into_iter().skip(cases::PROGRAMS);
        Self {
            random: Random(seed),
            scripts: scripts.flat_map(|case| case.instructions).collect(),
            buffers: 0,
        }
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.below(limit)
    }

    fn wallet(&mut self) -> SigningKey {
        wallet(self.below(u64::from(WALLETS)) as u16)
    }

    fn program(&mut self) -> SigningKey {
        self.program_of(0)
    }

    /// A program from a number on.
    fn program_of(&mut self, first: u16) -> SigningKey {
        program_key(first + self.below(u64::from(PROGRAMS - first)) as u16)
    }

    /// A buffer that was not drawn before, as long as there are any.
    fn buffer(&mut self) -> Pubkey {
        self.buffers = (self.buffers + 1) % BUFFERS;
        buffer(self.buffers)
    }

    /// So many transactions on the state of the network, each with its kind.
    fn batch(&mut self, network: &Network, count: usize) -> Vec<(usize, Vec<u8>)> {
        (0..count).map(|_| self.transaction(network)).collect()
    }

    fn transaction(&mut self, network: &Network) -> (usize, Vec<u8>) {
        let kind = [0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 8, 8][self.below(17) as usize];
        let (payer, authority) = (self.wallet(), wallet(0));
        // Makes it one of a kind.
        let limit = unit_limit(100_000 + self.below(100_000) as u32);
        let blockhash = network.blockhash();
        let bytes = match kind {
            2 => self.with_nonce(network, limit),
            3 => self.with_table(&payer, limit, blockhash),
            4 => {
                // The payer may not extend it, unless it is the authority.
                let by = if self.below(4) == 0 {
                    &payer
                } else {
                    &authority
                };
                let extend = self.extend(&key(by));
                transaction(&[extend, limit], &[&payer, by], blockhash)
            }
            5 => self.deploy(limit, blockhash),
            _ => {
                let (own, signers) = self.plain(kind, &payer);
                let signers: Vec<&SigningKey> = signers.iter().collect();
                transaction(&[own, limit], &signers, blockhash)
            }
        };
        (kind, bytes)
    }

    /// A transaction of one instruction beside the limit, and its signers.
    fn plain(&mut self, kind: usize, payer: &SigningKey) -> (Instruction, Vec<SigningKey>) {
        let (signers, both) = (vec![payer.clone()], vec![payer.clone(), wallet(0)]);
        match kind {
            0 => (self.gift(payer), signers),
            1 => (self.script(), signers),
            6 => (self.upgrade(), both),
            7 => (self.close(), both),
            _ => (self.call(), signers),
        }
    }

    fn gift(&mut self, from: &SigningKey) -> Instruction {
        let to = match self.below(3) {
            0 => friend(self.below(u64::from(FRIENDS)) as u8),
            _ => key(&self.wallet()),
        };
        let lamports = if self.below(5) == 0 {
            200 * SOL
        } else {
            SOL / 100 + self.below(SOL)
        };
        transfer(&key(from), &to, lamports)
    }

    fn script(&mut self) -> Instruction {
        let index = self.below(self.scripts.len() as u64) as usize;
        let (data, accounts) = &self.scripts[index];
        let accounts = accounts.iter().map(|(position, is_writable)| AccountMeta {
            pubkey: Pubkey::new_from_array(cases::KEYS[*position]),
            is_signer: false,
            is_writable: *is_writable,
        });
        Instruction::new_with_bytes(ACTOR, data, accounts.collect())
    }

    /// One whose nonce is what the state says, so that the first of a batch uses it up.
    fn with_nonce(&mut self, network: &Network, limit: Instruction) -> Vec<u8> {
        let number = self.below(u64::from(NONCES)) as u16;
        let owner = wallet(number);
        let account = network
            .raw(&nonce_key(number))
            .expect("nobody withdraws it");
        let value: [u8; 32] = account.data[40..72].try_into().expect("32 bytes");
        let advance = advance_nonce(&nonce_key(number), &key(&owner));
        let own = if self.below(2) == 0 {
            self.gift(&owner)
        } else {
            self.script()
        };
        transaction(
            &[advance, own, limit],
            &[&owner],
            Hash::new_from_array(value),
        )
    }

    fn with_table(&mut self, payer: &SigningKey, limit: Instruction, blockhash: Hash) -> Vec<u8> {
        let tables = [AddressLookupTableAccount {
            key: table(self.below(2) as u8),
            addresses: (0..FRIENDS).map(friend).collect(),
        }];
        let mut instructions = vec![limit];
        for _ in 0..=self.below(3) {
            let to = friend(self.below(u64::from(FRIENDS)) as u8);
            instructions.push(transfer(&key(payer), &to, SOL / 100 + self.below(SOL)));
        }
        if self.below(2) == 0 {
            instructions.push(self.script());
        }
        let message = v0::Message::try_compile(&key(payer), &instructions, &tables, blockhash);
        sign(VersionedMessage::V0(message.expect("it fits")), &[payer])
    }

    fn extend(&mut self, authority: &Pubkey) -> Instruction {
        let added = friend(FRIENDS + self.below(20) as u8);
        let data = [&2u32.to_le_bytes()[..], &1u64.to_le_bytes(), added.as_ref()].concat();
        let accounts = vec![
            AccountMeta::new(table(self.below(2) as u8), false),
            AccountMeta::new_readonly(*authority, true),
            AccountMeta::new(*authority, true),
            AccountMeta::new_readonly(system_program::ID, false),
        ];
        Instruction::new_with_bytes(address_lookup_table::ID, &data, accounts)
    }

    fn deploy(&mut self, limit: Instruction, blockhash: Hash) -> Vec<u8> {
        let payer = wallet(0);
        let program = if self.below(4) == 0 {
            self.program()
        } else {
            self.program_of(DEPLOYED)
        };
        let loader = bpf_loader_upgradeable::ID;
        let at = key(&program);
        let made = create(&key(&payer), &at, SOL, 36, &loader);
        let data = [&2u32.to_le_bytes()[..], &2_000u64.to_le_bytes()].concat();
        let accounts = vec![
            AccountMeta::new(key(&payer), true),
            AccountMeta::new(programdata(&at), false),
            AccountMeta::new(at, false),
            AccountMeta::new(self.buffer(), false),
            AccountMeta::new_readonly(sysvar::rent::ID, false),
            AccountMeta::new_readonly(sysvar::clock::ID, false),
            AccountMeta::new_readonly(system_program::ID, false),
            AccountMeta::new_readonly(key(&payer), true),
        ];
        let deploy = Instruction::new_with_bytes(loader, &data, accounts);
        transaction(&[made, deploy, limit], &[&payer, &program], blockhash)
    }

    fn upgrade(&mut self) -> Instruction {
        let program = key(&self.program());
        let accounts = vec![
            AccountMeta::new(programdata(&program), false),
            AccountMeta::new(program, false),
            AccountMeta::new(self.buffer(), false),
            AccountMeta::new(key(&self.wallet()), false),
            AccountMeta::new_readonly(sysvar::rent::ID, false),
            AccountMeta::new_readonly(sysvar::clock::ID, false),
            AccountMeta::new_readonly(key(&wallet(0)), true),
        ];
        let data = 3u32.to_le_bytes();
        Instruction::new_with_bytes(bpf_loader_upgradeable::ID, &data, accounts)
    }

    fn close(&mut self) -> Instruction {
        let program = key(&self.program_of(STAYING));
        let accounts = vec![
            AccountMeta::new(programdata(&program), false),
            AccountMeta::new(key(&self.wallet()), false),
            AccountMeta::new_readonly(key(&wallet(0)), true),
            AccountMeta::new(program, false),
        ];
        let data = 5u32.to_le_bytes();
        Instruction::new_with_bytes(bpf_loader_upgradeable::ID, &data, accounts)
    }

    /// Calls a program by itself or through the actor.
    fn call(&mut self) -> Instruction {
        let program = key(&self.program());
        if self.below(2) == 0 {
            return Instruction::new_with_bytes(program, &[], Vec::new());
        }
        // Action 10: the first account is the program; no accounts, no data.
        let accounts = vec![AccountMeta::new_readonly(program, false)];
        Instruction::new_with_bytes(ACTOR, &[10, 0, 0, 0, 0], accounts)
    }
}

/// How often each kind was refused, failed and succeeded.
type Tally = [[u32; 3]; KINDS.len()];

fn count(tally: &mut Tally, kinds: &[usize], receipts: &[trilith_protocol::Receipt]) {
    for (kind, status) in kinds.iter().zip(Network::statuses(receipts)) {
        let end = status.map_or(0, |status| 1 + usize::from(status.is_ok()));
        tally[*kind][end] += 1;
    }
}

/// Each kind must have succeeded and failed.
fn demand(tally: &Tally, profile: Profile) {
    for (kind, [refused, failed, succeeded]) in KINDS.iter().zip(tally) {
        // Tables cannot grow under the classic rules: only the system program resizes accounts.
        if *kind == "extend" && profile == Profile::Classic {
            assert_eq!(*succeeded, 0, "{kind}");
            continue;
        }
        println!("{kind:10} refused {refused} failed {failed} succeeded {succeeded}");
        assert!(*succeeded > 0, "{kind} never succeeded");
        assert!(refused + failed > 0, "{kind} always succeeded");
    }
}

/// Five replicas: 1, 2 and 8 threads that stay up, 3 and 8 threads that begin with cold caches
/// every round or every third.
#[test]
fn any_threads_and_restarts_come_to_the_same_root() {
    everywhere(Profile::Today);
}

#[test]
fn any_threads_and_restarts_come_to_the_same_root_under_the_classic_rules() {
    everywhere(Profile::Classic);
}

fn everywhere(profile: Profile) {
    let mut genesis = genesis();
    genesis.profile = profile;
    let mut network = Network::with_further(genesis, &[(2, u64::MAX), (8, u64::MAX), (8, 3)]);
    network.pass(1);
    let mut source = Source::new(21);
    let mut tally = Tally::default();
    for round in 0..12 {
        let (kinds, batch): (Vec<_>, Vec<_>) = source.batch(&network, 50).into_iter().unzip();
        let receipts = network.round(&batch);
        count(&mut tally, &kinds, &receipts);
        network.elapsed += [0, SLOT / 2, SLOT, 3 * SLOT][round % 4];
    }
    demand(&tally, profile);
}

/// The same transactions of one slot, cut into batches in several ways.
#[test]
fn any_cut_into_batches_comes_to_the_same() {
    let run = |sizes: &[usize]| {
        let mut network = Network::with(genesis());
        network.pass(1);
        let mut source = Source::new(22);
        let (kinds, all): (Vec<_>, Vec<_>) = source.batch(&network, 250).into_iter().unzip();
        let mut rest = &all[..];
        let mut receipts = Vec::new();
        for size in sizes.iter().cycle() {
            let (batch, after) = rest.split_at((*size).min(rest.len()));
            receipts.extend(network.round(batch));
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let mut tally = Tally::default();
        count(&mut tally, &kinds, &receipts);
        let records: Vec<_> = all
            .iter()
            .map(|bytes| network.record(signature(bytes)))
            .collect();
        let mut touched: Vec<Pubkey> = records
            .iter()
            .flatten()
            .flat_map(|record| record.keys.clone())
            .collect();
        touched.sort();
        touched.dedup();
        let accounts: Vec<_> = touched.iter().map(|key| (*key, network.raw(key))).collect();
        (tally, receipts, records, accounts, network.chain().supply)
    };
    let whole = run(&[1_000]);
    demand(&whole.0, Profile::Today);
    for sizes in [&[1][..], &[7, 31, 2], &[100, 1]] {
        let cut = run(sizes);
        assert_eq!(whole.1, cut.1, "receipts, cut by {sizes:?}");
        for (whole, cut) in whole.2.iter().zip(&cut.2) {
            assert_eq!(whole, cut, "a record, cut by {sizes:?}");
        }
        assert_eq!(whole.3, cut.3, "accounts, cut by {sizes:?}");
        assert_eq!(whole.4, cut.4, "the supply, cut by {sizes:?}");
    }
}

/// The witness of a batch goes on from a fork of the engine, which must know what was closed.
#[test]
fn a_fork_runs_no_program_that_was_closed() {
    let mut network = Network::with(genesis());
    network.pass(1);
    let (owner, program) = (wallet(0), key(&program_key(0)));
    let call = || Instruction::new_with_bytes(program, &[], Vec::new());
    network.succeed(&[call()], &[&owner]);
    let accounts = vec![
        AccountMeta::new(programdata(&program), false),
        AccountMeta::new(key(&wallet(1)), false),
        AccountMeta::new_readonly(key(&owner), true),
        AccountMeta::new(program, false),
    ];
    let data = 5u32.to_le_bytes();
    let close = Instruction::new_with_bytes(bpf_loader_upgradeable::ID, &data, accounts);
    network.succeed(&[close], &[&owner]);
    for slots in [0, 1, 3] {
        network.pass(slots);
        let record = network.send(&[unit_limit(10_000 + slots as u32), call()], &[&owner]);
        assert!(record.status.is_err(), "{:?}", record.logs);
    }
}
