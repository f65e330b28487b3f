//! Accounts as JSON: encodings, slices, the data of known programs taken apart, and a bound on what
//! one answer carries.
//!
//! Source: Agave 4.2 `account-decoder`, which does the work, and `rpc` for what surrounds it.

use solana_account_decoder::parse_account_data::{
    AccountAdditionalDataV3, SplTokenAdditionalDataV2,
};
use solana_account_decoder::parse_token::{
    get_token_account_mint, is_known_spl_token_id, token_amount_to_ui_amount_v3,
};
use solana_account_decoder::{
    MAX_BASE58_BYTES, UiAccount, UiAccountEncoding, UiDataSliceConfig, encode_ui_account,
};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::response::UiTokenAmount;
use spl_token_2022_interface::extension::interest_bearing_mint::InterestBearingConfig;
use spl_token_2022_interface::extension::scaled_ui_amount::ScaledUiAmountConfig;
use spl_token_2022_interface::extension::{BaseStateWithExtensions as _, StateWithExtensions};
use spl_token_2022_interface::state::Mint;
use trilith_engine_account::query::{Account, Slice};

use crate::failure::Failure;
use crate::port::StateView;
use crate::read;

/// How accounts are wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Form {
    pub(crate) encoding: UiAccountEncoding,
    pub(crate) slice: Option<UiDataSliceConfig>,
}

impl Form {
    /// The part of the data to ask the engine for. Data that is to be taken apart is needed whole.
    pub(crate) fn asked_slice(self) -> Option<Slice> {
        if self.encoding == UiAccountEncoding::JsonParsed {
            return None;
        }
        self.slice.map(|slice| Slice {
            offset: slice.offset as u64,
            len: slice.length as u64,
        })
    }
}

/// Encodes accounts of one answer.
pub(crate) struct Encoder<'a> {
    view: &'a dyn StateView,
    form: Form,
    /// Bytes of data the answer may still carry.
    left: usize,
    limit: usize,
    /// Whether accounts come with all of their data, instead of the part that was asked for.
    whole: bool,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(view: &'a dyn StateView, form: Form, limit: usize) -> Self {
        Self {
            view,
            form,
            left: limit,
            limit,
            whole: false,
        }
    }

    /// An encoder of accounts that come whole. It never refuses an encoding: where data is too long
    /// for base58, the text says so, as in notifications of Solana's validator.
    pub(crate) fn of_whole_accounts(view: &'a dyn StateView, form: Form, limit: usize) -> Self {
        Self {
            whole: true,
            ..Self::new(view, form, limit)
        }
    }

    /// Encodes an account.
    pub(crate) fn encode(&mut self, key: &Pubkey, account: Account) -> Result<UiAccount, Failure> {
        let Form { encoding, slice } = self.form;
        let in_base58 = matches!(
            encoding,
            UiAccountEncoding::Binary | UiAccountEncoding::Base58
        );
        if in_base58 && !self.whole && account.data.len() > MAX_BASE58_BYTES {
            return Err(Failure::bad_request(format!(
                "Encoded binary (base 58) data should be less than {MAX_BASE58_BYTES} bytes, \
                 please use Base64 encoding."
            )));
        }
        self.left = self
            .left
            .checked_sub(account.data.len())
            .ok_or_else(|| too_much(self.limit))?;
        let additional = match encoding {
            UiAccountEncoding::JsonParsed => self.additional(&account)?,
            _ => None,
        };
        // What could not be taken apart falls back to bytes, of which the slice is meant.
        let whole = self.whole || encoding == UiAccountEncoding::JsonParsed;
        let slice = slice.filter(|_| whole);
        let space = account.space;
        let account = solana_account::Account {
            lamports: account.lamports,
            data: account.data,
            owner: account.owner,
            executable: account.executable,
            rent_epoch: account.rent_epoch,
        };
        let mut encoded = encode_ui_account(key, &account, encoding, additional, slice);
        encoded.space = Some(space);
        Ok(encoded)
    }

    /// What the mint of a token account says about its units.
    fn additional(&self, account: &Account) -> Result<Option<AccountAdditionalDataV3>, Failure> {
        if !is_known_spl_token_id(&account.owner) {
            return Ok(None);
        }
        let Some(mint) = get_token_account_mint(&account.data) else {
            return Ok(None);
        };
        let units = units(self.view, &mint)?;
        Ok(units.map(|(_, units)| AccountAdditionalDataV3 {
            spl_token_additional_data: Some(units),
        }))
    }
}

fn too_much(limit: usize) -> Failure {
    Failure::scan(format!(
        "the accounts have more than {limit} bytes of data together; use a data slice or filters"
    ))
}

/// The program that owns a mint, and how its units are shown; `None` if there is no such mint.
pub(crate) fn units(
    view: &dyn StateView,
    mint: &Pubkey,
) -> Result<Option<(Pubkey, SplTokenAdditionalDataV2)>, Failure> {
    let Some(account) = read::account(view, *mint)? else {
        return Ok(None);
    };
    let seconds = (read::chain_since(view, None)?.time / 1_000_000_000) as i64;
    Ok(mint_units(&account.data, seconds).map(|units| (account.owner, units)))
}

/// How the units of a mint are shown at a time.
pub(crate) fn mint_units(data: &[u8], seconds: i64) -> Option<SplTokenAdditionalDataV2> {
    let mint = StateWithExtensions::<Mint>::unpack(data).ok()?;
    let interest = mint.get_extension::<InterestBearingConfig>().ok();
    let scaled = mint.get_extension::<ScaledUiAmountConfig>().ok();
    Some(SplTokenAdditionalDataV2 {
        decimals: mint.base.decimals,
        interest_bearing_config: interest.map(|config| (*config, seconds)),
        scaled_ui_amount_config: scaled.map(|config| (*config, seconds)),
    })
}

/// An amount as clients show it.
pub(crate) fn amount(amount: u64, units: &SplTokenAdditionalDataV2) -> UiTokenAmount {
    token_amount_to_ui_amount_v3(amount, units)
}
