//! Records into bytes. Nothing is allocated but the bytes.

use std::str::FromStr as _;

use smallvec::SmallVec;
use solana_message::AccountKeys;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;

use super::line::{self, Deed, Line};
use super::{FAILED, INNER, NAMED, RETURNED, SIGNED, TOKENS, named};
use crate::bank::leaf;
use crate::record::{InnerInstructions, ReturnData, TokenBalance, TransactionRecord};

/// Fewest characters of the name of a key: of 32 zeros.
const NAME_CHARS_MIN: usize = 32;

/// Most programs whose names are remembered. Not a consensus number.
const NAMES_MAX: usize = 16;

/// Names of programs that were read before, with their keys, so that records of one lane, which
/// mostly name the same few programs, do not read them again. It changes no byte.
#[derive(Default)]
pub(crate) struct Names(SmallVec<[(Vec<u8>, Pubkey); 4]>);

impl Names {
    /// The key of this name, if it is the one of a key.
    fn key(&mut self, name: &str) -> Option<Pubkey> {
        let known = self.0.iter().find(|(known, _)| known == name.as_bytes());
        if let Some((_, key)) = known {
            return Some(*key);
        }
        if name.len() < NAME_CHARS_MIN {
            return None;
        }
        // Only the one name of a key can be read.
        let key = Pubkey::from_str(name).ok()?;
        if self.0.len() < NAMES_MAX {
            self.0.push((name.as_bytes().to_vec(), key));
        }
        Some(key)
    }
}

/// What a record says, without what was logged and written. The fields are those of
/// [`TransactionRecord`].
pub(crate) struct Entry<'a> {
    pub(crate) transaction: &'a [u8],
    pub(crate) signature: &'a Signature,
    pub(crate) status: &'a TransactionResult<()>,
    pub(crate) work: u64,
    pub(crate) locked: u128,
    pub(crate) keys: AccountKeys<'a>,
    pub(crate) static_keys: u16,
    pub(crate) loaded_writable: u16,
    pub(crate) fee: u64,
    pub(crate) units: u64,
    pub(crate) loaded_bytes: u32,
    /// Before and after.
    pub(crate) balances: [&'a [u64]; 2],
    pub(crate) inner: &'a [InnerInstructions],
    /// Before and after.
    pub(crate) tokens: [&'a [TokenBalance]; 2],
    pub(crate) returned: Option<&'a ReturnData>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(record: &'a TransactionRecord) -> Self {
        Self {
            transaction: &record.transaction,
            signature: &record.signature,
            status: &record.status,
            work: record.work,
            locked: record.locked,
            keys: AccountKeys::new(&record.keys, None),
            static_keys: record.static_keys,
            loaded_writable: record.loaded_writable,
            fee: record.fee,
            units: record.units,
            loaded_bytes: record.loaded_bytes,
            balances: [&record.balances_before, &record.balances_after],
            inner: &record.inner,
            tokens: [&record.tokens_before, &record.tokens_after],
            returned: record.returned.as_ref(),
        }
    }
}

/// Appends a record of what this says, of the lines that were logged and of the accounts that were
/// written, with its length before it.
pub(crate) fn pack_record<'k>(
    entry: &Entry<'_>,
    logs: impl ExactSizeIterator<Item = &'k str>,
    written: impl ExactSizeIterator<Item = &'k Pubkey>,
    names: &mut Names,
    out: &mut Vec<u8>,
) {
    // What a transfer takes beside its transaction is about fifty bytes.
    out.reserve(entry.transaction.len() + 96);
    let start = out.len();
    // Room for the length, which most records fill.
    out.extend([0; 2]);
    let mut packer = Packer {
        out,
        keys: &entry.keys,
        others: SmallVec::new(),
        names,
    };
    packer.head(entry);
    for number in [entry.fee, entry.units, entry.loaded_bytes.into()] {
        packer.number(number);
    }
    packer.len(logs.len());
    logs.for_each(|line| packer.line(line));
    packer.balances(entry.balances);
    packer.written(written);
    packer.rest(entry);
    drop(packer);
    put_length(out, start);
}

/// Writes the length of what stands behind the two bytes at `start` into these, making room where
/// it takes another number of bytes.
fn put_length(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start - 2;
    let mut length = SmallVec::<[u8; 10]>::new();
    let mut left = len;
    while left >= 0x80 {
        length.push(left as u8 | 0x80);
        left >>= 7;
    }
    length.push(left as u8);
    if let [first, second] = length[..] {
        out[start] = first;
        out[start + 1] = second;
    } else {
        out.splice(start..start + 2, length);
    }
}

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Packer<'p, 'a> {
    out: &'p mut Vec<u8>,
    keys: &'p AccountKeys<'a>,
    /// Keys that were written out, which come behind the others in the count.
    others: SmallVec<[Pubkey; 4]>,
    names: &'p mut Names,
}

impl Packer<'_, '_> {
    fn number(&mut self, value: u64) {
        number(self.out, value);
    }

    fn len(&mut self, len: usize) {
        self.number(len as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn key(&mut self, key: &Pubkey) {
        let mut all = self.keys.iter().chain(&self.others);
        let place = all.position(|other| other == key);
        drop(all);
        match place {
            Some(place) => self.len(place + 1),
            None => {
                self.number(0);
                self.out.extend_from_slice(key.as_array());
                self.others.push(*key);
            }
        }
    }

    fn head(&mut self, entry: &Entry<'_>) {
        let named = named(entry.transaction);
        let is_signed = named.is_some_and(|(first, _)| first == entry.signature.as_array());
        let own = named.map_or(&[][..], |(_, keys)| keys);
        let is_named = !own.is_empty()
            && own.len() <= entry.keys.len()
            && own
                .iter()
                .eq(entry.keys.iter().take(own.len()).map(Pubkey::as_array));
        let flags = [
            (is_signed, SIGNED),
            (entry.status.is_err(), FAILED),
            (is_named, NAMED),
            (!entry.inner.is_empty(), INNER),
            (entry.tokens.iter().any(|list| !list.is_empty()), TOKENS),
            (entry.returned.is_some(), RETURNED),
        ];
        let flags = flags.iter().filter(|(set, _)| *set);
        self.out
            .push(flags.fold(0, |flags, (_, flag)| flags | flag));
        self.bytes(entry.transaction);
        if !is_signed {
            self.out.extend_from_slice(entry.signature.as_array());
        }
        if entry.status.is_err() {
            self.bytes(&leaf::encode(entry.status));
        }
        self.number(entry.work);
        // A half of the bits each; the second is nearly always zero.
        self.number(entry.locked as u64);
        self.number((entry.locked >> 64) as u64);
        self.number(entry.static_keys.into());
        self.number(entry.loaded_writable.into());
        let left_out = if is_named { own.len() } else { 0 };
        self.len(entry.keys.len() - left_out);
        for key in entry.keys.iter().skip(left_out) {
            self.out.extend_from_slice(key.as_array());
        }
    }

    fn line(&mut self, text: &str) {
        let (kind, rest) = match Line::parse(text) {
            Line::Text(text) => (line::TEXT, text),
            Line::Log(text) => (line::LOG, text),
            Line::Of(name, deed) => match self.names.key(name) {
                Some(key) => return self.deed(&key, deed),
                None => (line::TEXT, text),
            },
        };
        self.out.push(kind);
        self.bytes(rest.as_bytes());
    }

    fn deed(&mut self, key: &Pubkey, deed: Deed<'_>) {
        let kind = match deed {
            Deed::Invoke(_) => line::INVOKE,
            Deed::Success => line::SUCCESS,
            Deed::Consumed(..) => line::CONSUMED,
            Deed::Failed(_) => line::FAILED,
        };
        self.out.push(kind);
        self.key(key);
        match deed {
            Deed::Invoke(depth) => self.number(depth),
            Deed::Success => {}
            Deed::Consumed(used, limit) => {
                self.number(used);
                self.number(limit);
            }
            Deed::Failed(text) => self.bytes(text.as_bytes()),
        }
    }

    fn balances(&mut self, [before, after]: [&[u64]; 2]) {
        self.len(before.len());
        before.iter().for_each(|balance| self.number(*balance));
        self.len(after.len());
        for (index, after) in after.iter().enumerate() {
            let before = before.get(index).copied().unwrap_or(0);
            let more = after.wrapping_sub(before) as i64;
            self.number(((more << 1) ^ (more >> 63)) as u64);
        }
    }

    fn written<'k>(&mut self, written: impl ExactSizeIterator<Item = &'k Pubkey>) {
        self.len(written.len());
        for key in written {
            self.key(key);
        }
    }

    fn rest(&mut self, entry: &Entry<'_>) {
        if !entry.inner.is_empty() {
            self.len(entry.inner.len());
            entry.inner.iter().for_each(|inner| self.inner(inner));
        }
        let [before, after] = entry.tokens;
        if !before.is_empty() || !after.is_empty() {
            self.len(before.len());
            before.iter().for_each(|token| self.token(token));
            self.len(after.len());
            for (index, token) in after.iter().enumerate() {
                let is_same = before
                    .get(index)
                    .is_some_and(|before| is_same(before, token));
                self.out.push(u8::from(is_same));
                if is_same {
                    self.number(token.amount);
                } else {
                    self.token(token);
                }
            }
        }
        if let Some(returned) = entry.returned {
            self.key(&returned.program);
            self.bytes(&returned.data);
        }
    }

    fn inner(&mut self, inner: &InnerInstructions) {
        self.out.push(inner.index);
        self.len(inner.instructions.len());
        for call in &inner.instructions {
            self.out.extend([call.program, call.stack_height]);
            self.bytes(&call.accounts);
            self.bytes(&call.data);
        }
    }

    fn token(&mut self, token: &TokenBalance) {
        self.out.extend([token.account, token.decimals]);
        for key in [&token.mint, &token.owner, &token.program] {
            self.key(key);
        }
        self.number(token.amount);
    }
}

/// Whether two token accounts differ at most in what they hold.
fn is_same(before: &TokenBalance, after: &TokenBalance) -> bool {
    let TokenBalance {
        account,
        mint,
        owner,
        program,
        amount: _,
        decimals,
    } = after;
    before.account == *account
        && before.decimals == *decimals
        && before.mint == *mint
        && before.owner == *owner
        && before.program == *program
}
