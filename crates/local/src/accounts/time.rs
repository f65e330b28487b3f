//! Slots, epochs, the clock and feature gates.
//!
//! A slot begins by a round at its agreed time, as on a node: sysvars move on, blockhashes age, the
//! slot before it gets its hash. There is no other way for time to pass, and none back.

use solana_account::Account;
use solana_clock::Clock;
use solana_pubkey::Pubkey;
use solana_sdk_ids::{feature, sysvar};
use trilith_engine_account::query::Chain;
use trilith_engine_account::{EPOCH_SLOTS_MAX, EPOCH_SLOTS_MIN, Edit, is_known_gate};
use trilith_params::account::SLOT_NANOS;
use trilith_protocol::root::{ActiveFeature, FeatureId};
use trilith_types::{Epoch, TimeNanos};

use super::Local;
use super::error::LocalError;
use super::instance::Instance;

/// Bytes of the Clock sysvar: five numbers of 64 bits.
const CLOCK_BYTES: usize = 40;
/// Bytes of the account of a gate: an option with a slot.
const GATE_BYTES: usize = 9;
/// The last second at which a network may begin, so that centuries of slots fit 64 bits of
/// nanoseconds. Own choice: the year 2200.
const START_MAX: u64 = 7_258_118_400;

impl Local {
    /// The slot that is being built. Slot 1 is the first.
    pub fn slot(&self) -> u64 {
        self.chain().map_or(0, |chain| chain.slot)
    }

    /// Its epoch. Epoch 0 is the first.
    pub fn epoch(&self) -> u64 {
        self.chain().map_or(0, |chain| chain.epoch)
    }

    /// The Clock sysvar as programs see it.
    pub fn clock(&self) -> Clock {
        self.account(&sysvar::clock::ID)
            .and_then(|account| read_clock(&account.data))
            .unwrap_or_default()
    }

    /// Ends the slot and begins the next one: there is a new blockhash, programs deployed in the
    /// slot can be called, and lookup tables extended in it can be used.
    ///
    /// # Errors
    /// As [`Local::warp_to_slot`].
    pub fn next_slot(&mut self) -> Result<(), LocalError> {
        self.instance().advance(1)
    }

    /// Begins the slot that comes `slots` after the one that is being built. Those between have no
    /// block.
    ///
    /// # Errors
    /// As [`Local::warp_to_slot`].
    pub fn advance_slots(&mut self, slots: u64) -> Result<(), LocalError> {
        self.instance().advance(slots)
    }

    /// Begins a slot. Blockhashes age, epochs pass and the clock goes on as if the slots between
    /// had passed without a block; gates that were activated come into force with the first slot of
    /// the next epoch. The slot that is being built is left as it is.
    ///
    /// # Errors
    /// [`LocalError::Backwards`] for an earlier slot, [`LocalError::TooFar`] where agreed time has
    /// no room for it.
    pub fn warp_to_slot(&mut self, slot: u64) -> Result<(), LocalError> {
        self.instance().warp_to_slot(slot)
    }

    /// Begins the first slot of an epoch. The epoch that is being built is left as it is.
    ///
    /// # Errors
    /// As [`Local::warp_to_slot`].
    pub fn warp_to_epoch(&mut self, epoch: u64) -> Result<(), LocalError> {
        let mut instance = self.instance();
        let chain = instance.chain()?;
        if epoch < chain.epoch {
            return Err(LocalError::Backwards {
                what: "epoch",
                asked: epoch.into(),
                at: chain.epoch.into(),
            });
        }
        if epoch == chain.epoch {
            return Ok(());
        }
        let ahead = (epoch - chain.epoch).checked_mul(chain.epoch_slots);
        let first = ahead.and_then(|ahead| chain.epoch_start.checked_add(ahead));
        instance.warp_to_slot(first.ok_or(LocalError::TooFar {
            what: "epoch",
            asked: epoch,
            last: last_slot(&chain) / chain.epoch_slots,
        })?)
    }

    /// Begins the slot of a moment, seconds since 1970 on the clock that programs see.
    ///
    /// # Errors
    /// As [`Local::warp_to_slot`].
    pub fn warp_to_time(&mut self, seconds: i64) -> Result<(), LocalError> {
        let now = self.clock().unix_timestamp;
        let ahead = u64::try_from(i128::from(seconds) - i128::from(now));
        let ahead = ahead.map_err(|_| LocalError::Backwards {
            what: "second",
            asked: seconds.into(),
            at: now.into(),
        })?;
        let slots = ahead.saturating_mul(1_000_000_000).div_ceil(SLOT_NANOS);
        self.instance().advance(slots)
    }

    /// Sets the clock's time without beginning a slot. From here on it goes on with the slots; it
    /// may be set back.
    ///
    /// # Errors
    /// [`LocalError::Edit`] if this process failed.
    pub fn set_unix_timestamp(&mut self, seconds: i64) -> Result<(), LocalError> {
        let clock = Clock {
            unix_timestamp: seconds,
            ..self.clock()
        };
        self.set_clock(&clock)
    }

    /// Writes the Clock sysvar. Its time goes on with the slots; its other numbers are those of the
    /// chain again from the next slot on. To move the chain itself, warp.
    ///
    /// # Errors
    /// [`LocalError::Edit`] if this process failed.
    pub fn set_clock(&mut self, clock: &Clock) -> Result<(), LocalError> {
        let mut instance = self.instance();
        let agreed = instance.clock_of_chain()?;
        instance.settings.clock_shift = clock.unix_timestamp.saturating_sub(agreed);
        instance.write_clock(clock)
    }

    /// Brings a gate into force at once. [`Local::activate_gate`] does it as a network does.
    ///
    /// # Errors
    /// [`LocalError::Gate`] if the gate is not known.
    pub fn set_gate(&mut self, id: Pubkey, active: bool) -> Result<(), LocalError> {
        check_gates([&id])?;
        self.instance().edit(&Edit {
            gates: vec![(id, active)],
            ..Edit::default()
        })
    }

    /// Has a gate come into force with the first slot of the next epoch. Until then its account
    /// says that it is pending.
    ///
    /// # Errors
    /// [`LocalError::Gate`] if the gate is not known.
    pub fn activate_gate(&mut self, id: Pubkey) -> Result<(), LocalError> {
        check_gates([&id])?;
        let is_active = self.account(&id).is_some_and(|account| {
            account.owner == feature::ID && account.data.first() == Some(&1)
        });
        if is_active {
            return Ok(());
        }
        let pending = Account {
            lamports: self.minimum_balance(GATE_BYTES as u64),
            data: vec![0; GATE_BYTES],
            owner: feature::ID,
            executable: false,
            rent_epoch: u64::MAX,
        };
        self.set_account(id, pending)?;
        // As if the root's governance had approved it.
        let approved = &mut self.instance().line.from_root.features;
        let id = FeatureId(id.to_bytes());
        if let Err(position) = approved.binary_search_by_key(&id, |feature| feature.id) {
            let since = Epoch(0);
            approved.insert(position, ActiveFeature { id, since });
        }
        Ok(())
    }
}

impl Instance {
    pub(crate) fn advance(&mut self, slots: u64) -> Result<(), LocalError> {
        let slot = self.chain()?.slot.saturating_add(slots);
        self.warp_to_slot(slot)
    }

    fn warp_to_slot(&mut self, slot: u64) -> Result<(), LocalError> {
        let chain = self.chain()?;
        if slot < chain.slot {
            return Err(LocalError::Backwards {
                what: "slot",
                asked: slot.into(),
                at: chain.slot.into(),
            });
        }
        let last = last_slot(&chain);
        if slot > last {
            return Err(LocalError::TooFar {
                what: "slot",
                asked: slot,
                last,
            });
        }
        let next_epoch = chain.epoch_start.saturating_add(chain.epoch_slots);
        if !self.line.from_root.features.is_empty() && slot >= next_epoch {
            // Gates come into force with the first slot of an epoch, and that is this one.
            self.begin_slot(&chain, next_epoch)?;
            self.line.from_root.features.clear();
        }
        let chain = self.chain()?;
        if slot > chain.slot {
            self.begin_slot(&chain, slot)?;
        }
        Ok(())
    }

    /// Begins a later slot, which agreed time has room for.
    fn begin_slot(&mut self, chain: &Chain, slot: u64) -> Result<(), LocalError> {
        let nanos = chain.genesis_time + slot.saturating_sub(1) * chain.slot_nanos;
        self.round_at(TimeNanos(nanos))?;
        let shift = self.settings.clock_shift;
        if shift != 0
            && let Some(mut clock) = self.read_clock()?
        {
            clock.unix_timestamp = clock.unix_timestamp.saturating_add(shift);
            self.write_clock(&clock)?;
        }
        Ok(())
    }

    /// What the clock's time is without being moved.
    fn clock_of_chain(&mut self) -> Result<i64, LocalError> {
        let shown = self.read_clock()?.unwrap_or_default().unix_timestamp;
        Ok(shown.saturating_sub(self.settings.clock_shift))
    }

    fn read_clock(&self) -> Result<Option<Clock>, LocalError> {
        let state = &*self.line.state;
        let account = trilith_engine_account::read_account(state, &sysvar::clock::ID)?;
        Ok(account.and_then(|account| read_clock(&Account::from(account).data)))
    }

    fn write_clock(&mut self, clock: &Clock) -> Result<(), LocalError> {
        let state = &*self.line.state;
        let account = trilith_engine_account::read_account(state, &sysvar::clock::ID)?;
        let Some(account) = account else {
            return Ok(());
        };
        let mut account = Account::from(account);
        account.data = [
            clock.slot.to_le_bytes(),
            clock.epoch_start_timestamp.to_le_bytes(),
            clock.epoch.to_le_bytes(),
            clock.leader_schedule_epoch.to_le_bytes(),
            clock.unix_timestamp.to_le_bytes(),
        ]
        .concat();
        self.edit(&Edit {
            accounts: vec![(sysvar::clock::ID, account)],
            ..Edit::default()
        })
    }
}

/// The last slot that agreed time, 64 bits of nanoseconds, has room for.
fn last_slot(chain: &Chain) -> u64 {
    (u64::MAX - chain.genesis_time) / chain.slot_nanos
}

fn read_clock(data: &[u8]) -> Option<Clock> {
    let data: &[u8; CLOCK_BYTES] = data.try_into().ok()?;
    let number = |at: usize| std::array::from_fn(|index| data[8 * at + index]);
    Some(Clock {
        slot: u64::from_le_bytes(number(0)),
        epoch_start_timestamp: i64::from_le_bytes(number(1)),
        epoch: u64::from_le_bytes(number(2)),
        leader_schedule_epoch: u64::from_le_bytes(number(3)),
        unix_timestamp: i64::from_le_bytes(number(4)),
    })
}

/// Refuses a beginning that leaves no room for slots.
pub(crate) fn check_start(start: u64) -> Result<(), LocalError> {
    if start > START_MAX {
        return Err(LocalError::TooFar {
            what: "second",
            asked: start,
            last: START_MAX,
        });
    }
    Ok(())
}

/// Refuses epochs that are too short or too long.
pub(crate) fn check_epoch_slots(asked: u64) -> Result<(), LocalError> {
    if (EPOCH_SLOTS_MIN..=EPOCH_SLOTS_MAX).contains(&asked) {
        return Ok(());
    }
    Err(LocalError::EpochSlots { asked })
}

/// Refuses gates that this version does not know.
pub(crate) fn check_gates<'a>(
    gates: impl IntoIterator<Item = &'a Pubkey>,
) -> Result<(), LocalError> {
    match gates.into_iter().find(|id| !is_known_gate(id)) {
        Some(id) => Err(LocalError::Gate { id: *id }),
        None => Ok(()),
    }
}
