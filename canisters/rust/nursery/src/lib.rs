//! Canisters that this one makes and cares for, by way of the management canister.

use candid::{Nat, Principal};
use ic_cdk_management_canister as management;
use management::{
    CanisterIdRecord, CanisterInfoArgs, CanisterInstallMode, CanisterSettings, CreateCanisterArgs,
    InstallCodeArgs, LogVisibility, UpdateSettingsArgs,
};

/// Makes a canister with cycles.
#[ic_cdk::update]
async fn create(cycles: u64) -> Principal {
    let args = CreateCanisterArgs { settings: None };
    let created = management::create_canister_with_extra_cycles(&args, cycles.into());
    created.await.expect("there are cycles for it").canister_id
}

/// Installs a module, or tells why not.
#[ic_cdk::update]
async fn install(canister_id: Principal, wasm_module: Vec<u8>, anew: bool) -> Result<(), String> {
    let mode = if anew {
        CanisterInstallMode::Reinstall
    } else {
        CanisterInstallMode::Install
    };
    let arg = candid::encode_args(()).expect("nothing is Candid");
    let args = InstallCodeArgs {
        mode,
        canister_id,
        wasm_module,
        arg,
    };
    management::install_code(&args)
        .await
        .map_err(|why| why.to_string())
}

/// Controllers, cycles, freezing threshold and hash of the module.
#[ic_cdk::update]
async fn status(canister_id: Principal) -> (Vec<Principal>, Nat, Nat, Option<Vec<u8>>) {
    let args = CanisterIdRecord { canister_id };
    let status = management::canister_status(&args)
        .await
        .expect("this canister is a controller");
    let settings = status.settings;
    (
        settings.controllers,
        status.cycles,
        settings.freezing_threshold,
        status.module_hash,
    )
}

/// Makes `heir` a controller as well, and opens the logs.
#[ic_cdk::update]
async fn share(canister_id: Principal, heir: Principal) {
    let settings = CanisterSettings {
        controllers: Some(vec![ic_cdk::api::canister_self(), heir]),
        freezing_threshold: Some(Nat::from(1_000u32)),
        log_visibility: Some(LogVisibility::Public),
        ..CanisterSettings::default()
    };
    let args = UpdateSettingsArgs {
        canister_id,
        settings,
    };
    management::update_settings(&args)
        .await
        .expect("this canister is a controller");
}

/// Gives cycles away.
#[ic_cdk::update]
async fn feed(canister_id: Principal, cycles: u64) {
    let args = CanisterIdRecord { canister_id };
    management::deposit_cycles(&args, cycles.into())
        .await
        .expect("the canister is there");
}

/// The number of changes that the history of a canister tells, and its controllers.
#[ic_cdk::update]
async fn history(canister_id: Principal) -> (u64, Vec<Principal>) {
    let args = CanisterInfoArgs {
        canister_id,
        num_requested_changes: Some(20),
    };
    let info = management::canister_info(&args)
        .await
        .expect("the canister is there");
    (info.total_num_changes, info.controllers)
}

/// Takes the code away, stops the canister and deletes it.
#[ic_cdk::update]
async fn remove(canister_id: Principal) {
    let args = CanisterIdRecord { canister_id };
    let uninstall = management::UninstallCodeArgs { canister_id };
    management::uninstall_code(&uninstall)
        .await
        .expect("uninstalled");
    management::stop_canister(&args).await.expect("stopped");
    management::start_canister(&args).await.expect("started");
    management::stop_canister(&args)
        .await
        .expect("stopped again");
    management::delete_canister(&args).await.expect("deleted");
}

/// Entropy of the network.
#[ic_cdk::update]
async fn entropy() -> Vec<u8> {
    management::raw_rand().await.expect("there is entropy")
}
