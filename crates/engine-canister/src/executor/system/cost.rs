//! `cost_*`: what an operation would cost now.
//!
//! The formulas are the replica's for 13 nodes. Prices of what is charged here stand as they are
//! charged; those of services that there are not are scaled to the subnet's size with integer
//! division, as the replica does.

use trilith_params::canister::{
    CREATE_CANISTER, HTTP_REQUEST_BASE, HTTP_REQUEST_BYTE, HTTP_REQUEST_NODE, HTTP_RESPONSE_BYTE,
    REFERENCE_NODES, THRESHOLD_OPERATION,
};
use trilith_params::wasm::KEY_NAME_BYTES_MAX;

use super::{Answer, Host};
use crate::wasm::imports::Call;

/// Names of threshold keys.
const KEYS: [&[u8]; 3] = [b"key_1", b"test_key_1", b"dfx_test_key"];
/// Results of the functions that take a key.
const COST_KNOWN: u64 = 0;
const CURVE_UNKNOWN: u64 = 1;
const KEY_UNKNOWN: u64 = 2;

impl Host<'_, '_> {
    pub(super) fn cost(&mut self, v: &[u64; 8]) -> Answer {
        let nodes = u128::from(self.state().request.environment.subnet_nodes);
        match self.import.call {
            Call::CostCall => {
                let fees = self.state().request.call_fees;
                let bytes = u128::from(v[0]) + u128::from(v[1]);
                let cost = fees.per_request_byte.saturating_mul(bytes);
                let cost = cost
                    .saturating_add(fees.base)
                    .saturating_add(fees.response_prepayment);
                self.give_cycles(v[2], cost)
            }
            // A library attaches exactly this, so that it must be what the creation takes.
            Call::CostCreateCanister => self.give_cycles(v[0], CREATE_CANISTER),
            Call::CostHttpRequest => {
                let (request, response) = (u128::from(v[0]), u128::from(v[1]));
                let once = HTTP_REQUEST_BASE
                    + HTTP_REQUEST_NODE * nodes
                    + HTTP_REQUEST_BYTE * request
                    + HTTP_RESPONSE_BYTE * response;
                self.give_cycles(v[2], once.saturating_mul(nodes))
            }
            Call::CostSignWithEcdsa => self.cost_of_key(v, 1, nodes),
            Call::CostSignWithSchnorr => self.cost_of_key(v, 2, nodes),
            _ => self.cost_of_key(v, 1, nodes),
        }
    }

    /// `curves` is how many curves or algorithms are defined.
    fn cost_of_key(&mut self, v: &[u64; 8], curves: u64, nodes: u128) -> Answer {
        if v[2] >= curves {
            return Ok(Some(CURVE_UNKNOWN));
        }
        if v[1] > KEY_NAME_BYTES_MAX {
            return Ok(Some(KEY_UNKNOWN));
        }
        let name = self.take(v[0], v[1], KEY_NAME_BYTES_MAX)?;
        if !KEYS.contains(&&name[..]) {
            return Ok(Some(KEY_UNKNOWN));
        }
        self.give_cycles(v[3], THRESHOLD_OPERATION * nodes / REFERENCE_NODES)?;
        Ok(Some(COST_KNOWN))
    }
}
