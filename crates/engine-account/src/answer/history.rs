//! Answers about blocks and transactions.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use solana_pubkey::Pubkey;
use solana_signature::Signature;
use trilith_params::account::{BLOCKHASH_SLOTS, RECORD_SLOTS, SLOT_NANOS};
use trilith_protocol::{Fault, QueryError};

use super::{PARTS_MAX, Session, invalid};
use crate::bank::decode::{self, Decoded};
use crate::bank::{check, leaf};
use crate::index::Place;
use crate::packed::{Head, PackedError, PackedPart};
use crate::query::{BLOCKS_MAX, ITEMS_MAX, Sample, SignatureEntry, Status};
use crate::record::{BlockHeader, BlockPart, TransactionRecord};

/// Slots of a sample: a minute.
const SAMPLE_SLOTS: u64 = 60 * 1_000_000_000 / SLOT_NANOS;
/// Most samples.
const SAMPLES_MAX: u32 = 720;
/// Most rounds of one answer.
const ROUNDS_MAX: u32 = 256;

/// The memo programs, oldest first.
const MEMO: [Pubkey; 3] = [
    Pubkey::from_str_const("Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"),
    Pubkey::from_str_const("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
    Pubkey::from_str_const("Memo4c2pN8afCj432Lb7RMVKi9PbQnnW7ewFFaV3oAH"),
];

impl Session<'_> {
    /// The oldest slot that is remembered.
    fn oldest(&self) -> u64 {
        self.chain.slot.saturating_sub(RECORD_SLOTS)
    }

    /// A part of a block, if it belongs to this state.
    fn part(&self, slot: u64, round: u64) -> Result<Option<Arc<PackedPart>>, Fault> {
        if round > self.chain.round || slot < self.oldest() {
            return Ok(None);
        }
        let parts = &self.desk.parts;
        {
            let parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, part)) = parts.iter().find(|(key, _)| *key == (slot, round)) {
                return Ok(Some(part.clone()));
            }
        }
        let key = leaf::round_key(leaf::PART, slot, round);
        let Some(part) = leaf::read::<PackedPart>(self.view, &key, "a part of a block")? else {
            return Ok(None);
        };
        let part = Arc::new(part);
        let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.len() >= PARTS_MAX {
            parts.remove(0);
        }
        parts.push(((slot, round), part.clone()));
        Ok(Some(part))
    }

    fn record(&self, place: Place) -> Result<Option<(TransactionRecord, i64)>, Fault> {
        let (slot, round, position) = place;
        let Some(part) = self.part(slot, round)? else {
            return Ok(None);
        };
        let record = part.record(position as usize)?;
        let time = i64::try_from(part.time / 1_000_000_000).unwrap_or(i64::MAX);
        Ok(record.map(|record| (record, time)))
    }

    pub(super) fn transaction(
        &self,
        signature: &Signature,
    ) -> Result<Option<(Box<TransactionRecord>, i64)>, Fault> {
        let place = self.index(|index| index.transaction(signature).map(|(place, _)| *place))?;
        let Some((record, time)) = place.map(|place| self.record(place)).transpose()?.flatten()
        else {
            return Ok(None);
        };
        Ok(Some((Box::new(record), time)))
    }

    pub(super) fn statuses(&self, signatures: &[Signature]) -> Result<Vec<Option<Status>>, Fault> {
        let (oldest, newest) = (self.oldest(), self.chain.round);
        self.index(|index| {
            signatures
                .iter()
                .map(|signature| {
                    index
                        .transaction(signature)
                        .filter(|((slot, round, _), _)| *slot >= oldest && *round <= newest)
                        .map(|((slot, ..), status)| Status {
                            slot: *slot,
                            status: status.clone(),
                        })
                })
                .collect()
        })
    }

    pub(super) fn signatures(
        &self,
        address: &Pubkey,
        before: Option<Signature>,
        until: Option<Signature>,
        limit: u32,
    ) -> Result<Vec<SignatureEntry>, QueryError> {
        if limit == 0 || limit as usize > ITEMS_MAX {
            return Err(invalid(format!(
                "{limit} signatures asked for, outside 1 to {ITEMS_MAX}"
            )));
        }
        let places: Vec<Place> = self.index(|index| {
            let place = |signature: Option<Signature>| {
                signature.map(|signature| index.transaction(&signature).map(|(place, _)| *place))
            };
            let (before, until) = (place(before), place(until));
            // A transaction nobody knows bounds nothing from above and everything from below.
            if before == Some(None) {
                return Vec::new();
            }
            index
                .mentions(address)
                .skip_while(|place| before.flatten().is_some_and(|before| *place >= before))
                .take_while(|place| until.flatten().is_none_or(|until| *place > until))
                .take_while(|(slot, ..)| *slot >= self.oldest())
                .filter(|(_, round, _)| *round <= self.chain.round)
                .take(limit as usize)
                .collect()
        })?;
        let mut entries = Vec::with_capacity(places.len());
        for place in places {
            let Some((record, time)) = self.record(place)? else {
                continue;
            };
            entries.push(SignatureEntry {
                signature: record.signature,
                slot: record.slot,
                index: record.index,
                memo: memo(&record),
                error: record.status.err(),
                time,
            });
        }
        Ok(entries)
    }

    pub(super) fn header(&self, slot: u64) -> Result<Option<BlockHeader>, Fault> {
        leaf::read(self.view, &leaf::slot_key(leaf::HEADER, slot), "a header")
    }

    pub(super) fn block(
        &self,
        slot: u64,
    ) -> Result<Option<(BlockHeader, Vec<TransactionRecord>)>, Fault> {
        let Some(header) = self.header(slot)? else {
            return Ok(None);
        };
        let mut transactions = Vec::new();
        let mut damaged = None;
        self.view
            .iterate(&leaf::slot_key(leaf::PART, slot), &mut |_, part| {
                match leaf::decode::<BlockPart>(part, "a part of a block") {
                    Ok(part) => transactions.extend(part.transactions),
                    Err(fault) => damaged = Some(fault),
                }
                ControlFlow::Continue(())
            })?;
        damaged.map_or(Ok(Some((header, transactions))), Err)
    }

    pub(super) fn blocks(&self, first: u64, last: u64, limit: u32) -> Result<Vec<u64>, QueryError> {
        if last.saturating_sub(first) > BLOCKS_MAX {
            return Err(invalid(format!(
                "a range of {} slots, over the limit of {BLOCKS_MAX}",
                last - first
            )));
        }
        // The slot of this state has not ended.
        let end = last.min(self.chain.slot.saturating_sub(1));
        let first = first.max(self.oldest());
        if first > end {
            return Ok(Vec::new());
        }
        Ok(self.index(|index| {
            index
                .slots
                .range(first..=end)
                .map(|(slot, _)| *slot)
                .take(limit as usize)
                .collect()
        })?)
    }

    pub(super) fn samples(&self, limit: u32) -> Result<Vec<Sample>, Fault> {
        let newest = self.chain.slot;
        let count = u64::from(limit.min(SAMPLES_MAX));
        self.index(|index| {
            (0..count)
                .map_while(|minute| {
                    let last = newest.checked_sub(minute * SAMPLE_SLOTS)?;
                    let first = last.checked_sub(SAMPLE_SLOTS - 1)?;
                    let transactions = index.slots.range(first..=last);
                    Some(Sample {
                        slot: last,
                        slots: SAMPLE_SLOTS,
                        transactions: transactions.map(|(_, slot)| slot.transactions).sum(),
                        seconds: 60,
                    })
                })
                .collect()
        })
    }

    /// For each slot of the last [`BLOCKHASH_SLOTS`] with a block, the lowest price that was paid
    /// by a transaction that wrote all the accounts; 0 where there is none.
    pub(super) fn priority_fees(&self, keys: &[Pubkey]) -> Result<Vec<(u64, u64)>, Fault> {
        let newest = self.chain.slot;
        let first = newest.saturating_sub(BLOCKHASH_SLOTS);
        let slots: Vec<(u64, Vec<u64>)> = self.index(|index| {
            index
                .slots
                .range(first..=newest)
                .map(|(slot, summary)| (*slot, summary.rounds.clone()))
                .collect()
        })?;
        let mut fees = Vec::with_capacity(slots.len());
        for (slot, rounds) in slots {
            let mut lowest: Option<u64> = None;
            for round in rounds {
                let part = self.part(slot, round)?;
                for price in part.iter().flat_map(|part| prices(part, keys)) {
                    let price = price?;
                    lowest = Some(lowest.map_or(price, |lowest| lowest.min(price)));
                }
            }
            fees.push((slot, lowest.unwrap_or(0)));
        }
        Ok(fees)
    }

    pub(super) fn rounds(&self, after: u64, limit: u32) -> Result<Vec<BlockPart>, Fault> {
        let newest = self.chain.round;
        let limit = limit.min(ROUNDS_MAX) as usize;
        let mut places: Vec<(u64, u64)> = self.index(|index| {
            index
                .slots
                .iter()
                .rev()
                .flat_map(|(slot, summary)| {
                    summary.rounds.iter().rev().map(|round| (*slot, *round))
                })
                .take_while(|(_, round)| *round > after)
                .filter(|(_, round)| *round <= newest)
                .collect()
        })?;
        places.reverse();
        places.truncate(limit);
        let mut parts = Vec::with_capacity(places.len());
        for (slot, round) in places {
            if let Some(part) = self.part(slot, round)? {
                parts.push(part.unpack()?);
            }
        }
        Ok(parts)
    }
}

fn decoded(transaction: &[u8]) -> Option<Decoded<'_>> {
    decode::decode(transaction).ok()
}

/// The prices that transactions of a part paid which wrote all these accounts.
fn prices(part: &PackedPart, keys: &[Pubkey]) -> impl Iterator<Item = Result<u64, PackedError>> {
    let price = |head: &Head<'_>| {
        decoded(head.transaction).map_or(0, |decoded| check::price(decoded.view()))
    };
    part.heads()
        .enumerate()
        .filter_map(move |(position, head)| {
            let wrote = head.and_then(|head| {
                // Few transactions name them all; of those the rest is looked at.
                let is_named = keys
                    .iter()
                    .all(|key| head.keys().any(|named| named == key.as_array()));
                let wrote = is_named && {
                    let record = part.record_of(position, &head)?;
                    keys.iter().all(|key| record.written.contains(key))
                };
                Ok(wrote.then(|| price(&head)))
            });
            wrote.transpose()
        })
}

/// The memos of a transaction's own instructions, in the ecosystem's form.
fn memo(record: &TransactionRecord) -> Option<String> {
    if !record.keys.iter().any(|key| MEMO.contains(key)) {
        return None;
    }
    let transaction = decoded(&record.transaction)?;
    let memos: Vec<String> = transaction
        .view()
        .instructions_iter()
        .filter(|instruction| {
            record
                .keys
                .get(usize::from(instruction.program_id_index))
                .is_some_and(|program| MEMO.contains(program))
        })
        .map(|instruction| {
            let text = std::str::from_utf8(instruction.data).unwrap_or("(unparseable)");
            format!("[{}] {text}", instruction.data.len())
        })
        .collect();
    (!memos.is_empty()).then(|| memos.join("; "))
}
