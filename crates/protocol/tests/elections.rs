//! Forms of the beacon and of elections: what is written comes back, what is not canonical is
//! refused, and a document that says nothing of them is what it was.

use proptest::prelude::*;
use trilith_protocol::root::beacon::{
    BeaconEvent, BeaconParameters, BeaconRecord, BeaconSource, VrfDelivered, VrfEvent,
    VrfParameters, VrfProve, VrfState,
};
use trilith_protocol::root::scheduler::{
    ElectionParameters, SchedulerEvent, Validator, Validators, ValidatorsElectedEvent,
    ValidatorsStayEvent,
};
use trilith_protocol::root::{Blob, EVENT_BYTES_MAX, Services};
use trilith_protocol::{Committee, RootAnswer, RootEvent, RootQuery};
use trilith_types::{Epoch, Height, NodeId, PublicKey, RuntimeId};

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

fn by_functions() -> BeaconParameters {
    BeaconParameters {
        backend: BeaconSource::Vrf,
        vrf_parameters: Some(VrfParameters::default()),
    }
}

fn vrf_state() -> VrfState {
    VrfState {
        epoch: Epoch(7),
        alpha: Blob(vec![3; 32]),
        alpha_hq: true,
        submit_after: Height(75),
        proofs: 2,
        can_elect: false,
    }
}

fn validators(count: u8) -> Validators {
    let validator = |byte| Validator {
        id: key(byte),
        entity_id: key(100),
        consensus_id: key(byte),
        voting_power: u64::from(byte) + 1,
    };
    Validators {
        epoch: Epoch(7),
        validators: (0..count).map(validator).collect(),
    }
}

/// Go's `cbor.Marshal(VrfProve{Epoch: 7, Pi: 0x01 ff})`: fields ascend by length, then by bytes.
#[test]
fn a_proof_has_oasis_cores_form() {
    let proof = VrfProve {
        epoch: Epoch(7),
        pi: Blob(vec![1, 0xff]),
    };
    let form = b"\xa2\x62pi\x42\x01\xff\x65epoch\x07";
    assert_eq!(proof.encode(), form);
    assert_eq!(VrfProve::decode(form), Ok(proof));
    // Another order of fields is another encoding.
    assert!(VrfProve::decode(b"\xa2\x65epoch\x07\x62pi\x42\x01\xff").is_err());
}

#[test]
fn services_that_say_nothing_of_elections_are_what_they_were() {
    let silent = Services::default();
    let encoded = silent.encode();
    for name in ["beacon", "scheduler"] {
        let found = encoded
            .windows(name.len())
            .any(|part| part == name.as_bytes());
        assert!(!found, "{name}");
    }
    assert_eq!(Services::decode(&encoded), Ok(silent));
    let speaking = Services {
        beacon: by_functions(),
        scheduler: Some(ElectionParameters::default()),
        ..Services::default()
    };
    assert_eq!(Services::decode(&speaking.encode()), Ok(speaking));
}

#[test]
fn the_source_of_a_silent_network_is_not_written() {
    assert_eq!(BeaconParameters::default().encode(), [0xa0]);
    assert!(BeaconParameters::decode(b"\xa1\x67backend\x69threshold").is_err());
    assert!(BeaconParameters::decode(b"\xa1\x67backend\x64pvss").is_err());
    let insecure = BeaconParameters::decode(b"\xa1\x67backend\x68insecure").unwrap();
    assert_eq!(insecure.backend, BeaconSource::Insecure);
}

#[test]
fn questions_and_answers_come_back() {
    for query in [
        RootQuery::Beacon,
        RootQuery::Validators,
        RootQuery::VrfProof(key(1)),
    ] {
        assert_eq!(RootQuery::decode(&query.encode()), Ok(query));
    }
    let record = |vrf| {
        Box::new(BeaconRecord {
            params: by_functions(),
            epoch: Epoch(7),
            entropy: Blob(vec![9; 32]),
            vrf,
        })
    };
    let delivered = VrfDelivered {
        pi: Blob(vec![1; 80]),
        beta: Blob(vec![2; 64]),
    };
    for answer in [
        RootAnswer::Beacon(record(None)),
        RootAnswer::Beacon(record(Some(vrf_state()))),
        RootAnswer::VrfProof(None),
        RootAnswer::VrfProof(Some(delivered)),
        RootAnswer::Validators(validators(0)),
        RootAnswer::Validators(validators(100)),
    ] {
        assert_eq!(RootAnswer::decode(&answer.encode()), Ok(answer));
    }
}

#[test]
fn events_come_back() {
    let (epoch, count, min) = (Epoch(7), 2, 3);
    let vrf = VrfEvent {
        epoch,
        alpha: Blob(vec![3; 32]),
        submit_after: Height(75),
    };
    let elected = ValidatorsElectedEvent { epoch, count };
    let stay = ValidatorsStayEvent {
        epoch,
        found: count,
        min,
    };
    let events = vec![
        RootEvent::Beacon(BeaconEvent::Vrf(vrf)),
        RootEvent::Scheduler(SchedulerEvent::ValidatorsElected(elected)),
        RootEvent::Scheduler(SchedulerEvent::ValidatorsStay(stay)),
    ];
    let encoded = RootEvent::encode_list(&events);
    assert_eq!(RootEvent::decode_list(&encoded, 3), Ok(events));
}

/// The largest committee, with as many storage nodes as members, is an event that can be read.
#[test]
fn the_largest_committee_is_an_event() {
    let members: Vec<NodeId> = (0..100).map(key).collect();
    let committee = Committee {
        epoch: Epoch(u64::MAX),
        workers: members.clone(),
        backups: members.clone(),
        storage: members,
    };
    let event = RootEvent::CommitteeElected {
        runtime: RuntimeId::test(1),
        committee,
    };
    let encoded = event.encode();
    assert!(encoded.len() <= EVENT_BYTES_MAX);
    assert_eq!(RootEvent::decode(&encoded), Ok(event));
}

proptest! {
    #[test]
    fn a_changed_byte_never_panics_and_decodes_canonically(
        at in 0..4096usize,
        byte in any::<u8>(),
        which in 0..5usize,
    ) {
        let mut bytes = [
            vrf_state().encode(),
            by_functions().encode(),
            validators(3).encode(),
            ElectionParameters::default().encode(),
            VrfProve { epoch: Epoch(7), pi: Blob(vec![1; 80]) }.encode(),
        ][which].clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(value) = VrfState::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = BeaconParameters::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = Validators::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = ElectionParameters::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
        if let Ok(value) = VrfProve::decode(&bytes) {
            prop_assert_eq!(value.encode(), bytes.clone());
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for encoded in [
            VrfProve::decode(&bytes).map(|value| value.encode()),
            VrfState::decode(&bytes).map(|value| value.encode()),
            VrfDelivered::decode(&bytes).map(|value| value.encode()),
            BeaconRecord::decode(&bytes).map(|value| value.encode()),
            Validators::decode(&bytes).map(|value| value.encode()),
        ]
        .into_iter()
        .flatten()
        {
            prop_assert_eq!(&encoded, &bytes);
        }
    }
}
