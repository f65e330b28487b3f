//! As much of token accounts as indexes need.
//!
//! Layout: token program, `Account::unpack`: mint 32, owner 32, amount 8, delegate (32-bit tag and
//! 32), state 1 at byte 108; 165 bytes, followed in token-2022 by a kind (2 for an account) and
//! extensions.

use solana_pubkey::Pubkey;

/// The token program.
pub(crate) const TOKEN: Pubkey =
    Pubkey::from_str_const("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
/// The token-2022 program.
pub(crate) const TOKEN_2022: Pubkey =
    Pubkey::from_str_const("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb");

/// Bytes of a token account without extensions.
const ACCOUNT_BYTES: usize = 165;
/// What a token-2022 account with extensions has after those bytes.
const KIND_ACCOUNT: u8 = 2;

/// An initialised token account.
pub(crate) struct TokenAccount {
    pub(crate) mint: Pubkey,
    pub(crate) holder: Pubkey,
    pub(crate) amount: u64,
    pub(crate) delegate: Option<Pubkey>,
}

impl TokenAccount {
    /// Reads the data of an account of `owner`; `None` if it is no token account.
    pub(crate) fn read(owner: &Pubkey, data: &[u8]) -> Option<Self> {
        let fits = match data.get(ACCOUNT_BYTES) {
            None => data.len() == ACCOUNT_BYTES,
            Some(kind) => *owner == TOKEN_2022 && *kind == KIND_ACCOUNT,
        };
        let is_token = [TOKEN, TOKEN_2022].contains(owner);
        if !is_token || !fits || data[108] == 0 {
            return None;
        }
        let key = |at: usize| Pubkey::from(std::array::from_fn(|index| data[at + index]));
        Some(Self {
            mint: key(0),
            holder: key(32),
            amount: u64::from_le_bytes(std::array::from_fn(|index| data[64 + index])),
            delegate: (data[72..76] == [1, 0, 0, 0]).then(|| key(76)),
        })
    }
}
