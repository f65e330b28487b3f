//! Sysvars: accounts that tell programs where they are.
//!
//! Encodings are those of the ecosystem's types (`bincode`, fixed-width little-endian), written by
//! hand because each is a few numbers. Sizes and capacities: crates `solana-slot-hashes` 3.1,
//! `solana-slot-history` 3.2, `solana-sysvar` 4.1, `solana-stake-history` 1.0.

use solana_account::{Account, AccountSharedData, ReadableAccount, WritableAccount};
use solana_epoch_schedule::EpochSchedule;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_rent::Rent;
use solana_sdk_ids::sysvar;
use trilith_params::account::{RENT_LAMPORTS_PER_BYTE, SIGNATURE_LAMPORTS};

use super::accounts::Accounts;
use super::chain::ChainState;

/// Entries of SlotHashes.
const SLOT_HASHES: usize = 512;
/// Bytes of SlotHashes.
const SLOT_HASHES_BYTES: usize = 8 + SLOT_HASHES * 40;
/// Entries of RecentBlockhashes.
const RECENT_BLOCKHASHES: usize = 150;
/// Bytes of RecentBlockhashes.
const RECENT_BLOCKHASHES_BYTES: usize = 8 + RECENT_BLOCKHASHES * 40;
/// Slots that SlotHistory remembers.
const HISTORY_SLOTS: u64 = 1024 * 1024;
/// Bytes of SlotHistory: an option, the count of words, the words, the count of bits, the next
/// slot.
const HISTORY_BYTES: usize = 1 + 8 + (HISTORY_SLOTS / 8) as usize + 8 + 8;
/// Where the words of SlotHistory begin.
const HISTORY_WORDS: usize = 1 + 8;
/// Bytes of StakeHistory.
const STAKE_HISTORY_BYTES: usize = 16_392;
/// Bytes of EpochRewards. All zero: there are no rewards to hand out.
const EPOCH_REWARDS_BYTES: usize = 81;

/// The key of RecentBlockhashes, which the ecosystem has deprecated and nonces still need.
const RECENT_BLOCKHASHES_ID: Pubkey =
    Pubkey::from_str_const("SysvarRecentB1ockHashes11111111111111111111");

/// The rent of the network.
pub(crate) fn rent() -> Rent {
    Rent {
        lamports_per_byte: RENT_LAMPORTS_PER_BYTE,
        ..Rent::default()
    }
}

/// Sysvars of a new network.
pub(crate) fn genesis(chain: &ChainState) -> Vec<(Pubkey, AccountSharedData)> {
    let mut history = vec![0; HISTORY_BYTES];
    history[0] = 1;
    history[1..9].copy_from_slice(&(HISTORY_SLOTS / 64).to_le_bytes());
    history[HISTORY_WORDS] = 1;
    history[HISTORY_BYTES - 16..HISTORY_BYTES - 8].copy_from_slice(&HISTORY_SLOTS.to_le_bytes());
    history[HISTORY_BYTES - 8..].copy_from_slice(&1u64.to_le_bytes());
    vec![
        account(sysvar::clock::ID, clock(chain)),
        account(sysvar::epoch_schedule::ID, schedule(&chain.schedule())),
        account(sysvar::rent::ID, rent_bytes()),
        account(sysvar::slot_hashes::ID, vec![0; SLOT_HASHES_BYTES]),
        account(sysvar::slot_history::ID, history),
        account(RECENT_BLOCKHASHES_ID, recent_blockhashes(chain)),
        account(sysvar::stake_history::ID, vec![0; STAKE_HISTORY_BYTES]),
        account(sysvar::epoch_rewards::ID, vec![0; EPOCH_REWARDS_BYTES]),
        account(sysvar::last_restart_slot::ID, vec![0; 8]),
    ]
}

fn account(key: Pubkey, data: Vec<u8>) -> (Pubkey, AccountSharedData) {
    let account = AccountSharedData::from(Account {
        lamports: rent().minimum_balance(data.len()),
        data,
        owner: sysvar::ID,
        executable: false,
        rent_epoch: u64::MAX,
    });
    (key, account)
}

/// Tells the sysvars that `chain` has begun its slot: `ended` is the slot before, with its hash.
pub(crate) fn begin_slot(accounts: &mut Accounts<'_>, chain: &ChainState, ended: (u64, Hash)) {
    write(accounts, sysvar::clock::ID, |data| {
        replace(data, &clock(chain));
    });
    write(accounts, sysvar::slot_hashes::ID, |data| {
        add_slot_hash(data, ended);
    });
    write(accounts, sysvar::slot_history::ID, |data| {
        add_to_history(data, ended.0);
    });
    write(accounts, RECENT_BLOCKHASHES_ID, |data| {
        replace(data, &recent_blockhashes(chain));
    });
}

/// Changes the data of a sysvar, whose size and balance stay.
fn write(accounts: &mut Accounts<'_>, key: Pubkey, change: impl FnOnce(&mut [u8])) {
    if let Some(mut account) = accounts.get(&key) {
        change(account.data_as_mut_slice());
        accounts.put(key, account);
    }
}

fn replace(data: &mut [u8], new: &[u8]) {
    if data.len() == new.len() {
        data.copy_from_slice(new);
    }
}

fn clock(chain: &ChainState) -> Vec<u8> {
    let schedule = chain.schedule();
    let epoch = schedule.get_epoch(chain.slot);
    [
        chain.slot.to_le_bytes(),
        chain.epoch_time.to_le_bytes(),
        epoch.to_le_bytes(),
        schedule.get_leader_schedule_epoch(chain.slot).to_le_bytes(),
        chain.slot_time.to_le_bytes(),
    ]
    .concat()
}

fn schedule(schedule: &EpochSchedule) -> Vec<u8> {
    let mut data = Vec::with_capacity(33);
    data.extend_from_slice(&schedule.slots_per_epoch.to_le_bytes());
    data.extend_from_slice(&schedule.leader_schedule_slot_offset.to_le_bytes());
    data.push(u8::from(schedule.warmup));
    data.extend_from_slice(&schedule.first_normal_epoch.to_le_bytes());
    data.extend_from_slice(&schedule.first_normal_slot.to_le_bytes());
    data
}

fn rent_bytes() -> Vec<u8> {
    let rent = rent();
    let mut data = Vec::with_capacity(17);
    data.extend_from_slice(&rent.lamports_per_byte.to_le_bytes());
    // The threshold of 1, which the ecosystem keeps for old programs, and the burnt part, 50.
    data.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    data.push(50);
    data
}

fn recent_blockhashes(chain: &ChainState) -> Vec<u8> {
    let mut data = vec![0; RECENT_BLOCKHASHES_BYTES];
    let newest = chain.blockhashes.iter().rev().take(RECENT_BLOCKHASHES);
    let mut count = 0u64;
    for ((hash, _), entry) in newest.zip(data[8..].chunks_exact_mut(40)) {
        entry[..32].copy_from_slice(hash.as_bytes());
        entry[32..].copy_from_slice(&SIGNATURE_LAMPORTS.to_le_bytes());
        count += 1;
    }
    data[..8].copy_from_slice(&count.to_le_bytes());
    data
}

/// Puts the newest entry first, as programs search by falling slot.
fn add_slot_hash(data: &mut [u8], (slot, hash): (u64, Hash)) {
    let Some((count, entries)) = data.split_first_chunk_mut::<8>() else {
        return;
    };
    let len = u64::from_le_bytes(*count).min(SLOT_HASHES as u64 - 1);
    let end = (len as usize + 1) * 40;
    if entries.len() < end {
        return;
    }
    entries.copy_within(..end - 40, 40);
    entries[..8].copy_from_slice(&slot.to_le_bytes());
    entries[8..40].copy_from_slice(hash.as_bytes());
    *count = (len + 1).to_le_bytes();
}

/// Sets the bit of a slot that had a round and clears those of slots that were passed over.
fn add_to_history(data: &mut [u8], slot: u64) {
    if data.len() != HISTORY_BYTES {
        return;
    }
    let (bits, tail) = data[HISTORY_WORDS..].split_at_mut((HISTORY_SLOTS / 8) as usize);
    let next = u64::from_le_bytes(std::array::from_fn(|index| tail[8 + index]));
    if slot.saturating_sub(next) >= HISTORY_SLOTS {
        bits.fill(0);
    } else {
        for passed in next..slot {
            let bit = passed % HISTORY_SLOTS;
            bits[(bit / 8) as usize] &= !(1 << (bit % 8));
        }
    }
    let bit = slot % HISTORY_SLOTS;
    bits[(bit / 8) as usize] |= 1 << (bit % 8);
    tail[8..].copy_from_slice(&slot.saturating_add(1).to_le_bytes());
}

/// The entries of SlotHashes, newest first.
pub(crate) fn slot_hashes(accounts: &Accounts<'_>) -> Vec<(u64, Hash)> {
    let Some(account) = accounts.get(&sysvar::slot_hashes::ID) else {
        return Vec::new();
    };
    let data = account.data();
    let count = data
        .first_chunk::<8>()
        .map_or(0, |count| u64::from_le_bytes(*count));
    data.get(8..)
        .unwrap_or_default()
        .chunks_exact(40)
        .take(usize::try_from(count).unwrap_or(0))
        .map(|entry| {
            let slot = u64::from_le_bytes(std::array::from_fn(|index| entry[index]));
            let hash = Hash::new_from_array(std::array::from_fn(|index| entry[8 + index]));
            (slot, hash)
        })
        .collect()
}
