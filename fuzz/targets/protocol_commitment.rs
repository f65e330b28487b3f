//! What committee members sign: proposals, commitments, storage receipts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use trilith_protocol::{ExecutorCommitment, Proposal, StorageReceipt};

fuzz_target!(|data: &[u8]| {
    trilith_fuzz::strict(data, Proposal::decode, Proposal::encode);
    trilith_fuzz::strict(data, ExecutorCommitment::decode, ExecutorCommitment::encode);
    trilith_fuzz::strict(data, StorageReceipt::decode, StorageReceipt::encode);
});
