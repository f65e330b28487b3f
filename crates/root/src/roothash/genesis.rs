//! The service's part of a genesis document: into the state, and out of it.

use trilith_params::root::INCOMING_MESSAGES_MAX;
use trilith_protocol::root::{CarriedRuntime, GenesisError, RoothashGenesis};
use trilith_types::{Round, RuntimeId, StateFault, StateRead};

use super::Rejection;
use super::parameters::{check, parameters};
use super::store::{PARAMETERS, Queue, message_key, queue_key};
use crate::overlay::Entry;
use crate::state::{self, OfRuntime, Record as _, RoundResults, read, read_required};

/// The entries of the state that a document gives, for a network with `runtimes` and their first
/// rounds.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub(crate) fn import(
    genesis: &RoothashGenesis,
    runtimes: &[(RuntimeId, Round)],
) -> Result<Vec<Entry>, GenesisError> {
    let refused = |rejection: Rejection| GenesisError::Roothash(rejection.into());
    check(&genesis.params).map_err(refused)?;
    let mut entries = vec![(PARAMETERS.to_vec(), genesis.params.encode())];
    for (runtime, carried) in &genesis.runtimes {
        let found = runtimes.iter().find(|(id, _)| id == runtime);
        let (_, round) = found.ok_or_else(|| refused(Rejection::UnknownRuntime(*runtime)))?;
        let queue = queue(carried).ok_or_else(|| {
            let (runtime, what) = (*runtime, "the messages that wait");
            refused(Rejection::Carried { runtime, what })
        })?;
        if queue != Queue::default() {
            entries.push((queue_key(runtime), queue.to_bytes()));
        }
        for message in &carried.incoming {
            entries.push((message_key(runtime, message.id), message.encode()));
        }
        if let Some(results) = &carried.results {
            let record = RoundResults {
                round: *round,
                results: results.clone(),
                good: Vec::new(),
                bad: Vec::new(),
            };
            entries.push((OfRuntime::Results.key(runtime), record.to_bytes()));
        }
    }
    Ok(entries)
}

/// The queue of what is carried over; `None` if the messages have gaps or are too many.
fn queue(carried: &CarriedRuntime) -> Option<Queue> {
    let len = u64::try_from(carried.incoming.len()).ok()?;
    let next = carried.next_message;
    let oldest = next.checked_sub(len)?;
    let ids = carried.incoming.iter().map(|message| message.id);
    let fits = len <= u64::from(INCOMING_MESSAGES_MAX) && ids.eq(oldest..next);
    fits.then_some(Queue { oldest, next })
}

/// What the state holds, as a part of a genesis document.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export(view: &dyn StateRead) -> Result<RoothashGenesis, StateFault> {
    let mut genesis = RoothashGenesis {
        params: parameters(view)?,
        ..RoothashGenesis::default()
    };
    for runtime in state::network(view)?.runtimes {
        let queue: Queue = read(view, &queue_key(&runtime))?.unwrap_or_default();
        let carried = CarriedRuntime {
            results: state::round_results(view, &runtime)?.map(|record| record.results),
            incoming: (queue.oldest..queue.next)
                .map(|id| read_required(view, &message_key(&runtime, id)))
                .collect::<Result<_, _>>()?,
            next_message: queue.next,
        };
        if carried != CarriedRuntime::default() {
            genesis.runtimes.insert(runtime, carried);
        }
    }
    Ok(genesis)
}
