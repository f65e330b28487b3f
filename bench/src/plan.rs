//! What is to be measured: how much of what, and which stages there are.

use anyhow::ensure;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Length of every key in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of the values of the first data set in bytes.
pub const VALUE_BYTES: usize = 100;
/// Length of an account's value in bytes: what an account of the account engine has without data
/// (balance, owner, data length, flags and epoch), rounded up.
pub const ACCOUNT_BYTES: usize = 80;

/// The sizes of the work. The defaults are the ones that the project's targets are stated for.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Keys that are loaded first.
    #[arg(long, default_value_t = 500_000)]
    pub keys: u64,
    /// Durable commits that load them.
    #[arg(long, default_value_t = 20)]
    pub commits: u64,
    /// Durable commits of random updates after that.
    #[arg(long, default_value_t = 10)]
    pub update_commits: u64,
    /// Keys updated by each.
    #[arg(long, default_value_t = 1_000)]
    pub updates: u64,
    /// Random reads, cached and again after a restart.
    #[arg(long, default_value_t = 200_000)]
    pub reads: u64,
    /// Proofs of random keys.
    #[arg(long, default_value_t = 10_000)]
    pub proofs: u64,
    /// Restarts of which the median is told.
    #[arg(long, default_value_t = 3)]
    pub restarts: u64,
    /// Accounts that are loaded.
    #[arg(long, default_value_t = 1_000_000)]
    pub accounts: u64,
    /// Durable commits that load them.
    #[arg(long, default_value_t = 20)]
    pub account_commits: u64,
    /// Batches of random account updates after that, each sealed, finalised and durable. There are
    /// enough for what a store puts off, such as checkpoints, to be among them.
    #[arg(long, default_value_t = 200)]
    pub batches: u64,
    /// Accounts updated by each.
    #[arg(long, default_value_t = 10_000)]
    pub batch_updates: u64,
    /// Buckets of `nomt`'s hash table, where its default of 64,000 is not to be used.
    #[arg(long)]
    pub nomt_buckets: Option<u32>,
}

impl Plan {
    /// Refuses a plan that asks for more distinct keys than there are, or for nothing.
    pub fn check(&self) -> anyhow::Result<()> {
        let counts = [
            ("keys", self.keys),
            ("commits", self.commits),
            ("update-commits", self.update_commits),
            ("updates", self.updates),
            ("reads", self.reads),
            ("proofs", self.proofs),
            ("restarts", self.restarts),
            ("accounts", self.accounts),
            ("account-commits", self.account_commits),
            ("batches", self.batches),
            ("batch-updates", self.batch_updates),
        ];
        for (name, count) in counts {
            ensure!(count > 0, "--{name} is 0; it must be at least 1");
        }
        let pairs = [
            ("updates", self.updates, "keys", self.keys),
            (
                "batch-updates",
                self.batch_updates,
                "accounts",
                self.accounts,
            ),
        ];
        for (name, count, among, limit) in pairs {
            ensure!(
                count <= limit / 2,
                "--{name} is {count}, over half of --{among} ({limit}), of which they are drawn"
            );
        }
        Ok(())
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerName {
    /// `trilith_store::Store`.
    Trilith,
    /// `nomt::Nomt`.
    Nomt,
}

impl PeerName {
    /// Both, in the order in which they run.
    pub const ALL: [Self; 2] = [Self::Trilith, Self::Nomt];

    /// The word on the command line and in the result.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trilith => "trilith",
            Self::Nomt => "nomt",
        }
    }
}

/// What one process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Loads keys, updates them, reads them and proves them.
    Keys,
    /// Opens what `keys` left, and reads one key.
    KeysRestart,
    /// Opens what `keys` left when none of it is in the page cache, and reads.
    KeysCold,
    /// Loads accounts and updates them.
    Accounts,
    /// Opens what `accounts` left, and reads one account.
    AccountsRestart,
}

impl Stage {
    /// The word on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::KeysRestart => "keys-restart",
            Self::KeysCold => "keys-cold",
            Self::Accounts => "accounts",
            Self::AccountsRestart => "accounts-restart",
        }
    }
}
