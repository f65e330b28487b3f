//! The rules an outcome must keep before it is sealed.

use thiserror::Error;
use trilith_params::host::MESSAGES_BYTES_MAX;
use trilith_protocol::root::IncomingMessage;
use trilith_protocol::{Batch, ImageChange, Input, Outcome, RoundContext, RoundLimits};
use trilith_types::cbor::Decoder;
use trilith_types::{Hash, StateRead};

/// The rule of [`Outcome`] that was broken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutcomeError {
    /// Keys of the write log are repeated or out of order.
    #[error("entry {index} of the write log is not greater than the entry before it")]
    WriteLogOrder {
        /// Index of the offending entry.
        index: usize,
    },
    /// A key lies in the store's own range.
    #[error("entry {index} of the write log has a reserved key (it starts with a zero byte)")]
    ReservedKey {
        /// Index of the offending entry.
        index: usize,
    },
    /// Images are repeated or out of order, or runs of one are.
    #[error("image change {index} is out of order, or its runs are")]
    ImageOrder {
        /// Index of the offending change.
        index: usize,
    },
    /// Receipts do not answer the inputs one by one.
    #[error("{receipts} receipts for {inputs} inputs, or one for another input")]
    Receipts {
        /// Receipts returned.
        receipts: usize,
        /// Inputs of the batch.
        inputs: usize,
    },
    /// More messages than the runtime may send.
    #[error("{count} outgoing messages, over the limit of {limit}")]
    Messages {
        /// Messages returned.
        count: usize,
        /// The most allowed.
        limit: u32,
    },
    /// The messages together are longer than one commitment may carry.
    #[error("outgoing messages have {len} bytes together, over the limit of {limit}")]
    MessageBytes {
        /// Their bytes.
        len: usize,
        /// The most allowed.
        limit: usize,
    },
    /// A message is not one canonical CBOR item.
    #[error("outgoing message {index} is not one canonical CBOR item")]
    MessageForm {
        /// Index of the offending message.
        index: usize,
    },
    /// More incoming messages were taken up than the round was shown.
    #[error("{taken} incoming messages were taken up, the round was shown {shown}")]
    Incoming {
        /// Messages taken up.
        taken: u32,
        /// Messages shown.
        shown: usize,
    },
    /// An attested leaf does not stand in the new state with its value.
    #[error("attested leaf {index} does not stand in the new state with its value")]
    AttestedLeaf {
        /// Index of the offending leaf.
        index: usize,
    },
}

/// Checks `outcome` against the rules, on the state `view` it starts from.
///
/// # Errors
/// [`OutcomeError`] of the first rule that is broken.
pub fn outcome(
    outcome: &Outcome,
    view: &dyn StateRead,
    batch: &Batch,
    limits: &RoundLimits,
) -> Result<(), OutcomeError> {
    let names: Vec<Hash> = batch.inputs.iter().map(Input::hash).collect();
    named(outcome, view, &names, limits)
}

/// Checks as [`outcome`], where the inputs' hashes are known.
pub(crate) fn named(
    outcome: &Outcome,
    view: &dyn StateRead,
    names: &[Hash],
    limits: &RoundLimits,
) -> Result<(), OutcomeError> {
    write_log(outcome)?;
    images(outcome)?;
    receipts(outcome, names)?;
    messages(outcome, limits)?;
    attested(outcome, view)
}

/// The incoming messages that `outcome` took up, of those that its round was shown.
pub(crate) fn incoming<'a>(
    outcome: &Outcome,
    context: &'a RoundContext,
) -> Result<&'a [IncomingMessage], OutcomeError> {
    let (taken, all) = (outcome.incoming_taken, &context.from_root.incoming);
    let shown = all.len();
    all.get(..taken as usize)
        .ok_or(OutcomeError::Incoming { taken, shown })
}

fn messages(outcome: &Outcome, limits: &RoundLimits) -> Result<(), OutcomeError> {
    let count = outcome.messages.len();
    if count > limits.messages_max as usize {
        let limit = limits.messages_max;
        return Err(OutcomeError::Messages { count, limit });
    }
    let len = outcome
        .messages
        .iter()
        .map(|message| message.payload.len())
        .sum();
    if len > MESSAGES_BYTES_MAX {
        let limit = MESSAGES_BYTES_MAX;
        return Err(OutcomeError::MessageBytes { len, limit });
    }
    for (index, message) in outcome.messages.iter().enumerate() {
        let mut decoder = Decoder::new(&message.payload);
        if decoder.skip().is_err() || !decoder.is_at_end() {
            return Err(OutcomeError::MessageForm { index });
        }
    }
    Ok(())
}

fn write_log(outcome: &Outcome) -> Result<(), OutcomeError> {
    let log = &outcome.write_log;
    for (index, entry) in log.iter().enumerate() {
        if index > 0 && log[index - 1].key >= entry.key {
            return Err(OutcomeError::WriteLogOrder { index });
        }
        if entry.key.first() == Some(&0) {
            return Err(OutcomeError::ReservedKey { index });
        }
    }
    Ok(())
}

fn images(outcome: &Outcome) -> Result<(), OutcomeError> {
    for (index, write) in outcome.images.iter().enumerate() {
        let in_order = index == 0 || outcome.images[index - 1].image < write.image;
        let runs_fit = match &write.change {
            ImageChange::Delete => true,
            ImageChange::Write { pages, runs, .. } => {
                let mut next = 0u64;
                runs.iter().all(|run| {
                    let end = run.page.checked_add(run.count);
                    let fits =
                        run.count > 0 && run.page >= next && end.is_some_and(|end| end <= *pages);
                    next = end.unwrap_or(u64::MAX);
                    fits
                })
            }
        };
        if !in_order || !runs_fit {
            return Err(OutcomeError::ImageOrder { index });
        }
    }
    Ok(())
}

fn receipts(outcome: &Outcome, names: &[Hash]) -> Result<(), OutcomeError> {
    if outcome
        .receipts
        .iter()
        .map(|receipt| &receipt.input)
        .eq(names)
    {
        return Ok(());
    }
    Err(OutcomeError::Receipts {
        receipts: outcome.receipts.len(),
        inputs: names.len(),
    })
}

fn attested(outcome: &Outcome, view: &dyn StateRead) -> Result<(), OutcomeError> {
    for (index, leaf) in outcome.attested.iter().enumerate() {
        let written = outcome
            .write_log
            .binary_search_by(|entry| entry.key.cmp(&leaf.key));
        let value = match written {
            Ok(found) => outcome.write_log[found].value.clone(),
            Err(_) => view.get(&leaf.key).ok().flatten(),
        };
        if value.as_deref() != Some(&leaf.value[..]) {
            return Err(OutcomeError::AttestedLeaf { index });
        }
    }
    Ok(())
}
