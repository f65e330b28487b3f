//! One height of the root: begin, transactions, end.
//!
//! ```text
//! begin:  staking: fees and rewards of the height before
//!         at the first height of an epoch: beacon, staking, registry, key managers, then the
//!         scheduler with roothash, then governance: upgrades and features whose epoch has come
//!         at another one only the scheduler, if stake was slashed so far in it
//! inputs: each transaction by itself
//! end:    roothash: running rounds; staking: fees of this height
//!         at the first height of an epoch: governance counts votes
//! ```

use trilith_params::root::{EVENTS_HEIGHT_MAX, EVENTS_KEPT};
use trilith_protocol::{Fault, Input, Receipt, ReceiptStatus, Reject, RootEvent, RoundContext};
use trilith_types::{Epoch, Height, NodeId, StateFault, WriteLog};

use crate::Refusal;
use crate::overlay::{Overlay, Values};
use crate::roothash::{self, Blame};
use crate::scope::Scope;
use crate::staking::Participants;
use crate::state::{EPOCH, EpochRecord, Events, NETWORK, Network, TIP, Tip, events_key};
use crate::transaction::{self, Arrived};
use crate::{beacon, governance, keymanager, registry, scheduler, staking};

/// One height in the making.
pub(crate) struct Ledger<'a> {
    scope: Scope<'a>,
}

impl<'a> Ledger<'a> {
    /// Begins the height of `context`.
    pub(crate) fn begin(mut overlay: Overlay<'a>, context: &RoundContext) -> Result<Self, Fault> {
        let network: Network = overlay.required(NETWORK)?;
        let last: Tip = overlay.required(TIP)?;
        let running: EpochRecord = overlay.required(EPOCH)?;
        let height = Height(context.round.0);
        if height != last.height.next() {
            let message = format!(
                "height {height} was to be executed after height {}",
                last.height
            );
            return Err(Fault(message));
        }
        if context.time < last.time {
            let message = format!("the time {} ns is before {} ns", context.time, last.time);
            return Err(Fault(message));
        }
        let tip = Tip {
            height,
            time: context.time,
            randomness: context.randomness.unwrap_or(last.randomness),
        };
        overlay.put_record(TIP.to_vec(), &tip);
        let epoch_interval = network.epoch_interval;
        let mut scope = Scope::new(
            overlay,
            network,
            (height, tip.time),
            (running.epoch, tip.randomness),
        );
        let participants = participants(&mut scope, &context.committee)?;
        scope.proposer = participants.proposer;
        staking::begin_height(&mut scope, &participants)?;
        let mut ledger = Self { scope };
        // A network that goes on from another one does not begin with epoch 0.
        if height.0.is_multiple_of(epoch_interval) {
            ledger.start_epoch(running.epoch.next())?;
        } else {
            scheduler::begin_height(&mut ledger.scope)?;
        }
        Ok(ledger)
    }

    fn start_epoch(&mut self, epoch: Epoch) -> Result<(), Fault> {
        let scope = &mut self.scope;
        let height = scope.height;
        scope.epoch = epoch;
        let record = EpochRecord {
            epoch,
            since: height,
        };
        scope.overlay.put_record(EPOCH.to_vec(), &record);
        scope.emit(RootEvent::EpochStarted { epoch, height });
        beacon::start_epoch(scope)?;
        staking::start_epoch(scope)?;
        let nodes = registry::start_epoch(scope)?;
        keymanager::start_epoch(scope)?;
        scheduler::start_epoch(scope, &nodes)?;
        governance::start_epoch(scope)
    }

    /// Executes one transaction.
    pub(crate) fn transaction(&mut self, input: &Input) -> Result<Receipt, Fault> {
        let of_height = self.scope.replace_events(Vec::new());
        let mut blame = Blame::default();
        let result = match transaction::arrive(input.bytes()) {
            Ok(Arrived::Signed(signed)) => {
                transaction::execute(&mut self.scope, &signed, input.bytes().len())
            }
            Ok(Arrived::Commitments(commitments)) => {
                self.scope.overlay.open_layer();
                let result = roothash::commit(&mut self.scope, commitments, &mut blame);
                self.scope.overlay.close_layer(result.is_ok());
                if result.is_err() {
                    self.scope.forget_events(0);
                }
                result
            }
            Err(rejection) => Err(rejection.into()),
        };
        let status = match result {
            Ok(()) => ReceiptStatus::Accepted,
            Err(Refusal::Fault(fault)) => return Err(fault.into()),
            Err(Refusal::Reject(reject)) => self.rejected(reject, &blame),
        };
        let events = self.scope.replace_events(of_height);
        Ok(Receipt {
            input: input.hash(),
            status,
            output: RootEvent::encode_list(&events),
        })
    }

    /// The status of a refused transaction, and the event if commitments are to blame.
    fn rejected(&mut self, reject: Reject, blame: &Blame) -> ReceiptStatus {
        if let Some(runtime) = blame.runtime {
            self.scope.emit(RootEvent::CommitmentRejected {
                runtime,
                node: blame.node,
                code: reject.code,
                message: reject.message.clone(),
            });
        }
        ReceiptStatus::Rejected {
            module: reject.module.to_owned(),
            code: reject.code,
            message: reject.message,
        }
    }

    /// Ends the height: what it changed, and what the state then is known to hold.
    pub(crate) fn end(mut self) -> Result<(WriteLog, Values), Fault> {
        let scope = &mut self.scope;
        roothash::end_height(scope)?;
        staking::end_height(scope)?;
        governance::end_height(scope)?;
        let mut events = scope.replace_events(Vec::new());
        events.truncate(EVENTS_HEIGHT_MAX);
        let height = scope.height;
        if !events.is_empty() {
            scope
                .overlay
                .put_record(events_key(height), &Events(events));
        }
        if let Some(old) = height.0.checked_sub(EVENTS_KEPT) {
            scope.overlay.put(events_key(Height(old)), None);
        }
        Ok(self.scope.overlay.finish()?)
    }
}

/// The entities that made the height before. Of the root, a round's committee are the validators
/// that signed for it, the proposer of the new height first; it is empty where the ordering of
/// blocks does not say. Who is not registered takes part for nobody.
fn participants(scope: &mut Scope<'_>, validators: &[NodeId]) -> Result<Participants, StateFault> {
    let mut voters = Vec::new();
    let mut proposer = None;
    for (place, validator) in validators.iter().enumerate() {
        let Some(entity) = registry::entity_of(scope, validator)? else {
            continue;
        };
        if place == 0 {
            proposer = Some(entity);
        }
        voters.push(entity);
    }
    Ok(Participants {
        proposer,
        voters,
        validators: validators.len() as u64,
    })
}
