//! Answers about accounts.

use solana_account::{AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use trilith_protocol::{Fault, QueryError};

use super::{Session, bounded, invalid};
use crate::bank::leaf;
use crate::query::{Account, Filter, Slice, TokenScope};
use crate::token::{TOKEN, TOKEN_2022, TokenAccount};

/// Most filters of a question.
const FILTERS_MAX: usize = 8;
/// Most bytes a filter compares.
const FILTER_BYTES_MAX: usize = 128;
/// Most accounts an answer holds.
const KEYED_MAX: usize = 200_000;
/// Most bytes of data an answer holds.
const KEYED_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Entries of lists of the largest.
const LARGEST: usize = 20;

impl Session<'_> {
    pub(super) fn account(&self, key: &Pubkey) -> Result<Option<AccountSharedData>, Fault> {
        leaf::read_account(self.view, key)
    }

    pub(super) fn accounts(
        &self,
        keys: &[Pubkey],
        slice: Option<Slice>,
    ) -> Result<Vec<Option<Account>>, Fault> {
        keys.iter()
            .map(|key| Ok(self.account(key)?.map(|account| shown(&account, slice))))
            .collect()
    }

    pub(super) fn program_accounts(
        &self,
        program: &Pubkey,
        filters: &[Filter],
        slice: Option<Slice>,
    ) -> Result<Vec<(Pubkey, Account)>, QueryError> {
        bounded("filters", filters.len(), FILTERS_MAX)?;
        for filter in filters {
            if let Filter::Bytes { bytes, .. } = filter {
                bounded("bytes of a filter", bytes.len(), FILTER_BYTES_MAX)?;
            }
        }
        let keys = self.index(|index| index.owned(program))?;
        self.keyed(keys, slice, |account| {
            account.owner() == program && filters.iter().all(|filter| matches(filter, account))
        })
    }

    pub(super) fn token_accounts(
        &self,
        holder: &Pubkey,
        by_delegate: bool,
        of: TokenScope,
        slice: Option<Slice>,
    ) -> Result<Vec<(Pubkey, Account)>, QueryError> {
        if let TokenScope::Program(program) = of
            && ![TOKEN, TOKEN_2022].contains(&program)
        {
            return Err(invalid(format!("{program} is no token program")));
        }
        let keys = self.index(|index| index.held(holder, by_delegate))?;
        self.keyed(keys, slice, |account| {
            let Some(token) = TokenAccount::read(account.owner(), account.data()) else {
                return false;
            };
            let held = if by_delegate {
                token.delegate == Some(*holder)
            } else {
                token.holder == *holder
            };
            held && match of {
                TokenScope::Mint(mint) => token.mint == mint,
                TokenScope::Program(program) => *account.owner() == program,
            }
        })
    }

    pub(super) fn token_largest(&self, mint: &Pubkey) -> Result<Vec<(Pubkey, u64)>, QueryError> {
        let keys = self.index(|index| index.of_mint(mint))?;
        let mut balances = Vec::new();
        for key in keys {
            let Some(account) = self.account(&key)? else {
                continue;
            };
            let token = TokenAccount::read(account.owner(), account.data());
            balances.extend(
                token
                    .filter(|token| token.mint == *mint)
                    .map(|token| (key, token.amount)),
            );
        }
        balances.sort_by(|(a, most), (b, other)| other.cmp(most).then(a.cmp(b)));
        balances.truncate(LARGEST);
        Ok(balances)
    }

    pub(super) fn largest(&self) -> Result<Vec<(Pubkey, u64)>, QueryError> {
        // Some of those found first may have less now.
        let found: Vec<(u64, Pubkey)> =
            self.index(|index| index.largest().take(LARGEST * 4).collect())?;
        let mut balances = Vec::new();
        for (_, key) in found {
            if let Some(account) = self.account(&key)?
                && !balances.iter().any(|(known, _)| *known == key)
            {
                balances.push((key, account.lamports()));
            }
        }
        balances.sort_by(|(a, most), (b, other)| other.cmp(most).then(a.cmp(b)));
        balances.truncate(LARGEST);
        Ok(balances)
    }

    /// The accounts among `keys` that are wanted.
    fn keyed(
        &self,
        keys: Vec<Pubkey>,
        slice: Option<Slice>,
        wanted: impl Fn(&AccountSharedData) -> bool,
    ) -> Result<Vec<(Pubkey, Account)>, QueryError> {
        let mut found = Vec::new();
        let mut bytes = 0usize;
        for key in keys {
            let Some(account) = self.account(&key)?.filter(|account| wanted(account)) else {
                continue;
            };
            let account = shown(&account, slice);
            bytes = bytes.saturating_add(account.data.len());
            bounded("bytes of accounts", bytes, KEYED_BYTES_MAX)?;
            found.push((key, account));
            bounded("accounts", found.len(), KEYED_MAX)?;
        }
        Ok(found)
    }
}

/// An account as answers show it.
pub(super) fn shown(account: &AccountSharedData, slice: Option<Slice>) -> Account {
    let data = account.data();
    let part = match slice {
        None => data,
        Some(Slice { offset, len }) => {
            let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
            &data[clamp(offset)..clamp(offset.saturating_add(len))]
        }
    };
    Account {
        lamports: account.lamports(),
        owner: *account.owner(),
        executable: account.executable(),
        rent_epoch: account.rent_epoch(),
        space: data.len() as u64,
        data: part.to_vec(),
    }
}

fn matches(filter: &Filter, account: &AccountSharedData) -> bool {
    let data = account.data();
    match filter {
        Filter::DataSize(len) => data.len() as u64 == *len,
        Filter::Bytes { offset, bytes } => usize::try_from(*offset)
            .ok()
            .and_then(|offset| data.get(offset..offset.checked_add(bytes.len())?))
            .is_some_and(|found| found == bytes),
        Filter::TokenAccount => TokenAccount::read(account.owner(), data).is_some(),
    }
}
