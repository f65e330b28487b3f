//! What the account runtime shows of feature gates, over JSON-RPC: their accounts, and where the
//! chain is among its epochs.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_sdk_ids::feature;
use trilith_engine_account::Profile;
use trilith_engine_account::gates::{self, FeatureState};
use trilith_engine_account::query::EpochSchedule;
use trilith_gateway_account::epoch_of;

use super::begin::profile_name;
use super::rpc::Rpc;

/// Most accounts of one call. Source: Agave, `MAX_MULTIPLE_ACCOUNTS`.
const ACCOUNTS_MAX: usize = 100;

/// What the account runtime shows.
pub(crate) struct Seen {
    /// The slot that is being built.
    pub(crate) slot: u64,
    schedule: EpochSchedule,
    found: BTreeMap<Pubkey, Found>,
}

/// What lies at the id of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Feature(FeatureState),
    /// An account that is no feature account.
    Other(Pubkey),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Schedule {
    slots_per_epoch: u64,
    leader_schedule_slot_offset: u64,
    warmup: bool,
    first_normal_epoch: u64,
    first_normal_slot: u64,
}

#[derive(Deserialize)]
struct Accounts {
    value: Vec<Option<AccountJson>>,
}

/// An account as the interface writes it.
#[derive(Deserialize)]
pub(super) struct AccountJson {
    pub(super) lamports: u64,
    pub(super) owner: String,
    pub(super) data: (String, String),
}

impl AccountJson {
    /// Its owner and data.
    pub(super) fn parts(&self) -> Result<(Pubkey, Vec<u8>)> {
        let owner = self.owner.parse().context("the owner is no address")?;
        let data = BASE64
            .decode(&self.data.0)
            .context("the data is no base64")?;
        Ok((owner, data))
    }
}

/// Looks at the accounts of gates.
///
/// # Errors
/// If no node answers, or not as it should.
pub(crate) fn look(rpc: &Rpc, ids: &[Pubkey]) -> Result<Seen> {
    // The slot first: what is pending afterwards was pending in it.
    let processed = json!([{ "commitment": "processed" }]);
    let slot = rpc.call("getSlot", processed)?;
    let slot = slot.as_u64().ok_or_else(|| rpc.stranger())?;
    let schedule = rpc.call("getEpochSchedule", json!([]))?;
    let schedule: Schedule = serde_json::from_value(schedule).map_err(|_| rpc.stranger())?;
    let mut found = BTreeMap::new();
    for part in ids.chunks(ACCOUNTS_MAX) {
        let keys: Vec<String> = part.iter().map(Pubkey::to_string).collect();
        let config = json!({ "encoding": "base64", "commitment": "processed" });
        let answer = rpc.call("getMultipleAccounts", json!([keys, config]))?;
        let answer: Accounts = serde_json::from_value(answer).map_err(|_| rpc.stranger())?;
        if answer.value.len() != part.len() {
            return Err(rpc.stranger());
        }
        for (id, account) in part.iter().zip(answer.value) {
            let Some(account) = account else { continue };
            let (owner, data) = account.parts().map_err(|_| rpc.stranger())?;
            let state = FeatureState::decode(&data).filter(|_| owner == feature::ID);
            found.insert(*id, state.map_or(Found::Other(owner), Found::Feature));
        }
    }
    let schedule = EpochSchedule {
        slots_per_epoch: schedule.slots_per_epoch,
        leader_schedule_slot_offset: schedule.leader_schedule_slot_offset,
        warmup: schedule.warmup,
        first_normal_epoch: schedule.first_normal_epoch,
        first_normal_slot: schedule.first_normal_slot,
    };
    Ok(Seen {
        slot,
        schedule,
        found,
    })
}

impl Seen {
    /// What lies at the id of a gate.
    pub(super) fn found(&self, id: &Pubkey) -> Option<Found> {
        self.found.get(id).copied()
    }

    /// The epoch of a slot.
    pub(crate) fn epoch_of(&self, slot: u64) -> u64 {
        epoch_of(&self.schedule, slot).epoch
    }

    /// The next epoch, and its first slot.
    pub(crate) fn next_epoch(&self) -> (u64, u64) {
        let epoch = epoch_of(&self.schedule, self.slot);
        (
            epoch.epoch.saturating_add(1),
            epoch.first_slot.saturating_add(epoch.slots),
        )
    }

    /// The profile to which the gates in force have led.
    pub(crate) fn profile(&self) -> Profile {
        let is_active = |gate: Pubkey| {
            matches!(
                self.found.get(&gate),
                Some(Found::Feature(FeatureState::Active(_)))
            )
        };
        if is_active(gates::rules_of_today()) {
            Profile::Today
        } else if is_active(gates::transaction_wide_budget()) {
            Profile::TransactionWide
        } else {
            Profile::Classic
        }
    }

    /// For programs.
    pub(crate) fn document(&self, url: &str) -> Value {
        let (next_epoch, next_slot) = self.next_epoch();
        json!({
            "url": url,
            "slot": self.slot,
            "epoch": self.epoch_of(self.slot),
            "next_epoch": next_epoch,
            "next_epoch_slot": next_slot,
            "profile": profile_name(self.profile()),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_account_is_read_or_refused(owner in ".{0,50}", data in ".{0,40}") {
            let account = AccountJson {
                lamports: 1,
                owner: owner.clone(),
                data: (data.clone(), "base64".to_owned()),
            };
            if let Ok((owner_read, bytes)) = account.parts() {
                prop_assert_eq!(owner_read.to_string(), owner);
                prop_assert_eq!(BASE64.encode(bytes), data);
            }
        }
    }

    /// A chain in slot 70, in epochs of 64, with these at the ids of gates.
    pub(in super::super) fn seen(found: &[(Pubkey, Found)]) -> Seen {
        Seen {
            slot: 70,
            schedule: EpochSchedule {
                slots_per_epoch: 64,
                leader_schedule_slot_offset: 64,
                warmup: false,
                first_normal_epoch: 0,
                first_normal_slot: 0,
            },
            found: found.iter().copied().collect(),
        }
    }

    #[test]
    fn the_profile_follows_the_gates_in_force() {
        let active = Found::Feature(FeatureState::Active(0));
        let [wide, today] = [gates::transaction_wide_budget(), gates::rules_of_today()];
        assert_eq!(seen(&[]).profile(), Profile::Classic);
        assert_eq!(seen(&[(wide, active)]).profile(), Profile::TransactionWide);
        assert_eq!(seen(&[(today, active)]).profile(), Profile::Today);
        let pending = Found::Feature(FeatureState::Pending);
        assert_eq!(seen(&[(wide, pending)]).profile(), Profile::Classic);
    }
}
