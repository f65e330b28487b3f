//! Notes in stable memory, which every upgrade keeps; what is only in the heap is saved and restored
//! by the hooks. Timers, a gate for users, and certified data.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use ic_cdk_timers::TimerId;
use ic_stable_structures::memory_manager::{MemoryId, MemoryManager, VirtualMemory};
use ic_stable_structures::{DefaultMemoryImpl, StableBTreeMap, StableCell, StableLog};

type Memory = VirtualMemory<DefaultMemoryImpl>;

/// Longest argument that users may send, in bytes.
const ARGUMENT_BYTES_MAX: usize = 1_000;

thread_local! {
    static MANAGER: RefCell<MemoryManager<DefaultMemoryImpl>> =
        RefCell::new(MemoryManager::init(DefaultMemoryImpl::default()));
    static NOTES: RefCell<StableBTreeMap<u64, String, Memory>> =
        RefCell::new(StableBTreeMap::init(memory(0)));
    static NEXT: RefCell<StableCell<u64, Memory>> = RefCell::new(StableCell::init(memory(1), 0));
    static EVENTS: RefCell<StableLog<String, Memory, Memory>> =
        RefCell::new(StableLog::init(memory(2), memory(3)));
    static SAVED_TICKS: RefCell<StableCell<u64, Memory>> =
        RefCell::new(StableCell::init(memory(4), 0));
    static TICKS: Cell<u64> = const { Cell::new(0) };
    static TICKER: Cell<Option<TimerId>> = const { Cell::new(None) };
}

fn memory(id: u8) -> Memory {
    MANAGER.with_borrow(|manager| manager.get(MemoryId::new(id)))
}

fn log(event: impl Into<String>) {
    EVENTS.with_borrow(|events| events.append(&event.into()).expect("stable memory grows"));
}

#[ic_cdk::init]
fn init() {
    log("init");
}

#[ic_cdk::pre_upgrade]
fn pre_upgrade() {
    SAVED_TICKS.with_borrow_mut(|saved| saved.set(TICKS.get()));
    log("pre_upgrade");
}

/// With `true` the upgrade fails after it has changed what it could.
#[ic_cdk::post_upgrade]
fn post_upgrade(fail: bool) {
    TICKS.set(SAVED_TICKS.with_borrow(|saved| *saved.get()));
    log("post_upgrade");
    if fail {
        ic_cdk::trap("told to fail after the upgrade");
    }
}

/// Nobody's messages, long ones, and those for `closed` stay outside.
#[ic_cdk::inspect_message]
fn inspect_message() {
    let anonymous = ic_cdk::api::msg_caller() == candid::Principal::anonymous();
    let long = ic_cdk::api::msg_arg_data().len() > ARGUMENT_BYTES_MAX;
    if !anonymous && !long && ic_cdk::api::msg_method_name() != "closed" {
        ic_cdk::api::accept_message();
    }
}

/// Open to canisters only.
#[ic_cdk::update]
fn closed() {}

#[ic_cdk::update]
fn add(text: String) -> u64 {
    let id = NEXT.with_borrow_mut(|next| {
        let id = *next.get();
        next.set(id + 1);
        id
    });
    NOTES.with_borrow_mut(|notes| notes.insert(id, text));
    id
}

#[ic_cdk::update]
fn remove(id: u64) -> Option<String> {
    NOTES.with_borrow_mut(|notes| notes.remove(&id))
}

#[ic_cdk::query]
fn get(id: u64) -> Option<String> {
    NOTES.with_borrow(|notes| notes.get(&id))
}

/// Notes from `first` on, at most `count`.
#[ic_cdk::query]
fn list(first: u64, count: u64) -> Vec<(u64, String)> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    NOTES.with_borrow(|notes| {
        let found = notes.range(first..).take(count);
        found.map(|entry| (*entry.key(), entry.value())).collect()
    })
}

/// What happened since the installation.
#[ic_cdk::query]
fn events() -> Vec<String> {
    EVENTS.with_borrow(|events| events.iter().collect())
}

/// Adds `count` notes at once, which takes more than one page of stable memory.
#[ic_cdk::update]
fn fill(count: u64) -> u64 {
    for number in 0..count {
        add(format!("note {number} of {count}"));
    }
    NOTES.with_borrow(|notes| notes.len())
}

/// Adds a note after so many seconds.
#[ic_cdk::update]
fn later(seconds: u64, text: String) {
    ic_cdk_timers::set_timer(Duration::from_secs(seconds), async move {
        add(text);
    });
}

/// Counts a tick every so many seconds, until told to stop.
#[ic_cdk::update]
fn start(seconds: u64) {
    stop();
    let ticker = ic_cdk_timers::set_timer_interval(Duration::from_secs(seconds), || async {
        TICKS.set(TICKS.get() + 1);
    });
    TICKER.set(Some(ticker));
}

#[ic_cdk::update]
fn stop() {
    if let Some(ticker) = TICKER.take() {
        ic_cdk_timers::clear_timer(ticker);
    }
}

#[ic_cdk::query]
fn ticks() -> u64 {
    TICKS.get()
}

#[ic_cdk::update]
fn certify(data: Vec<u8>) {
    ic_cdk::api::certified_data_set(data);
}

#[ic_cdk::query]
fn certificate() -> Option<Vec<u8>> {
    ic_cdk::api::data_certificate()
}
