//! Balances, accepting and burning cycles.

use super::{Answer, Host};
use crate::wasm::imports::Call;

impl Host<'_, '_> {
    pub(super) fn cycles(&mut self, v: &[u64; 8]) -> Answer {
        match self.import.call {
            Call::MsgCyclesAvailable => {
                let cycles = self.state().available;
                self.narrow(cycles)
            }
            Call::MsgCyclesRefunded => {
                let cycles = self.state().request.cycles_refunded;
                self.narrow(cycles)
            }
            Call::CanisterCycleBalance => {
                let cycles = self.state().balance;
                self.narrow(cycles)
            }
            Call::MsgCyclesAvailable128 => {
                let cycles = self.state().available;
                self.give_cycles(v[0], cycles)
            }
            Call::MsgCyclesRefunded128 => {
                let cycles = self.state().request.cycles_refunded;
                self.give_cycles(v[0], cycles)
            }
            Call::CanisterCycleBalance128 => {
                let cycles = self.state().balance;
                self.give_cycles(v[0], cycles)
            }
            Call::CanisterLiquidCycleBalance128 => {
                let cycles = self.liquid();
                self.give_cycles(v[0], cycles)
            }
            Call::MsgCyclesAccept => {
                let accepted = self.accept(u128::from(v[0]));
                Ok(Some(accepted as u64))
            }
            Call::MsgCyclesAccept128 => {
                let accepted = self.accept(u128::from(v[0]) << 64 | u128::from(v[1]));
                self.give_cycles(v[2], accepted)
            }
            _ => {
                let wish = u128::from(v[0]) << 64 | u128::from(v[1]);
                let burned = wish.min(self.liquid());
                let state = self.state();
                state.balance -= burned;
                state.effects.cycles_burned += burned;
                self.give_cycles(v[2], burned)
            }
        }
    }

    /// Takes cycles of the call, at most what is there and what the balance can hold.
    fn accept(&mut self, wish: u128) -> u128 {
        let state = self.state();
        let accepted = wish.min(state.available).min(u128::MAX - state.balance);
        state.available -= accepted;
        state.balance += accepted;
        state.effects.cycles_accepted += accepted;
        accepted
    }

    /// What the canister may spend.
    fn liquid(&mut self) -> u128 {
        let state = self.state();
        state.balance.saturating_sub(state.request.balance_floor)
    }

    /// An amount as 64 bits; the functions without `128` trap on more.
    fn narrow(&mut self, cycles: u128) -> Answer {
        match u64::try_from(cycles) {
            Ok(cycles) => Ok(Some(cycles)),
            Err(_) => {
                let name = self.import.name;
                self.contract(format!(
                    "\"ic0_{name}\": {cycles} cycles do not fit 64 bits"
                ))
            }
        }
    }
}
