//! `call_*`: opening calls to other canisters.

use candid::Principal;
use trilith_params::canister::{BEST_EFFORT_SECONDS_MAX, CALL_ARGUMENT_BYTES_MAX};
use trilith_params::wasm::{METHOD_NAME_BYTES_MAX, PRINCIPAL_BYTES_MAX};

use super::{Answer, Host, Stop};
use crate::api::Call as OpenedCall;
use crate::wasm::imports::Call;

/// What `call_perform` returns when the call cannot be made now: the reject code SYS_TRANSIENT.
const NOT_PERFORMED: u64 = 2;

impl Host<'_, '_> {
    pub(super) fn calls(&mut self, v: &[u64; 8]) -> Answer {
        match self.import.call {
            Call::CallNew => self.call_new(v)?,
            Call::CallOnCleanup => {
                if self.opening()?.on_cleanup.is_some() {
                    return self.contract(
                        "\"ic0_call_on_cleanup\" can be called at most once for a call".to_owned(),
                    );
                }
                self.opening()?.on_cleanup = Some((v[0], v[1]));
            }
            Call::CallDataAppend => {
                let have = self.opening()?.argument.len() as u64;
                let data = self.take(v[0], v[1], CALL_ARGUMENT_BYTES_MAX - have)?;
                self.opening()?.argument.extend_from_slice(&data);
            }
            Call::CallWithBestEffortResponse => {
                if self.opening()?.timeout_seconds.is_some() {
                    return self.contract(
                        "\"ic0_call_with_best_effort_response\" can be called at most once for a \
                         call"
                            .to_owned(),
                    );
                }
                self.opening()?.timeout_seconds = Some((v[0] as u32).min(BEST_EFFORT_SECONDS_MAX));
            }
            Call::CallCyclesAdd => self.add_cycles(u128::from(v[0]))?,
            Call::CallCyclesAdd128 => {
                self.add_cycles(u128::from(v[0]) << 64 | u128::from(v[1]))?;
            }
            _ => return self.perform().map(Some),
        }
        Ok(None)
    }

    fn opening(&mut self) -> Result<&mut OpenedCall, Stop> {
        if self.state().opening.is_none() {
            let name = self.import.name;
            return self.contract(format!(
                "\"ic0_{name}\" called when no call is under construction"
            ));
        }
        match &mut self.state().opening {
            Some(call) => Ok(call),
            None => Err(Stop),
        }
    }

    fn call_new(&mut self, v: &[u64; 8]) -> Result<(), Stop> {
        // A call that was under construction is given up, and its cycles come back.
        if let Some(call) = self.state().opening.take() {
            self.state().balance += call.cycles;
        }
        let callee = self.take(v[0], v[1], PRINCIPAL_BYTES_MAX)?;
        let method = self.take(v[2], v[3], METHOD_NAME_BYTES_MAX as u64)?;
        let Ok(callee) = Principal::try_from_slice(&callee) else {
            return self
                .contract("\"ic0_call_new\" was given bytes that are no principal".to_owned());
        };
        let Ok(method) = String::from_utf8(method) else {
            return self
                .contract("\"ic0_call_new\" was given a method name that is not UTF-8".to_owned());
        };
        self.state().opening = Some(OpenedCall {
            callee,
            method,
            argument: Vec::new(),
            cycles: 0,
            on_reply: (v[4], v[5]),
            on_reject: (v[6], v[7]),
            on_cleanup: None,
            timeout_seconds: None,
        });
        Ok(())
    }

    fn add_cycles(&mut self, cycles: u128) -> Result<(), Stop> {
        self.opening()?;
        let state = self.state();
        let (balance, floor) = (state.balance, state.request.balance_floor);
        if balance.checked_sub(cycles).is_none_or(|rest| rest < floor) {
            return self.out_of_cycles(format!(
                "Canister is out of cycles: {cycles} cycles were to go with a call, the balance \
                 is {balance} and the freezing threshold {floor}"
            ));
        }
        state.balance = balance - cycles;
        self.opening()?.cycles += cycles;
        Ok(())
    }

    /// Hands the call over if queues and balance allow it.
    fn perform(&mut self) -> Result<u64, Stop> {
        self.opening()?;
        let state = self.state();
        let Some(call) = state.opening.take() else {
            return Err(Stop);
        };
        let fees = state.request.call_fees;
        let bytes = (call.method.len() + call.argument.len()) as u128;
        let fee = fees.base + fees.per_request_byte * bytes + fees.response_prepayment;
        let rest = state.balance.checked_sub(fee);
        let rest = rest.filter(|rest| *rest >= state.request.balance_floor);
        let full = state.effects.calls.len() as u64 >= u64::from(state.request.calls_max);
        match rest {
            Some(rest) if !full => {
                state.balance = rest;
                state.effects.calls.push(call);
                Ok(0)
            }
            _ => {
                state.balance += call.cycles;
                Ok(NOT_PERFORMED)
            }
        }
    }
}
