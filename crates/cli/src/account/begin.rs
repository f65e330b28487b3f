//! What the account runtime of a developer network begins with: its generation of rules and the
//! length of its epochs.
//!
//! Both take effect in the first round only and cannot be changed afterwards but through feature
//! gates. They are noted in the store before that round, so that a start after a crash begins with
//! the same; a state that was brought in from elsewhere says them itself.

use std::ops::RangeInclusive;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use solana_sdk_ids::sysvar;
use trilith_engine_account::gates::{self, FeatureState};
use trilith_engine_account::{EPOCH_SLOTS_MAX, EPOCH_SLOTS_MIN, Profile, read_account};
use trilith_params::account::EPOCH_SLOTS;
use trilith_store::Store;
use trilith_types::StateRead;

use crate::network::ACCOUNT_RUNTIME;
use crate::output::Failure;

/// Name of the blob in the store that notes what a network begins with.
const NOTE: &str = "account-beginning";

/// Slots that an epoch may have.
pub const EPOCH_SLOTS_RANGE: RangeInclusive<u64> = EPOCH_SLOTS_MIN..=EPOCH_SLOTS_MAX;

/// A generation of rules, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// A budget for each instruction, and the policy of the first runtimes
    Classic,
    /// As classic, with one budget for the whole transaction
    TransactionWide,
    /// What the ecosystem's network does today
    Today,
}

impl ProfileName {
    /// The profile of the name.
    pub fn profile(self) -> Profile {
        match self {
            Self::Classic => Profile::Classic,
            Self::TransactionWide => Profile::TransactionWide,
            Self::Today => Profile::Today,
        }
    }
}

/// The name of a profile, as typed.
pub fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Classic => "classic",
        Profile::TransactionWide => "transaction-wide",
        Profile::Today => "today",
    }
}

/// What is asked for; `None` takes what there is, or the usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountsAsked {
    /// The rules with which the network begins.
    pub profile: Option<Profile>,
    /// Slots of an epoch, in [`EPOCH_SLOTS_RANGE`].
    pub epoch_slots: Option<u64>,
}

/// What a network begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountsBeginning {
    pub(crate) profile: Profile,
    pub(crate) epoch_slots: u64,
}

impl AccountsBeginning {
    /// What the network in a store begins with, or began with. Notes it if nothing was.
    ///
    /// # Errors
    /// If another beginning is asked for than the network had, or the store fails.
    pub(crate) fn of(store: &Store, asked: &AccountsAsked) -> Result<Self> {
        let noted = store.meta(NOTE);
        let begun = match Self::of_state(store)? {
            Some(found) => Some(found),
            None => noted
                .as_deref()
                .map(|bytes| {
                    Self::decode(bytes)
                        .context("the note of the account runtime's beginning is damaged")
                })
                .transpose()?,
        };
        if let Some(begun) = begun {
            begun.check(asked)?;
            return Ok(begun);
        }
        let beginning = Self {
            profile: asked.profile.unwrap_or_default(),
            epoch_slots: asked.epoch_slots.unwrap_or(EPOCH_SLOTS),
        };
        store.put_meta(NOTE, beginning.encode().as_bytes())?;
        store.sync()?;
        Ok(beginning)
    }

    /// What the newest state of the account runtime says; `None` before its first round.
    fn of_state(store: &Store) -> Result<Option<Self>> {
        let current = store.current(ACCOUNT_RUNTIME);
        let view = current.and_then(|(_, root)| store.view(ACCOUNT_RUNTIME, root));
        view.map_or(Ok(None), |view| Self::of_view(&*view))
    }

    fn of_view(view: &dyn StateRead) -> Result<Option<Self>> {
        let Some(schedule) = read_account(view, &sysvar::epoch_schedule::ID)? else {
            return Ok(None);
        };
        let account = solana_account::Account::from(schedule);
        let slots = account.data.first_chunk::<8>();
        let slots = slots.context("the sysvar EpochSchedule is damaged")?;
        // The gates that were in force from the beginning are those of the profile, in order.
        let mut profile = Profile::Classic;
        let led_to = [Profile::TransactionWide, Profile::Today];
        for (gate, next) in gates::own().iter().zip(led_to) {
            let account = read_account(view, &gate.id)?.map(solana_account::Account::from);
            let state = account.and_then(|account| FeatureState::decode(&account.data));
            if state == Some(FeatureState::Active(0)) {
                profile = next;
            }
        }
        Ok(Some(Self {
            profile,
            epoch_slots: u64::from_le_bytes(*slots),
        }))
    }

    /// Refuses to continue a network as another one than it is.
    fn check(&self, asked: &AccountsAsked) -> Result<()> {
        let differs = [
            asked
                .profile
                .filter(|asked| *asked != self.profile)
                .map(|asked| {
                    format!(
                        "its account runtime began with the profile {}, not {}",
                        profile_name(self.profile),
                        profile_name(asked)
                    )
                }),
            asked
                .epoch_slots
                .filter(|asked| *asked != self.epoch_slots)
                .map(|asked| {
                    format!(
                        "its account epochs have {} slots, not {asked}",
                        self.epoch_slots
                    )
                }),
        ];
        let causes: Vec<String> = differs.into_iter().flatten().collect();
        if causes.is_empty() {
            return Ok(());
        }
        Err(Failure {
            message: "the data folder has a network with another account runtime".to_owned(),
            causes,
            next: Some(
                "continue it without --account-profile and --account-epoch-slots, choose another \
                 folder with --data, or forget it with --clean; feature gates lead from one profile \
                 to the next: see `trilith feature`"
                    .to_owned(),
            ),
            ..Failure::default()
        }
        .into())
    }

    fn encode(self) -> String {
        format!("{} {}", profile_name(self.profile), self.epoch_slots)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (name, slots) = text.split_once(' ')?;
        let profile = ProfileName::from_str(name, false).ok()?.profile();
        let epoch_slots: u64 = slots.parse().ok()?;
        let read = Self {
            profile,
            epoch_slots,
        };
        (read.encode() == text && EPOCH_SLOTS_RANGE.contains(&epoch_slots)).then_some(read)
    }
}

/// Reads the slots of an epoch.
///
/// # Errors
/// What is wrong with the text, for people.
pub fn parse_epoch_slots(text: &str) -> Result<u64, String> {
    let (least, most) = EPOCH_SLOTS_RANGE.into_inner();
    match text.parse() {
        Ok(slots) if EPOCH_SLOTS_RANGE.contains(&slots) => Ok(slots),
        _ => Err(format!(
            "an epoch has from {least} to {most} slots of 400 ms"
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notes_are_read_as_they_were_written() {
        for profile in [Profile::Classic, Profile::TransactionWide, Profile::Today] {
            for epoch_slots in [EPOCH_SLOTS_MIN, 64, EPOCH_SLOTS, EPOCH_SLOTS_MAX] {
                let beginning = AccountsBeginning {
                    profile,
                    epoch_slots,
                };
                let note = beginning.encode();
                assert_eq!(AccountsBeginning::decode(note.as_bytes()), Some(beginning));
            }
        }
        for bad in [
            "",
            "classic",
            "classic 31",
            "classic 064",
            "modern 64",
            "today -1",
        ] {
            assert_eq!(AccountsBeginning::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn slots_of_an_epoch_have_bounds() {
        assert_eq!(parse_epoch_slots("32"), Ok(32));
        for bad in ["31", "4320001", "-1", "many", ""] {
            let told = parse_epoch_slots(bad).expect_err("it is refused");
            assert!(told.contains("32") && told.contains("4320000"), "{told}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_note_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(read) = AccountsBeginning::decode(&bytes) {
                prop_assert_eq!(read.encode().into_bytes(), bytes);
            }
        }
    }
}
