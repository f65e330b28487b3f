//! Numbers of the root ledger.

use crate::params;

params! {
    "root";

    /// Most bytes of an encoded root transaction.
    TRANSACTION_BYTES_MAX: usize = 128 * 1024, Bytes, v 1,
        "own choice: the commitments of a committee of 64, or one with the most messages, fit";

    /// Most commitments one transaction may deliver.
    COMMITMENTS_MAX: usize = 64, Count, v 1,
        "own choice: a committee of 64 reports in one transaction";

    /// Most transactions of a root block.
    BLOCK_TRANSACTIONS_MAX: usize = 1_024, Count, v 1,
        "own choice: bounds the executors' signatures of a block to 65,536, two seconds at 33 us each";

    /// Most bytes of all transactions of a root block together.
    BLOCK_BYTES_MAX: usize = 4 * 1024 * 1024, Bytes, v 1,
        "own choice: 32 of the largest transactions";

    /// Most members of a committee, primaries and backups each.
    COMMITTEE_MEMBERS_MAX: usize = 100, Count, v 1,
        "own choice: every member voting on every rank then takes 1.4 MiB of state";

    /// Most nodes of a genesis document.
    GENESIS_NODES_MAX: usize = 4_096, Count, v 1,
        "own choice: four times the largest committee";

    /// Most runtimes of a genesis document.
    GENESIS_RUNTIMES_MAX: usize = 1_024, Count, v 1,
        "own choice: the root looks at every runtime at every height";

    /// Most bytes of an encoded genesis document.
    GENESIS_BYTES_MAX: usize = 4 * 1024 * 1024, Bytes, v 1,
        "own choice: holds the most nodes and runtimes with room to spare";

    /// Most bytes of the name of a network.
    CHAIN_NAME_BYTES_MAX: usize = 64, Bytes, v 1,
        "own choice: a name is for people";

    /// Most storage receipts in one commitment.
    STORAGE_RECEIPTS_MAX: usize = 64, Count, v 1,
        "own choice: bounds the signatures of a commitment to 65";

    /// How long the events of a height stay in the root's state.
    EVENTS_KEPT: u64 = 1_000, Heights, v 1,
        "own choice: a node that follows the root reads them at once; 1,000 cover a slow reader";

    /// The wait for backups after a discrepancy is the runtime's round timeout times this number,
    /// divided by [`RESOLUTION_TIMEOUT_DENOMINATOR`].
    RESOLUTION_TIMEOUT_NUMERATOR: u64 = 15, Count, v 1,
        "Oasis Core go/consensus/cometbft/apps/roothash, round timeout x 15 / 10 for backups";

    /// See [`RESOLUTION_TIMEOUT_NUMERATOR`].
    RESOLUTION_TIMEOUT_DENOMINATOR: u64 = 10, Count, v 1,
        "Oasis Core go/consensus/cometbft/apps/roothash, round timeout x 15 / 10 for backups";

    /// After this much agreed time the root asks for a block although there is no transaction,
    /// while a round waits for a timeout counted in heights.
    HEARTBEAT: u64 = 1_000_000_000, Nanoseconds, v 1,
        "own choice: round timeouts of 5 to 20 heights then take 5 to 20 s, as on Oasis networks";
}

const _: () = assert!(COMMITTEE_MEMBERS_MAX <= GENESIS_NODES_MAX);
const _: () = assert!(TRANSACTION_BYTES_MAX <= BLOCK_BYTES_MAX);
const _: () = assert!(RESOLUTION_TIMEOUT_NUMERATOR >= RESOLUTION_TIMEOUT_DENOMINATOR);
const _: () = assert!(EVENTS_KEPT >= 1);
// A commitment without messages and receipts takes less than 700 bytes.
const _: () = assert!(COMMITMENTS_MAX * 700 <= TRANSACTION_BYTES_MAX);
// A commitment with the most messages and receipts (some 130 bytes each) fits a transaction.
const _: () = assert!(
    crate::host::MESSAGES_BYTES_MAX + STORAGE_RECEIPTS_MAX * 130 + 1024 <= TRANSACTION_BYTES_MAX
);
