//! Executes the transactions of a batch one by one on a state of its own, so that today's rules can
//! be checked after each of them, and the batch must have come to the same.
//!
//! The state lies over that before the batch and is dropped after it. Its root names a version only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use solana_account::Account;
use solana_pubkey::Pubkey;
use trilith_engine_account::record::TransactionRecord;
use trilith_engine_account::{AccountEngine, read_account};
use trilith_protocol::{
    Batch, ImageChange, Outcome, Receipt, RoundContext, RoundLimits, Runtime as _,
};
use trilith_types::state::Visitor;
use trilith_types::{Hash, Image, ImageId, StateFault, StateRead};

use super::today::{self, Pair};

/// What one round wrote, over what was before.
struct Layered<'a> {
    below: &'a dyn StateRead,
    leaves: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    images: BTreeMap<ImageId, Option<Image>>,
    root: Hash,
}

impl<'a> Layered<'a> {
    fn over(below: &'a dyn StateRead) -> Self {
        Self {
            root: below.root(),
            below,
            leaves: BTreeMap::new(),
            images: BTreeMap::new(),
        }
    }

    fn apply(&mut self, outcome: Outcome, version: usize) {
        for entry in outcome.write_log {
            self.leaves.insert(entry.key, entry.value);
        }
        for write in outcome.images {
            let image = match write.change {
                ImageChange::Delete => None,
                ImageChange::Write { reset, pages, runs } => {
                    let before = self.image(&write.image).expect("the image is read");
                    let mut image = before.filter(|_| !reset).unwrap_or_default();
                    image.resize(pages);
                    runs.into_iter().for_each(|run| image.overlay(run));
                    Some(image)
                }
            };
            self.images.insert(write.image, image);
        }
        let parts = [
            self.below.root().as_bytes().to_vec(),
            version.to_le_bytes().to_vec(),
        ];
        self.root = Hash::of(&parts.concat());
    }
}

impl StateRead for Layered<'_> {
    fn root(&self) -> Hash {
        self.root
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateFault> {
        match self.leaves.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.below.get(key),
        }
    }

    fn iterate(&self, prefix: &[u8], visitor: &mut Visitor<'_>) -> Result<(), StateFault> {
        let mut entries = BTreeMap::new();
        self.below.iterate(prefix, &mut |key, value| {
            entries.insert(key.to_vec(), Some(value.to_vec()));
            ControlFlow::Continue(())
        })?;
        let changed = self.leaves.range(prefix.to_vec()..);
        let changed = changed.take_while(|(key, _)| key.starts_with(prefix));
        entries.extend(changed.map(|(key, value)| (key.clone(), value.clone())));
        for (key, value) in &entries {
            let value = value.as_ref().map(|value| visitor(key, value));
            if value == Some(ControlFlow::Break(())) {
                break;
            }
        }
        Ok(())
    }

    fn image(&self, id: &ImageId) -> Result<Option<Image>, StateFault> {
        match self.images.get(id) {
            Some(image) => Ok(image.clone()),
            None => self.below.image(id),
        }
    }
}

/// What a batch started from and what it came to.
pub(crate) struct Witnessed<'a> {
    pub(crate) before: &'a dyn StateRead,
    pub(crate) after: &'a dyn StateRead,
    pub(crate) batch: &'a Batch,
    pub(crate) context: &'a RoundContext,
    pub(crate) receipts: &'a [Receipt],
    /// To whom fees go after the last transaction of a round.
    pub(crate) identity: Pubkey,
}

fn account(view: &dyn StateRead, key: &Pubkey) -> Option<Account> {
    let account = read_account(view, key).expect("the state is sound");
    account.map(Account::from)
}

/// Executes a batch one by one on an engine that remembers the state before it, checks every
/// transaction that was charged, and compares the accounts in the end.
pub(crate) fn witness(engine: &AccountEngine, witnessed: &Witnessed<'_>) {
    let Witnessed {
        before,
        after,
        batch,
        context,
        receipts,
        identity,
    } = witnessed;
    let limits = RoundLimits {
        batch_inputs_max: 1,
        batch_bytes_max: 10_000_000,
        messages_max: 0,
    };
    let mut state = Layered::over(*before);
    let mut touched = BTreeSet::new();
    // Without inputs first: what the slot begins with is nobody's deed.
    let nothing = Batch {
        time: batch.time,
        inputs: Vec::new(),
    };
    let outcome = engine.execute(&state, &nothing, context, &limits);
    state.apply(outcome.expect("an empty batch executes"), usize::MAX);
    engine.sealed(state.root());
    for (version, (input, receipt)) in batch.inputs.iter().zip(*receipts).enumerate() {
        let one = Batch {
            inputs: vec![input.clone()],
            ..nothing
        };
        let outcome = engine
            .execute(&state, &one, context, &limits)
            .expect("a batch of one executes");
        assert_eq!(&outcome.receipts[0], receipt, "input {version} by itself");
        let told = engine.told().expect("it is not sealed yet");
        let record = told.transactions.first();
        let keys = record.map_or(&[][..], |record| &record.keys);
        let earlier: Vec<_> = keys.iter().map(|key| account(&state, key)).collect();
        state.apply(outcome, version);
        engine.sealed(state.root());
        if let Some(record) = record {
            let later = keys.iter().map(|key| account(&state, key));
            check(record, earlier, later, identity);
            touched.extend(keys.iter().copied());
        }
    }
    for key in &touched {
        assert_eq!(
            account(&state, key),
            account(*after, key),
            "account {key} after the transactions one by one and as a batch"
        );
    }
}

fn check(
    record: &TransactionRecord,
    before: Vec<Option<Account>>,
    after: impl Iterator<Item = Option<Account>>,
    identity: &Pubkey,
) {
    let pairs: Vec<Pair> = record
        .keys
        .iter()
        .zip(before.into_iter().zip(after))
        .map(|(key, (before, after))| Pair {
            key: *key,
            before,
            after,
        })
        .collect();
    if let Err(breach) = today::check(record, &pairs, identity) {
        panic!("{breach}, in {:?}: {:#?}", record.status, record.logs);
    }
}
