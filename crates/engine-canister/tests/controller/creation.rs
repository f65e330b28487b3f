//! Creating canisters under chosen ids, giving them cycles, reading their metadata.

use candid::{Nat, Principal};
use ic_management_canister_types::{
    CanisterMetadataArgs, CanisterMetadataResult, CanisterStatusResult,
    ProvisionalCreateCanisterWithCyclesArgs, ProvisionalTopUpCanisterArgs,
};
use trilith_engine_canister::query::RequestStatus;

use crate::network::*;
use crate::{installed, network};

fn create_at(network: &mut Network, id: Principal) -> RequestStatus {
    let args = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(Nat::from(5_000_000_000_000u64)),
        settings: None,
        specified_id: Some(id),
        sender_canister_version: None,
    };
    network.manage("provisional_create_canister_with_cycles", args)
}

fn balance(network: &mut Network, canister_id: Principal) -> u128 {
    let record = CanisterRecord { canister_id };
    let status: CanisterStatusResult =
        answered(network.ask_management(canister_id, "canister_status", record));
    u128::try_from(status.cycles.0).unwrap()
}

#[test]
fn a_canister_is_created_under_a_free_id_of_the_subnet() {
    let mut network = network();
    let second = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
    let reply = replied(create_at(&mut network, second));
    let made: CanisterRecord = candid::decode_one(&reply).unwrap();
    assert_eq!(made.canister_id, second);
    assert_eq!(balance(&mut network, second), 5_000_000_000_000);
    let (code, message, error) = rejected(create_at(&mut network, second));
    assert_eq!((code, error.as_str()), (2, "IC0205"));
    assert_eq!(
        message,
        format!("Unsuccessful canister creation: canister id {second} already exists.")
    );
    let elsewhere = Principal::from_slice(&[0, 0, 0, 0, 0, 0x10, 0, 0, 1, 1]);
    let (code, message, error) = rejected(create_at(&mut network, elsewhere));
    assert_eq!((code, error.as_str()), (4, "IC0405"));
    assert!(
        message.starts_with("Unsuccessful validation of specified ID: "),
        "{message}"
    );
    // What is created without a choice goes around it.
    let first = network.create();
    let third = network.create();
    assert_eq!(
        first,
        Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 1])
    );
    assert_eq!(
        third,
        Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 2, 1, 1])
    );
}

#[test]
fn cycles_are_given_by_anyone() {
    let mut network = network();
    let (giver, taker) = (installed(&mut network), network.create());
    let before = balance(&mut network, taker);
    let record = || CanisterRecord { canister_id: taker };
    network
        .manage_by(giver, "deposit_cycles", record(), 1_000)
        .unwrap();
    assert_eq!(balance(&mut network, taker), before + 1_000);
    network.user = User::new(2);
    let args = ProvisionalTopUpCanisterArgs {
        canister_id: taker,
        amount: Nat::from(77u8),
    };
    replied(network.manage("provisional_top_up_canister", args));
    network.user = User::new(1);
    assert_eq!(balance(&mut network, taker), before + 1_077);
    let (_, message, error) = rejected(network.manage("deposit_cycles", record()));
    assert_eq!(error, "IC0406");
    assert_eq!(
        message,
        "Only canisters can call ic00 method deposit_cycles"
    );
    let nobody = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 9, 9, 1, 1]);
    let args = CanisterRecord {
        canister_id: nobody,
    };
    let reject = network
        .manage_by(giver, "deposit_cycles", args, 5)
        .unwrap_err();
    assert_eq!(reject, format!("3 IC0301: Canister {nobody} not found"));
}

#[test]
fn canisters_read_public_sections_and_controllers_private_ones() {
    let mut network = network();
    let (id, other) = (installed(&mut network), installed(&mut network));
    let read = |network: &mut Network, name: &str| {
        let args = CanisterMetadataArgs {
            canister_id: id,
            name: name.to_owned(),
        };
        network.manage_by(other, "canister_metadata", args, 0)
    };
    let found: CanisterMetadataResult =
        candid::decode_one(&read(&mut network, "candid").unwrap()).unwrap();
    assert_eq!(found.value, b"service");
    let reject = read(&mut network, "secret").unwrap_err();
    assert!(reject.starts_with("5 IC0512: "), "{reject}");
    let reject = read(&mut network, "nothing").unwrap_err();
    assert!(
        reject.contains(&format!(
            "Canister {id} has no custom section with the name nothing."
        )),
        "{reject}"
    );
}
