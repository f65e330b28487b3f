//! The access policy of the classic profile: what an instruction may do to an account.
//!
//! | what | who may | breach |
//! |---|---|---|
//! | owner | the owner, if writable, not executable, and the data is zero or empty | `ModifiedProgramId` |
//! | fewer lamports | the owner | `ExternalAccountLamportSpend` |
//! | other lamports | nobody on read-only accounts | `ReadonlyLamportChange` |
//! | | nobody on executable accounts | `ExecutableLamportChange` |
//! | size of the data | the system program, on its own accounts | `AccountDataSizeChanged` |
//! | data | the owner, if writable and not executable | `ExternalAccountDataModified`, `ReadonlyDataModified`, `ExecutableDataModified` |
//! | executable | the owner after the instruction, once, to true, if writable and exempt from rent | `ExecutableModified`, `ExecutableAccountNotRentExempt` |
//! | rent epoch | nobody | `RentEpochModified` |
//! | sum of lamports | stays | `UnbalancedInstruction` |
//!
//! Rules, their order and their errors: Solana 1.9, `PreAccount::verify` without support for
//! changes of size, and `verify` of `InvokeContext`. A pure function of the accounts before and
//! after; a breach rolls the whole transaction back.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_instruction::error::InstructionError;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::system_program;

/// One account of an instruction, before and after it.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'a> {
    /// Whether the instruction may write it.
    pub is_writable: bool,
    /// Before the instruction.
    pub before: &'a AccountSharedData,
    /// After the instruction.
    pub after: &'a AccountSharedData,
}

/// Judges what an instruction of `program` did to all its accounts, each of them once.
///
/// # Errors
/// The first breach, account by account; then the sum of lamports.
pub fn judge(
    program: &Pubkey,
    accounts: &[Touched<'_>],
    rent: &Rent,
) -> Result<(), InstructionError> {
    for account in accounts {
        judge_one(program, account, rent)?;
    }
    let sum = |of: fn(&Touched<'_>) -> u64| {
        accounts
            .iter()
            .map(|account| u128::from(of(account)))
            .sum::<u128>()
    };
    if sum(|account| account.before.lamports()) != sum(|account| account.after.lamports()) {
        return Err(InstructionError::UnbalancedInstruction);
    }
    Ok(())
}

/// Judges what an instruction of `program` did to one account, whatever became of the others.
///
/// # Errors
/// The first breach.
pub fn judge_one(
    program: &Pubkey,
    account: &Touched<'_>,
    rent: &Rent,
) -> Result<(), InstructionError> {
    account.judge(program, rent)
}

impl Touched<'_> {
    fn judge(&self, program: &Pubkey, rent: &Rent) -> Result<(), InstructionError> {
        self.owner(program)?;
        self.lamports(program)?;
        self.data(program)?;
        self.executable(program, rent)?;
        if self.before.rent_epoch() != self.after.rent_epoch() {
            return Err(InstructionError::RentEpochModified);
        }
        Ok(())
    }

    fn owner(&self, program: &Pubkey) -> Result<(), InstructionError> {
        let may = self.is_writable
            && !self.before.executable()
            && program == self.before.owner()
            && self.after.data().iter().all(|byte| *byte == 0);
        if self.before.owner() != self.after.owner() && !may {
            return Err(InstructionError::ModifiedProgramId);
        }
        Ok(())
    }

    fn lamports(&self, program: &Pubkey) -> Result<(), InstructionError> {
        let (before, after) = (self.before.lamports(), self.after.lamports());
        if before > after && program != self.before.owner() {
            return Err(InstructionError::ExternalAccountLamportSpend);
        }
        if before != after && !self.is_writable {
            return Err(InstructionError::ReadonlyLamportChange);
        }
        if before != after && self.before.executable() {
            return Err(InstructionError::ExecutableLamportChange);
        }
        Ok(())
    }

    fn data(&self, program: &Pubkey) -> Result<(), InstructionError> {
        let (before, after) = (self.before.data(), self.after.data());
        let may_resize = *program == system_program::ID && program == self.before.owner();
        if before.len() != after.len() && !may_resize {
            return Err(InstructionError::AccountDataSizeChanged);
        }
        if before == after {
            return Ok(());
        }
        if self.before.executable() {
            return Err(InstructionError::ExecutableDataModified);
        }
        if !self.is_writable {
            return Err(InstructionError::ReadonlyDataModified);
        }
        if program != self.before.owner() {
            return Err(InstructionError::ExternalAccountDataModified);
        }
        Ok(())
    }

    fn executable(&self, program: &Pubkey, rent: &Rent) -> Result<(), InstructionError> {
        if self.before.executable() == self.after.executable() {
            return Ok(());
        }
        if !rent.is_exempt(self.after.lamports(), self.after.data().len()) {
            return Err(InstructionError::ExecutableAccountNotRentExempt);
        }
        if !self.is_writable || self.before.executable() || program != self.after.owner() {
            return Err(InstructionError::ExecutableModified);
        }
        Ok(())
    }
}
