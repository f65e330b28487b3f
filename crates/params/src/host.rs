//! Numbers that bound batches and rounds of every runtime. A runtime's descriptor sets lower ones.

use crate::params;

params! {
    "host";

    /// Most inputs a batch of any runtime may have.
    BATCH_INPUTS_MAX: usize = 65_536, Count, v 1,
        "own choice: a proposal of that many hashes takes 2 MiB";

    /// Most bytes of one input of any runtime.
    INPUT_BYTES_MAX: usize = 16 * 1024 * 1024, Bytes, v 1,
        "Oasis Core runtime host protocol documentation, limit of a frame (16 MiB)";

    /// Most bytes of all inputs of a batch together that a descriptor may allow.
    BATCH_BYTES_MAX: u64 = 64 * 1024 * 1024, Bytes, v 1,
        "own choice: four of the largest inputs";

    /// Fewest bytes a descriptor may limit a batch to.
    BATCH_BYTES_MIN: u64 = 1024, Bytes, v 1,
        "Oasis Core go/registry/api, max_batch_size_bytes >= 1024";

    /// Most messages to the root in one round of any runtime.
    MESSAGES_MAX: usize = 256, Count, v 1,
        "own choice: a message takes the root about as long as a transaction";

    /// Most bytes of all messages to the root in one round together.
    MESSAGES_BYTES_MAX: usize = 64 * 1024, Bytes, v 1,
        "own choice: the scheduler's commitment carries them in one root transaction";

    /// Shortest flush timeout of a batch that a descriptor may set.
    BATCH_FLUSH_TIMEOUT_MIN: u64 = 50, Milliseconds, v 1,
        "Oasis Core go/registry/api, batch_flush_timeout >= 50 ms";

    /// Shortest wait for a scheduler's proposal that a descriptor may set.
    PROPOSE_BATCH_TIMEOUT_MIN: u64 = 1_000, Milliseconds, v 1,
        "Oasis Core go/registry/api, propose_batch_timeout >= 1 s";

    /// How far the root's time may lie behind a round's before an empty root block is ordered
    /// first.
    ROOT_TIME_LAG_MAX: u64 = 10_000_000_000, Nanoseconds, v 1,
        "own choice: keeps a round's time within seconds of the root's on an idle network";

    /// How far the time of a round may lie from the root's time at the height that its proposal
    /// names, before it or after it.
    ROUND_TIME_BOUND: u64 = 30_000_000_000, Nanoseconds, v 1,
        "own choice: three times the lag of the root's time, so that honest clocks may differ by 20 s";

    /// How many timeouts of a proposal a scheduler has for committing to its own before the next
    /// rank proposes beside it.
    EXECUTION_TIMEOUTS: u64 = 3, Count, v 1,
        "Oasis Core go/worker/compute/executor, execution deadline of 3 x propose_batch_timeout";

    /// How long a node that abstained from a round waits before it tries again.
    ROUND_RETRY_DELAY: u64 = 1_000_000_000, Nanoseconds, v 1,
        "own choice: the shortest wait for a proposal; faults such as a full disk last longer";
}

const _: () = assert!(BATCH_BYTES_MAX >= INPUT_BYTES_MAX as u64);
const _: () = assert!(BATCH_BYTES_MIN < BATCH_BYTES_MAX);
const _: () = assert!(PROPOSE_BATCH_TIMEOUT_MIN >= BATCH_FLUSH_TIMEOUT_MIN);
