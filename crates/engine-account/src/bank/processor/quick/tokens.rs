//! What the token accounts of a transaction hold.

use solana_account::ReadableAccount;
use solana_svm_transaction::svm_message::SVMMessage;
use spl_generic_token::generic_token::{Account, Mint};
use spl_generic_token::is_known_spl_token_id;

use super::Quick;
use crate::record::TokenBalance;

impl Quick<'_, '_> {
    /// Whether the transaction under way names a token program. Only then its token accounts are
    /// looked at.
    pub(super) fn has_tokens(&self) -> bool {
        let held = &self.kit.held;
        let mut places = self.kit.places.iter();
        places.any(|place| held.at(*place).is_token_program)
    }

    /// What the token accounts of the transaction under way hold.
    ///
    /// Follows `BalanceCollector::collect_balances`.
    pub(super) fn tokens(&mut self, message: &impl SVMMessage) -> Vec<TokenBalance> {
        let mut balances = Vec::new();
        for index in 0..self.kit.places.len() {
            let entry = self.kit.held.at(self.kit.places[index]);
            let is_of_token = entry
                .account
                .as_ref()
                .is_some_and(|account| is_known_spl_token_id(account.owner()));
            if is_of_token && !entry.is_token_program && !message.is_invoked(index) {
                balances.extend(self.token(index));
            }
        }
        balances
    }

    /// What an account that belongs to a token program holds, if it is one for tokens of a mint.
    ///
    /// Follows `SvmTokenInfo::unpack_token_account`.
    fn token(&mut self, index: usize) -> Option<TokenBalance> {
        let account = self.kit.held.at(self.kit.places[index]).account.as_ref()?;
        let program = *account.owner();
        let token = Account::unpack(account.data(), &program)?;
        let mint = self.kit.held.find(&token.mint, self.accounts);
        let mint = self.kit.held.at(mint).account.as_ref()?;
        if *mint.owner() != program {
            return None;
        }
        let decimals = Mint::unpack(mint.data(), &program)?.decimals;
        Some(TokenBalance {
            account: u8::try_from(index).ok()?,
            mint: token.mint,
            owner: token.owner,
            program,
            amount: token.amount,
            decimals,
        })
    }
}
