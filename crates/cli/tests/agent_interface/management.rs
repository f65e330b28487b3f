//! The management canister, through `ic-utils`.

use candid::{Nat, Principal};
use ic_utils::call::{AsyncCall as _, SyncCall as _};
use ic_utils::interfaces::ManagementCanister;
use ic_utils::interfaces::management_canister::builders::CanisterInstallMode;
use ic_utils::interfaces::management_canister::{
    CanisterStatusType, FetchCanisterLogsArgs, LogVisibility,
};
use trilith_types::hash::sha256;

use crate::support::{C_COUNTER, FIRST_CANISTER, WAT_COUNTER};
use crate::{Network, error_code};

/// Cycles of a new canister.
const AMOUNT: u128 = 7_000_000_000_000;

async fn create(management: &ManagementCanister<'_>) -> Principal {
    let first = Principal::from_text(FIRST_CANISTER).unwrap();
    let create = management
        .create_canister()
        .as_provisional_create_with_amount(Some(AMOUNT))
        .with_effective_canister_id(first);
    create.call_and_wait().await.unwrap().0
}

async fn install(management: &ManagementCanister<'_>, wasm: &[u8]) -> Principal {
    let canister = create(management).await;
    let install = management.install_code(&canister, wasm);
    install.call_and_wait().await.unwrap();
    canister
}

#[tokio::test]
async fn canisters_live_and_end() {
    let network = Network::start();
    let owner = &network.owner;
    let management = ManagementCanister::create(&owner.agent);
    let canister = install(&management, WAT_COUNTER).await;
    assert_eq!(owner.update::<u32>(canister, "inc", ()).await, 1);
    for mode in [
        CanisterInstallMode::Upgrade(None),
        CanisterInstallMode::Reinstall,
    ] {
        let install = management.install_code(&canister, WAT_COUNTER);
        install.with_mode(mode).call_and_wait().await.unwrap();
        assert_eq!(owner.query::<u32>(canister, "get", ()).await, 0);
    }
    let stop = management.stop_canister(&canister);
    stop.call_and_wait().await.unwrap();
    let stopped = owner.try_update(canister, "inc", ()).await;
    assert_eq!(error_code(stopped), "IC0508");
    let start = management.start_canister(&canister);
    start.call_and_wait().await.unwrap();
    assert_eq!(owner.update::<u32>(canister, "inc", ()).await, 1);
    let uninstall = management.uninstall_code(&canister);
    uninstall.call_and_wait().await.unwrap();
    let empty = owner.try_update(canister, "inc", ()).await;
    assert_eq!(error_code(empty), "IC0537");
    let running = management.delete_canister(&canister).call_and_wait().await;
    assert_eq!(error_code(running), "IC0510");
    let stop = management.stop_canister(&canister);
    stop.call_and_wait().await.unwrap();
    let delete = management.delete_canister(&canister);
    delete.call_and_wait().await.unwrap();
    let gone = owner.try_update(canister, "inc", ()).await;
    assert_eq!(error_code(gone), "IC0301");
}

#[tokio::test]
async fn settings_are_changed_and_shown() {
    let network = Network::start();
    let owner = &network.owner;
    let management = ManagementCanister::create(&owner.agent);
    let canister = install(&management, C_COUNTER).await;
    let friend = network.user(51);
    management
        .update_settings(&canister)
        .with_controller(owner.principal())
        .with_controller(friend.principal())
        .with_freezing_threshold(1_000u64)
        .with_memory_allocation(16_777_216u64)
        .with_wasm_memory_limit(268_435_456u64)
        .with_log_visibility(LogVisibility::Public)
        .call_and_wait()
        .await
        .unwrap();
    let answers = [
        management.canister_status(&canister).call().await,
        management
            .canister_status(&canister)
            .as_update()
            .call()
            .await,
    ];
    for answer in answers {
        let (status,) = answer.unwrap();
        assert_eq!(status.status, CanisterStatusType::Running);
        assert_eq!(status.module_hash.unwrap(), sha256(&[C_COUNTER]));
        let mut controllers = [owner.principal(), friend.principal()];
        let mut shown = status.settings.controllers;
        controllers.sort();
        shown.sort();
        assert_eq!(shown, controllers);
        assert_eq!(status.settings.freezing_threshold, Nat::from(1_000u64));
        assert_eq!(status.settings.memory_allocation, Nat::from(16_777_216u64));
        assert_eq!(status.settings.wasm_memory_limit, Nat::from(268_435_456u64));
        assert_eq!(status.settings.log_visibility, LogVisibility::Public);
        assert!(status.cycles <= AMOUNT && status.cycles > AMOUNT / 2);
    }
    // The new controller may do what the old one may; another may not even look.
    let theirs = ManagementCanister::create(&friend.agent);
    let stop = theirs.stop_canister(&canister);
    stop.call_and_wait().await.unwrap();
    let stranger = network.user(52);
    let theirs = ManagementCanister::create(&stranger.agent);
    let start = theirs.start_canister(&canister).call_and_wait().await;
    assert_eq!(error_code(start), "IC0512");
    let look = theirs.canister_status(&canister).call().await;
    assert_eq!(error_code(look), "IC0512");
    let install = theirs.install_code(&canister, C_COUNTER);
    let install = install.with_mode(CanisterInstallMode::Reinstall);
    assert_eq!(error_code(install.call_and_wait().await), "IC0512");
}

#[tokio::test]
async fn large_modules_go_in_chunks() {
    let network = Network::start();
    let owner = &network.owner;
    let management = ManagementCanister::create(&owner.agent);
    let canister = create(&management).await;
    // The library cuts what is too large for one message by itself: a module that carries a
    // long custom section.
    let padding = vec![7; 2_500_000];
    let mut name = b"\x07padding".to_vec();
    name.extend(&padding);
    let mut module = WAT_COUNTER.to_vec();
    module.push(0);
    let mut length = name.len();
    while length >= 0x80 {
        module.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    module.push(u8::try_from(length).unwrap());
    module.extend(name);
    let install = management.install(&canister, &module);
    install.call_and_wait().await.unwrap();
    let hash = owner.agent.read_state_canister_module_hash(canister).await;
    assert_eq!(hash.unwrap(), sha256(&[&module]));
    assert_eq!(owner.update::<u32>(canister, "inc", ()).await, 1);
    let clear = management.clear_chunk_store(&canister);
    clear.call_and_wait().await.unwrap();
    let (stored,) = management
        .stored_chunks(&canister)
        .call_and_wait()
        .await
        .unwrap();
    assert!(stored.is_empty());
}

#[tokio::test]
async fn logs_are_fetched() {
    let network = Network::start();
    let owner = &network.owner;
    let management = ManagementCanister::create(&owner.agent);
    let canister = install(&management, WAT_COUNTER).await;
    let trap = owner.try_update(canister, "inc_then_trap", ()).await;
    assert_eq!(error_code(trap), "IC0503");
    let arguments = FetchCanisterLogsArgs {
        canister_id: canister,
        filter: None,
    };
    let (logs,) = management
        .fetch_canister_logs(&arguments)
        .call()
        .await
        .unwrap();
    let lines = logs.canister_log_records.iter();
    let mut lines = lines.map(|record| String::from_utf8_lossy(&record.content));
    assert!(lines.any(|line| line.contains("deliberate trap")));
    let stranger = network.user(53);
    let theirs = ManagementCanister::create(&stranger.agent);
    let look = theirs.fetch_canister_logs(&arguments).call().await;
    assert_eq!(error_code(look), "IC0406");
}
