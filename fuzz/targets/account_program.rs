//! Files of programs: refused, or run within their units.
#![no_main]

use libfuzzer_sys::fuzz_target;
use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{Message, MessageHeader, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use trilith_local::{Failed, Local, Options};

/// Units of an instruction that asks for none.
const UNITS: u64 = 200_000;

fuzz_target!(|data: &[u8]| {
    let mut svm = Local::with(Options {
        signature_checks: false,
        ..Options::default()
    })
    .expect("the options are valid");
    let (payer, program) = (Pubkey::new_from_array([1; 32]), Pubkey::new_from_array([9; 32]));
    svm.airdrop(&payer, 1_000_000_000).expect("lamports");
    if svm.add_program(program, data).is_err() {
        return;
    }
    let call = VersionedTransaction {
        signatures: vec![Signature::default()],
        message: VersionedMessage::Legacy(Message {
            header: MessageHeader {
                num_required_signatures: 1,
                num_readonly_signed_accounts: 0,
                num_readonly_unsigned_accounts: 1,
            },
            account_keys: vec![payer, program],
            recent_blockhash: svm.latest_blockhash(),
            instructions: vec![CompiledInstruction {
                program_id_index: 1,
                accounts: vec![0],
                data: data.iter().take(64).copied().collect(),
            }],
        }),
    };
    match svm.send(call) {
        Ok(sent) => assert!(sent.units() <= UNITS),
        Err(Failed::Charged(sent)) => assert!(sent.units() <= UNITS),
        Err(other) => panic!("a good payer was not charged: {other}"),
    }
});
