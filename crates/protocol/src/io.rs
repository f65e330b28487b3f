//! What the I/O tree of a round holds.
//!
//! The I/O root of a block commits to the inputs of its batch, their order, the agreed time and
//! what became of each input. This module gives the entries of the tree; whoever has a tree
//! computes the root.
//!
//! | key | value |
//! |---|---|
//! | `'T' ‖ input hash ‖ 1` | `[input, position in the batch]` |
//! | `'T' ‖ input hash ‖ 2` | `[output]`, or `[output, {code, module, message}]` of a rejected input |
//! | `'C'` | `{time}`: the agreed time of the round in nanoseconds |
//!
//! Source: Oasis Core `runtime/transaction` for the inputs and for the outputs of accepted inputs;
//! the form of rejected ones and the entry of the time are Trilith's own.
//!
//! Invariant: inputs of a batch are distinct, because the tree knows an input by its hash.
//! [`duplicate_input`] finds a violation, which whoever takes a batch from outside must refuse.

use trilith_types::Hash;
use trilith_types::cbor::{Encoder, MapBuilder};

use crate::root::IncomingMessage;
use crate::wire::put;
use crate::{Batch, Input, Receipt, ReceiptStatus};

/// A key of the I/O tree and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// First byte of the keys of inputs and outputs.
const TRANSACTION: u8 = b'T';
/// Last byte of the key of an input.
const INPUT: u8 = 1;
/// Last byte of the key of an output.
const OUTPUT: u8 = 2;
/// The key of the circumstances of the round.
const CIRCUMSTANCES: &[u8] = b"C";

/// Every entry of the tree of a round, ascending by key. `receipts` are those of the batch's
/// inputs, in order.
pub fn entries(batch: &Batch, receipts: &[Receipt]) -> Vec<Entry> {
    let mut entries = input_entries(&batch.inputs);
    entries.extend(receipts.iter().map(output_entry));
    entries.push(time_entry(batch));
    entries.sort();
    entries
}

/// The entries of inputs alone, in the order of the batch.
pub fn input_entries(inputs: &[Input]) -> Vec<Entry> {
    let entry = |(position, input): (usize, &Input)| input_entry(input, &input.hash(), position);
    inputs.iter().enumerate().map(entry).collect()
}

/// The entry of the input at `position`, whose hash is `name`.
pub fn input_entry(input: &Input, name: &Hash, position: usize) -> Entry {
    // The head of an array and those of a byte string and a number are shorter than 16 bytes.
    let mut encoder = Encoder::with_capacity(input.bytes().len() + 16);
    encoder.array(2).bytes(input.bytes()).uint(position as u64);
    (transaction_key(name, INPUT), encoder.finish())
}

/// The entry of what became of one input.
pub fn output_entry(receipt: &Receipt) -> Entry {
    let mut encoder = Encoder::new();
    match &receipt.status {
        ReceiptStatus::Accepted => {
            encoder.array(1).bytes(&receipt.output);
        }
        ReceiptStatus::Rejected {
            module,
            code,
            message,
        } => {
            let reason = MapBuilder::new()
                .field("module", put::text(module))
                .field("code", put::uint((*code).into()))
                .field("message", put::text(message))
                .finish();
            encoder.array(2).bytes(&receipt.output).raw(&reason);
        }
    }
    (transaction_key(&receipt.input, OUTPUT), encoder.finish())
}

/// The entry of the agreed time of a batch.
pub fn time_entry(batch: &Batch) -> Entry {
    let value = MapBuilder::new()
        .field("time", put::uint(batch.time.0))
        .finish();
    (CIRCUMSTANCES.to_vec(), value)
}

fn transaction_key(hash: &Hash, part: u8) -> Vec<u8> {
    let mut key = Vec::with_capacity(Hash::LEN + 2);
    key.push(TRANSACTION);
    key.extend_from_slice(hash.as_bytes());
    key.push(part);
    key
}

/// The position of the first input that stands in the batch before, if there is one.
pub fn duplicate_input(batch: &Batch) -> Option<usize> {
    let names: Vec<Hash> = batch.inputs.iter().map(Input::hash).collect();
    duplicate_name(&names)
}

/// The position of the first name that stands among the names before, if there is one.
pub fn duplicate_name(names: &[Hash]) -> Option<usize> {
    let mut places: Vec<(&Hash, usize)> = names.iter().zip(0..).collect();
    places.sort_unstable();
    let again = places.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    again.map(|pair| pair[1].1).min()
}

/// The hash of outgoing messages that goes into a block: [`Hash::EMPTY`] of none, else the hash of
/// the canonical array of the messages. Each payload is one canonical CBOR item.
///
/// Source: Oasis Core `roothash/api/message`.
pub fn messages_hash(payloads: &[&[u8]]) -> Hash {
    if payloads.is_empty() {
        return Hash::EMPTY;
    }
    let mut encoder = Encoder::new();
    encoder.array(payloads.len());
    for payload in payloads {
        encoder.raw(payload);
    }
    Hash::of(&encoder.finish())
}

/// The hash of incoming messages that a round took up, which goes into a block: [`Hash::EMPTY`] of
/// none, else the hash of the canonical array of the messages.
///
/// Source: Oasis Core `roothash/api/message` (`InMessagesHash`).
pub fn incoming_hash(messages: &[IncomingMessage]) -> Hash {
    if messages.is_empty() {
        return Hash::EMPTY;
    }
    let mut encoder = Encoder::new();
    encoder.array(messages.len());
    for message in messages {
        encoder.raw(&message.encode());
    }
    Hash::of(&encoder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use trilith_types::TimeNanos;

    fn input(byte: u8) -> Input {
        Input::new(vec![byte])
    }

    fn receipt(byte: u8, status: ReceiptStatus) -> Receipt {
        Receipt {
            input: input(byte).hash(),
            status,
            output: vec![byte],
        }
    }

    #[test]
    fn the_entries_bind_order_time_and_verdict() {
        let rejected = ReceiptStatus::Rejected {
            module: "m".into(),
            code: 1,
            message: "no".into(),
        };
        let batch = Batch {
            time: TimeNanos(5),
            inputs: vec![input(1), input(2)],
        };
        let receipts = [
            receipt(1, ReceiptStatus::Accepted),
            receipt(2, rejected.clone()),
        ];
        let all = entries(&batch, &receipts);
        assert_eq!(all.len(), 5);
        assert!(all.windows(2).all(|pair| pair[0].0 < pair[1].0));

        let swapped = Batch {
            inputs: vec![input(2), input(1)],
            ..batch.clone()
        };
        assert_ne!(entries(&swapped, &receipts), all);
        let later = Batch {
            time: TimeNanos(6),
            ..batch.clone()
        };
        assert_ne!(entries(&later, &receipts), all);
        let both = [receipt(1, rejected), receipts[1].clone()];
        assert_ne!(entries(&batch, &both), all);
    }

    #[test]
    fn a_repeated_input_is_found() {
        let mut batch = Batch {
            time: TimeNanos(0),
            inputs: vec![input(1), input(2)],
        };
        assert_eq!(duplicate_input(&batch), None);
        batch.inputs.push(input(1));
        assert_eq!(duplicate_input(&batch), Some(2));
        let twice = [3, 2, 1, 2, 1, 3].map(|byte| input(byte).hash());
        assert_eq!(duplicate_name(&twice), Some(3));
    }

    #[test]
    fn no_messages_have_the_empty_hash() {
        assert_eq!(messages_hash(&[]), Hash::EMPTY);
        assert_eq!(
            messages_hash(&[&[0x01], &[0x02]]),
            Hash::of(&[0x82, 0x01, 0x02])
        );
    }
}
