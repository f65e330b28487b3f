//! Leaves of the state: their keys and encodings.
//!
//! | key | value |
//! |---|---|
//! | `m` | [`super::chain::ChainState`] |
//! | `f` | active feature gates: id and slot |
//! | `a` ‖ account key | an account; data above [`INLINE_BYTES_MAX`] is the image of the same name |
//! | `b` ‖ slot ‖ round | what a round did ([`crate::record::BlockPart`]) |
//! | `h` ‖ slot | the header of a slot that has ended |
//! | `s` ‖ slot ‖ round | message hashes of the transactions that were charged |
//!
//! Numbers in keys are big-endian, so that keys ascend with slots. An account has a fixed layout of
//! its own, because light clients read it, and parts of blocks have one, because they are many
//! ([`crate::packed`]); the other values are `bincode` with fixed-width integers, the form in which
//! the ecosystem's own types are encoded canonically.

use bincode::Options as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use solana_account::{Account, AccountSharedData, ReadableAccount};
use solana_pubkey::Pubkey;
use trilith_params::account::INLINE_BYTES_MAX;
use trilith_protocol::Fault;
use trilith_types::{ImageId, StateRead};

/// Key of the state of the chain.
pub(crate) const CHAIN: &[u8] = b"m";
/// Key of the active feature gates.
pub(crate) const FEATURES: &[u8] = b"f";
/// First byte of the keys of accounts.
pub(crate) const ACCOUNT: &[u8] = b"a";
/// First byte of the keys of parts of blocks.
pub(crate) const PART: &[u8] = b"b";
/// First byte of the keys of headers.
pub(crate) const HEADER: &[u8] = b"h";
/// First byte of the keys of statuses.
pub(crate) const STATUS: &[u8] = b"s";

/// Bytes of an account's leaf before its data.
const ACCOUNT_HEAD_BYTES: usize = 1 + 8 + 8 + 32 + 1 + 8;
/// The data follows.
const INLINE: u8 = 0;
/// The data is an image.
const IMAGE: u8 = 1;

/// Key of an account's leaf.
pub fn account_key(key: &Pubkey) -> Vec<u8> {
    [ACCOUNT, key.as_array()].concat()
}

/// Name of the image that holds an account's data where it is large.
pub fn account_image(key: &Pubkey) -> ImageId {
    ImageId::new(account_key(key)).expect("33 bytes are a name")
}

/// Key of a leaf that belongs to a slot.
pub(crate) fn slot_key(prefix: &[u8], slot: u64) -> Vec<u8> {
    [prefix, &slot.to_be_bytes()].concat()
}

/// Key of a leaf that belongs to a round of a slot.
pub(crate) fn round_key(prefix: &[u8], slot: u64, round: u64) -> Vec<u8> {
    [prefix, &slot.to_be_bytes(), &round.to_be_bytes()].concat()
}

/// The slot of a key made by [`slot_key`] or [`round_key`].
pub(crate) fn slot_of(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.get(1..9)?.try_into().ok()?))
}

/// Whether the data of an account of this length, in bytes, is an image.
pub fn is_large(len: usize) -> bool {
    len > INLINE_BYTES_MAX
}

/// The leaf of an account.
pub(crate) fn encode_account(account: &AccountSharedData) -> Vec<u8> {
    let data = account.data();
    let large = is_large(data.len());
    let mut head = [0; ACCOUNT_HEAD_BYTES];
    head[0] = if large { IMAGE } else { INLINE };
    head[1..9].copy_from_slice(&account.lamports().to_le_bytes());
    head[9..17].copy_from_slice(&account.rent_epoch().to_le_bytes());
    head[17..49].copy_from_slice(account.owner().as_array());
    head[49] = u8::from(account.executable());
    head[50..58].copy_from_slice(&(data.len() as u64).to_le_bytes());
    let mut leaf = Vec::with_capacity(head.len() + if large { 0 } else { data.len() });
    leaf.extend_from_slice(&head);
    if !large {
        leaf.extend_from_slice(data);
    }
    leaf
}

/// An account read from its leaf and, where its data is large, its image.
///
/// # Errors
/// [`Fault`] if the state cannot be read or the leaf is damaged.
pub fn read_account(
    view: &dyn StateRead,
    key: &Pubkey,
) -> Result<Option<AccountSharedData>, Fault> {
    let Some(leaf) = view.get(&account_key(key))? else {
        return Ok(None);
    };
    if let Some(account) = inline_account(key, &leaf)? {
        return Ok(Some(account));
    }
    let damaged = || damaged_account(key);
    let head = AccountHead::read(&leaf).ok_or_else(damaged)?;
    let len = usize::try_from(head.len).map_err(|_| damaged())?;
    let image = view.image(&account_image(key))?.ok_or_else(damaged)?;
    let pages = (len as u64).div_ceil(trilith_types::PAGE_BYTES as u64);
    if image.pages() != pages {
        return Err(damaged());
    }
    let data = image
        .read(0, len)
        .map_err(|error| Fault(format!("cannot read the data of account {key}: {error}")))?;
    Ok(Some(head.account(data)))
}

/// The account of a leaf that holds all of it; `None` where its data is an image.
///
/// # Errors
/// [`Fault`] if the leaf is damaged.
pub(crate) fn inline_account(
    key: &Pubkey,
    leaf: &[u8],
) -> Result<Option<AccountSharedData>, Fault> {
    let damaged = || damaged_account(key);
    let head = AccountHead::read(leaf).ok_or_else(damaged)?;
    let inline = &leaf[ACCOUNT_HEAD_BYTES..];
    match head.form {
        INLINE if inline.len() as u64 == head.len => Ok(Some(head.account(inline.to_vec()))),
        IMAGE => Ok(None),
        _ => Err(damaged()),
    }
}

fn damaged_account(key: &Pubkey) -> Fault {
    Fault(format!("the leaf of account {key} is damaged"))
}

/// What stands before an account's data.
struct AccountHead {
    form: u8,
    lamports: u64,
    rent_epoch: u64,
    owner: Pubkey,
    executable: bool,
    len: u64,
}

impl AccountHead {
    fn read(leaf: &[u8]) -> Option<Self> {
        let head = leaf.first_chunk::<ACCOUNT_HEAD_BYTES>()?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| head[at + index]));
        Some(Self {
            form: head[0],
            lamports: number(1),
            rent_epoch: number(9),
            owner: Pubkey::new_from_array(std::array::from_fn(|index| head[17 + index])),
            executable: head[49] != 0,
            len: number(50),
        })
    }

    fn account(self, data: Vec<u8>) -> AccountSharedData {
        AccountSharedData::from(Account {
            lamports: self.lamports,
            rent_epoch: self.rent_epoch,
            owner: self.owner,
            executable: self.executable,
            data,
        })
    }
}

/// The leaf of any other value.
pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    format()
        .serialize(value)
        .expect("writing to memory does not fail")
}

/// The value of a leaf that [`encode`] made.
pub(crate) fn decode<T: DeserializeOwned>(leaf: &[u8], what: &str) -> Result<T, Fault> {
    format()
        .with_limit(leaf.len() as u64)
        .deserialize(leaf)
        .map_err(|error| Fault(format!("the leaf of {what} is damaged: {error}")))
}

/// The value at `key`, if it has one.
pub(crate) fn read<T: DeserializeOwned>(
    view: &dyn StateRead,
    key: &[u8],
    what: &str,
) -> Result<Option<T>, Fault> {
    view.get(key)?.map(|leaf| decode(&leaf, what)).transpose()
}

fn format() -> impl bincode::Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .reject_trailing_bytes()
}
