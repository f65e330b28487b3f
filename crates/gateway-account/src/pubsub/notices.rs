//! What subscribers are told of the rounds since the last time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_rpc_client_types::response::RpcBlockUpdate;
use solana_sdk_ids::sysvar;
use spl_token_2022_interface::generic_token_account::GenericTokenAccount as _;
use trilith_engine_account::query::{Account, Answer, Chain, Filter, Question};
use trilith_engine_account::record::{BlockHeader, BlockPart, TransactionRecord};

use super::hub::{Cursor, Entry, Hub, error_json, in_slot};
use super::subscription::Topic;
use crate::accounts::{Encoder, Form};
use crate::failure::Failure;
use crate::history::{self, BlockForm};
use crate::methods::to_json;
use crate::port::StateView;
use crate::read;

/// Rounds of one question; more are asked for in turn.
const ROUNDS_PER_QUESTION: u32 = 64;
/// Accounts of one question.
const ACCOUNTS_PER_QUESTION: usize = 256;
/// Most slots that are told of at once. A node that was away for longer skips to the present.
const SLOTS_MAX: u64 = 512;

/// Accounts that change with every slot although no transaction writes them.
const EACH_SLOT: [Pubkey; 4] = [
    sysvar::clock::ID,
    sysvar::slot_hashes::ID,
    sysvar::slot_history::ID,
    sysvar::recent_blockhashes::ID,
];

/// One telling, of one state.
pub(super) struct Notices<'a> {
    hub: &'a Hub,
    view: &'a dyn StateView,
    chain: Arc<Chain>,
    others: Vec<Entry>,
}

impl<'a> Notices<'a> {
    pub(super) fn new(hub: &'a Hub, view: &'a dyn StateView) -> Result<Self, Failure> {
        Ok(Self {
            hub,
            view,
            chain: read::chain_since(view, None)?,
            others: hub.table().others(),
        })
    }

    /// Tells everything since `cursor`; gives the slot that was reached.
    pub(super) fn publish(&self, cursor: Cursor) -> Result<u64, Failure> {
        let mut written = BTreeSet::new();
        let mut after = cursor.round.0;
        loop {
            let question = Question::Rounds {
                after,
                limit: ROUNDS_PER_QUESTION,
            };
            let Answer::Rounds(parts) = read::ask(self.view, &question)? else {
                return Err(read::confused());
            };
            let Some(last) = parts.last() else { break };
            after = last.round;
            for part in &parts {
                self.tell_logs(part);
                for record in &part.transactions {
                    written.extend(record.written.iter().copied());
                }
            }
            for record in parts.iter().flat_map(|part| &part.transactions) {
                if self.hub.table().wants_signature(&record.signature) {
                    self.hub
                        .finish(record.slot, &record.signature, &record.status);
                }
            }
        }
        if !written.is_empty() {
            // Fees go to it, in no transaction.
            written.insert(self.chain.identity);
        }
        let began = cursor.slot.is_some_and(|slot| slot != self.chain.slot);
        if began {
            written.extend(EACH_SLOT);
        }
        self.tell_accounts(&written)?;
        if let Some(slot) = cursor.slot.filter(|_| began) {
            self.tell_slots(slot)?;
        }
        Ok(self.chain.slot)
    }

    fn tell_logs(&self, part: &BlockPart) {
        for entry in &self.others {
            let Topic::Logs { mentions } = &*entry.topic else {
                continue;
            };
            for record in named(&part.transactions, *mentions) {
                entry.notify(in_slot(
                    record.slot,
                    &json!({
                        "signature": record.signature.to_string(),
                        "err": error_json(&record.status),
                        "logs": record.logs,
                    }),
                ));
            }
        }
    }

    fn tell_accounts(&self, written: &BTreeSet<Pubkey>) -> Result<(), Failure> {
        let programs: Vec<&Entry> = self
            .others
            .iter()
            .filter(|entry| matches!(&*entry.topic, Topic::Program { .. }))
            .collect();
        let wanted: Vec<Pubkey> = {
            let table = self.hub.table();
            let wanted = |key: &&Pubkey| !programs.is_empty() || table.wants_account(key);
            written.iter().filter(wanted).copied().collect()
        };
        for keys in wanted.chunks(ACCOUNTS_PER_QUESTION) {
            let found = read::accounts(self.view, keys.to_vec(), None)?;
            for (key, account) in keys.iter().zip(found) {
                if let Some(account) = &account {
                    self.tell_programs(&programs, key, account)?;
                }
                let account = account.unwrap_or_else(vanished);
                for entry in self.hub.table().of_account(key) {
                    if let Topic::Account { form, .. } = &*entry.topic {
                        let value = self.encoded(*form, key, account.clone())?;
                        entry.notify(in_slot(self.chain.slot, &value));
                    }
                }
            }
        }
        Ok(())
    }

    fn tell_programs(
        &self,
        entries: &[&Entry],
        key: &Pubkey,
        account: &Account,
    ) -> Result<(), Failure> {
        for entry in entries {
            let Topic::Program {
                program,
                filters,
                form,
            } = &*entry.topic
            else {
                continue;
            };
            if account.owner == *program && filters.iter().all(|filter| passes(filter, account)) {
                let value = json!({
                    "pubkey": key.to_string(),
                    "account": self.encoded(*form, key, account.clone())?,
                });
                entry.notify(in_slot(self.chain.slot, &value));
            }
        }
        Ok(())
    }

    fn encoded(&self, form: Form, key: &Pubkey, account: Account) -> Result<Value, Failure> {
        let limit = self.hub.limits().answer_data_bytes;
        let mut encoder = Encoder::of_whole_accounts(self.view, form, limit);
        to_json(&encoder.encode(key, account)?)
    }

    /// Tells of the end of `slot` and of all slots after it that ended, and of the one that began.
    fn tell_slots(&self, slot: u64) -> Result<(), Failure> {
        let interested = |entry: &&Entry| {
            matches!(
                &*entry.topic,
                Topic::Block { .. } | Topic::Root | Topic::Slot | Topic::SlotsUpdates
            )
        };
        let entries: Vec<&Entry> = self.others.iter().filter(interested).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let first = slot.max(self.chain.slot.saturating_sub(SLOTS_MAX));
        let mut blocks = BTreeMap::new();
        let ended = match read::ask(
            self.view,
            &Question::Blocks {
                first,
                last: self.chain.parent.max(first),
                limit: SLOTS_MAX as u32,
            },
        )? {
            Answer::Slots(slots) => slots,
            _ => return Err(read::confused()),
        };
        for ended in ended.into_iter().filter(|ended| *ended < self.chain.slot) {
            let Answer::Header(Some(header)) = read::ask(self.view, &Question::Header(ended))?
            else {
                continue;
            };
            for entry in &entries {
                if ended > slot {
                    begin(entry, ended, header.parent, millis(&header));
                }
                self.tell_end(entry, &header, &mut blocks)?;
            }
        }
        for entry in &entries {
            let now = self.chain.time / 1_000_000;
            begin(entry, self.chain.slot, self.chain.parent, now);
        }
        Ok(())
    }

    fn tell_end(
        &self,
        entry: &Entry,
        header: &BlockHeader,
        blocks: &mut BTreeMap<u64, Vec<TransactionRecord>>,
    ) -> Result<(), Failure> {
        let slot = header.slot;
        match &*entry.topic {
            Topic::Root => entry.notify(json!(slot)),
            Topic::SlotsUpdates => {
                let timestamp = millis(header);
                entry.notify(json!({"type": "completed", "slot": slot, "timestamp": timestamp}));
                entry.notify(json!({
                    "type": "frozen",
                    "slot": slot,
                    "timestamp": timestamp,
                    "stats": {
                        "numTransactionEntries": u64::from(header.transactions > 0),
                        "numSuccessfulTransactions": header.transactions,
                        "numFailedTransactions": 0,
                        "maxTransactionsPerEntry": header.transactions,
                    },
                }));
                for kind in ["optimisticConfirmation", "root"] {
                    entry.notify(json!({"type": kind, "slot": slot, "timestamp": timestamp}));
                }
            }
            Topic::Block { mentions, form } => {
                if let std::collections::btree_map::Entry::Vacant(place) = blocks.entry(slot) {
                    match read::ask(self.view, &Question::Block(slot))? {
                        Answer::Block(Some((_, records))) => place.insert(records),
                        Answer::Block(None) => return Ok(()),
                        _ => return Err(read::confused()),
                    };
                }
                self.tell_block(entry, header, &blocks[&slot], *mentions, *form)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn tell_block(
        &self,
        entry: &Entry,
        header: &BlockHeader,
        records: &[TransactionRecord],
        mentions: Option<Pubkey>,
        form: BlockForm,
    ) -> Result<(), Failure> {
        let records: Vec<TransactionRecord> = named(records, mentions).cloned().collect();
        if records.is_empty() && mentions.is_some() {
            return Ok(());
        }
        let slot = header.slot;
        let update = match history::block(&self.chain, header, records, form) {
            Ok(block) => RpcBlockUpdate {
                slot,
                block: Some(block),
                err: None,
            },
            Err(failure) => {
                let version = failure.unsupported_version_of_transaction();
                let Some(version) = version else {
                    return Err(failure);
                };
                RpcBlockUpdate {
                    slot,
                    block: None,
                    err: Some(
                        solana_rpc_client_types::response::RpcBlockUpdateError::UnsupportedTransactionVersion(version),
                    ),
                }
            }
        };
        entry.notify(in_slot(slot, &to_json(&update)?));
        Ok(())
    }
}

/// Tells that a slot began.
fn begin(entry: &Entry, slot: u64, parent: u64, timestamp: u64) {
    match &*entry.topic {
        Topic::Slot => entry.notify(json!({"slot": slot, "parent": parent, "root": parent})),
        Topic::SlotsUpdates => {
            entry.notify(json!({
                "type": "firstShredReceived", "slot": slot, "timestamp": timestamp,
            }));
            entry.notify(json!({
                "type": "createdBank", "slot": slot, "parent": parent, "timestamp": timestamp,
            }));
        }
        _ => {}
    }
}

fn millis(header: &BlockHeader) -> u64 {
    u64::try_from(header.time).unwrap_or(0) * 1_000
}

/// Transactions that name an account, or all.
fn named(
    records: &[TransactionRecord],
    mentions: Option<Pubkey>,
) -> impl Iterator<Item = &TransactionRecord> {
    records
        .iter()
        .filter(move |record| mentions.is_none_or(|key| record.keys.contains(&key)))
}

/// An account that is no more, as it is told.
fn vanished() -> Account {
    Account {
        lamports: 0,
        owner: Pubkey::default(),
        executable: false,
        rent_epoch: u64::MAX,
        space: 0,
        data: Vec::new(),
    }
}

/// Whether an account meets a condition.
fn passes(filter: &Filter, account: &Account) -> bool {
    match filter {
        Filter::DataSize(len) => account.space == *len,
        Filter::TokenAccount => {
            spl_token_2022_interface::state::Account::valid_account_data(&account.data)
        }
        Filter::Bytes { offset, bytes } => usize::try_from(*offset)
            .ok()
            .and_then(|offset| account.data.get(offset..))
            .is_some_and(|rest| rest.starts_with(bytes)),
    }
}
