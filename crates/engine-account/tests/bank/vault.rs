//! A program that signs for derived addresses: it makes accounts there and pays from them, for
//! their owner and nobody else, under the oldest rules and under today's.

use solana_instruction::error::InstructionError as Error;
use solana_instruction::{AccountMeta, Instruction};
use solana_pubkey::Pubkey;
use solana_sdk_ids::system_program;
use solana_transaction_error::TransactionError;
use trilith_engine_account::Profile;
use trilith_engine_account::record::TransactionRecord;

use super::actor::{failed, program, stage};
use super::harness::{Network, SOL};
use super::sbpf;
use super::wire::{key, keypair, transfer};

const VAULT: Pubkey = Pubkey::new_from_array([0xd1; 32]);
const OPEN: u8 = 1;
const PAY: u8 = 2;
/// What the program answers to whom it does not know.
const NOT_THE_OWNER: u32 = 2;

fn network(profile: Profile) -> Network {
    let file = sbpf::link(include_bytes!("../programs/vault.o"));
    stage(profile, vec![(VAULT, program(file))])
}

fn derived(word: &str, owner: &Pubkey) -> (Pubkey, u8) {
    Pubkey::find_program_address(&[word.as_bytes(), owner.as_ref()], &VAULT)
}

fn data(action: u8, bump: u8, lamports: u64) -> Vec<u8> {
    [&[action, bump][..], &lamports.to_le_bytes()].concat()
}

fn open(owner: &Pubkey, lamports: u64) -> Instruction {
    let (vault, bump) = derived("vault", owner);
    let accounts = vec![
        AccountMeta::new(*owner, true),
        AccountMeta::new(vault, false),
        AccountMeta::new_readonly(system_program::ID, false),
    ];
    Instruction::new_with_bytes(VAULT, &data(OPEN, bump, lamports), accounts)
}

/// A payment from the purse of `of`, asked for by `owner`.
fn pay(owner: &Pubkey, (purse, bump): (Pubkey, u8), to: &Pubkey, lamports: u64) -> Instruction {
    let accounts = vec![
        AccountMeta::new(*owner, true),
        AccountMeta::new(purse, false),
        AccountMeta::new_readonly(system_program::ID, false),
        AccountMeta::new(*to, false),
    ];
    Instruction::new_with_bytes(VAULT, &data(PAY, bump, lamports), accounts)
}

fn error(record: &TransactionRecord) -> Error {
    match &record.status {
        Err(TransactionError::InstructionError(0, error)) => error.clone(),
        other => panic!("{other:?}: {:#?}", record.logs),
    }
}

#[test]
fn an_account_is_made_at_a_derived_address() {
    for profile in [Profile::Classic, Profile::Today] {
        let mut network = network(profile);
        let alice = keypair(10);
        let (vault, _) = derived("vault", &key(&alice));
        let record = network.succeed(&[open(&key(&alice), SOL)], &[&alice]);
        assert_eq!(record.inner.len(), 1, "{profile:?}");
        let made = network.account(&vault).expect("it was made");
        assert_eq!((made.lamports, made.owner), (SOL, VAULT));
        assert_eq!(made.data, [0; 8]);
        // The system program says that the address is in use.
        let again = network.send(&[open(&key(&alice), 2 * SOL)], &[&alice]);
        assert_eq!(again.status, failed(0, Error::Custom(0)));
        assert_eq!(network.account(&vault), Some(made));
    }
}

#[test]
fn only_the_owner_of_a_derived_address_pays_from_it() {
    for profile in [Profile::Classic, Profile::Today] {
        let mut network = network(profile);
        let (alice, bob) = (keypair(10), keypair(11));
        let carol = key(&keypair(12));
        let purse = derived("purse", &key(&alice));
        network.airdrop(&key(&bob), SOL);
        let fill = transfer(&key(&alice), &purse.0, 2 * SOL);
        network.succeed(&[fill], &[&alice]);
        network.succeed(&[pay(&key(&alice), purse, &carol, SOL)], &[&alice]);
        assert_eq!(network.balance(&purse.0), SOL);
        assert_eq!(network.balance(&carol), SOL);
        // Seeds of Bob give another address than that which has to sign; mostly none.
        let stolen = network.send(&[pay(&key(&bob), purse, &carol, SOL)], &[&bob]);
        refused(&stolen);
        for bump in [purse.1.wrapping_sub(1), 0] {
            let wrong = (purse.0, bump);
            let record = network.send(&[pay(&key(&alice), wrong, &carol, SOL)], &[&alice]);
            refused(&record);
        }
        let mut unsigned = pay(&key(&alice), purse, &carol, SOL);
        unsigned.accounts[0].is_signer = false;
        let record = network.send(&[unsigned], &[&bob]);
        assert_eq!(record.status, failed(0, Error::Custom(NOT_THE_OWNER)));
        // More than there is: the system program's own refusal comes back through the program.
        let record = network.send(&[pay(&key(&alice), purse, &carol, 2 * SOL)], &[&alice]);
        assert_eq!(record.status, failed(0, Error::Custom(1)));
        assert_eq!(network.balance(&purse.0), SOL);
        assert_eq!(network.balance(&carol), SOL);
    }
}

/// Whether the address did not sign: it came from other seeds, or they lead to no address.
fn refused(record: &TransactionRecord) {
    let found = error(record);
    let expected = [Error::PrivilegeEscalation, Error::ProgramFailedToComplete];
    assert!(expected.contains(&found), "{found}: {:#?}", record.logs);
}
