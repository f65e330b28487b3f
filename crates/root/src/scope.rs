//! What a service of the root may see and change while a height is executed.
//!
//! A service is a module of functions over a [`Scope`]: at the begin and the end of a height, at
//! the begin of an epoch, and for each of its methods, which get a [`Call`] as well. Services keep
//! nothing between calls but what they write into the overlay. A service may call another one's
//! functions, but reads and writes only its own keys.

use trilith_protocol::RootEvent;
use trilith_protocol::root::{Address, Quantity};
use trilith_types::{Epoch, Height, PublicKey, StateFault, TimeNanos};

use crate::Refusal;
use crate::overlay::Overlay;
use crate::state::Network;
use crate::transaction::TransactionError;

/// A height in the making, as services see it.
pub(crate) struct Scope<'a> {
    pub(crate) overlay: Overlay<'a>,
    pub(crate) network: Network,
    pub(crate) height: Height,
    pub(crate) time: TimeNanos,
    pub(crate) randomness: [u8; 32],
    pub(crate) epoch: Epoch,
    /// The entity that proposed this height; `None` if that is not known.
    pub(crate) proposer: Option<PublicKey>,
    /// Fees paid in this height.
    pub(crate) fees: Quantity,
    /// Gas used in this height, and the most that may be.
    pub(crate) gas: Gas,
    /// What happened: in the transaction while one is executed, otherwise in the height.
    events: Vec<RootEvent>,
}

/// Work that was done, and the most that may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gas {
    pub(crate) used: u64,
    pub(crate) limit: u64,
}

/// A method call of a signed transaction.
pub(crate) struct Call {
    /// Who signed.
    pub(crate) signer: PublicKey,
    /// The signer's account.
    pub(crate) caller: Address,
    pub(crate) gas: Gas,
}

/// Executes a method with its argument.
pub(crate) type Handler = fn(&mut Scope<'_>, &mut Call, &[u8]) -> Result<(), Refusal>;

impl Gas {
    pub(crate) const fn new(limit: u64) -> Self {
        Self { used: 0, limit }
    }

    /// Counts work; `None` if it exceeds the limit, and then nothing is counted.
    fn use_up(&mut self, amount: u64) -> Option<()> {
        let used = self.used.checked_add(amount)?;
        if used > self.limit {
            return None;
        }
        self.used = used;
        Some(())
    }
}

impl Call {
    /// Counts work of the call, and of the height.
    pub(crate) fn charge(
        &mut self,
        scope: &mut Scope<'_>,
        wanted: u64,
    ) -> Result<(), TransactionError> {
        let Gas { used, limit } = self.gas;
        self.gas.use_up(wanted).ok_or(TransactionError::OutOfGas {
            used,
            wanted,
            limit,
        })?;
        let Gas { used, limit } = scope.gas;
        scope
            .gas
            .use_up(wanted)
            .ok_or(TransactionError::BlockOutOfGas {
                used,
                wanted,
                limit,
            })
    }
}

impl<'a> Scope<'a> {
    /// A height without fees and events.
    pub(crate) fn new(
        overlay: Overlay<'a>,
        network: Network,
        (height, time): (Height, TimeNanos),
        (epoch, randomness): (Epoch, [u8; 32]),
    ) -> Self {
        let block_gas = match network.transactions.max_block_gas {
            0 => u64::MAX,
            limit => limit,
        };
        Self {
            overlay,
            network,
            height,
            time,
            randomness,
            epoch,
            proposer: None,
            fees: Quantity::ZERO,
            gas: Gas::new(block_gas),
            events: Vec::new(),
        }
    }

    /// Notes that something happened.
    pub(crate) fn emit(&mut self, event: RootEvent) {
        self.events.push(event);
    }

    /// How much happened.
    pub(crate) fn events_len(&self) -> usize {
        self.events.len()
    }

    /// What happened after there were `len` events.
    pub(crate) fn events_since(&self, len: usize) -> &[RootEvent] {
        self.events.get(len..).unwrap_or_default()
    }

    /// Forgets what happened after there were `len` events.
    pub(crate) fn forget_events(&mut self, len: usize) {
        self.events.truncate(len);
    }

    /// Gives what happened and puts `events` in its place.
    pub(crate) fn replace_events(&mut self, events: Vec<RootEvent>) -> Vec<RootEvent> {
        std::mem::replace(&mut self.events, events)
    }
}

/// A state that the root itself cannot have written.
pub(crate) fn broken(what: &str) -> StateFault {
    StateFault(format!("the root's state breaks a rule: {what}"))
}
