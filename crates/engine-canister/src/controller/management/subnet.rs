//! What can be asked about the subnet.

use candid::{Nat, Principal};
use trilith_params::canister::LOOK_INSTRUCTIONS;

use super::types::{NodeMetricsEntry, SubnetArgs, SubnetInfo, SubnetMetrics};
use super::{ManagedResult, answered, decoded};
use crate::controller::record::Request;
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;

/// Name of the software in `subnet_info`. Without a version: nodes of two releases must agree on
/// the answer.
const SOFTWARE: &str = "trilith";

impl Round<'_> {
    /// The reject of a question about another subnet, of which there is none.
    fn other_subnet(&self, asked: Principal) -> Option<Rejection> {
        (asked != self.engine.config.subnet_id).then(|| {
            let why = format!("Subnet {asked} not found.");
            Rejection::new(ErrorCode::SubnetNotFound, why)
        })
    }

    /// The engine does not see who proposes blocks, so there is nothing to tell.
    pub(super) fn node_metrics_history(&mut self, request: &Request) -> ManagedResult {
        let args: SubnetArgs = decoded!(request);
        if let Some(rejection) = self.other_subnet(args.subnet_id) {
            return Ok(rejection.into());
        }
        Ok(answered(request, &Vec::<NodeMetricsEntry>::new()))
    }

    /// The epoch stands for the version of the registry: both change with the membership.
    pub(super) fn subnet_info(&mut self, request: &Request) -> ManagedResult {
        let args: SubnetArgs = decoded!(request);
        if let Some(rejection) = self.other_subnet(args.subnet_id) {
            return Ok(rejection.into());
        }
        let info = SubnetInfo {
            replica_version: SOFTWARE.to_owned(),
            registry_version: self.context.epoch.0,
        };
        Ok(answered(request, &info))
    }

    pub(super) fn subnet_metrics(&mut self, request: &Request) -> ManagedResult {
        let args: SubnetArgs = decoded!(request);
        if let Some(rejection) = self.other_subnet(args.subnet_id) {
            return Ok(rejection.into());
        }
        let ids = self.state.canister_ids();
        self.count(ids.len() as u64 * LOOK_INSTRUCTIONS);
        let canisters = ids.iter().filter_map(|id| self.state.canister(id));
        let bytes: u64 = canisters.map(|canister| canister.memory_bytes()).sum();
        let million = self.state.meta.instructions.div_ceil(1_000_000);
        let metrics = SubnetMetrics {
            block_height: Nat::from(self.context.round.0),
            num_canisters: Nat::from(ids.len()),
            canister_state_bytes: Nat::from(bytes),
            consumed_cycles_total: Nat::from(self.state.meta.consumed),
            update_transactions_total: Nat::from(self.state.meta.executed),
            million_round_instructions_total: Nat::from(million),
        };
        Ok(answered(request, &metrics))
    }
}
