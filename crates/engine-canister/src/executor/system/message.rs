//! Answering, and the effects that are neither calls nor cycles.

use trilith_params::canister::{QUERY_REPLY_BYTES_MAX, RESPONSE_BYTES_MAX};
use trilith_params::wasm::{CERTIFIED_DATA_BYTES_MAX, TEXT_BYTES_MAX};

use super::{Answer, Host, Stop};
use crate::api::{Answer as Reply, CallMode, Trap, TrapKind};
use crate::wasm::imports::Call;

impl Host<'_, '_> {
    pub(super) fn message(&mut self, v: &[u64; 8]) -> Answer {
        match self.import.call {
            Call::MsgReplyDataAppend => {
                self.unanswered()?;
                let have = self.state().reply.len() as u64;
                let max = self.reply_bytes_max() - have;
                let data = self.take(v[0], v[1], max)?;
                self.state().reply.extend_from_slice(&data);
            }
            Call::MsgReply => {
                self.unanswered()?;
                let state = self.state();
                state.effects.answer = Some(Reply::Reply(std::mem::take(&mut state.reply)));
            }
            Call::MsgReject => {
                self.unanswered()?;
                let max = self.reply_bytes_max();
                let message = self.take(v[0], v[1], max)?;
                let Ok(message) = String::from_utf8(message) else {
                    return self.contract(
                        "\"ic0_msg_reject\" was given a message that is not UTF-8".to_owned(),
                    );
                };
                self.state().effects.answer = Some(Reply::Reject(message));
            }
            Call::AcceptMessage => {
                if self.state().effects.message_accepted {
                    return self
                        .contract("\"ic0_accept_message\" can be called at most once".to_owned());
                }
                self.state().effects.message_accepted = true;
            }
            Call::CertifiedDataSet => {
                let data = self.take(v[0], v[1], CERTIFIED_DATA_BYTES_MAX)?;
                self.state().effects.certified_data = Some(data);
            }
            Call::GlobalTimerSet => {
                let state = self.state();
                let before = state.effects.global_timer.replace(v[0]);
                return Ok(Some(
                    before.unwrap_or(state.request.environment.global_timer),
                ));
            }
            Call::DebugPrint => {
                let line = self.text(v[0], v[1])?;
                self.state().print(line);
            }
            _ => {
                let text = self.text(v[0], v[1])?;
                let text = String::from_utf8_lossy(&text);
                let message = format!("Canister called `ic0.trap` with message: '{text}'");
                return self.stop(Trap {
                    kind: TrapKind::Called,
                    message,
                });
            }
        }
        Ok(None)
    }

    /// Text for people: what is too long is cut off, not refused.
    fn text(&mut self, start: u64, size: u64) -> Result<Vec<u8>, Stop> {
        let range = self.range(start, size)?;
        let end = range.end.min(range.start + TEXT_BYTES_MAX as usize);
        Ok(self.parts().0[range.start..end].to_vec())
    }

    fn unanswered(&mut self) -> Result<(), Stop> {
        let state = self.state();
        if state.request.answered || state.effects.answer.is_some() {
            let name = self.import.name;
            return self.contract(format!("\"ic0_{name}\": the call is already replied"));
        }
        Ok(())
    }

    fn reply_bytes_max(&mut self) -> u64 {
        match self.state().request.mode {
            CallMode::NonReplicatedQuery | CallMode::CompositeQuery => QUERY_REPLY_BYTES_MAX,
            _ => RESPONSE_BYTES_MAX,
        }
    }
}
