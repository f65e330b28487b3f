//! The service's parameters: reading them, changing them, and what they allow a runtime.
//!
//! Source: Oasis Core `roothash/api` (`ConsensusParameterChanges`, `VerifyRuntimeParameters`),
//! `apps/roothash/messages.go` (`changeParameters`), `state` (`ShrinkPastRoots`).

use trilith_params::host::MESSAGES_MAX;
use trilith_params::root::{INCOMING_MESSAGES_MAX, ROUNDS_KEPT_MAX};
use trilith_protocol::root::registry::Runtime;
use trilith_protocol::root::{RoothashParameterChanges, RoothashParameters};
use trilith_types::{StateFault, StateRead};

use super::Rejection;
use super::history;
use super::store::PARAMETERS;
use crate::Refusal;
use crate::parameters::{Apply, NoChange};
use crate::scope::{Call, Scope};
use crate::state::read_required;

/// The parameters in a height in the making.
pub(crate) fn parameters_of(scope: &mut Scope<'_>) -> Result<RoothashParameters, StateFault> {
    scope.overlay.required(PARAMETERS)
}

/// The parameters.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn parameters(view: &dyn StateRead) -> Result<RoothashParameters, StateFault> {
    read_required(view, PARAMETERS)
}

/// Charges the gas of an operation.
pub(super) fn charge(
    scope: &mut Scope<'_>,
    call: &mut Call,
    parameters: &RoothashParameters,
    operation: &str,
) -> Result<(), Refusal> {
    let cost = parameters.gas_costs.get(&operation.into());
    call.charge(scope, cost.copied().unwrap_or(0))?;
    Ok(())
}

/// Checks parameters by themselves.
pub(super) fn check(parameters: &RoothashParameters) -> Result<(), Rejection> {
    let ranges = [
        (
            "max_runtime_messages",
            parameters.max_runtime_messages.into(),
            MESSAGES_MAX as u64,
        ),
        (
            "max_in_runtime_messages",
            parameters.max_in_runtime_messages.into(),
            INCOMING_MESSAGES_MAX.into(),
        ),
        (
            "max_evidence_age",
            parameters.max_evidence_age,
            ROUNDS_KEPT_MAX,
        ),
        (
            "max_past_roots_stored",
            parameters.max_past_roots_stored,
            ROUNDS_KEPT_MAX,
        ),
    ];
    for (name, value, limit) in ranges {
        if value > limit {
            return Err(Rejection::Parameter { name, value, limit });
        }
    }
    Ok(())
}

/// The parameters as they would be after a change.
pub(crate) fn changed_parameters(
    scope: &mut Scope<'_>,
    changes: &RoothashParameterChanges,
) -> Result<RoothashParameters, Refusal> {
    if *changes == RoothashParameterChanges::default() {
        return Err(Rejection::NoChange.into());
    }
    let now = parameters_of(scope)?;
    let changed = RoothashParameters {
        gas_costs: changes.gas_costs.clone().unwrap_or(now.gas_costs),
        max_runtime_messages: changes
            .max_runtime_messages
            .unwrap_or(now.max_runtime_messages),
        max_in_runtime_messages: changes
            .max_in_runtime_messages
            .unwrap_or(now.max_in_runtime_messages),
        max_evidence_age: changes.max_evidence_age.unwrap_or(now.max_evidence_age),
        max_past_roots_stored: changes
            .max_past_roots_stored
            .unwrap_or(now.max_past_roots_stored),
    };
    check(&changed)?;
    Ok(changed)
}

/// Changes the parameters, as governance decides. Roots that are now too many are forgotten at
/// once. Nothing changes if the change is refused.
fn apply(scope: &mut Scope<'_>, changes: &RoothashParameterChanges) -> Result<(), Refusal> {
    let changed = changed_parameters(scope, changes)?;
    let before = parameters_of(scope)?.max_past_roots_stored;
    if changed.max_past_roots_stored < before {
        history::shrink(scope, changed.max_past_roots_stored)?;
    }
    scope.overlay.put_record(PARAMETERS.to_vec(), &changed);
    Ok(())
}

/// See [`crate::parameters::Change`].
pub(crate) fn change_parameters(
    scope: &mut Scope<'_>,
    changes: &[u8],
    apply_changes: Apply,
) -> Result<(), NoChange> {
    let changes = RoothashParameterChanges::decode(changes)?;
    let done = match apply_changes {
        Apply::Check => changed_parameters(scope, &changes).map(drop),
        Apply::Write => apply(scope, &changes),
    };
    done.map_err(|refusal| match refusal {
        Refusal::Reject(reject) => NoChange::Refused(reject.message),
        Refusal::Fault(fault) => NoChange::Fault(fault),
    })
}

/// Whether the network allows what a runtime's descriptor asks for.
pub(crate) fn check_runtime(scope: &mut Scope<'_>, runtime: &Runtime) -> Result<(), Refusal> {
    let parameters = parameters_of(scope)?;
    let (found, limit) = (
        runtime.executor.max_messages,
        parameters.max_runtime_messages,
    );
    if found > limit {
        return Err(Rejection::MaxMessages { found, limit }.into());
    }
    let found = runtime.txn_scheduler.max_in_messages;
    let limit = parameters.max_in_runtime_messages;
    if found > limit {
        return Err(Rejection::MaxInMessages { found, limit }.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genesis::{Document, genesis_write_log};
    use crate::overlay::{Overlay, Values};
    use crate::state::{OfRuntime, Record as _};
    use trilith_protocol::root::{
        BackupRule, ExecutorParameters, RootGenesis, RuntimeDescriptor, SchedulerParameters,
        Services, ThresholdKey,
    };
    use trilith_protocol::{BlockHeader, HeaderType};
    use trilith_types::{Epoch, Hash, Height, Round, RuntimeId, TimeNanos};

    const RUNTIME: RuntimeId = RuntimeId::test(1);

    /// The state of a network with one runtime.
    fn entries() -> Document {
        let runtime = RuntimeDescriptor {
            id: RUNTIME,
            genesis_state_root: Hash::EMPTY,
            executor: ExecutorParameters {
                group_size: 1,
                backup_size: 0,
                allowed_stragglers: 0,
                round_timeout: 1,
                max_messages: 0,
                backup_rule: BackupRule::Separate,
            },
            txn_scheduler: SchedulerParameters {
                max_batch_size: 1,
                max_batch_size_bytes: 1024,
                batch_flush_timeout_ms: 1_000,
                propose_batch_timeout_ms: 1_000,
            },
            storage_receipts_min: 0,
            storage_group_size: 0,
        };
        let genesis = RootGenesis {
            chain: "test".into(),
            time: TimeNanos(0),
            epoch_interval: 10,
            nodes: Vec::new(),
            runtimes: vec![runtime],
            consensus_key: ThresholdKey([1; 96]),
            certification_key: ThresholdKey([2; 96]),
            services: Services::default(),
        };
        Document::of(genesis_write_log(&genesis).expect("the document keeps the rules"))
    }

    fn code<T: std::fmt::Debug>(result: Result<T, Refusal>) -> u32 {
        match result {
            Err(Refusal::Reject(reject)) => reject.code,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn changes_are_checked_and_applied() {
        let entries = entries();
        let network = crate::state::network(&entries).expect("there is a network");
        let mut scope = Scope::new(
            Overlay::new(&entries, Values::new()),
            network,
            (Height(1), TimeNanos(1)),
            (Epoch(0), [0; 32]),
        );
        let nothing = RoothashParameterChanges::default();
        assert_eq!(code(apply(&mut scope, &nothing)), 33);
        let too_long = RoothashParameterChanges {
            max_evidence_age: Some(ROUNDS_KEPT_MAX + 1),
            ..nothing.clone()
        };
        assert_eq!(code(changed_parameters(&mut scope, &too_long)), 34);
        assert_eq!(code(apply(&mut scope, &too_long)), 34);
        assert_eq!(parameters_of(&mut scope), Ok(RoothashParameters::default()));

        // Ten rounds, of which the roots of all are kept.
        let mut block: BlockHeader = scope
            .overlay
            .required(&OfRuntime::Block.key(&RUNTIME))
            .expect("there is a block");
        for _ in 0..9 {
            block = block.empty_child(1, HeaderType::RoundFailed);
            history::remember(&mut scope, &block).expect("the state can be read");
            let key = OfRuntime::Block.key(&RUNTIME);
            scope.overlay.put(key, Some(block.to_bytes()));
        }
        let rounds = |scope: &mut Scope<'_>| -> Vec<u64> {
            let kept = scope.overlay.all(b"Ha").expect("the state can be read");
            let rounds = kept
                .iter()
                .filter_map(|(key, _)| crate::roothash::store::round_of(key, 34));
            rounds.map(|Round(round)| round).collect()
        };
        assert_eq!(rounds(&mut scope), (0..10).collect::<Vec<u64>>());
        let fewer = RoothashParameterChanges {
            max_past_roots_stored: Some(3),
            max_runtime_messages: Some(5),
            gas_costs: Some([("evidence".into(), 7)].into()),
            ..nothing
        };
        apply(&mut scope, &fewer).expect("the change keeps the rules");
        let expected = RoothashParameters {
            max_past_roots_stored: 3,
            max_runtime_messages: 5,
            gas_costs: [("evidence".into(), 7)].into(),
            ..RoothashParameters::default()
        };
        assert_eq!(parameters_of(&mut scope), Ok(expected));
        assert_eq!(rounds(&mut scope), [7, 8, 9]);
        let none = RoothashParameterChanges {
            max_past_roots_stored: Some(0),
            ..RoothashParameterChanges::default()
        };
        apply(&mut scope, &none).expect("the change keeps the rules");
        assert_eq!(rounds(&mut scope), Vec::<u64>::new());
    }
}
