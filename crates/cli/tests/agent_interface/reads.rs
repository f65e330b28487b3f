//! The certified state, path by path, and who may read what.

use candid::Principal;
use ic_agent::agent::RequestStatusResponse;
use ic_agent::identity::AnonymousIdentity;
use trilith_types::hash::sha256;

use crate::support::{C_COUNTER, Client, MOTOKO_COUNTER, WAT_COUNTER};
use crate::{Network, refusal};

const MOTOKO_INTERFACE: &[u8] = include_bytes!("../../../../canisters/motoko/counter.did");

#[tokio::test]
async fn anyone_may_read_what_a_canister_is() {
    let network = Network::start();
    let canister = network.owner.install(MOTOKO_COUNTER).await;
    let anyone = [
        network.user(31),
        Client::with_identity(&network.node, AnonymousIdentity),
    ];
    for reader in &anyone {
        let agent = &reader.agent;
        let hash = agent.read_state_canister_module_hash(canister).await;
        assert_eq!(hash.unwrap(), sha256(&[MOTOKO_COUNTER]));
        let hash = agent.read_state_canister_info(canister, "module_hash");
        assert_eq!(hash.await.unwrap(), sha256(&[MOTOKO_COUNTER]));
        let controllers = agent.read_state_canister_controllers(canister).await;
        assert_eq!(controllers.unwrap(), [network.owner.principal()]);
        let interface = agent.read_state_canister_metadata(canister, "candid:service");
        assert_eq!(interface.await.unwrap(), MOTOKO_INTERFACE);
    }
}

#[tokio::test]
async fn private_metadata_is_for_controllers() {
    let network = Network::start();
    let canister = network.owner.install(MOTOKO_COUNTER).await;
    let section = "motoko:stable-types";
    let owner = &network.owner.agent;
    let types = owner.read_state_canister_metadata(canister, section).await;
    let types = String::from_utf8(types.unwrap()).unwrap();
    assert!(types.contains("actor"), "{types}");
    for reader in [
        network.user(32),
        Client::with_identity(&network.node, AnonymousIdentity),
    ] {
        let read = reader.agent.read_state_canister_metadata(canister, section);
        let (status, text) = refusal(read.await);
        assert_eq!(status, 403, "{text}");
    }
}

#[tokio::test]
async fn what_nobody_may_read_is_refused() {
    let network = Network::start();
    let canister = network.owner.install(WAT_COUNTER).await;
    let peer = network.owner.install(C_COUNTER).await;
    let agent = &network.owner.agent;
    let certified = agent.read_state_canister_info(canister, "certified_data");
    let (status, text) = refusal(certified.await);
    assert!([400, 403, 404].contains(&status), "{status}: {text}");
    // The state of one canister cannot be read in the name of another.
    let path = vec![
        "canister".into(),
        peer.as_slice().into(),
        "module_hash".into(),
    ];
    let (status, text) = refusal(agent.read_state_raw(vec![path], canister).await);
    assert!([400, 403].contains(&status), "{status}: {text}");
    let unknown = agent.read_state_raw(vec![vec!["no such label".into()]], canister);
    let (status, text) = refusal(unknown.await);
    assert!([400, 404].contains(&status), "{status}: {text}");
    let many = vec![vec!["time".into()]; 1_001];
    let (status, text) = refusal(agent.read_state_raw(many, canister).await);
    assert_eq!(status, 400, "{text}");
}

#[tokio::test]
async fn the_status_of_a_request_is_for_its_sender() {
    let network = Network::start();
    let (owner, stranger) = (&network.owner, network.user(33));
    let canister = owner.install(C_COUNTER).await;
    let updates = [
        owner.sign(canister, "inc", ()),
        owner.sign(canister, "inc", ()),
    ];
    for update in &updates {
        owner.send(update).await.unwrap();
    }
    let [first, second] = updates.map(|update| update.request_id);
    let read = owner.agent.request_status_raw(&first, canister).await;
    let (status, certificate) = read.unwrap();
    assert!(matches!(status, RequestStatusResponse::Replied(_)));
    owner.agent.verify(&certificate, canister).unwrap();

    let (status, text) = refusal(stranger.agent.request_status_raw(&first, canister).await);
    assert_eq!(status, 403, "{text}");
    // Two requests in one read are refused, even to the one who sent both.
    let path = |id: &ic_agent::RequestId| vec!["request_status".into(), id.to_vec().into()];
    let both = vec![path(&first), path(&second)];
    let (status, text) = refusal(owner.agent.read_state_raw(both, canister).await);
    assert_eq!(status, 400, "{text}");
    // That nobody sent a request may be known to anyone.
    let nobody = ic_agent::RequestId::new(&[7; 32]);
    let read = stranger.agent.request_status_raw(&nobody, canister).await;
    assert!(matches!(read.unwrap().0, RequestStatusResponse::Unknown));
    // Nor is the status shown under another canister.
    let other = owner.install(C_COUNTER).await;
    let read = owner.agent.request_status_raw(&first, other).await;
    assert!([400, 403].contains(&refusal(read).0));
}

#[tokio::test]
async fn the_subnet_proves_what_it_hosts_and_who_signs() {
    let network = Network::start();
    let canister = network.owner.install(WAT_COUNTER).await;
    network.owner.update::<u32>(canister, "inc", ()).await;
    let agent = &network.owner.agent;
    let id = Principal::self_authenticating(&network.node.root_key_der);
    let ranges = agent.read_state_subnet_canister_ranges(id).await.unwrap();
    let holds = |(first, last): &(Principal, Principal)| (first..=last).contains(&&canister);
    assert!(ranges.iter().any(holds), "{canister} is not in {ranges:?}");

    let subnet = agent.fetch_subnet_by_canister(&canister).await.unwrap();
    assert_eq!(subnet.id(), id);
    assert!(subnet.contains_canister(&canister));
    assert_eq!(subnet.iter_nodes().count(), 1);
    for (node, key) in subnet.iter_node_keys() {
        assert!(subnet.contains_node(&node));
        assert_eq!(node, Principal::self_authenticating(key));
        assert_eq!(key.len(), 44, "the node's key is Ed25519 in DER");
    }
    let same = agent.fetch_subnet_by_id(&id).await.unwrap();
    assert_eq!(same.self_reported_key(), network.node.root_key_der);
    assert!(same.contains_canister(&canister));

    let metrics = agent.read_state_subnet_metrics(id).await.unwrap();
    assert_eq!(metrics.num_canisters, 1);
    assert!(metrics.update_transactions_total >= 1, "{metrics:?}");
    assert!(metrics.consumed_cycles_total > 0, "{metrics:?}");

    let path = vec!["subnet".into(), id.as_slice().into(), "type".into()];
    let paths = vec![path, vec!["time".into()]];
    let certificate = agent.read_subnet_state_raw(paths, id).await.unwrap();
    agent.verify_for_subnet(&certificate, id).unwrap();
    // Another subnet's state is not here.
    let elsewhere = Principal::self_authenticating(b"another subnet");
    let read = agent.read_subnet_state_raw(vec![vec!["time".into()]], elsewhere);
    assert!([400, 403, 404].contains(&refusal(read.await).0));
}
