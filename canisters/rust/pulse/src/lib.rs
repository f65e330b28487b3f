//! A heartbeat that counts the rounds it saw up to a limit, and ends with a self-call.

use std::cell::Cell;

use candid::Principal;
use ic_cdk::call::Call;

thread_local! {
    static BEATS: Cell<u64> = const { Cell::new(0) };
    static LIMIT: Cell<u64> = const { Cell::new(5) };
    static ANSWERS: Cell<u64> = const { Cell::new(0) };
}

#[ic_cdk::heartbeat]
async fn heartbeat() {
    if BEATS.get() >= LIMIT.get() {
        return;
    }
    BEATS.set(BEATS.get() + 1);
    if BEATS.get() == LIMIT.get() {
        let this: Principal = ic_cdk::api::canister_self();
        if Call::unbounded_wait(this, "beats").await.is_ok() {
            ANSWERS.set(ANSWERS.get() + 1);
        }
    }
}

/// Heartbeats that counted, and answers to the calls that heartbeats made.
#[ic_cdk::query]
fn beats() -> (u64, u64) {
    (BEATS.get(), ANSWERS.get())
}

/// Lets more heartbeats count.
#[ic_cdk::update]
fn more(count: u64) {
    LIMIT.set(LIMIT.get() + count);
}
