//! Parts of blocks as bytes: what a round did, in as few bytes as reading it back allows.
//!
//! A busy round writes thousands of records at once, which are hashed, logged and kept; what is
//! said twice is left out. Numbers are LEB128; byte strings, and lists, have their length before
//! them.
//!
//! ```text
//! part     version (1) ‖ slot ‖ round ‖ time ‖ records
//! record   flags ‖ transaction ‖ [signature 64] ‖ [slot ‖ index] ‖ [status] ‖ fee ‖ units ‖
//!          loaded bytes ‖ work ‖ locked, 2 numbers ‖ lines ‖ static keys ‖ loaded writable ‖ number of keys ‖ keys ‖
//!          balances before ‖ balances after ‖ written ‖ [inner] ‖ [tokens before ‖ tokens after] ‖
//!          [returned]
//! line     place + 1 of an equal line before, or 0 ‖ text
//! key      place + 1 of an equal key before, or 0 ‖ 32 bytes
//! written  position + 1 among the keys of the transaction, or 0 ‖ key
//! balance  after: what it is more than before, wrapping, with the sign in the last bit
//! ```
//!
//! Flags say what is left out: the signature where it is the first of the transaction, keys that
//! stand in the transaction, slot and index where they follow from the record before, and what is
//! empty. Lines of more than [`LINE_BYTES_MAX`] bytes are not referred to, so that unpacking
//! allocates at most some hundred times the bytes it is given.
//!
//! Invariant: a part has one form; [`unpack`] takes no other.

use std::collections::BTreeMap;

use solana_pubkey::Pubkey;
use solana_signature::Signature;
use thiserror::Error;

use crate::bank::leaf;
use crate::keyed::Keyed;
use crate::record::{
    BlockPart, InnerInstruction, InnerInstructions, ReturnData, TokenBalance, TransactionRecord,
};

/// The version of the form.
const VERSION: u8 = 1;
/// Most bytes of a line that later lines may refer to.
const LINE_BYTES_MAX: usize = 128;

/// The signature is the first of the transaction.
const SIGNED: u8 = 1;
/// The slot is the part's, and the index follows that of the record before.
const FOLLOWS: u8 = 2;
/// The status is an error, which is written.
const FAILED: u8 = 4;
/// The first keys are those in the transaction.
const NAMED: u8 = 8;
/// There are inner instructions.
const INNER: u8 = 16;
/// There are token accounts.
const TOKENS: u8 = 32;
/// There is return data.
const RETURNED: u8 = 64;

/// Why bytes are not a part of a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PackedError {
    /// They end too early.
    #[error("a part of a block ends within a field")]
    Short,
    /// They are of a version that this build does not know.
    #[error("a part of a block has version {0}, this build knows {VERSION}")]
    Version(u8),
    /// A field has no such value.
    #[error("a part of a block has a malformed {0}")]
    Field(&'static str),
    /// They say the same as other bytes, in another form.
    #[error("a part of a block is not in its one form")]
    Form,
}

/// What a transaction says of itself in the forms that begin with their signatures: the first
/// signature, and the keys of the message.
fn named(transaction: &[u8]) -> Option<(&[u8; 64], &[[u8; 32]])> {
    let (signatures, rest) = transaction.split_first()?;
    let count = usize::from(*signatures);
    if !(1..0x80).contains(&count) {
        return None;
    }
    let signature = rest.first_chunk::<64>()?;
    let message = rest.get(count * 64..)?;
    // A message of version 0 has a byte of its own before the head of three bytes.
    let message = message.strip_prefix(&[0x80]).unwrap_or(message);
    let (keys, rest) = message.get(3..)?.split_first()?;
    let count = usize::from(*keys);
    if !(1..0x80).contains(&count) {
        return None;
    }
    let (keys, _) = rest.get(..count * 32)?.as_chunks::<32>();
    Some((signature, keys))
}

/// The bytes of a part.
pub(crate) fn pack(part: &BlockPart) -> Vec<u8> {
    // What a transfer takes beside its transaction is about fifty bytes.
    let bytes = |record: &TransactionRecord| record.transaction.len() + 64;
    let mut packer = Packer::default();
    let total = part.transactions.iter().map(bytes).sum::<usize>();
    packer.out.reserve(64 + total);
    packer.out.push(VERSION);
    for number in [part.slot, part.round, part.time] {
        packer.number(number);
    }
    packer.len(part.transactions.len());
    let mut next = None;
    for record in &part.transactions {
        packer.record(record, part.slot, next);
        next = record.index.checked_add(1);
    }
    packer.out
}

#[derive(Default)]
struct Packer<'p> {
    out: Vec<u8>,
    lines: BTreeMap<&'p str, u64>,
    keys: Keyed<u64>,
}

impl<'p> Packer<'p> {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    fn len(&mut self, len: usize) {
        self.number(len as u64);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn line(&mut self, line: &'p str) {
        let next = self.lines.len() as u64 + 1;
        if line.len() <= LINE_BYTES_MAX {
            let place = *self.lines.entry(line).or_insert(next);
            if place < next {
                return self.number(place);
            }
        }
        self.number(0);
        self.bytes(line.as_bytes());
    }

    fn key(&mut self, key: &Pubkey) {
        let next = self.keys.len() as u64 + 1;
        let place = *self.keys.get_or_insert_with(key.as_array(), || next);
        if place < next {
            return self.number(place);
        }
        self.number(0);
        self.out.extend_from_slice(key.as_array());
    }

    fn record(&mut self, record: &'p TransactionRecord, slot: u64, next: Option<u32>) {
        let named = named(&record.transaction);
        let is_signed = named.is_some_and(|(first, _)| first == record.signature.as_array());
        let keys = named.map_or(&[][..], |(_, keys)| keys);
        let is_named = !keys.is_empty()
            && keys.len() <= record.keys.len()
            && keys
                .iter()
                .eq(record.keys[..keys.len()].iter().map(Pubkey::as_array));
        let follows = record.slot == slot && next == Some(record.index);
        let has_tokens = !record.tokens_before.is_empty() || !record.tokens_after.is_empty();
        let flags = [
            (is_signed, SIGNED),
            (follows, FOLLOWS),
            (record.status.is_err(), FAILED),
            (is_named, NAMED),
            (!record.inner.is_empty(), INNER),
            (has_tokens, TOKENS),
            (record.returned.is_some(), RETURNED),
        ];
        let flags = flags.iter().filter(|(set, _)| *set);
        self.out
            .push(flags.fold(0, |flags, (_, flag)| flags | flag));
        self.bytes(&record.transaction);
        if !is_signed {
            self.out.extend_from_slice(record.signature.as_array());
        }
        if !follows {
            self.number(record.slot);
            self.number(record.index.into());
        }
        if record.status.is_err() {
            self.bytes(&leaf::encode(&record.status));
        }
        for number in [record.fee, record.units, record.loaded_bytes.into()] {
            self.number(number);
        }
        self.number(record.work);
        // A half of the bits each; the second is nearly always zero.
        self.number(record.locked as u64);
        self.number((record.locked >> 64) as u64);
        self.len(record.logs.len());
        record.logs.iter().for_each(|line| self.line(line));
        self.number(record.static_keys.into());
        self.number(record.loaded_writable.into());
        self.len(record.keys.len());
        let left_out = if is_named { keys.len() } else { 0 };
        record.keys[left_out..].iter().for_each(|key| self.key(key));
        self.balances(record);
        self.written(record);
        self.rest(record, has_tokens);
    }

    fn balances(&mut self, record: &TransactionRecord) {
        self.len(record.balances_before.len());
        record
            .balances_before
            .iter()
            .for_each(|balance| self.number(*balance));
        self.len(record.balances_after.len());
        for (index, after) in record.balances_after.iter().enumerate() {
            let before = record.balances_before.get(index).copied().unwrap_or(0);
            let more = after.wrapping_sub(before) as i64;
            self.number(((more << 1) ^ (more >> 63)) as u64);
        }
    }

    fn written(&mut self, record: &'p TransactionRecord) {
        self.len(record.written.len());
        for key in &record.written {
            match record.keys.iter().position(|other| other == key) {
                Some(position) => self.len(position + 1),
                None => {
                    self.number(0);
                    self.key(key);
                }
            }
        }
    }

    fn rest(&mut self, record: &'p TransactionRecord, has_tokens: bool) {
        if !record.inner.is_empty() {
            self.len(record.inner.len());
            record.inner.iter().for_each(|inner| self.inner(inner));
        }
        if has_tokens {
            for tokens in [&record.tokens_before, &record.tokens_after] {
                self.len(tokens.len());
                tokens.iter().for_each(|token| self.token(token));
            }
        }
        if let Some(returned) = &record.returned {
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

    fn token(&mut self, token: &'p TokenBalance) {
        self.out.extend([token.account, token.decimals]);
        self.key(&token.mint);
        self.key(&token.owner);
        self.key(&token.program);
        self.number(token.amount);
    }
}

/// The part that [`pack`] made these bytes of.
///
/// # Errors
/// [`PackedError`] if they are not the one form of a part.
pub(crate) fn unpack(bytes: &[u8]) -> Result<BlockPart, PackedError> {
    let mut input = Unpacker {
        rest: bytes,
        lines: Vec::new(),
        keys: Vec::new(),
    };
    let version = input.byte()?;
    if version != VERSION {
        return Err(PackedError::Version(version));
    }
    let (slot, round, time) = (input.number()?, input.number()?, input.number()?);
    let mut next = None;
    let transactions = input.list(|input| {
        let record = input.record(slot, next)?;
        next = record.index.checked_add(1);
        Ok(record)
    })?;
    let part = BlockPart {
        slot,
        round,
        time,
        transactions,
    };
    if !input.rest.is_empty() || pack(&part) != bytes {
        return Err(PackedError::Form);
    }
    Ok(part)
}

struct Unpacker<'b> {
    rest: &'b [u8],
    lines: Vec<String>,
    keys: Vec<Pubkey>,
}

impl<'b> Unpacker<'b> {
    fn take(&mut self, len: usize) -> Result<&'b [u8], PackedError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(PackedError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PackedError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(PackedError::Short)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, PackedError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, PackedError> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(PackedError::Field("number"))
    }

    fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, PackedError> {
        T::try_from(self.number()?).map_err(|_| PackedError::Field(what))
    }

    fn bytes(&mut self) -> Result<&'b [u8], PackedError> {
        let len = self.small("length")?;
        self.take(len)
    }

    /// A list whose items take at least a byte each, so that its length is bounded by the input.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, PackedError>,
    ) -> Result<Vec<T>, PackedError> {
        let len: usize = self.small("length")?;
        if len > self.rest.len() {
            return Err(PackedError::Short);
        }
        // Not allocated ahead: the items may be large where the list is damaged.
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn line(&mut self) -> Result<String, PackedError> {
        if let Some(place) = self.number()?.checked_sub(1) {
            let place = usize::try_from(place).ok();
            let line = place.and_then(|place| self.lines.get(place));
            return line.cloned().ok_or(PackedError::Field("place of a line"));
        }
        let line = std::str::from_utf8(self.bytes()?).map_err(|_| PackedError::Field("line"))?;
        if line.len() <= LINE_BYTES_MAX {
            self.lines.push(line.to_owned());
        }
        Ok(line.to_owned())
    }

    fn key(&mut self) -> Result<Pubkey, PackedError> {
        if let Some(place) = self.number()?.checked_sub(1) {
            let place = usize::try_from(place).ok();
            let key = place.and_then(|place| self.keys.get(place));
            return key.copied().ok_or(PackedError::Field("place of a key"));
        }
        let key = Pubkey::new_from_array(self.array()?);
        self.keys.push(key);
        Ok(key)
    }

    fn record(&mut self, slot: u64, next: Option<u32>) -> Result<TransactionRecord, PackedError> {
        let flags = self.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let transaction = self.bytes()?;
        let named = || named(transaction).ok_or(PackedError::Field("transaction"));
        let signature = if has(SIGNED) {
            *named()?.0
        } else {
            self.array()?
        };
        let (slot, index) = if has(FOLLOWS) {
            (slot, next.ok_or(PackedError::Field("index"))?)
        } else {
            (self.number()?, self.small("index")?)
        };
        let status = if has(FAILED) {
            leaf::decode(self.bytes()?, "a status").map_err(|_| PackedError::Field("status"))?
        } else {
            Ok(())
        };
        let (fee, units) = (self.number()?, self.number()?);
        let loaded_bytes = self.small("number of loaded bytes")?;
        let work = self.number()?;
        let locked = u128::from(self.number()?) | u128::from(self.number()?) << 64;
        let logs = self.list(Self::line)?;
        let static_keys = self.small("number of static keys")?;
        let loaded_writable = self.small("number of writable keys")?;
        let own = if has(NAMED) { named()?.1 } else { &[] };
        let keys = self.record_keys(own)?;
        let balances_before = self.list(Self::number)?;
        let balances_after = self.balances_after(&balances_before)?;
        let written = self.written(&keys)?;
        let inner = self.list_if(has(INNER), Self::inner)?;
        let tokens_before = self.list_if(has(TOKENS), Self::token)?;
        let tokens_after = self.list_if(has(TOKENS), Self::token)?;
        let returned = has(RETURNED).then(|| self.returned()).transpose()?;
        Ok(TransactionRecord {
            transaction: transaction.to_vec(),
            signature: Signature::from(signature),
            slot,
            index,
            status,
            fee,
            units,
            loaded_bytes,
            logs,
            inner,
            returned,
            keys,
            static_keys,
            loaded_writable,
            balances_before,
            balances_after,
            tokens_before,
            tokens_after,
            written,
            work,
            locked,
        })
    }

    /// A list that is left out where it is empty.
    fn list_if<T>(
        &mut self,
        is_there: bool,
        item: impl FnMut(&mut Self) -> Result<T, PackedError>,
    ) -> Result<Vec<T>, PackedError> {
        if is_there {
            self.list(item)
        } else {
            Ok(Vec::new())
        }
    }

    /// Keys of which the first stand in the transaction.
    fn record_keys(&mut self, own: &[[u8; 32]]) -> Result<Vec<Pubkey>, PackedError> {
        let count: usize = self.small("number of keys")?;
        let mut keys: Vec<Pubkey> = own.iter().map(|key| Pubkey::new_from_array(*key)).collect();
        for _ in keys.len()..count {
            keys.push(self.key()?);
        }
        Ok(keys)
    }

    fn balances_after(&mut self, before: &[u64]) -> Result<Vec<u64>, PackedError> {
        let mut before = before.iter();
        self.list(|input| {
            let more = input.number()?;
            let more = (more >> 1) ^ (more & 1).wrapping_neg();
            Ok(before.next().copied().unwrap_or(0).wrapping_add(more))
        })
    }

    fn written(&mut self, keys: &[Pubkey]) -> Result<Vec<Pubkey>, PackedError> {
        self.list(|input| match input.number()?.checked_sub(1) {
            None => input.key(),
            Some(position) => {
                let position = usize::try_from(position).ok();
                let key = position.and_then(|position| keys.get(position));
                key.copied().ok_or(PackedError::Field("position of a key"))
            }
        })
    }

    fn inner(&mut self) -> Result<InnerInstructions, PackedError> {
        let index = self.byte()?;
        let instructions = self.list(|input| {
            let [program, stack_height] = input.array()?;
            Ok(InnerInstruction {
                program,
                accounts: input.bytes()?.to_vec(),
                data: input.bytes()?.to_vec(),
                stack_height,
            })
        })?;
        Ok(InnerInstructions {
            index,
            instructions,
        })
    }

    fn token(&mut self) -> Result<TokenBalance, PackedError> {
        let [account, decimals] = self.array()?;
        Ok(TokenBalance {
            account,
            mint: self.key()?,
            owner: self.key()?,
            program: self.key()?,
            amount: self.number()?,
            decimals,
        })
    }

    fn returned(&mut self) -> Result<ReturnData, PackedError> {
        Ok(ReturnData {
            program: self.key()?,
            data: self.bytes()?.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests;
