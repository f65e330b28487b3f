//! Which epoch a slot lies in.
//!
//! Source: Solana `epoch-schedule`: the first epochs may be shorter, each twice the one before.

use trilith_engine_account::query::EpochSchedule;

/// Slots of the first epoch where epochs warm up.
const SLOTS_MIN: u64 = 32;

/// An epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub epoch: u64,
    /// The first slot that lies in it.
    pub first_slot: u64,
    /// How many slots lie in it.
    pub slots: u64,
}

/// The epoch of `slot`. Any schedule will do, as tools read it from nodes that they do not know.
pub fn epoch_of(schedule: &EpochSchedule, slot: u64) -> Epoch {
    let slots = schedule.slots_per_epoch.max(1);
    if slot >= schedule.first_normal_slot {
        let after = (slot - schedule.first_normal_slot) / slots;
        return Epoch {
            epoch: schedule.first_normal_epoch.saturating_add(after),
            first_slot: schedule.first_normal_slot + after * slots,
            slots,
        };
    }
    let mut epoch = Epoch {
        epoch: 0,
        first_slot: 0,
        slots: SLOTS_MIN,
    };
    // An epoch whose end 64 bits do not hold is the last.
    while let Some(end) = epoch.first_slot.checked_add(epoch.slots)
        && slot >= end
    {
        epoch.first_slot = end;
        epoch.slots = epoch.slots.saturating_mul(2);
        epoch.epoch += 1;
    }
    epoch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_schedule_has_an_epoch_for_any_slot(
            numbers in proptest::array::uniform4(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()]),
            slot in prop_oneof![Just(u64::MAX), any::<u64>()],
            warmup in any::<bool>(),
        ) {
            let schedule = EpochSchedule {
                slots_per_epoch: numbers[0],
                leader_schedule_slot_offset: numbers[1],
                warmup,
                first_normal_epoch: numbers[2],
                first_normal_slot: numbers[3],
            };
            let epoch = epoch_of(&schedule, slot);
            prop_assert!(epoch.first_slot <= slot);
            prop_assert!(slot - epoch.first_slot < epoch.slots || epoch.slots > u64::MAX / 2);
        }
    }

    fn epoch(schedule: &EpochSchedule, slot: u64) -> (u64, u64, u64) {
        let epoch = epoch_of(schedule, slot);
        (epoch.epoch, epoch.first_slot, epoch.slots)
    }

    #[test]
    fn epochs_with_and_without_warmup() {
        let mut schedule = EpochSchedule {
            slots_per_epoch: 432_000,
            leader_schedule_slot_offset: 432_000,
            warmup: false,
            first_normal_epoch: 0,
            first_normal_slot: 0,
        };
        assert_eq!(epoch(&schedule, 0), (0, 0, 432_000));
        assert_eq!(epoch(&schedule, 432_000), (1, 432_000, 432_000));
        // Agave's schedule with warm-up: fourteen doublings of 32, then full epochs.
        schedule.warmup = true;
        schedule.first_normal_epoch = 14;
        schedule.first_normal_slot = 524_256;
        assert_eq!(epoch(&schedule, 31), (0, 0, 32));
        assert_eq!(epoch(&schedule, 32), (1, 32, 64));
        assert_eq!(epoch(&schedule, 96), (2, 96, 128));
        assert_eq!(epoch(&schedule, 524_255), (13, 262_112, 262_144));
        assert_eq!(epoch(&schedule, 524_256), (14, 524_256, 432_000));
    }
}
