//! Numbers of the account runtime: slots, ages, fees, sizes, what is remembered.
//!
//! Limits and prices inside the virtual machine are those of `solana-svm` 4.2.2, whose version is
//! part of the network's version; they are not repeated here.

use crate::params;

params! {
    "account";

    /// Agreed time of a slot. A slot may hold many rounds, or none.
    SLOT_NANOS: u64 = 400_000_000, Nanoseconds, v 1,
        "Solana, DEFAULT_MS_PER_SLOT of crate solana-clock";

    /// Slots for which a blockhash is accepted after the slot in which it became known.
    BLOCKHASH_SLOTS: u64 = 150, Slots, v 1,
        "Solana, MAX_PROCESSING_AGE of crate solana-clock";

    /// Slots for which a transaction and its block are remembered: a day.
    RECORD_SLOTS: u64 = 216_000, Slots, v 1,
        "own choice: statuses and history outlive every client's retries";

    /// Slots of an epoch, unless the genesis says otherwise.
    EPOCH_SLOTS: u64 = 432_000, Slots, v 1,
        "Solana, DEFAULT_SLOTS_PER_EPOCH of crate solana-clock";

    /// Least slots of an epoch: SlotHashes and the leader schedule assume no less.
    EPOCH_SLOTS_MIN: u64 = 32, Slots, v 1,
        "Solana, MINIMUM_SLOTS_PER_EPOCH of crate solana-epoch-schedule";

    /// Slots after which an idle runtime asks for a round, so that the newest blockhash is young.
    IDLE_SLOTS: u64 = 25, Slots, v 1,
        "own choice: a blockhash fetched from an idle network is valid for 50 s or more";

    /// Slots after a transaction in which each slot gets a round.
    BUSY_SLOTS: u64 = 150, Slots, v 1,
        "own choice: clients see slots pass until their blockhash has expired";

    /// Fee for each signature.
    SIGNATURE_LAMPORTS: u64 = 5_000, Lamports, v 1,
        "Solana, DEFAULT_TARGET_LAMPORTS_PER_SIGNATURE of crate solana-fee-calculator";

    /// Part of the signature fees that is burnt; the rest and priority fees go to the identity.
    BURN_PERCENT: u64 = 50, Percent, v 1,
        "Solana, DEFAULT_BURN_PERCENT of crate solana-fee-calculator; SIMD-0096";

    /// Bytes of a transaction in the legacy format and in version 0.
    TRANSACTION_BYTES_MAX: usize = 1_232, Bytes, v 1,
        "Solana, PACKET_DATA_SIZE of crate solana-packet";

    /// Bytes of a transaction of version 1.
    TRANSACTION_V1_BYTES_MAX: usize = 4_096, Bytes, v 1,
        "Solana, SIMD-0385; MAX_TRANSACTION_SIZE of crate solana-message";

    /// Accounts a transaction may lock.
    LOCKS_MAX: usize = 64, Count, v 1,
        "Solana, get_transaction_account_lock_limit without increase_tx_account_lock_limit";

    /// Work of all transactions of a slot: compute units, and what follows for signatures and locks.
    SLOT_UNITS_MAX: u64 = 100_000_000, ComputeUnits, v 1,
        "Solana, MAX_BLOCK_UNITS of agave cost-model; SIMD-0286";

    /// Work of checking a signature of a transaction.
    SIGNATURE_UNITS: u64 = 720, ComputeUnits, v 1,
        "Solana, SIGNATURE_COST of agave cost-model";

    /// Work of locking an account for writing.
    WRITE_LOCK_UNITS: u64 = 300, ComputeUnits, v 1,
        "Solana, WRITE_LOCK_UNITS of agave cost-model";

    /// Bytes of account data up to which an account is one leaf; beyond, the data is an image.
    INLINE_BYTES_MAX: usize = 64 * 1024, Bytes, v 1,
        "own choice: leaves stay small enough for proofs and write logs";

    /// Bytes of log lines of one transaction.
    LOG_BYTES_MAX: usize = 10_000, Bytes, v 1,
        "Solana, LOG_MESSAGES_BYTES_LIMIT of agave program-runtime";

    /// Lamports of the faucet at the genesis of a developer network.
    FAUCET_LAMPORTS: u64 = 500_000_000_000_000_000, Lamports, v 1,
        "Solana test validator, faucet of 500 million SOL";

    /// Lamports for each byte of an account and its 128 bytes of overhead that exempt it from rent.
    RENT_LAMPORTS_PER_BYTE: u64 = 5_080, Lamports, v 1,
        "Solana, gate set_lamports_per_byte_to_5080, in force on mainnet-beta in October 2026";

    /// Classic profile: what each instruction of a transaction may use, programs it calls included.
    CLASSIC_UNITS: u64 = 200_000, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, max_units";

    /// Classic profile: price of logging a line of up to 100 bytes; each byte above costs a unit.
    CLASSIC_LOG_UNITS: u64 = 100, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, log_units; bytes above as today, so that long lines are not free";

    /// Classic profile: price of logging five numbers.
    CLASSIC_LOG_64_UNITS: u64 = 100, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, log_u64_units";

    /// Classic profile: price of logging a key.
    CLASSIC_LOG_PUBKEY_UNITS: u64 = 100, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, log_pubkey_units";

    /// Classic profile: price of deriving an address of a program.
    CLASSIC_CREATE_ADDRESS_UNITS: u64 = 1_500, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, create_program_address units";

    /// Classic profile: price of calling another program, beside what that program uses.
    CLASSIC_INVOKE_UNITS: u64 = 1_000, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, invoke_units";

    /// Classic profile: bytes of memory or of accounts that a unit pays for.
    CLASSIC_BYTES_PER_UNIT: u64 = 250, Bytes, v 1,
        "solana-program-runtime 1.9.5, cpi_bytes_per_unit";

    /// Classic profile: levels of calls between programs below an instruction.
    CLASSIC_INVOKE_DEPTH: usize = 4, Count, v 1,
        "Solana 1.9 Runtime chapter, max_invoke_depth";

    /// Classic profile: levels of calls within a program.
    CLASSIC_CALL_DEPTH: usize = 64, Count, v 1,
        "Solana 1.9 Runtime chapter, max_call_depth";

    /// Classic profile: bytes of a frame of a program's stack.
    CLASSIC_FRAME_BYTES: usize = 4_096, Bytes, v 1,
        "Solana 1.9 Runtime chapter, stack_frame_size";

    /// Transaction-wide budget: what all instructions of a transaction together may use unless it
    /// requests otherwise.
    WIDE_UNITS: u64 = 200_000, ComputeUnits, v 1,
        "Solana 1.9 Runtime chapter, Transaction-wide Compute Budget";

    /// Transaction-wide budget: most a transaction may request.
    WIDE_UNITS_MAX: u64 = 1_000_000, ComputeUnits, v 1,
        "solana-program-runtime 1.9.5, MAX_UNITS of compute_budget";

    /// Transaction-wide budget: first instructions among which requests are honoured.
    WIDE_REQUEST_INSTRUCTIONS: usize = 3, Count, v 1,
        "Solana 1.9 Runtime chapter, Transaction-wide Compute Budget";

    /// Transaction-wide budget: a request above the default costs WIDE_STEP_LAMPORTS for each
    /// begun step of so many units.
    WIDE_STEP_UNITS: u64 = 50_000, ComputeUnits, v 1,
        "own choice: a quarter of the default, so that a slightly higher request costs little more";

    /// Transaction-wide budget: lamports for each begun step above the default.
    WIDE_STEP_LAMPORTS: u64 = 1_250, Lamports, v 1,
        "own choice: a unit above the default costs what one within it costs, a signature's 5,000 lamports for 200,000";
}

const _: () = {
    assert!(IDLE_SLOTS < BLOCKHASH_SLOTS / 2);
    assert!(BLOCKHASH_SLOTS < RECORD_SLOTS);
    assert!(EPOCH_SLOTS >= EPOCH_SLOTS_MIN);
    assert!(BURN_PERCENT <= 100);
    assert!(WIDE_UNITS < WIDE_UNITS_MAX);
    assert!(WIDE_STEP_LAMPORTS * WIDE_UNITS == SIGNATURE_LAMPORTS * WIDE_STEP_UNITS);
};
