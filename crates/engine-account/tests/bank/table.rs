//! Every error that a transaction can have, with the test that produces it through the bank, or with
//! the reason why it cannot occur. An error that a new version of the ecosystem adds does not
//! compile until it has a row.
//!
//! The harness notes what rounds come to; each named test is run here, and must have produced what
//! its row says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use solana_instruction::error::InstructionError;
use solana_transaction_error::TransactionError as Error;
use trilith_protocol::{Receipt, ReceiptStatus};

use super::{classic, errors, programs, refusals, slots, transfers};

thread_local! {
    /// Numbers of the errors that rounds of this thread came to.
    static NOTED: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

/// Notes the errors of a round.
pub(crate) fn note(receipts: &[Receipt]) {
    let errors = receipts.iter().filter_map(|receipt| match receipt.status {
        ReceiptStatus::Accepted => {
            let status: Result<(), Error> =
                bincode::deserialize(&receipt.output).expect("a status");
            status.err()
        }
        ReceiptStatus::Rejected { .. } => {
            Some(bincode::deserialize(&receipt.output).expect("an error"))
        }
    });
    let numbers: BTreeSet<u32> = errors.map(|error| number(&error)).collect();
    NOTED.with_borrow_mut(|noted| noted.extend(numbers));
}

/// The position of an error in the ecosystem's list.
fn number(error: &Error) -> u32 {
    let encoded = bincode::serialize(error).expect("an error has an encoding");
    u32::from_le_bytes(std::array::from_fn(|index| encoded[index]))
}

/// How an error comes about.
enum Row {
    /// By the test of this name, which is this function.
    By(&'static str, fn()),
    /// Never, for this reason.
    Never(&'static str),
}

macro_rules! by {
    ($module:ident :: $test:ident) => {
        Row::By(
            concat!(stringify!($module), "::", stringify!($test)),
            $module::$test,
        )
    };
}

/// The row of an error.
fn row(error: &Error) -> Row {
    match error {
        Error::AccountInUse => Row::Never(
            "conflicts within a batch are planned, and no other batch runs on the same state",
        ),
        Error::AccountLoadedTwice => by!(errors::an_account_is_named_once),
        Error::AccountNotFound
        | Error::SignatureFailure
        | Error::SanitizeFailure
        | Error::DuplicateInstruction(_) => by!(refusals::broken_transactions_are_refused),
        Error::ProgramAccountNotFound
        | Error::InvalidProgramForExecution
        | Error::MaxLoadedAccountsDataSizeExceeded => {
            by!(errors::what_cannot_be_loaded_is_charged)
        }
        Error::InsufficientFundsForFee
        | Error::InvalidAccountForFee
        | Error::InsufficientFundsForRent { .. }
        | Error::InvalidLoadedAccountsDataSizeLimit => by!(errors::who_cannot_pay_is_refused),
        Error::AlreadyProcessed | Error::BlockhashNotFound => {
            by!(refusals::a_transaction_is_charged_once)
        }
        Error::InstructionError(..) => {
            by!(transfers::a_transaction_that_fails_is_charged_and_rolled_back)
        }
        Error::WouldExceedMaxBlockCostLimit => by!(slots::a_slot_holds_only_so_much_work),
        Error::WouldExceedMaxAccountCostLimit => {
            by!(slots::an_account_is_written_only_so_much_in_a_slot_of_many_rounds)
        }
        Error::WouldExceedAccountDataBlockLimit => {
            by!(slots::a_slot_allocates_only_so_much_data)
        }
        Error::UnsupportedVersion => {
            by!(classic::version_1_names_limits_that_the_classic_rules_do_not_know)
        }
        Error::TooManyAccountLocks => by!(errors::a_transaction_locks_at_most_64_accounts),
        Error::AddressLookupTableNotFound
        | Error::InvalidAddressLookupTableOwner
        | Error::InvalidAddressLookupTableData => by!(errors::lookup_tables_must_be_tables),
        Error::InvalidAddressLookupTableIndex => {
            by!(programs::lookup_tables_serve_from_the_slot_after)
        }
        other => never(other),
    }
}

/// The rows of errors that never occur.
fn never(error: &Error) -> Row {
    Row::Never(match error {
        Error::CallChainTooDeep
        | Error::ClusterMaintenance
        | Error::AccountBorrowOutstanding
        | Error::InvalidWritableAccount
        | Error::InvalidRentPayingAccount
        | Error::ProgramExecutionTemporarilyRestricted { .. } => {
            "version 4.2.2 of the processor never gives it; older ones did"
        }
        Error::MissingSignatureForFee => {
            "a message without a signer does not decode: SanitizeFailure"
        }
        Error::InvalidAccountIndex => {
            "a message that names an account it does not have does not decode: SanitizeFailure"
        }
        Error::WouldExceedMaxVoteCostLimit => "votes have no limit of their own here",
        Error::WouldExceedAccountDataTotalLimit => {
            "the sum of all data has no limit of its own: every byte costs rent"
        }
        Error::ResanitizationNeeded => {
            "a transaction is decoded in the round that executes it, under that round's gates"
        }
        Error::UnbalancedTransaction => {
            "every instruction is checked for the sum of its lamports first: UnbalancedInstruction"
        }
        Error::ProgramCacheHitMaxLimit => {
            "it depends on what a node has cached, so it stops the node's round, not the transaction"
        }
        Error::CommitCancelled => "batches are not run as all or nothing, nor dropped on a failure",
        Error::AccountInUse
        | Error::AccountLoadedTwice
        | Error::AccountNotFound
        | Error::SignatureFailure
        | Error::SanitizeFailure
        | Error::DuplicateInstruction(_)
        | Error::ProgramAccountNotFound
        | Error::InvalidProgramForExecution
        | Error::MaxLoadedAccountsDataSizeExceeded
        | Error::InsufficientFundsForFee
        | Error::InvalidAccountForFee
        | Error::InsufficientFundsForRent { .. }
        | Error::InvalidLoadedAccountsDataSizeLimit
        | Error::AlreadyProcessed
        | Error::BlockhashNotFound
        | Error::InstructionError(..)
        | Error::WouldExceedMaxBlockCostLimit
        | Error::WouldExceedMaxAccountCostLimit
        | Error::WouldExceedAccountDataBlockLimit
        | Error::UnsupportedVersion
        | Error::TooManyAccountLocks
        | Error::AddressLookupTableNotFound
        | Error::InvalidAddressLookupTableOwner
        | Error::InvalidAddressLookupTableData
        | Error::InvalidAddressLookupTableIndex => unreachable!("{error:?} has a row of its own"),
    })
}

/// All errors, in the ecosystem's order.
fn all() -> Vec<Error> {
    vec![
        Error::AccountInUse,
        Error::AccountLoadedTwice,
        Error::AccountNotFound,
        Error::ProgramAccountNotFound,
        Error::InsufficientFundsForFee,
        Error::InvalidAccountForFee,
        Error::AlreadyProcessed,
        Error::BlockhashNotFound,
        Error::InstructionError(0, InstructionError::GenericError),
        Error::CallChainTooDeep,
        Error::MissingSignatureForFee,
        Error::InvalidAccountIndex,
        Error::SignatureFailure,
        Error::InvalidProgramForExecution,
        Error::SanitizeFailure,
        Error::ClusterMaintenance,
        Error::AccountBorrowOutstanding,
        Error::WouldExceedMaxBlockCostLimit,
        Error::UnsupportedVersion,
        Error::InvalidWritableAccount,
        Error::WouldExceedMaxAccountCostLimit,
        Error::WouldExceedAccountDataBlockLimit,
        Error::TooManyAccountLocks,
        Error::AddressLookupTableNotFound,
        Error::InvalidAddressLookupTableOwner,
        Error::InvalidAddressLookupTableData,
        Error::InvalidAddressLookupTableIndex,
        Error::InvalidRentPayingAccount,
        Error::WouldExceedMaxVoteCostLimit,
        Error::WouldExceedAccountDataTotalLimit,
        Error::DuplicateInstruction(0),
        Error::InsufficientFundsForRent { account_index: 0 },
        Error::MaxLoadedAccountsDataSizeExceeded,
        Error::InvalidLoadedAccountsDataSizeLimit,
        Error::ResanitizationNeeded,
        Error::ProgramExecutionTemporarilyRestricted { account_index: 0 },
        Error::UnbalancedTransaction,
        Error::ProgramCacheHitMaxLimit,
        Error::CommitCancelled,
    ]
}

#[test]
fn every_error_has_a_test_that_produces_it_or_a_reason_why_none_can() {
    let all = all();
    for (position, error) in all.iter().enumerate() {
        assert_eq!(
            number(error) as usize,
            position,
            "{error:?} stands elsewhere"
        );
    }
    // One more does not exist.
    let beyond = (all.len() as u32).to_le_bytes();
    let beyond: Result<Error, _> = bincode::deserialize(&[&beyond[..], &[0; 8]].concat());
    assert!(beyond.is_err(), "{beyond:?} has no row");
    let mut produced: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let mut missing = Vec::new();
    for error in &all {
        let (name, test) = match row(error) {
            Row::By(name, test) => (name, test),
            Row::Never(reason) => {
                println!("{error:?}: never: {reason}");
                continue;
            }
        };
        println!("{error:?}: {name}");
        let noted = produced.entry(name).or_insert_with(|| {
            NOTED.take();
            test();
            NOTED.take()
        });
        if !noted.contains(&number(error)) {
            missing.push(format!("{name} does not produce {error:?}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let never = all
        .iter()
        .filter(|error| matches!(row(error), Row::Never(_)));
    for error in never {
        let number = number(error);
        let by = produced.iter().find(|(_, noted)| noted.contains(&number));
        assert!(by.is_none(), "{error:?} is said never to occur, and does");
    }
}
