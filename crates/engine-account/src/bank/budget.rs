//! What a transaction may use and what it pays for that, in each profile.
//!
//! *Classic*: 200,000 units for each instruction; nothing can be requested, and instructions of
//! the compute budget program do nothing.
//!
//! *Transaction-wide*: 200,000 units for all instructions together. Among the first three
//! instructions, `request_units` (tag 0, a 32-bit number) replaces that number by up to 1,000,000
//! and `request_heap_frame` (tag 1, a 32-bit number) the size of the heap; anything else that is
//! addressed to the compute budget program there is an error. Elsewhere it is ignored. A request
//! above the default costs, beside the signatures,
//!
//! ```text
//! WIDE_STEP_LAMPORTS * ceil((units - WIDE_UNITS) / WIDE_STEP_UNITS)
//! ```
//!
//! *Today*: the ecosystem's rules.
//!
//! Source of formats, positions and errors of the transaction-wide budget: crate
//! `solana-program-runtime` 1.9.5, `ComputeBudget::process_transaction`. The fee is our own choice.

use agave_feature_set::FeatureSet;
use solana_builtins_default_costs::{
    BuiltinMigrationFeatureIndex, MAYBE_BUILTIN_KEY, get_builtin_migration_feature_index,
    get_migration_feature_id,
};
use solana_compute_budget::compute_budget::SVMTransactionExecutionBudget;
use solana_compute_budget_instruction::instructions_processor::process_compute_budget_instructions;
use solana_fee::{FeeFeatures, calculate_fee_details};
use solana_fee_structure::FeeDetails;
use solana_instruction::error::InstructionError;
use solana_program_runtime::execution_budget::{
    DEFAULT_INSTRUCTION_COMPUTE_UNIT_LIMIT, MAX_BUILTIN_ALLOCATION_COMPUTE_UNIT_LIMIT,
    MAX_COMPUTE_UNIT_LIMIT, MAX_HEAP_FRAME_BYTES, MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES,
    MIN_HEAP_FRAME_BYTES, SVMTransactionExecutionAndFeeBudgetLimits,
};
use solana_pubkey::Pubkey;
use solana_sdk_ids::compute_budget;
use solana_svm_transaction::svm_message::SVMStaticMessage as _;
use solana_transaction_error::TransactionError;
use trilith_params::account::{
    CLASSIC_CALL_DEPTH, CLASSIC_FRAME_BYTES, CLASSIC_INVOKE_DEPTH, CLASSIC_UNITS,
    SIGNATURE_LAMPORTS, WIDE_REQUEST_INSTRUCTIONS, WIDE_STEP_LAMPORTS, WIDE_STEP_UNITS, WIDE_UNITS,
    WIDE_UNITS_MAX,
};

use super::decode::{Sanitized, View};
use super::profile::Profile;
use super::warm::Rules;

/// The size of a heap is a multiple of this many bytes.
const HEAP_STEP_BYTES: u32 = 1_024;

/// Budget, limits and fees of a transaction.
pub(crate) type Limits = SVMTransactionExecutionAndFeeBudgetLimits;

/// Limits and fees that a transaction asks for.
///
/// # Errors
/// [`TransactionError`] if what it asks for is invalid.
pub(crate) fn limits(transaction: &Sanitized, rules: &Rules) -> Result<Limits, TransactionError> {
    let requested = match rules.profile {
        Profile::Today => return today(transaction, rules),
        Profile::Classic => Requested {
            units: total_of_instructions(transaction),
            ..Requested::default()
        },
        Profile::TransactionWide => requested(transaction)?,
    };
    let base = calculate_fee_details(
        transaction,
        SIGNATURE_LAMPORTS,
        0,
        FeeFeatures::from(&*rules.features),
    );
    let extra = match rules.profile {
        Profile::TransactionWide => fee_above_default(requested.units),
        Profile::Classic | Profile::Today => 0,
    };
    Ok(SVMTransactionExecutionAndFeeBudgetLimits {
        budget: SVMTransactionExecutionBudget {
            compute_unit_limit: requested.units,
            heap_size: requested.heap_bytes,
            ..classic_bounds()
        },
        loaded_accounts_data_size_limit: MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES.get(),
        fee_details: FeeDetails::new(base.transaction_fee().saturating_add(extra), 0),
    })
}

/// The bounds of programs before those of today.
pub(crate) fn classic_bounds() -> SVMTransactionExecutionBudget {
    SVMTransactionExecutionBudget {
        max_instruction_stack_depth: CLASSIC_INVOKE_DEPTH + 1,
        max_call_depth: CLASSIC_CALL_DEPTH,
        stack_frame_size: CLASSIC_FRAME_BYTES,
        ..SVMTransactionExecutionBudget::new_with_defaults(false)
    }
}

/// Lamports that a request of so many units costs beside the signatures.
pub(crate) fn fee_above_default(units: u64) -> u64 {
    units
        .saturating_sub(WIDE_UNITS)
        .div_ceil(WIDE_STEP_UNITS)
        .saturating_mul(WIDE_STEP_LAMPORTS)
}

fn total_of_instructions(transaction: &Sanitized) -> u64 {
    CLASSIC_UNITS.saturating_mul(transaction.num_instructions() as u64)
}

/// What a transaction asks for by today's rules.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) units: u32,
    pub(crate) heap_bytes: u32,
    pub(crate) loaded_bytes: u32,
    /// Lamports.
    pub(crate) priority_fee: u64,
}

impl Asked {
    /// What the head of a message asks for; `None` if it is not of version 1. Its form was checked,
    /// that of the heap's size as well.
    fn of_head(view: &View<'_>) -> Option<Self> {
        let config = view.transaction_config()?;
        let units = config.compute_unit_limit().unwrap_or(0);
        let loaded = config.loaded_accounts_data_size_limit().unwrap_or(0);
        Some(Self {
            units: units.min(MAX_COMPUTE_UNIT_LIMIT),
            heap_bytes: config.requested_heap_size().unwrap_or(MIN_HEAP_FRAME_BYTES),
            loaded_bytes: loaded.min(MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES.get()),
            priority_fee: config.priority_fee_lamports().unwrap_or(0),
        })
    }

    /// What instructions of the compute budget program ask for.
    fn of_instructions(
        transaction: &Sanitized<'_>,
        features: &FeatureSet,
    ) -> Result<Self, TransactionError> {
        let instructions = transaction.program_instructions_iter();
        let limits = process_compute_budget_instructions(instructions, features)?;
        Ok(Self {
            units: limits.compute_unit_limit,
            heap_bytes: limits.updated_heap_bytes,
            loaded_bytes: limits.loaded_accounts_bytes.get(),
            priority_fee: limits.get_prioritization_fee(),
        })
    }

    /// What a transaction gets that has no instruction of the compute budget program; `None` if it
    /// has one.
    fn by_default(transaction: &Sanitized<'_>, features: &FeatureSet) -> Option<Self> {
        let mut units = 0u32;
        for (program, _) in transaction.program_instructions_iter() {
            if *program == compute_budget::ID {
                return None;
            }
            units = units.saturating_add(default_units(program, features));
        }
        Some(Self {
            units: units.min(MAX_COMPUTE_UNIT_LIMIT),
            heap_bytes: MIN_HEAP_FRAME_BYTES,
            loaded_bytes: MAX_LOADED_ACCOUNTS_DATA_SIZE_BYTES.get(),
            priority_fee: 0,
        })
    }
}

/// Compute units that an instruction of a program adds to the default.
fn default_units(program: &Pubkey, features: &FeatureSet) -> u32 {
    if !MAYBE_BUILTIN_KEY[usize::from(program.as_array()[0])] {
        return DEFAULT_INSTRUCTION_COMPUTE_UNIT_LIMIT;
    }
    let is_builtin = match get_builtin_migration_feature_index(program) {
        BuiltinMigrationFeatureIndex::NotBuiltin => false,
        BuiltinMigrationFeatureIndex::BuiltinNoMigrationFeature => true,
        BuiltinMigrationFeatureIndex::BuiltinWithMigrationFeature(index) => {
            !features.is_active(get_migration_feature_id(index))
        }
    };
    if is_builtin {
        MAX_BUILTIN_ALLOCATION_COMPUTE_UNIT_LIMIT
    } else {
        DEFAULT_INSTRUCTION_COMPUTE_UNIT_LIMIT
    }
}

/// What a transaction asks for under today's rules.
///
/// # Errors
/// [`TransactionError`] if an instruction of the compute budget program is invalid.
pub(crate) fn asked(
    transaction: &Sanitized<'_>,
    features: &FeatureSet,
) -> Result<Asked, TransactionError> {
    let asked =
        Asked::of_head(transaction.view()).or_else(|| Asked::by_default(transaction, features));
    match asked {
        Some(asked) => Ok(asked),
        None => Asked::of_instructions(transaction, features),
    }
}

fn today(transaction: &Sanitized<'_>, rules: &Rules) -> Result<Limits, TransactionError> {
    let features = &*rules.features;
    let asked = asked(transaction, features)?;
    let raised = features.snapshot().raise_cpi_nesting_limit_to_8;
    Ok(SVMTransactionExecutionAndFeeBudgetLimits {
        budget: SVMTransactionExecutionBudget {
            compute_unit_limit: u64::from(asked.units),
            heap_size: asked.heap_bytes,
            ..SVMTransactionExecutionBudget::new_with_defaults(raised)
        },
        loaded_accounts_data_size_limit: asked.loaded_bytes,
        fee_details: calculate_fee_details(
            transaction,
            SIGNATURE_LAMPORTS,
            asked.priority_fee,
            FeeFeatures::from(features),
        ),
    })
}

/// What a transaction requests under the transaction-wide budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Requested {
    units: u64,
    heap_bytes: u32,
}

impl Default for Requested {
    fn default() -> Self {
        Self {
            units: WIDE_UNITS,
            heap_bytes: MIN_HEAP_FRAME_BYTES,
        }
    }
}

fn requested(transaction: &Sanitized) -> Result<Requested, TransactionError> {
    let instructions = transaction
        .program_instructions_iter()
        .map(|(program, instruction)| (*program == compute_budget::ID, instruction.data));
    read_requests(instructions)
}

/// Reads the requests among instructions, of which each says whether it is addressed to the
/// compute budget program. The last one counts.
fn read_requests<'a>(
    instructions: impl Iterator<Item = (bool, &'a [u8])>,
) -> Result<Requested, TransactionError> {
    let mut requested = Requested::default();
    for (index, (is_request, data)) in instructions.take(WIDE_REQUEST_INSTRUCTIONS).enumerate() {
        if is_request && !requested.take(data) {
            return Err(TransactionError::InstructionError(
                u8::try_from(index).unwrap_or(u8::MAX),
                InstructionError::InvalidInstructionData,
            ));
        }
    }
    Ok(requested)
}

impl Requested {
    /// Takes one request; whether it is valid. Bytes after it are ignored.
    fn take(&mut self, data: &[u8]) -> bool {
        let Some((tag, rest)) = data.split_first() else {
            return false;
        };
        let Some(number) = rest.first_chunk::<4>() else {
            return false;
        };
        let number = u32::from_le_bytes(*number);
        match tag {
            0 if u64::from(number) <= WIDE_UNITS_MAX => self.units = u64::from(number),
            1 if (MIN_HEAP_FRAME_BYTES..=MAX_HEAP_FRAME_BYTES).contains(&number)
                && number.is_multiple_of(HEAP_STEP_BYTES) =>
            {
                self.heap_bytes = number;
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use solana_instruction::error::InstructionError;
    use solana_transaction_error::TransactionError;

    use super::{Requested, fee_above_default, read_requests};

    fn units(units: u32) -> Vec<u8> {
        [&[0][..], &units.to_le_bytes()].concat()
    }

    fn read(list: &[(bool, Vec<u8>)]) -> Result<Requested, TransactionError> {
        read_requests(
            list.iter()
                .map(|(is_request, data)| (*is_request, &data[..])),
        )
    }

    #[test]
    fn requests_count_among_the_first_three_instructions() {
        let other = (false, units(7));
        let request = (true, units(300_000));
        for position in 0..5 {
            let mut list = vec![other.clone(); 5];
            list[position] = request.clone();
            let expected = if position < 3 { 300_000 } else { 200_000 };
            assert_eq!(read(&list).expect("valid").units, expected, "{position}");
        }
        let twice = [request, (true, units(5))];
        assert_eq!(read(&twice).expect("valid").units, 5);
    }

    #[test]
    fn what_is_no_valid_request_is_an_error_there_and_ignored_elsewhere() {
        let mut broken = vec![
            units(1_000_001),
            units(u32::MAX),
            vec![],
            vec![0],
            vec![0, 1, 2, 3],
            vec![1, 0, 0, 0, 0],
            [&[1][..], &33_000u32.to_le_bytes()].concat(),
            [&[1][..], &(257 * 1_024u32).to_le_bytes()].concat(),
        ];
        for tag in 2..=u8::MAX {
            broken.push([&[tag][..], &40_960u32.to_le_bytes()].concat());
        }
        for data in broken {
            let list = [(false, vec![]), (true, data.clone())];
            assert_eq!(
                read(&list),
                Err(TransactionError::InstructionError(
                    1,
                    InstructionError::InvalidInstructionData
                )),
                "{data:?}"
            );
            let none = (false, vec![]);
            let list = [none.clone(), none.clone(), none, (true, data)];
            assert_eq!(read(&list), Ok(Requested::default()));
        }
        let list = [(true, [&[1][..], &40_960u32.to_le_bytes(), &[9]].concat())];
        assert_eq!(read(&list).expect("valid").heap_bytes, 40_960);
        assert_eq!(
            read(&[(true, units(1_000_000))]).expect("valid").units,
            1_000_000
        );
    }

    #[test]
    fn any_bytes_are_read_and_bounded() {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        };
        for _ in 0..20_000 {
            let list: Vec<(bool, Vec<u8>)> = (0..next() % 6)
                .map(|_| {
                    let len = next() % 9;
                    let mut data: Vec<u8> = (0..len).map(|_| next() as u8).collect();
                    if let Some(tag) = data.first_mut() {
                        *tag %= 4;
                    }
                    (next() % 2 == 0, data)
                })
                .collect();
            if let Ok(requested) = read(&list) {
                assert!(requested.units <= 1_000_000);
                assert!((32 * 1_024..=256 * 1_024).contains(&requested.heap_bytes));
            }
        }
    }

    #[test]
    fn a_higher_request_costs_more_by_the_formula() {
        let fees =
            [0, 1, 200_000, 200_001, 250_000, 250_001, 300_000, 1_000_000].map(fee_above_default);
        assert_eq!(fees, [0, 0, 0, 1_250, 1_250, 2_500, 2_500, 20_000]);
    }
}
