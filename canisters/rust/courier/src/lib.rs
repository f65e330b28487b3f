//! Calls to canisters of the same interface: with and without a deadline, one after another and at
//! the same time, with cycles, with what fails, from queries.

use std::cell::{Cell, RefCell};

use candid::{Nat, Principal};
use ic_cdk::call::{Call, CallErrorExt as _, CallFailed};

thread_local! {
    static DELIVERED: Cell<u64> = const { Cell::new(0) };
    static NOTES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static CLEANED: Cell<u64> = const { Cell::new(0) };
}

/// Counts how often it was dropped because a callback trapped.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if ic_cdk::futures::is_recovering_from_trap() {
            CLEANED.set(CLEANED.get() + 1);
        }
    }
}

#[ic_cdk::update]
fn deliver(number: u64) -> u64 {
    DELIVERED.set(DELIVERED.get() + 1);
    number * 2
}

#[ic_cdk::update(manual_reply = true)]
fn refuse() {
    DELIVERED.set(DELIVERED.get() + 100);
    ic_cdk::api::msg_reject("not today");
}

#[ic_cdk::update]
fn crash() {
    DELIVERED.set(DELIVERED.get() + 1_000);
    ic_cdk::trap("dropped it");
}

/// Replies with something that is not Candid.
#[ic_cdk::update(manual_reply = true)]
fn gibberish() {
    ic_cdk::api::msg_reply(b"no candid");
}

/// Messages delivered, cleanups after traps.
#[ic_cdk::query]
fn state() -> (u64, u64) {
    (DELIVERED.get(), CLEANED.get())
}

#[ic_cdk::query]
fn notes() -> Vec<String> {
    NOTES.with_borrow(Clone::clone)
}

async fn delivered(peer: Principal, number: u64) -> u64 {
    let reply = Call::unbounded_wait(peer, "deliver").with_arg(number).await;
    let reply = reply.expect("the peer delivers");
    reply.candid().expect("the reply is a number")
}

/// One call after another.
#[ic_cdk::update]
async fn in_turn(peer: Principal, count: u64) -> u64 {
    let mut sum = 0;
    for number in 0..count {
        sum += delivered(peer, number).await;
    }
    sum
}

/// All calls at once.
#[ic_cdk::update]
async fn at_once(peer: Principal, count: u64) -> u64 {
    let calls = (0..count).map(|number| delivered(peer, number));
    futures::future::join_all(calls).await.into_iter().sum()
}

/// What the caller is told of each way to fail: code, whether the callee is untouched, message.
#[ic_cdk::update]
async fn failures(peer: Principal, nobody: Principal) -> Vec<(u32, bool, String)> {
    let mut told = Vec::new();
    for (callee, method) in [
        (peer, "refuse"),
        (peer, "crash"),
        (peer, "missing"),
        (nobody, "refuse"),
    ] {
        match Call::bounded_wait(callee, method).await {
            Err(CallFailed::CallRejected(rejected)) => told.push((
                rejected.raw_reject_code(),
                rejected.is_clean_reject(),
                rejected.reject_message().to_owned(),
            )),
            other => told.push((0, false, format!("{other:?}"))),
        }
    }
    let reply = Call::bounded_wait(peer, "gibberish")
        .await
        .expect("the peer replies");
    told.push((
        0,
        false,
        reply.candid::<u64>().expect_err("no number").to_string(),
    ));
    told
}

/// A call that waits no longer than so many seconds.
#[ic_cdk::update]
async fn within(peer: Principal, seconds: u32) -> Result<u64, (u32, String)> {
    let call = Call::bounded_wait(peer, "deliver")
        .with_arg(21u64)
        .change_timeout(seconds);
    match call.await {
        Ok(reply) => Ok(reply.candid().expect("the reply is a number")),
        Err(CallFailed::CallRejected(why)) => {
            Err((why.raw_reject_code(), why.reject_message().to_owned()))
        }
        Err(other) => Err((0, other.to_string())),
    }
}

/// Whether the caller of this method waits without end.
#[ic_cdk::update]
fn deadline() -> Option<u64> {
    ic_cdk::api::msg_deadline().map(u64::from)
}

/// Deadlines that the peer sees of a bounded and of an unbounded call.
#[ic_cdk::update]
async fn deadlines(peer: Principal) -> (Option<u64>, Option<u64>) {
    let bounded = Call::bounded_wait(peer, "deadline")
        .await
        .expect("the peer replies");
    let unbounded = Call::unbounded_wait(peer, "deadline")
        .await
        .expect("the peer replies");
    (
        bounded.candid().expect("a deadline"),
        unbounded.candid().expect("a deadline"),
    )
}

/// What is done before an await stays when what comes after it traps, and destructors run.
#[ic_cdk::update]
async fn commit_then_trap(peer: Principal) -> u64 {
    let _guard = Guard;
    DELIVERED.set(DELIVERED.get() + 10);
    delivered(peer, 1).await;
    DELIVERED.set(DELIVERED.get() + 10_000);
    ic_cdk::trap("too late");
}

/// Takes half of the attached cycles.
#[ic_cdk::update]
fn take_half() -> Nat {
    Nat::from(ic_cdk::api::msg_cycles_accept(
        ic_cdk::api::msg_cycles_available() / 2,
    ))
}

/// Sends cycles; returns what the peer took, and what came back.
#[ic_cdk::update]
async fn pay(peer: Principal, amount: u64) -> (Nat, Nat) {
    let call = Call::unbounded_wait(peer, "take_half").with_cycles(amount.into());
    let reply = call.await.expect("the peer takes cycles");
    let refunded = ic_cdk::api::msg_cycles_refunded();
    (
        reply.candid().expect("the reply is a number"),
        Nat::from(refunded),
    )
}

/// More cycles than there are: the library refuses before it calls.
#[ic_cdk::update]
async fn overpay(peer: Principal) -> String {
    let all = ic_cdk::api::canister_cycle_balance();
    match Call::unbounded_wait(peer, "take_half")
        .with_cycles(all)
        .await
    {
        Ok(_) => "paid".to_owned(),
        Err(why) => why.to_string(),
    }
}

#[ic_cdk::update]
fn burn(amount: u64) -> Nat {
    Nat::from(ic_cdk::api::cycles_burn(amount.into()))
}

#[ic_cdk::update]
fn note(text: String) {
    NOTES.with_borrow_mut(|notes| notes.push(text));
}

/// A call whose answer nobody waits for.
#[ic_cdk::update]
fn send(peer: Principal, text: String) {
    Call::bounded_wait(peer, "note")
        .with_arg(text)
        .oneway()
        .expect("the call can be sent");
}

/// Goes on after the reply, in a task of its own.
#[ic_cdk::update]
fn afterwards(peer: Principal) {
    ic_cdk::futures::spawn_migratory(async move {
        let doubled = delivered(peer, 8).await;
        note(format!("afterwards {doubled}"));
    });
}

/// Asks the peer from within a query, which asks back if it is told so.
#[ic_cdk::query(composite = true)]
async fn total(peer: Principal, depth: u32) -> u64 {
    let own = DELIVERED.get();
    if depth == 0 {
        let reply = Call::bounded_wait(peer, "state")
            .await
            .expect("the peer replies");
        let (theirs, _): (u64, u64) = reply.candid_tuple().expect("two numbers");
        return own + theirs;
    }
    let this = ic_cdk::api::canister_self();
    let call = Call::bounded_wait(peer, "total").with_args(&(this, depth - 1));
    let reply = call.await.expect("the peer replies");
    own + reply.candid::<u64>().expect("a number")
}

/// What a composite query is told of an update method.
#[ic_cdk::query(composite = true)]
async fn ask_update(peer: Principal) -> String {
    match Call::bounded_wait(peer, "deliver").with_arg(1u64).await {
        Ok(_) => "it ran".to_owned(),
        Err(why) => why.to_string(),
    }
}

/// Variables of the environment that controllers set.
#[ic_cdk::query]
fn environment() -> Vec<(String, String)> {
    (0..ic_cdk::api::env_var_count())
        .map(|index| {
            let name = ic_cdk::api::env_var_name(index);
            let value = ic_cdk::api::env_var_value(&name);
            (name, value)
        })
        .collect()
}

/// Whether `who` is a controller, and the version of code and settings.
#[ic_cdk::query]
fn circumstances(who: Principal) -> (bool, u64, bool) {
    (
        ic_cdk::api::is_controller(&who),
        ic_cdk::api::canister_version(),
        ic_cdk::api::in_replicated_execution(),
    )
}
