//! The pairs of `*_size` and `*_copy`.

use super::{Answer, Host, State, Stop};
use crate::wasm::imports::Call;

/// Where the bytes of a pair come from.
type Source = fn(&State) -> &[u8];

impl Host<'_, '_> {
    pub(super) fn copies(&mut self, v: &[u64; 8]) -> Answer {
        match self.import.call {
            Call::EnvVarNameSize | Call::EnvVarNameCopy => return self.variable_name(v),
            Call::EnvVarValueSize | Call::EnvVarValueCopy => return self.variable_value(v),
            _ => {}
        }
        let (copy, source) = self.source()?;
        if copy {
            self.give(v[0], v[1], v[2], source)
        } else {
            Ok(Some(source(self.state()).len() as u64))
        }
    }

    /// Whether the function copies, and what.
    fn source(&mut self) -> Result<(bool, Source), Stop> {
        let source: (bool, Source) = match self.import.call {
            Call::MsgArgDataSize => (false, |s| &s.request.argument),
            Call::MsgArgDataCopy => (true, |s| &s.request.argument),
            Call::MsgCallerSize => (false, |s| s.request.caller.as_slice()),
            Call::MsgCallerCopy => (true, |s| s.request.caller.as_slice()),
            Call::MsgCallerInfoDataSize => (false, caller_info_data),
            Call::MsgCallerInfoDataCopy => (true, caller_info_data),
            Call::MsgCallerInfoSignerSize => (false, caller_info_signer),
            Call::MsgCallerInfoSignerCopy => (true, caller_info_signer),
            Call::CanisterSelfSize => (false, |s| s.request.canister.as_slice()),
            Call::CanisterSelfCopy => (true, |s| s.request.canister.as_slice()),
            Call::SubnetSelfSize => (false, |s| s.request.environment.subnet.as_slice()),
            Call::SubnetSelfCopy => (true, |s| s.request.environment.subnet.as_slice()),
            Call::RootKeySize => (false, |s| &s.request.environment.root_key),
            Call::RootKeyCopy => (true, |s| &s.request.environment.root_key),
            Call::MsgMethodNameSize => (false, |s| s.request.method_name.as_bytes()),
            Call::MsgMethodNameCopy => (true, |s| s.request.method_name.as_bytes()),
            Call::MsgRejectMsgSize => (false, reject_message),
            Call::MsgRejectMsgCopy => (true, reject_message),
            Call::DataCertificateSize | Call::DataCertificateCopy => {
                if self.state().request.environment.data_certificate.is_none() {
                    let name = self.import.name;
                    return self.contract(format!("\"ic0_{name}\": there is no data certificate"));
                }
                (self.import.call == Call::DataCertificateCopy, |s| {
                    s.request
                        .environment
                        .data_certificate
                        .as_deref()
                        .unwrap_or_default()
                })
            }
            _ => {
                let name = self.import.name;
                return self.fault(format!("`ic0.{name}` is listed but not provided"));
            }
        };
        Ok(source)
    }

    fn variable_name(&mut self, v: &[u64; 8]) -> Answer {
        let count = self.state().request.environment.variables.len() as u64;
        if v[0] >= count {
            let name = self.import.name;
            return self.contract(format!(
                "\"ic0_{name}\": index {} of {count} environment variables",
                v[0]
            ));
        }
        let index = v[0] as usize;
        let source = |s: &State| s.request.environment.variables[index].0.len() as u64;
        if self.import.call == Call::EnvVarNameSize {
            return Ok(Some(source(self.state())));
        }
        self.give(v[1], v[2], v[3], |s| {
            s.request.environment.variables[index].0.as_bytes()
        })
    }

    fn variable_value(&mut self, v: &[u64; 8]) -> Answer {
        let Some(index) = self.variable(v[0], v[1])? else {
            let name = self.import.name;
            return self.contract(format!(
                "\"ic0_{name}\": there is no such environment variable"
            ));
        };
        if self.import.call == Call::EnvVarValueSize {
            return Ok(Some(
                self.state().request.environment.variables[index].1.len() as u64,
            ));
        }
        self.give(v[2], v[3], v[4], |s| {
            s.request.environment.variables[index].1.as_bytes()
        })
    }
}

/// A message without information about its caller has empty data and an empty signer.
fn caller_info_data(state: &State) -> &[u8] {
    let info = state.request.caller_info.as_ref();
    info.map_or(&[], |info| &info.data)
}

fn caller_info_signer(state: &State) -> &[u8] {
    let info = state.request.caller_info.as_ref();
    info.map_or(&[], |info| info.signer.as_slice())
}

fn reject_message(state: &State) -> &[u8] {
    state
        .request
        .reject
        .as_ref()
        .map_or(&[], |(_, message)| message.as_bytes())
}
