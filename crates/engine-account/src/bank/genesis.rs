//! The first state of an account runtime.
//!
//! It is not part of the node's genesis document: the first round, on an empty state, begins with
//! it, so that its hash can name the agreed time at which the network began. All nodes must be
//! given the same [`Genesis`].

use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_builtins::BUILTINS;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{
    ed25519_program, native_loader, secp256k1_program, secp256r1_program, system_program,
};
use trilith_params::account::{EPOCH_SLOTS, EPOCH_SLOTS_MIN, FAUCET_LAMPORTS};
use trilith_types::{RuntimeId, TimeNanos};

use super::accounts::Accounts;
use super::chain::{ChainState, digest};
use super::features::{self, InForce};
use super::profile::Profile;
use super::sysvar;
use crate::gates::FeatureState;

/// Lamports of the identity at genesis, so that it is exempt from rent and can receive fees.
const IDENTITY_LAMPORTS: u64 = 1_000_000_000;

/// Most slots of an epoch that options for developers take: 20 days. No rule depends on it. Own
/// choice: ten times the usual, and still a schedule of leaders that one answer can list.
pub const EPOCH_SLOTS_MAX: u64 = 10 * EPOCH_SLOTS;

/// What the operator of a network chooses. Part of the network's definition.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// To whom fees go.
    pub identity: Pubkey,
    /// Who pays airdrops, on developer networks: the account starts with 500 million SOL.
    pub faucet: Option<Pubkey>,
    /// Slots of an epoch; raised to 32 where it is less.
    pub epoch_slots: u64,
    /// The rules with which the network begins. Its gates lead on from there.
    pub profile: Profile,
    /// Further accounts. They come last, so that they replace what else stands at their keys.
    pub accounts: Vec<(Pubkey, Account)>,
}

impl Genesis {
    /// A network with epochs of the usual length and nothing of its own.
    pub fn new(identity: Pubkey, faucet: Option<Pubkey>) -> Self {
        Self {
            identity,
            faucet,
            epoch_slots: EPOCH_SLOTS,
            profile: Profile::default(),
            accounts: Vec::new(),
        }
    }

    /// Adds a pending feature account, for a gate whose key nobody of the network holds: those of
    /// the ecosystem. It comes into force as any other, when the root approves its id.
    pub fn add_pending_feature(&mut self, id: Pubkey) {
        let account = features::account(FeatureState::Pending);
        self.accounts.push((id, account));
    }

    /// The state of the chain at genesis, its gates, and its accounts written to `accounts`.
    pub(crate) fn begin(
        &self,
        accounts: &mut Accounts<'_>,
        runtime: RuntimeId,
        time: TimeNanos,
    ) -> (ChainState, InForce) {
        let in_force = features::at_genesis(self.profile);
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let mut chain = ChainState {
            genesis_hash: Hash::default(),
            genesis_time: time.0,
            identity: self.identity,
            faucet: self.faucet,
            epoch_slots: self.epoch_slots.max(EPOCH_SLOTS_MIN),
            slot: 0,
            parent: 0,
            round: 0,
            time: time.0,
            slot_time: seconds,
            epoch_time: seconds,
            blockhashes: Vec::new(),
            digest: Hash::default(),
            slot_transactions: 0,
            slot_units: 0,
            slot_data: 0,
            slot_rewards: 0,
            transactions: 0,
            supply: 0,
            busy_slot: 0,
            profile: self.profile,
            rules: Hash::default(),
        };
        chain.follow(&in_force);
        let before_sysvars = self.accounts_before_sysvars(&in_force);
        chain.genesis_hash = self.hash(runtime, &chain, &before_sysvars);
        chain.blockhashes.push((chain.genesis_hash, 0));
        let sysvars = sysvar::genesis(&chain);
        let own = self
            .accounts
            .iter()
            .map(|(key, account)| (*key, AccountSharedData::from(account.clone())));
        for (key, account) in before_sysvars.into_iter().chain(sysvars).chain(own) {
            accounts.put(key, account);
        }
        (chain, in_force)
    }

    fn accounts_before_sysvars(&self, in_force: &InForce) -> Vec<(Pubkey, AccountSharedData)> {
        let rent = sysvar::rent();
        let is_active = |id: &Pubkey| in_force.iter().any(|(active, _)| active == id);
        let builtins = BUILTINS
            .iter()
            .filter(|builtin| builtin.enable_feature_id.is_none_or(|id| is_active(&id)))
            .map(|builtin| (builtin.program_id, native(builtin.name.as_bytes())));
        let precompiles = [
            ed25519_program::ID,
            secp256k1_program::ID,
            secp256r1_program::ID,
        ];
        let wallets = [
            Some((self.identity, IDENTITY_LAMPORTS)),
            self.faucet.map(|faucet| (faucet, FAUCET_LAMPORTS)),
        ];
        builtins
            .chain(precompiles.into_iter().map(|key| (key, native(b""))))
            .chain(features::accounts(in_force))
            .chain(solana_program_binaries::core_bpf_programs(&rent, is_active))
            .chain(solana_program_binaries::spl_programs(&rent))
            .chain(wallets.into_iter().flatten().map(|(key, lamports)| {
                (
                    key,
                    AccountSharedData::new(lamports, 0, &system_program::ID),
                )
            }))
            .collect()
    }

    /// A hash over everything that was chosen.
    fn hash(
        &self,
        runtime: RuntimeId,
        chain: &ChainState,
        accounts: &[(Pubkey, AccountSharedData)],
    ) -> Hash {
        let own = self
            .accounts
            .iter()
            .map(|(key, account)| (*key, AccountSharedData::from(account.clone())));
        let accounts: Vec<u8> = accounts
            .iter()
            .cloned()
            .chain(own)
            .flat_map(|(key, account)| {
                let leaf = super::leaf::encode_account(&account);
                *digest(&[key.as_ref(), &leaf, account.data()]).as_bytes()
            })
            .collect();
        digest(&[
            b"trilith-account-genesis",
            runtime.as_bytes(),
            &chain.genesis_time.to_le_bytes(),
            &chain.epoch_slots.to_le_bytes(),
            &accounts,
        ])
    }
}

/// An account that stands for a program of the processor itself.
fn native(name: &[u8]) -> AccountSharedData {
    AccountSharedData::from(Account {
        lamports: 1,
        data: name.to_vec(),
        owner: native_loader::ID,
        executable: true,
        rent_epoch: 0,
    })
}
