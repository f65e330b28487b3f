//! Circumstances of the message that are single numbers.

use candid::Principal;
use trilith_params::canister::VARIABLE_BYTES_MAX;
use trilith_params::wasm::PRINCIPAL_BYTES_MAX;

use super::{Answer, Host};
use crate::api::CallMode;
use crate::wasm::imports::Call;

impl Host<'_, '_> {
    pub(super) fn settings(&mut self, v: &[u64; 8]) -> Answer {
        let instructions = self.instructions();
        let call = self.import.call;
        let request = &self.state().request;
        let environment = &request.environment;
        Ok(Some(match call {
            Call::CanisterStatus => u64::from(environment.status),
            Call::CanisterVersion => environment.version,
            Call::SubnetSelfNodeCount => environment.subnet_nodes,
            Call::Time => environment.time_nanos,
            Call::DataCertificatePresent => u64::from(environment.data_certificate.is_some()),
            Call::MsgRejectCode => request
                .reject
                .as_ref()
                .map_or(0, |(code, _)| u64::from(*code)),
            Call::MsgDeadline => request.deadline,
            Call::InReplicatedExecution => u64::from(is_replicated(request.mode)),
            Call::EnvVarCount => environment.variables.len() as u64,
            Call::PerformanceCounter => match v[0] {
                0 => instructions,
                1 => environment
                    .context_instructions
                    .saturating_add(instructions),
                other => {
                    return self.contract(format!(
                        "\"ic0_performance_counter\": counter {other} does not exist"
                    ));
                }
            },
            Call::IsController => {
                let bytes = self.take(v[0], v[1], PRINCIPAL_BYTES_MAX)?;
                let Ok(id) = Principal::try_from_slice(&bytes) else {
                    return self.contract(
                        "\"ic0_is_controller\" was given bytes that are no principal".to_owned(),
                    );
                };
                u64::from(self.state().request.environment.controllers.contains(&id))
            }
            _ => {
                let found = self.variable(v[0], v[1])?;
                u64::from(found.is_some())
            }
        }))
    }

    /// Index of the environment variable whose name stands in the memory.
    pub(super) fn variable(&mut self, start: u64, size: u64) -> Result<Option<usize>, super::Stop> {
        let name = self.take(start, size, VARIABLE_BYTES_MAX as u64)?;
        let Ok(name) = String::from_utf8(name) else {
            let call = self.import.name;
            return self.contract(format!("\"ic0_{call}\" was given a name that is not UTF-8"));
        };
        let variables = &self.state().request.environment.variables;
        Ok(variables.iter().position(|(known, _)| *known == name))
    }
}

/// Whether all nodes of the subnet run the message.
fn is_replicated(mode: CallMode) -> bool {
    !matches!(
        mode,
        CallMode::NonReplicatedQuery
            | CallMode::CompositeQuery
            | CallMode::CompositeReplyCallback
            | CallMode::CompositeRejectCallback
            | CallMode::CompositeCleanup
            | CallMode::InspectMessage
    )
}
