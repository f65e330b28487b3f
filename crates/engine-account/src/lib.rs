//! The account engine: SBF programs over accounts, as a [`trilith_protocol::Runtime`].
//!
//! Knows types, params and the protocol; must not know consensus, networking or another engine.
//! The ecosystem's transaction processor runs behind a trait of the bank; the bank around it
//! (slots, ages and statuses, fees, sysvars, records, state) is here.

mod admit;
mod answer;
mod bank;
pub mod conformance;
pub mod gates;
mod index;
mod keyed;
mod packed;
mod parallel;
pub mod policy;
pub mod query;
pub mod record;
mod runtime;
mod token;

pub use bank::fuzz::{
    fuzz_leaves, fuzz_lookup_table, fuzz_precompile, fuzz_token_account, fuzz_transaction,
};
pub use bank::genesis::{EPOCH_SLOTS_MAX, Genesis};
pub use bank::leaf::{account_image, account_key, is_large, read_account};
pub use bank::profile::Profile;
pub use runtime::embedded::{ACCOUNT_BYTES_MAX, Edit, EditError, is_known_gate};
pub use runtime::{AccountConfig, AccountEngine};
/// Least slots of an epoch.
pub use trilith_params::account::EPOCH_SLOTS_MIN;
/// Most bytes of an encoded transaction of any version.
pub use trilith_params::account::TRANSACTION_V1_BYTES_MAX as TRANSACTION_BYTES_MAX;

/// `Reject::module` and the module of rejected receipts.
pub const MODULE: &str = "account-engine";
/// Codes of refused transactions begin here: the position of the error in the ecosystem's
/// `TransactionError` is added.
pub const CODE_TRANSACTION: u32 = 100;
/// A check could not be made because this node failed.
pub const CODE_FAULT: u32 = 4;
