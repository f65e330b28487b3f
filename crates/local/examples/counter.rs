//! A program loaded from its bytes, called, checked, taken back, and measured.
//!
//! `cargo run -p trilith-local --example counter`

use solana_message::compiled_instruction::CompiledInstruction;
use solana_message::{Message, MessageHeader, VersionedMessage};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::VersionedTransaction;
use trilith_local::{Local, Options};

/// The memo program stands in for a program of your own, `target/deploy/….so`.
fn program() -> Vec<u8> {
    let memo = Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH");
    let accounts = solana_program_binaries::by_id(&memo, &solana_rent::Rent::default());
    let code = accounts.and_then(|accounts| accounts.into_iter().nth(1));
    code.map(|(_, account)| solana_account::ReadableAccount::data(&account)[45..].to_vec())
        .unwrap_or_default()
}

/// A call of `program` with these bytes. The instance takes it without a signature.
fn call(svm: &Local, payer: Pubkey, program: Pubkey, data: &[u8]) -> VersionedTransaction {
    VersionedTransaction {
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
                accounts: Vec::new(),
                data: data.to_vec(),
            }],
        }),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (payer, id) = (
        Pubkey::new_from_array([1; 32]),
        Pubkey::new_from_array([2; 32]),
    );
    let mut svm = Local::with(Options {
        signature_checks: false,
        ..Options::default()
    })?;
    svm.airdrop(&payer, 1_000_000_000)?;
    svm.add_program(id, &program())?;
    svm.count_units();

    let before = svm.snapshot();
    for count in 1..=3u64 {
        let transaction = call(&svm, payer, id, format!("count {count}").as_bytes());
        svm.expect(transaction)
            .log(&format!("count {count}"))
            .units_at_most(5_000)
            .account(&payer)
            .lamports(1_000_000_000 - count * 5_000)
            .verify()?;
    }
    println!("{}", svm.units());

    svm.revert(&before);
    println!("taken back: {} lamports", svm.balance(&payer));
    svm.warp_to_epoch(2)?;
    println!("epoch {}, slot {}", svm.epoch(), svm.slot());
    let address = svm.rpc()?;
    println!("clients: {} and {}", address.url, address.websocket_url);
    Ok(())
}
