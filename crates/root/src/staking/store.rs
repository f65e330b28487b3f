//! Where things of the staking service stand in the state. See the service for the table.

use std::ops::ControlFlow;

use trilith_params::root::ACCOUNT_BYTES_MAX;
use trilith_protocol::root::staking::{
    Account, DebondingDelegation, Delegation, EpochSigning, StakingParameters,
};
use trilith_protocol::root::{Address, Debonding, LISTED_MAX, Quantity};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, StateFault, StateRead};

use super::StakingError;
use crate::overlay::Overlay;
use crate::scope::{Scope, broken};
use crate::state::{Record, read, read_required, record_of_encoded};

pub(super) const PARAMETERS: &[u8] = b"Sp";
pub(super) const ACCOUNTS: &[u8] = b"Sa";
pub(super) const DELEGATIONS: &[u8] = b"Sd";
pub(super) const DEBONDING: &[u8] = b"Sb";
pub(super) const QUEUE: &[u8] = b"Sq";
pub(super) const SIGNING: &[u8] = b"Ss";

/// Stake that is in no account, and the sum of all stake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Total {
    Supply = b't' as isize,
    CommonPool = b'c' as isize,
    LastFees = b'f' as isize,
    Deposits = b'g' as isize,
}

impl Total {
    pub(super) fn key(self) -> Vec<u8> {
        vec![b'S', self as u8]
    }
}

record_of_encoded!(StakingParameters, "staking parameters");
record_of_encoded!(Account, "staking account");
record_of_encoded!(Delegation, "delegation");
record_of_encoded!(DebondingDelegation, "debonding delegation");
record_of_encoded!(EpochSigning, "count of signatures");

/// The bytes of a quantity as Oasis Core writes them.
impl Record for Quantity {
    const NAME: &'static str = "quantity";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.bytes(&Quantity::to_bytes(*self));
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let quantity = Quantity::from_bytes(decoder.bytes("quantity", 16)?);
        decoder.finish()?;
        quantity.ok_or(DecodeError::Field("quantity"))
    }
}

/// That something is queued.
pub(super) struct Queued;

impl Record for Queued {
    const NAME: &'static str = "mark of a queue";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.bool(true);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if Self.to_bytes() == bytes {
            Ok(Self)
        } else {
            Err(DecodeError::Field("mark"))
        }
    }
}

pub(super) fn account_key(address: &Address) -> Vec<u8> {
    [ACCOUNTS, address.as_bytes()].concat()
}

pub(super) fn delegation_key(delegate: &Address, delegator: &Address) -> Vec<u8> {
    [DELEGATIONS, delegate.as_bytes(), delegator.as_bytes()].concat()
}

/// A delegation that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ending {
    pub(super) epoch: Epoch,
    pub(super) delegator: Address,
    pub(super) delegate: Address,
}

impl Ending {
    pub(super) fn key(&self) -> Vec<u8> {
        let epoch = self.epoch.0.to_be_bytes();
        [
            DEBONDING,
            self.delegator.as_bytes(),
            self.delegate.as_bytes(),
            &epoch,
        ]
        .concat()
    }

    pub(super) fn queue_key(&self) -> Vec<u8> {
        let epoch = self.epoch.0.to_be_bytes();
        [
            QUEUE,
            &epoch,
            self.delegator.as_bytes(),
            self.delegate.as_bytes(),
        ]
        .concat()
    }

    /// Reads [`Ending::queue_key`].
    pub(super) fn of_queue_key(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(QUEUE)?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (delegator, delegate) = addresses(rest)?;
        Some(Self {
            epoch: Epoch(u64::from_be_bytes(*epoch)),
            delegator,
            delegate,
        })
    }

    /// Reads [`Ending::key`].
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        let rest = key.strip_prefix(DEBONDING)?;
        let (rest, epoch) = rest.split_last_chunk::<8>()?;
        let (delegator, delegate) = addresses(rest)?;
        Some(Self {
            epoch: Epoch(u64::from_be_bytes(*epoch)),
            delegator,
            delegate,
        })
    }
}

/// Reads two addresses that take up all bytes.
pub(super) fn addresses(bytes: &[u8]) -> Option<(Address, Address)> {
    let (first, rest) = bytes.split_first_chunk::<{ Address::LEN }>()?;
    let second = rest.try_into().ok()?;
    Some((Address::from_bytes(*first), Address::from_bytes(second)))
}

/// The account of an address in a height in the making; an empty one if there is none.
pub(super) fn load(scope: &mut Scope<'_>, address: &Address) -> Result<Account, StateFault> {
    Ok(scope
        .overlay
        .record(&account_key(address))?
        .unwrap_or_default())
}

/// Writes an account. An empty one is not kept.
pub(super) fn save(scope: &mut Scope<'_>, address: &Address, account: &Account) {
    put_unless_default(&mut scope.overlay, account_key(address), account);
}

/// Writes an account that has grown, unless it would take up too much state.
pub(super) fn save_grown(
    scope: &mut Scope<'_>,
    address: &Address,
    account: &Account,
) -> Result<(), StakingError> {
    let (len, limit) = (account.encode().len(), ACCOUNT_BYTES_MAX);
    if len > limit {
        return Err(StakingError::AccountTooLarge {
            account: *address,
            len,
            limit,
        });
    }
    save(scope, address, account);
    Ok(())
}

fn put_unless_default<R: Record + Default + PartialEq>(
    overlay: &mut Overlay<'_>,
    key: Vec<u8>,
    record: &R,
) {
    if *record == R::default() {
        overlay.put(key, None);
    } else {
        overlay.put_record(key, record);
    }
}

/// The shares a delegator has of a delegate's active pool.
pub(super) fn load_delegation(
    scope: &mut Scope<'_>,
    delegate: &Address,
    delegator: &Address,
) -> Result<Delegation, StateFault> {
    let key = delegation_key(delegate, delegator);
    Ok(scope.overlay.record(&key)?.unwrap_or_default())
}

/// Writes a delegation. One without shares is not kept.
pub(super) fn save_delegation(
    scope: &mut Scope<'_>,
    delegate: &Address,
    delegator: &Address,
    delegation: &Delegation,
) {
    let key = delegation_key(delegate, delegator);
    put_unless_default(&mut scope.overlay, key, delegation);
}

/// All stake there is.
pub(crate) fn supply_of(scope: &mut Scope<'_>) -> Result<Quantity, StateFault> {
    load_total(scope, Total::Supply)
}

/// One of the totals.
pub(super) fn load_total(scope: &mut Scope<'_>, total: Total) -> Result<Quantity, StateFault> {
    Ok(scope.overlay.record(&total.key())?.unwrap_or_default())
}

/// Writes a total. Nothing is not kept.
pub(super) fn save_total(scope: &mut Scope<'_>, total: Total, quantity: Quantity) {
    put_unless_default(&mut scope.overlay, total.key(), &quantity);
}

/// Adds to a total. All stake together fits, so a part of it does.
pub(super) fn add_to_total(
    scope: &mut Scope<'_>,
    total: Total,
    amount: Quantity,
) -> Result<(), StateFault> {
    let sum = load_total(scope, total)?
        .plus(amount)
        .ok_or_else(|| broken("a pool holds more stake than there is"))?;
    save_total(scope, total, sum);
    Ok(())
}

/// The parameters in a height in the making.
pub(crate) fn parameters_of(scope: &mut Scope<'_>) -> Result<StakingParameters, StateFault> {
    scope.overlay.required(PARAMETERS)
}

/// How many shares of a delegate's active pool a delegator has.
pub(crate) fn shares_of(
    scope: &mut Scope<'_>,
    delegate: &Address,
    delegator: &Address,
) -> Result<Quantity, StateFault> {
    Ok(load_delegation(scope, delegate, delegator)?.shares)
}

/// The delegations that end at an epoch that is not after `epoch`, ascending.
pub(super) fn endings(scope: &Scope<'_>, epoch: Epoch) -> Result<Vec<Ending>, StateFault> {
    let due = scope
        .overlay
        .entries(QUEUE, |key| match Ending::of_queue_key(key) {
            Some(ending) if ending.epoch > epoch => ControlFlow::Break(()),
            _ => ControlFlow::Continue(true),
        })?;
    due.iter()
        .map(|(key, _)| {
            Ending::of_queue_key(key).ok_or_else(|| broken("the queue has a key of another length"))
        })
        .collect()
}

/// The account of an address; an empty one if there is none.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn account(view: &dyn StateRead, address: &Address) -> Result<Account, StateFault> {
    Ok(read(view, &account_key(address))?.unwrap_or_default())
}

/// The shares a delegator has of a delegate's active pool.
///
/// # Errors
/// See [`account`].
pub fn delegation(
    view: &dyn StateRead,
    delegate: &Address,
    delegator: &Address,
) -> Result<Delegation, StateFault> {
    Ok(read(view, &delegation_key(delegate, delegator))?.unwrap_or_default())
}

/// All stake there is, in base units.
///
/// # Errors
/// See [`account`].
pub fn total_supply(view: &dyn StateRead) -> Result<Quantity, StateFault> {
    Ok(read(view, &Total::Supply.key())?.unwrap_or_default())
}

/// The parameters.
///
/// # Errors
/// See [`account`].
pub fn parameters(view: &dyn StateRead) -> Result<StakingParameters, StateFault> {
    read_required(view, PARAMETERS)
}

/// Stake of an account that is being taken back, at most [`LISTED_MAX`] items.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn debonding(view: &dyn StateRead, delegator: &Address) -> Result<Vec<Debonding>, StateFault> {
    let prefix = [DEBONDING, delegator.as_bytes()].concat();
    let mut found = Vec::new();
    for (key, value) in Overlay::new(view, Default::default()).all(&prefix)? {
        let ending = Ending::of_key(&key)
            .ok_or_else(|| broken("a key of the staking service has another length"))?;
        let record: DebondingDelegation = crate::state::decoded(&value)?;
        found.push(Debonding {
            delegate: ending.delegate,
            shares: record.shares,
            debond_end: record.debond_end,
        });
    }
    found.truncate(LISTED_MAX);
    Ok(found)
}
