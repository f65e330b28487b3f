//! Forms of the governance service: those of Oasis Core's Go structs written by hand, and what must
//! be refused.

use proptest::prelude::*;
use trilith_protocol::RootEvent;
use trilith_protocol::root::governance::{
    ActivateFeatures, CancelUpgrade, ChangeParameters, FeatureApprovedEvent, FeatureRecord,
    GovernanceChanges, GovernanceEvent, GovernanceGenesis, GovernanceParameters, Proposal,
    ProposalContent, ProposalMetadata, ProposalState, ProposalVote, ProtocolVersions,
    RegistryChanges, StakingChanges, Upgrade, Vote, VoteEntry,
};
use trilith_protocol::root::registry::Version;
use trilith_protocol::root::{Address, FeatureId, Quantity, RawItem, Services};
use trilith_types::Epoch;

fn version(major: u16) -> Version {
    Version {
        major,
        minor: 0,
        patch: 0,
    }
}

fn upgrade() -> ProposalContent {
    ProposalContent {
        upgrade: Some(Upgrade {
            v: 1,
            handler: "abc".into(),
            target: ProtocolVersions {
                consensus_protocol: version(1),
                runtime_host_protocol: version(2),
                runtime_committee_protocol: version(3),
            },
            epoch: Epoch(10),
        }),
        ..ProposalContent::default()
    }
}

fn change() -> ProposalContent {
    let changes = GovernanceChanges {
        voting_period: Some(1),
        ..GovernanceChanges::default()
    };
    ProposalContent {
        change_parameters: Some(ChangeParameters {
            module: "governance".into(),
            changes: RawItem(changes.encode()),
        }),
        ..ProposalContent::default()
    }
}

fn activate() -> ProposalContent {
    ProposalContent {
        metadata: Some(ProposalMetadata {
            title: "title".into(),
            description: "description".into(),
        }),
        activate_features: Some(ActivateFeatures {
            ids: vec![FeatureId([1; 32]), FeatureId([2; 32])],
        }),
        ..ProposalContent::default()
    }
}

/// The name of a field: a text.
fn name(text: &str) -> String {
    format!("{:02x}{}", 0x60 + text.len(), hex::encode(text))
}

/// A name of 24 characters or more.
fn long(text: &str) -> String {
    format!("78{:02x}{}", text.len(), hex::encode(text))
}

/// Fields in the order of Go's canonical encoding: shorter names first, then by bytes.
#[test]
fn an_upgrade_is_encoded_as_gos_embedded_descriptor() {
    let major = |number: u8| format!("a1{}{number:02x}", name("major"));
    let expected = [
        "a1".into(),
        name("upgrade"),
        "a4".into(),
        name("v"),
        "01".into(),
        name("epoch"),
        "0a".into(),
        name("target"),
        "a3".into(),
        name("consensus_protocol"),
        major(1),
        name("runtime_host_protocol"),
        major(2),
        long("runtime_committee_protocol"),
        major(3),
        name("handler"),
        name("abc"),
    ];
    let encoded = upgrade().encode();
    assert_eq!(hex::encode(&encoded), expected.concat());
    assert_eq!(ProposalContent::decode(&encoded), Ok(upgrade()));
}

#[test]
fn votes_and_changes_have_gos_forms() {
    let vote = ProposalVote {
        id: 3,
        vote: Vote::Abstain,
    };
    let expected = [
        "a2".into(),
        name("id"),
        "03".into(),
        name("vote"),
        "03".into(),
    ];
    assert_eq!(hex::encode(vote.encode()), expected.concat());
    let cancel = ProposalContent {
        cancel_upgrade: Some(CancelUpgrade { proposal_id: 7 }),
        ..ProposalContent::default()
    };
    let expected = [
        "a1".into(),
        name("cancel_upgrade"),
        "a1".into(),
        name("proposal_id"),
        "07".into(),
    ];
    assert_eq!(hex::encode(cancel.encode()), expected.concat());
    // Pointers without omitempty are null, those with it are not there.
    let empty = StakingChanges::default().encode();
    let expected = [
        "a9".into(),
        name("min_transfer"),
        "f6".into(),
        name("min_delegation"),
        "f6".into(),
        name("min_commission_rate"),
        "f6".into(),
        name("min_transact_balance"),
        "f6".into(),
        name("fee_split_weight_vote"),
        "f6".into(),
        long("fee_split_weight_propose"),
        "f6".into(),
        long("reward_factor_epoch_signed"),
        "f6".into(),
        long("reward_factor_block_proposed"),
        "f6".into(),
        long("fee_split_weight_next_propose"),
        "f6".into(),
    ];
    assert_eq!(hex::encode(&empty), expected.concat());
    assert_eq!(
        StakingChanges::decode(&empty),
        Ok(StakingChanges::default())
    );
    assert_eq!(RegistryChanges::default().encode(), vec![0xa0]);
    assert_eq!(GovernanceChanges::default().encode(), vec![0xa0]);
}

/// Figures: Oasis mainnet's genesis document, as its documentation describes it.
#[test]
fn the_default_parameters_are_those_of_mainnet_without_a_deposit() {
    let params = GovernanceParameters::default();
    assert_eq!(params.voting_period, 168);
    assert_eq!(params.stake_threshold, 68);
    assert_eq!(params.upgrade_min_epoch_diff, 336);
    assert_eq!(params.upgrade_cancel_min_epoch_diff, 192);
    assert_eq!(params.min_proposal_deposit, Quantity::ZERO);
    assert_eq!(GovernanceParameters::decode(&params.encode()), Ok(params));
}

/// A document that says nothing of governance has the form it had before there was any.
#[test]
fn the_default_part_is_left_out_of_documents() {
    let services = Services::default();
    let encoded = services.encode();
    let has = |text: &str| {
        let field = hex::decode(name(text)).unwrap();
        encoded.windows(field.len()).any(|window| window == field)
    };
    assert!(has("registry") && !has("governance") && !has("keymanager"));
    assert_eq!(GovernanceGenesis::default().encode(), vec![0xa0]);
    // And must be: there is one form of each document.
    let mut twice = services.clone();
    twice.governance.params.voting_period = 5;
    let encoded = twice.encode();
    assert_eq!(Services::decode(&encoded), Ok(twice));
    let with_default = [
        "a1".into(),
        name("params"),
        hex::encode(GovernanceParameters::default().encode()),
    ];
    let with_default = hex::decode(with_default.concat()).unwrap();
    assert!(GovernanceGenesis::decode(&with_default).is_err());
}

#[test]
fn a_feature_is_active_from_its_epoch_on() {
    let record = FeatureRecord {
        id: FeatureId([1; 32]),
        proposal: 4,
        since: Epoch(6),
    };
    assert_eq!(
        [5, 6, 7].map(|epoch| record.is_active(Epoch(epoch))),
        [false, true, true]
    );
    let event = RootEvent::Governance(GovernanceEvent::FeatureApproved(FeatureApprovedEvent {
        feature: record.id,
        proposal: record.proposal,
        since: record.since,
    }));
    assert_eq!(RootEvent::decode(&event.encode()), Ok(event));
}

fn forms() -> [Vec<u8>; 5] {
    let submitter = Address::from_bytes([3; Address::LEN]);
    let proposal = Proposal {
        id: 1,
        submitter,
        state: ProposalState::Passed,
        deposit: Quantity::new(7),
        content: activate(),
        created_at: Epoch(1),
        closes_at: Epoch(2),
        results: [
            (Vote::Yes, Quantity::new(300)),
            (Vote::No, Quantity::new(1)),
        ]
        .into(),
        invalid_votes: 2,
    };
    let entry = VoteEntry {
        voter: submitter,
        vote: Vote::No,
    };
    let mut genesis = GovernanceGenesis {
        proposals: vec![proposal],
        vote_entries: [(1, vec![entry])].into(),
        pending_upgrades: vec![1],
        ..GovernanceGenesis::default()
    };
    genesis.params.voting_period = 2;
    [
        upgrade().encode(),
        change().encode(),
        activate().encode(),
        ProposalVote {
            id: 1,
            vote: Vote::Yes,
        }
        .encode(),
        genesis.encode(),
    ]
}

fn canonical(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = ProposalContent::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = ProposalVote::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = GovernanceGenesis::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = StakingChanges::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = RegistryChanges::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    if let Ok(value) = GovernanceChanges::decode(bytes) {
        prop_assert_eq!(value.encode(), bytes);
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_changed_byte_never_panics_and_decodes_canonically(
        which in 0usize..5, at in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = forms()[which].clone();
        canonical(&bytes)?;
        let at = at.index(bytes.len());
        bytes[at] = byte;
        canonical(&bytes)?;
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        canonical(&bytes)?;
    }
}
