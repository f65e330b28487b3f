//! Every row of the classic access policy, kept and broken.

use solana_account::{Account, AccountSharedData};
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::system_program;
use trilith_engine_account::policy::{Touched, judge};

const OWNER: Pubkey = Pubkey::new_from_array([1; 32]);
const STRANGER: Pubkey = Pubkey::new_from_array([2; 32]);

fn account() -> Account {
    Account {
        lamports: 10_000_000,
        data: vec![0; 8],
        owner: OWNER,
        executable: false,
        rent_epoch: 7,
    }
}

/// What a program is told when it makes `change` to an account.
fn verdict(
    program: Pubkey,
    is_writable: bool,
    before: Account,
    change: impl FnOnce(&mut Account),
) -> Result<(), InstructionError> {
    let mut after = before.clone();
    change(&mut after);
    // A purse takes or gives what the change leaves over, so that only the rows of the account
    // itself are judged.
    let purse = |lamports: u64| {
        AccountSharedData::from(Account {
            lamports,
            owner: program,
            ..Account::default()
        })
    };
    let difference = i128::from(before.lamports) - i128::from(after.lamports);
    let full = u64::try_from(1_000_000_000 + difference).expect("it fits");
    let (before, after) = (
        AccountSharedData::from(before),
        AccountSharedData::from(after),
    );
    let (purse_before, purse_after) = (purse(1_000_000_000), purse(full));
    judge(
        &program,
        &[
            Touched {
                is_writable,
                before: &before,
                after: &after,
            },
            Touched {
                is_writable: true,
                before: &purse_before,
                after: &purse_after,
            },
        ],
        &Rent::default(),
    )
}

fn executable() -> Account {
    Account {
        executable: true,
        ..account()
    }
}

#[test]
fn only_the_owner_changes_the_owner() {
    let give = |account: &mut Account| account.owner = STRANGER;
    let breach = Err(InstructionError::ModifiedProgramId);
    assert_eq!(verdict(OWNER, true, account(), give), Ok(()));
    assert_eq!(verdict(STRANGER, true, account(), give), breach);
    assert_eq!(verdict(OWNER, false, account(), give), breach);
    assert_eq!(verdict(OWNER, true, executable(), give), breach);
    let with_data = |account: &mut Account| {
        account.owner = STRANGER;
        account.data[3] = 1;
    };
    assert_eq!(verdict(OWNER, true, account(), with_data), breach);
}

#[test]
fn only_the_owner_takes_lamports() {
    let take = |account: &mut Account| account.lamports -= 1;
    let give = |account: &mut Account| account.lamports += 1;
    assert_eq!(verdict(OWNER, true, account(), take), Ok(()));
    assert_eq!(
        verdict(STRANGER, true, account(), take),
        Err(InstructionError::ExternalAccountLamportSpend)
    );
    assert_eq!(verdict(STRANGER, true, account(), give), Ok(()));
    for change in [take, give] {
        assert_eq!(
            verdict(OWNER, false, account(), change),
            Err(InstructionError::ReadonlyLamportChange)
        );
        assert_eq!(
            verdict(OWNER, true, executable(), change),
            Err(InstructionError::ExecutableLamportChange)
        );
    }
}

#[test]
fn only_the_system_program_resizes_and_only_its_own() {
    let grow = |account: &mut Account| account.data.resize(16, 0);
    let shrink = |account: &mut Account| account.data.truncate(4);
    let systems = || Account {
        owner: system_program::ID,
        ..account()
    };
    let breach = Err(InstructionError::AccountDataSizeChanged);
    for change in [grow, shrink] {
        assert_eq!(verdict(OWNER, true, account(), change), breach);
        assert_eq!(verdict(system_program::ID, true, account(), change), breach);
        assert_eq!(verdict(OWNER, true, systems(), change), breach);
        assert_eq!(verdict(system_program::ID, true, systems(), change), Ok(()));
    }
}

#[test]
fn only_the_owner_changes_data() {
    let write = |account: &mut Account| account.data[0] = 1;
    assert_eq!(verdict(OWNER, true, account(), write), Ok(()));
    assert_eq!(
        verdict(STRANGER, true, account(), write),
        Err(InstructionError::ExternalAccountDataModified)
    );
    assert_eq!(
        verdict(OWNER, false, account(), write),
        Err(InstructionError::ReadonlyDataModified)
    );
    assert_eq!(
        verdict(OWNER, true, executable(), write),
        Err(InstructionError::ExecutableDataModified)
    );
}

#[test]
fn an_account_becomes_executable_once() {
    let set = |account: &mut Account| account.executable = true;
    let unset = |account: &mut Account| account.executable = false;
    let breach = Err(InstructionError::ExecutableModified);
    assert_eq!(verdict(OWNER, true, account(), set), Ok(()));
    assert_eq!(verdict(STRANGER, true, account(), set), breach);
    assert_eq!(verdict(OWNER, false, account(), set), breach);
    assert_eq!(verdict(OWNER, true, executable(), unset), breach);
    let poor = Account {
        lamports: 1,
        ..account()
    };
    assert_eq!(
        verdict(OWNER, true, poor, set),
        Err(InstructionError::ExecutableAccountNotRentExempt)
    );
}

#[test]
fn nobody_changes_the_rent_epoch() {
    for program in [OWNER, STRANGER, system_program::ID] {
        let breach = verdict(program, true, account(), |account| account.rent_epoch = 8);
        assert_eq!(breach, Err(InstructionError::RentEpochModified));
    }
}

#[test]
fn lamports_neither_appear_nor_disappear() {
    for lamports in [9_999_999, 10_000_001, 0] {
        let before = AccountSharedData::from(account());
        let after = AccountSharedData::from(Account {
            lamports,
            ..account()
        });
        let touched = Touched {
            is_writable: true,
            before: &before,
            after: &after,
        };
        assert_eq!(
            judge(&OWNER, &[touched], &Rent::default()),
            Err(InstructionError::UnbalancedInstruction)
        );
    }
}
