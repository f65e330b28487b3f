//! All subscriptions of all connections, and the task that follows the node for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionResult;
use tokio::sync::watch;
use trilith_engine_account::query::{Answer, Question};
use trilith_types::Round;

use super::notices::Notices;
use super::queue::Sink;
use super::subscription::Topic;
use crate::call::notification;
use crate::failure::Failure;
use crate::port::StateView;
use crate::{Gateway, Limits, read};

/// All subscriptions.
pub(crate) struct Hub {
    pub(super) gateway: Arc<Gateway>,
    table: Mutex<Table>,
}

/// Subscriptions by identifier, and where to look for those that wait for one key.
#[derive(Default)]
pub(super) struct Table {
    last_id: u64,
    entries: BTreeMap<u64, Entry>,
    accounts: BTreeMap<Pubkey, BTreeSet<u64>>,
    signatures: BTreeMap<Signature, BTreeSet<u64>>,
    /// Those of every other topic.
    others: BTreeSet<u64>,
}

/// One subscription.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) topic: Arc<Topic>,
    sink: Sink,
}

impl Entry {
    pub(super) fn notify(&self, result: Value) {
        let text = notification(self.topic.notification(), self.id, result);
        self.sink.send(text.to_string());
    }
}

/// How far the node was followed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) round: Round,
    /// The slot of that round, where there was somebody to tell.
    pub(super) slot: Option<u64>,
}

impl Hub {
    /// An empty hub, with a task that follows the node until `stopped` changes or the node stops.
    pub(crate) fn start(gateway: Arc<Gateway>, stopped: watch::Receiver<()>) -> Arc<Self> {
        let hub = Arc::new(Self {
            gateway,
            table: Mutex::default(),
        });
        tokio::spawn(follow(hub.clone(), stopped));
        hub
    }

    pub(crate) fn limits(&self) -> Limits {
        self.gateway.limits
    }

    /// A thread that panicked while holding the lock left the table as it was between two calls.
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who subscribed to a signature what became of it, and ends those subscriptions.
    pub(super) fn finish(&self, slot: u64, signature: &Signature, status: &TransactionResult<()>) {
        let ended = {
            let mut table = self.table();
            let ids = table.signatures.get(signature).cloned().unwrap_or_default();
            ids.iter()
                .filter_map(|id| table.remove(*id))
                .collect::<Vec<_>>()
        };
        for entry in ended {
            if let Topic::Signature { received: true, .. } = &*entry.topic {
                entry.notify(in_slot(slot, &json!("receivedSignature")));
            }
            entry.notify(in_slot(slot, &json!({ "err": error_json(status) })));
        }
    }

    /// Tells of all rounds since `cursor`.
    fn publish(&self, view: &dyn StateView, cursor: Cursor) -> Cursor {
        let round = view.round();
        let unknown = Cursor { round, slot: None };
        if self.table().entries.is_empty() {
            return unknown;
        }
        // Slots go on as long as somebody is subscribed.
        self.gateway.port.look();
        match Notices::new(self, view).and_then(|notices| notices.publish(cursor)) {
            Ok(slot) => Cursor {
                round,
                slot: Some(slot),
            },
            Err(failure) => {
                tracing::error!(?failure, "subscribers are not told of a round");
                unknown
            }
        }
    }
}

/// A failure of a transaction as clients read it, or null.
pub(super) fn error_json(status: &TransactionResult<()>) -> Value {
    match status {
        Ok(()) => Value::Null,
        Err(error) => {
            let error = solana_rpc_client_types::response::UiTransactionError::from(error.clone());
            serde_json::to_value(error).unwrap_or(Value::Null)
        }
    }
}

/// The result of a notification about something in a slot.
pub(super) fn in_slot(slot: u64, value: &Value) -> Value {
    json!({ "context": { "slot": slot }, "value": value })
}

async fn follow(hub: Arc<Hub>, mut stopped: watch::Receiver<()>) {
    let mut rounds = hub.gateway.port.rounds();
    let mut cursor = Cursor {
        round: *rounds.borrow_and_update(),
        slot: None,
    };
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            changed = rounds.changed() => if changed.is_err() { return },
        }
        let follower = hub.clone();
        let published = tokio::task::spawn_blocking(move || {
            let view = follower.gateway.port.current();
            follower.publish(&*view, cursor)
        });
        match published.await {
            Ok(reached) => cursor = reached,
            Err(error) => {
                tracing::error!(%error, "telling subscribers was abandoned");
                cursor.round = *rounds.borrow();
                cursor.slot = None;
            }
        }
    }
}

impl Table {
    fn add(&mut self, topic: Topic, sink: Sink) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        match &topic {
            Topic::Account { key, .. } => self.accounts.entry(*key).or_default().insert(id),
            Topic::Signature { signature, .. } => {
                self.signatures.entry(*signature).or_default().insert(id)
            }
            _ => self.others.insert(id),
        };
        let entry = Entry {
            id,
            topic: Arc::new(topic),
            sink,
        };
        self.entries.insert(id, entry);
        id
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        match &*entry.topic {
            Topic::Account { key, .. } => forget(&mut self.accounts, key, id),
            Topic::Signature { signature, .. } => forget(&mut self.signatures, signature, id),
            _ => {
                self.others.remove(&id);
            }
        }
        Some(entry)
    }

    /// Those that wait for an account.
    pub(super) fn of_account(&self, key: &Pubkey) -> Vec<Entry> {
        let ids = self.accounts.get(key).into_iter().flatten();
        ids.filter_map(|id| self.entries.get(id).cloned()).collect()
    }

    /// Whether somebody waits for an account.
    pub(super) fn wants_account(&self, key: &Pubkey) -> bool {
        self.accounts.contains_key(key)
    }

    /// Whether somebody waits for a signature.
    pub(super) fn wants_signature(&self, signature: &Signature) -> bool {
        self.signatures.contains_key(signature)
    }

    /// Those that wait for neither one account nor one signature.
    pub(super) fn others(&self) -> Vec<Entry> {
        let ids = self.others.iter();
        ids.filter_map(|id| self.entries.get(id).cloned()).collect()
    }
}

fn forget<K: Ord>(index: &mut BTreeMap<K, BTreeSet<u64>>, key: &K, id: u64) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// The subscriptions of one connection; gone when it is dropped.
pub(crate) struct Subscriber {
    hub: Arc<Hub>,
    sink: Sink,
    ids: BTreeSet<u64>,
}

impl Subscriber {
    pub(crate) fn new(hub: Arc<Hub>, sink: Sink) -> Self {
        Self {
            hub,
            sink,
            ids: BTreeSet::new(),
        }
    }

    /// Adds a subscription; gives its identifier.
    pub(crate) async fn subscribe(&mut self, topic: Topic) -> Result<u64, Failure> {
        let limit = self.hub.limits().subscriptions;
        // Subscriptions to signatures end by themselves.
        let hub = self.hub.clone();
        self.ids.retain(|id| hub.table().entries.contains_key(id));
        if self.ids.len() >= limit {
            return Err(Failure::internal_text(
                "Internal Error: Subscription refused. Node subscription limit reached",
            ));
        }
        self.hub.gateway.port.look();
        let awaited = match &topic {
            Topic::Signature { signature, .. } => Some(*signature),
            _ => None,
        };
        let id = self.hub.table().add(topic, self.sink.clone());
        self.ids.insert(id);
        if let Some(signature) = awaited {
            // What was executed before is not told by a later round.
            let hub = self.hub.clone();
            let looked = tokio::task::spawn_blocking(move || look_up(&hub, signature)).await;
            if let Ok(Err(failure)) = looked {
                tracing::warn!(?failure, "the status of a transaction cannot be read");
            }
        }
        Ok(id)
    }

    /// Ends a subscription; `false` if this connection has no such one.
    pub(crate) fn unsubscribe(&mut self, id: u64) -> bool {
        self.ids.remove(&id) && self.hub.table().remove(id).is_some()
    }
}

fn look_up(hub: &Hub, signature: Signature) -> Result<(), Failure> {
    let view = hub.gateway.port.current();
    let signatures = vec![signature];
    let Answer::Statuses(found) = read::ask(&*view, &Question::Statuses { signatures })? else {
        return Err(read::confused());
    };
    if let Some(Some(status)) = found.first() {
        hub.finish(
            read::chain_since(&*view, None)?.slot,
            &signature,
            &status.status,
        );
    }
    Ok(())
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let mut table = self.hub.table();
        for id in &self.ids {
            table.remove(*id);
        }
    }
}
