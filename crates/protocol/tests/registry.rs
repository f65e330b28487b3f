//! Forms of the registry: published figures of Oasis Core, and what must be refused.

use proptest::prelude::*;
use trilith_protocol::RootEvent;
use trilith_protocol::root::registry::{
    AdmissionPolicy, Entity, Executor, GOVERNANCE_CONSENSUS, Marker, Node, NodeStatus,
    RegistryEvent, RegistryGenesis, Runtime, RuntimeEvent, Version,
};
use trilith_protocol::root::staking::Slash;
use trilith_types::{Epoch, Hash, PublicKey, RuntimeId};

/// Figures: Oasis Core `common/node/node_test.go`, `TestNodeForTestSerialization`.
const NODES: [&str; 2] = [
    "aa617603626964582000000000000000000000000000000000000000000000000000000000000000\
     0063703270a262696458200000000000000000000000000000000000000000000000000000000000\
     00000069616464726573736573f663746c73a1677075625f6b657958200000000000000000000000\
     00000000000000000000000000000000000000000063767266a16269645820000000000000000000\
     000000000000000000000000000000000000000000000065726f6c6573006872756e74696d6573f6\
     69636f6e73656e737573a26269645820000000000000000000000000000000000000000000000000\
     000000000000000069616464726573736573f669656e746974795f69645820000000000000000000\
     00000000000000000000000000000000000000000000006a65787069726174696f6e00",
    "aa6176036269645820ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     f063703270a26269645820ffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
     fffff569616464726573736573f663746c73a1677075625f6b65795820ffffffffffffffffffffff\
     fffffffffffffffffffffffffffffffffffffffff263767266a16269645820ffffffffffffffffff\
     fffffffffffffffffffffffffffffffffffffffffffff765726f6c6573006872756e74696d657382\
     a4626964582080000000000000000000000000000000000000000000000000000000000000106776\
     657273696f6ea16570617463681901416a65787472615f696e666ff66c6361706162696c69746965\
     73a0a462696458208000000000000000000000000000000000000000000000000000000000000011\
     6776657273696f6ea1657061746368187b6a65787472615f696e666f44050302016c636170616269\
     6c6974696573a163746565a36372616b5820ffffffffffffffffffffffffffffffffffffffffffff\
     fffffffffffffffffff8686861726477617265016b6174746573746174696f6e4600010203040569\
     636f6e73656e737573a26269645820ffffffffffffffffffffffffffffffffffffffffffffffffff\
     fffffffffffff6696164647265737365738069656e746974795f69645820ffffffffffffffffffff\
     fffffffffffffffffffffffffffffffffffffffffff16a65787069726174696f6e1820",
];

/// Figures: Oasis Core `registry/api/runtime_test.go`, `TestRuntimeSerialization`.
const RUNTIMES: [&str; 4] = [
    "aa617600626964582000000000000000000000000000000000000000000000000000000000000000\
     00646b696e64006767656e65736973a265726f756e64006a73746174655f726f6f74582000000000\
     000000000000000000000000000000000000000000000000000000006773746f72616765a3736368\
     65636b706f696e745f696e74657276616c0073636865636b706f696e745f6e756d5f6b6570740075\
     636865636b706f696e745f6368756e6b5f73697a6500686578656375746f72a56a67726f75705f73\
     697a65006c6d61785f6d65737361676573006d726f756e645f74696d656f7574007167726f75705f\
     6261636b75705f73697a650072616c6c6f7765645f7374726167676c6572730069656e746974795f\
     6964582000000000000000000000000000000000000000000000000000000000000000006c746565\
     5f6861726477617265007061646d697373696f6e5f706f6c696379a168616e795f6e6f6465a07067\
     6f7665726e616e63655f6d6f64656c00",
    "aa617600626964582000000000000000000000000000000000000000000000000000000000000000\
     00646b696e64006767656e65736973a265726f756e64006a73746174655f726f6f74582000000000\
     000000000000000000000000000000000000000000000000000000006773746f72616765a3736368\
     65636b706f696e745f696e74657276616c0073636865636b706f696e745f6e756d5f6b6570740075\
     636865636b706f696e745f6368756e6b5f73697a6500686578656375746f72a56a67726f75705f73\
     697a65006c6d61785f6d65737361676573006d726f756e645f74696d656f7574007167726f75705f\
     6261636b75705f73697a650072616c6c6f7765645f7374726167676c6572730069656e746974795f\
     6964582000000000000000000000000000000000000000000000000000000000000000006c746565\
     5f6861726477617265007061646d697373696f6e5f706f6c696379a168616e795f6e6f6465a07067\
     6f7665726e616e63655f6d6f64656c00",
    "ab617600626964582000000000000000000000000000000000000000000000000000000000000000\
     00646b696e64006767656e65736973a265726f756e64006a73746174655f726f6f74582000000000\
     00000000000000000000000000000000000000000000000000000000677374616b696e67a1727265\
     776172645f6261645f726573756c74730a6773746f72616765a373636865636b706f696e745f696e\
     74657276616c0073636865636b706f696e745f6e756d5f6b6570740075636865636b706f696e745f\
     6368756e6b5f73697a6500686578656375746f72a56a67726f75705f73697a65006c6d61785f6d65\
     737361676573006d726f756e645f74696d656f7574007167726f75705f6261636b75705f73697a65\
     0072616c6c6f7765645f7374726167676c6572730069656e746974795f6964582000000000000000\
     000000000000000000000000000000000000000000000000006c7465655f68617264776172650070\
     61646d697373696f6e5f706f6c696379a168616e795f6e6f6465a070676f7665726e616e63655f6d\
     6f64656c00",
    "af6176182a6269645820800000000000000000000000000000000000000000000000000000000000\
     0000646b696e64026767656e65736973a265726f756e64182b6a73746174655f726f6f745820b1e5\
     21019fb7bdde35dc81fee79065610cbddfb8ef5c25e284983668192a6d0d677374616b696e67a172\
     7265776172645f6261645f726573756c74730a6773746f72616765a373636865636b706f696e745f\
     696e74657276616c182173636865636b706f696e745f6e756d5f6b6570740675636865636b706f69\
     6e745f6368756e6b5f73697a651865686578656375746f72a96a67726f75705f73697a65096c6d61\
     785f6d65737361676573056d726f756e645f74696d656f7574067167726f75705f6261636b75705f\
     73697a650872616c6c6f7765645f7374726167676c65727307726d61785f6c6976656e6573735f66\
     61696c7301746d696e5f6c6976655f726f756e64735f6576616c02776d696e5f6c6976655f726f75\
     6e64735f70657263656e7404781c6d61785f6d69737365645f70726f706f73616c735f7065726365\
     6e740369656e746974795f6964582012345678900000000000000000000000000000000000000000\
     000000000000006b636f6e73747261696e7473a101a101a3696d61785f6e6f646573a1656c696d69\
     740a6d6d696e5f706f6f6c5f73697a65a1656c696d6974056d76616c696461746f725f736574a06b\
     6465706c6f796d656e747381a4637465654b76657273696f6e207465656776657273696f6ea2656d\
     616a6f72182c657061746368016a76616c69645f66726f6d006f62756e646c655f636865636b7375\
     6d582001010101010101010101010101010101010101010101010101010101010101016b6b65795f\
     6d616e61676572582080000000000000000000000000000000000000000000000000000000000000\
     016c7465655f6861726477617265016d74786e5f7363686564756c6572a56e6d61785f6261746368\
     5f73697a651927106f6d61785f696e5f6d6573736167657318207362617463685f666c7573685f74\
     696d656f75741a3b9aca00746d61785f62617463685f73697a655f62797465731a00989680757072\
     6f706f73655f62617463685f74696d656f75741a773594007061646d697373696f6e5f706f6c6963\
     79a170656e746974795f77686974656c697374a168656e746974696573a158201234567890000000\
     000000000000000000000000000000000000000000000000a1696d61785f6e6f646573a201030401\
     70676f7665726e616e63655f6d6f64656c03",
];

fn bytes(form: &str) -> Vec<u8> {
    hex::decode(form).unwrap()
}

#[test]
fn nodes_have_the_published_form() {
    for form in NODES {
        let node = Node::decode(&bytes(form)).unwrap();
        assert_eq!(hex::encode(node.encode()), form);
    }
    let node = Node::decode(&bytes(NODES[1])).unwrap();
    assert_eq!((node.v, node.expiration), (3, Epoch(32)));
    assert_eq!(node.id.as_bytes()[31], 0xf0);
    assert_eq!(node.consensus.addresses, Some(vec![]));
    assert_eq!(node.p2p.addresses, None);
    let versions: Vec<Version> = node.runtimes().iter().map(|of| of.version).collect();
    let patch = |patch| Version {
        patch,
        ..Version::default()
    };
    assert_eq!(versions, [patch(321), patch(123)]);
    let tee = node.runtimes()[1].capabilities.tee.as_ref().unwrap();
    assert_eq!((tee.hardware, tee.rak.as_bytes()[31]), (1, 0xf8));
}

#[test]
fn runtimes_have_the_published_form() {
    for form in RUNTIMES {
        let runtime = Runtime::decode(&bytes(form)).unwrap();
        assert_eq!(hex::encode(runtime.encode()), form);
    }
    let runtime = Runtime::decode(&bytes(RUNTIMES[0])).unwrap();
    let any_node = AdmissionPolicy {
        any_node: Some(Marker),
        ..AdmissionPolicy::default()
    };
    assert_eq!(runtime.admission_policy, any_node);
    let runtime = Runtime::decode(&bytes(RUNTIMES[3])).unwrap();
    assert_eq!(runtime.v, 42);
    assert_eq!(runtime.genesis.state_root, Hash::of(b"stateroot hash"));
    let executor = Executor {
        group_size: 9,
        group_backup_size: 8,
        allowed_stragglers: 7,
        round_timeout: 6,
        max_messages: 5,
        min_live_rounds_percent: 4,
        max_missed_proposals_percent: 3,
        min_live_rounds_eval: 2,
        max_liveness_fails: 1,
        backup_rule: 0,
    };
    assert_eq!(runtime.executor, executor);
    assert_eq!(runtime.txn_scheduler.batch_flush_timeout, 1_000_000_000);
    assert_eq!(runtime.governance_model, GOVERNANCE_CONSENSUS);
    let constraints = runtime.constraints[&1][&1];
    assert_eq!(constraints.max_nodes.map(|limit| limit.limit), Some(10));
    assert_eq!(constraints.validator_set, Some(Marker));
    let list = runtime.admission_policy.entity_whitelist.unwrap();
    let limits: Vec<(u32, u16)> = list
        .entities
        .values()
        .flat_map(|entry| entry.max_nodes.iter().map(|(role, count)| (*role, *count)))
        .collect();
    assert_eq!(limits, [(1, 3), (4, 1)]);
}

#[test]
fn other_descriptors_come_back() {
    let entity = Entity {
        v: 2,
        id: PublicKey::from_bytes([1; 32]),
        nodes: vec![PublicKey::from_bytes([2; 32])],
    };
    assert_eq!(Entity::decode(&entity.encode()), Ok(entity.clone()));
    // The order of fields: by length, then by bytes.
    assert!(entity.encode().starts_with(b"\xa3\x61v\x02\x62id\x58\x20"));
    let genesis = RegistryGenesis {
        runtimes: vec![Runtime::decode(&bytes(RUNTIMES[3])).unwrap()],
        node_statuses: [(entity.id, NodeStatus::default())].into(),
        ..RegistryGenesis::default()
    };
    assert_eq!(RegistryGenesis::decode(&genesis.encode()), Ok(genesis));
    let event = RootEvent::Registry(RegistryEvent::Runtime(RuntimeEvent {
        id: RuntimeId::test(1),
        is_suspended: true,
    }));
    assert_eq!(RootEvent::decode(&event.encode()), Ok(event));
}

#[test]
fn keys_of_maps_ascend_without_repetition() {
    let map = |entries: &[u8]| {
        let slash = Slash::default().encode();
        let mut form = vec![0xa1, 0x68];
        form.extend_from_slice(b"slashing");
        form.push(0xa0 | entries.len() as u8);
        for key in entries {
            form.extend_from_slice(&[0x18, *key]);
            form.extend_from_slice(&slash);
        }
        trilith_protocol::root::registry::RuntimeStaking::decode(&form).is_ok()
    };
    assert!(map(&[0x80, 0x81]));
    assert!(!map(&[0x81, 0x80]));
    assert!(!map(&[0x80, 0x80]));
    assert!(!map(&[0x83]));
}

proptest! {
    #[test]
    fn a_changed_byte_never_panics_and_decodes_canonically(
        which in 0usize..6, at in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let form = NODES.iter().chain(&RUNTIMES).nth(which).unwrap();
        let mut bytes = bytes(form);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(node) = Node::decode(&bytes) {
            prop_assert_eq!(node.encode(), bytes.clone());
        }
        if let Ok(runtime) = Runtime::decode(&bytes) {
            prop_assert_eq!(runtime.encode(), bytes);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Node::decode(&bytes).is_err());
        prop_assert!(Runtime::decode(&bytes).is_err());
        let _ = (Entity::decode(&bytes), RegistryGenesis::decode(&bytes));
    }
}
