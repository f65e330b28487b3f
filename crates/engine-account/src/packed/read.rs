//! Bytes into records, as far as they are asked for.

use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;

use super::{FAILED, INNER, NAMED, PackedError, RETURNED, SIGNED, TOKENS, line, named};
use crate::bank::leaf;
use crate::record::{
    InnerInstruction, InnerInstructions, ReturnData, TokenBalance, TransactionRecord, is_set,
};

/// What stands first in a record. Reading it allocates nothing but for what a failed transaction
/// came to.
#[derive(Clone, Debug)]
pub(crate) struct Head<'b> {
    flags: u8,
    /// The transaction as it was sent.
    pub(crate) transaction: &'b [u8],
    /// Its first signature.
    pub(crate) signature: &'b [u8; 64],
    /// What it came to.
    pub(crate) status: TransactionResult<()>,
    /// What it cost its slot.
    pub(crate) work: u64,
    locked: u128,
    static_keys: u16,
    loaded_writable: u16,
    /// Keys that stand in the transaction, and those that follow them.
    keys: [&'b [[u8; 32]]; 2],
    rest: &'b [u8],
}

impl<'b> Head<'b> {
    /// Reads the head of a record of these bytes.
    ///
    /// # Errors
    /// [`PackedError`] if it is damaged.
    pub(super) fn read(body: &'b [u8]) -> Result<Self, PackedError> {
        let mut input = Unpacker::new(body);
        let flags = input.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let transaction = input.bytes()?;
        let named = || named(transaction).ok_or(PackedError::Field("transaction"));
        let signature = if has(SIGNED) {
            named()?.0
        } else {
            input.chunk()?
        };
        let status = if has(FAILED) {
            leaf::decode(input.bytes()?, "a status").map_err(|_| PackedError::Field("status"))?
        } else {
            Ok(())
        };
        let work = input.number()?;
        let locked = u128::from(input.number()?) | u128::from(input.number()?) << 64;
        let static_keys = input.small("number of static keys")?;
        let loaded_writable = input.small("number of writable keys")?;
        let own = if has(NAMED) { named()?.1 } else { &[] };
        let count: usize = input.small("number of keys")?;
        let others = input.take(count.checked_mul(32).ok_or(PackedError::Short)?)?;
        Ok(Self {
            flags,
            transaction,
            signature,
            status,
            work,
            locked,
            static_keys,
            loaded_writable,
            keys: [own, others.as_chunks().0],
            rest: input.rest,
        })
    }

    /// All accounts of the transaction in message order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'b [u8; 32]> + use<'b> {
        let [own, others] = self.keys;
        own.iter().chain(others)
    }

    /// Whether the account at this position of the keys was locked for writing.
    pub(crate) fn is_locked_for_writing(&self, index: usize) -> bool {
        is_set(self.locked, index)
    }

    /// The whole record.
    ///
    /// # Errors
    /// [`PackedError`] if it is damaged.
    pub(super) fn record(&self, slot: u64, index: u32) -> Result<TransactionRecord, PackedError> {
        let has = |flag: u8| self.flags & flag != 0;
        let keys: Vec<Pubkey> = self.keys().map(|key| Pubkey::from(*key)).collect();
        let mut input = Unpacker::new(self.rest);
        let (fee, units) = (input.number()?, input.number()?);
        let loaded_bytes = input.small("number of loaded bytes")?;
        let mut names = Names {
            keys: &keys,
            others: Vec::new(),
        };
        let logs = input.list(|input| input.line(&mut names))?;
        let balances_before = input.list(Unpacker::number)?;
        let balances_after = input.balances_after(&balances_before)?;
        let written = input.list(|input| input.key(&mut names))?;
        let inner = input.list_if(has(INNER), Unpacker::inner)?;
        let tokens_before = input.list_if(has(TOKENS), |input| input.token(&mut names))?;
        let mut before = tokens_before.iter();
        let tokens_after = input.list_if(has(TOKENS), |input| {
            input.token_after(before.next(), &mut names)
        })?;
        let returned = if has(RETURNED) {
            Some(input.returned(&mut names)?)
        } else {
            None
        };
        if !input.rest.is_empty() {
            return Err(PackedError::Field("length of a record"));
        }
        Ok(TransactionRecord {
            transaction: self.transaction.to_vec(),
            signature: Signature::from(*self.signature),
            slot,
            index,
            status: self.status.clone(),
            fee,
            units,
            loaded_bytes,
            logs,
            inner,
            returned,
            static_keys: self.static_keys,
            loaded_writable: self.loaded_writable,
            balances_before,
            balances_after,
            tokens_before,
            tokens_after,
            written,
            work: self.work,
            locked: self.locked,
            keys,
        })
    }
}

/// Keys that places of a record name.
struct Names<'k> {
    keys: &'k [Pubkey],
    /// Those that were written out so far.
    others: Vec<Pubkey>,
}

/// Reads one field after the other.
pub(super) struct Unpacker<'b> {
    rest: &'b [u8],
}

impl<'b> Unpacker<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes that were not read yet.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], PackedError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(PackedError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'b [u8; N], PackedError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(PackedError::Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PackedError> {
        self.chunk::<1>().map(|[byte]| *byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, PackedError> {
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

    pub(super) fn small<T: TryFrom<u64>>(&mut self, what: &'static str) -> Result<T, PackedError> {
        T::try_from(self.number()?).map_err(|_| PackedError::Field(what))
    }

    pub(super) fn bytes(&mut self) -> Result<&'b [u8], PackedError> {
        let len = self.small("length")?;
        self.take(len)
    }

    fn text(&mut self) -> Result<&'b str, PackedError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| PackedError::Field("line"))
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

    fn key(&mut self, names: &mut Names<'_>) -> Result<Pubkey, PackedError> {
        if let Some(place) = self.number()?.checked_sub(1) {
            let place = usize::try_from(place).ok();
            let mut all = names.keys.iter().chain(&names.others);
            let key = place.and_then(|place| all.nth(place));
            return key.copied().ok_or(PackedError::Field("place of a key"));
        }
        let key = Pubkey::from(*self.chunk::<32>()?);
        names.others.push(key);
        Ok(key)
    }

    fn line(&mut self, names: &mut Names<'_>) -> Result<String, PackedError> {
        let kind = self.byte()?;
        match kind {
            line::TEXT => return Ok(self.text()?.to_owned()),
            line::LOG => return Ok(["Program log: ", self.text()?].concat()),
            line::INVOKE | line::SUCCESS | line::CONSUMED | line::FAILED => {}
            _ => return Err(PackedError::Field("kind of a line")),
        }
        let key = self.key(names)?;
        Ok(match kind {
            line::INVOKE => format!("Program {key} invoke [{}]", self.number()?),
            line::SUCCESS => format!("Program {key} success"),
            line::CONSUMED => {
                let (used, limit) = (self.number()?, self.number()?);
                format!("Program {key} consumed {used} of {limit} compute units")
            }
            _ => format!("Program {key} failed: {}", self.text()?),
        })
    }

    fn balances_after(&mut self, before: &[u64]) -> Result<Vec<u64>, PackedError> {
        let mut before = before.iter();
        self.list(|input| {
            let more = input.number()?;
            let more = (more >> 1) ^ (more & 1).wrapping_neg();
            Ok(before.next().copied().unwrap_or(0).wrapping_add(more))
        })
    }

    fn inner(&mut self) -> Result<InnerInstructions, PackedError> {
        let index = self.byte()?;
        let instructions = self.list(|input| {
            let [program, stack_height] = *input.chunk()?;
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

    fn token(&mut self, names: &mut Names<'_>) -> Result<TokenBalance, PackedError> {
        let [account, decimals] = *self.chunk()?;
        Ok(TokenBalance {
            account,
            mint: self.key(names)?,
            owner: self.key(names)?,
            program: self.key(names)?,
            amount: self.number()?,
            decimals,
        })
    }

    fn token_after(
        &mut self,
        before: Option<&TokenBalance>,
        names: &mut Names<'_>,
    ) -> Result<TokenBalance, PackedError> {
        match (self.byte()?, before) {
            (0, _) => self.token(names),
            (1, Some(before)) => Ok(TokenBalance {
                amount: self.number()?,
                ..before.clone()
            }),
            _ => Err(PackedError::Field("token account")),
        }
    }

    fn returned(&mut self, names: &mut Names<'_>) -> Result<ReturnData, PackedError> {
        Ok(ReturnData {
            program: self.key(names)?,
            data: self.bytes()?.to_vec(),
        })
    }
}
