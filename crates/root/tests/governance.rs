//! Governance: proposals from submission to what becomes of them, every reason for refusal, and
//! what holds over random histories.

mod governed;
mod network;
mod registered;

use governed::{
    DEPOSIT, activate, cancel, change, feature, governed, governed_document, q, refused, upgrade,
};
use network::{Network, address, rejection};
use proptest::prelude::*;
use registered::{FREE, ok, version};
use trilith_protocol::root::governance::{
    CAST_VOTE, FeatureRecord, GovernanceChanges, GovernanceEvent, KeymanagerChanges, Proposal,
    ProposalContent, ProposalFinalizedEvent, ProposalMetadata, ProposalState,
    ProposalSubmittedEvent, ProposalVote, RegistryChanges, SUBMIT_PROPOSAL, StakingChanges, Vote,
    VoteEntry, VoteEvent,
};
use trilith_protocol::root::staking::{
    ADD_ESCROW, Escrow, RECLAIM_ESCROW, ReclaimEscrow, RewardStep, TRANSFER, Transfer,
};
use trilith_protocol::root::{
    Address, Fee, GenesisError, Quantity, RootAnswer, RootQuery, VotesOf,
};
use trilith_protocol::{ReceiptStatus, RootEvent, RootGenesis};
use trilith_root::{export, genesis_write_log, governance, keymanager, registry, staking};
use trilith_types::{Epoch, StateRead as _};

const SUPPLY: u128 = 4_300_000;

fn balance(network: &Network, number: u8) -> u128 {
    let account = network.account(&address(number));
    account.general.balance.units()
}

fn common_pool(network: &Network) -> Quantity {
    staking::export(&network.view).unwrap().common_pool
}

fn deposits(network: &Network) -> Quantity {
    staking::export(&network.view).unwrap().governance_deposits
}

#[test]
fn an_upgrade_that_enough_vote_for_is_pending_and_then_done() {
    let mut network = governed();
    let receipt = network.propose(10, &upgrade(5, 1));
    ok(&receipt);
    let submitted = RootEvent::Governance(GovernanceEvent::Submitted(ProposalSubmittedEvent {
        id: 1,
        submitter: address(10),
    }));
    let told = RootEvent::decode_list(&receipt.output, 10).unwrap();
    assert!(told.contains(&submitted), "{told:?}");
    assert_eq!(balance(&network, 10), 1_000_000 - DEPOSIT);
    assert_eq!(deposits(&network), q(DEPOSIT));
    let receipt = network.vote_on(20, 1, Vote::Yes);
    ok(&receipt);
    let vote = RootEvent::Governance(GovernanceEvent::Vote(VoteEvent {
        id: 1,
        submitter: address(20),
        vote: Vote::Yes,
    }));
    assert_eq!(
        RootEvent::decode_list(&receipt.output, 10),
        Ok(vec![vote.clone()])
    );
    ok(&network.vote_on(10, 1, Vote::Yes));
    ok(&network.vote_on(30, 1, Vote::Yes));
    network.all_sound();
    // It closes at the first height of the second epoch, not before.
    network.next_epoch();
    assert_eq!(network.proposal(1).state, ProposalState::Active);
    network.next_epoch();
    let proposal = network.proposal(1);
    assert_eq!(proposal.state, ProposalState::Passed);
    assert_eq!(proposal.results, [(Vote::Yes, q(300_000))].into());
    assert_eq!(proposal.invalid_votes, 0);
    let finalized = GovernanceEvent::Finalized(ProposalFinalizedEvent {
        id: 1,
        state: ProposalState::Passed,
    });
    assert!(network.governance_events().contains(&finalized));
    assert_eq!(balance(&network, 10), 1_000_000);
    assert_eq!(deposits(&network), q(0));
    let summary = governance::summary(&network.view).unwrap();
    assert_eq!(
        (summary.active, summary.pending_upgrades),
        (vec![], vec![1])
    );
    network.all_sound();
    // At its epoch, a build that speaks the target goes on.
    while network.epoch() < 5 {
        network.next_epoch();
    }
    let summary = governance::summary(&network.view).unwrap();
    assert_eq!(summary.pending_upgrades, Vec::<u64>::new());
    assert_eq!(network.governance_events().len(), 1);
    network.all_sound();
}

#[test]
fn a_build_stops_at_an_upgrade_that_it_does_not_have() {
    let mut network = governed();
    let id = network.carry(&upgrade(5, 2));
    assert_eq!(network.close(id).state, ProposalState::Passed);
    network.idle(49 - 20);
    let fault = network.execute(&[], &network.context()).unwrap_err();
    assert!(
        fault.0.contains("`next`") && fault.0.contains("version 2") && fault.0.contains("epoch 5"),
        "{fault:?}"
    );
}

#[test]
fn a_proposal_that_too_few_vote_for_is_rejected_and_its_deposit_lost() {
    // One third, two thirds (66 %), and no vote at all.
    for votes in [&[10][..], &[10, 20], &[]] {
        let mut network = governed();
        let pool = common_pool(&network);
        ok(&network.propose(10, &upgrade(6, 1)));
        for voter in votes {
            ok(&network.vote_on(*voter, 1, Vote::Yes));
        }
        let proposal = network.close(1);
        assert_eq!(proposal.state, ProposalState::Rejected);
        assert_eq!(balance(&network, 10), 1_000_000 - DEPOSIT);
        assert_eq!(common_pool(&network), pool.plus(q(DEPOSIT)).unwrap());
        assert_eq!(deposits(&network), q(0));
        let summary = governance::summary(&network.view).unwrap();
        assert_eq!(summary.pending_upgrades, Vec::<u64>::new());
        network.all_sound();
    }
}

#[test]
fn a_later_vote_takes_the_place_of_an_earlier_one() {
    let mut network = governed();
    let id = network.carry(&upgrade(6, 1));
    ok(&network.vote_on(20, id, Vote::No));
    ok(&network.vote_on(30, id, Vote::Abstain));
    let votes = governance::votes(&network.view, &of(id)).unwrap();
    assert_eq!(votes.len(), 3);
    let proposal = network.close(id);
    assert_eq!(proposal.state, ProposalState::Rejected);
    let expected = [
        (Vote::Yes, q(100_000)),
        (Vote::No, q(100_000)),
        (Vote::Abstain, q(100_000)),
    ];
    assert_eq!(proposal.results, expected.into());
    network.all_sound();
}

fn of(proposal: u64) -> VotesOf {
    VotesOf {
        proposal,
        after: None,
    }
}

#[test]
fn a_delegator_who_votes_overrides_the_voter_it_has_delegated_to() {
    let mut document = governed_document();
    let params = &mut document.services.governance.params;
    params.allow_vote_without_entity = true;
    let mut network = Network::new(&document);
    // Accounts 50 and 51 have no entity; each delegates to entity 10.
    for (number, amount) in [(50, 60_000), (51, 40_000)] {
        let to = address(number);
        let amount = q(amount);
        ok(&network.free(10, TRANSFER, Transfer { to, amount }.encode()));
        let account = address(10);
        ok(&network.free(number, ADD_ESCROW, Escrow { account, amount }.encode()));
    }
    ok(&network.propose(10, &upgrade(6, 1)));
    ok(&network.vote_on(10, 1, Vote::Yes));
    ok(&network.vote_on(20, 1, Vote::Yes));
    ok(&network.vote_on(50, 1, Vote::No));
    // The same as its delegate: counted once.
    ok(&network.vote_on(51, 1, Vote::Yes));
    // Entity 30 has delegated to itself, of which it takes half back.
    let account = address(30);
    let half = ReclaimEscrow {
        account,
        shares: q(50_000),
    };
    ok(&network.free(30, RECLAIM_ESCROW, half.encode()));
    // Account 51 gives up what it delegated after it voted: its vote counts for nothing.
    let all = ReclaimEscrow {
        account: address(10),
        shares: q(40_000),
    };
    ok(&network.free(51, RECLAIM_ESCROW, all.encode()));
    let proposal = network.close(1);
    let expected = [(Vote::Yes, q(200_000)), (Vote::No, q(60_000))];
    assert_eq!(proposal.results, expected.into());
    assert_eq!(proposal.invalid_votes, 1);
    // 200,000 of 310,000.
    assert_eq!(proposal.state, ProposalState::Rejected);
    network.all_sound();
}

#[test]
fn a_pending_upgrade_can_be_cancelled_while_there_is_time() {
    let mut network = governed();
    let id = network.carry(&upgrade(7, 2));
    assert_eq!(network.close(id).state, ProposalState::Passed);
    // It is epoch 2: three epochs before are the least.
    let other = network.carry(&cancel(id));
    assert_eq!(network.close(other).state, ProposalState::Passed);
    let summary = governance::summary(&network.view).unwrap();
    assert_eq!(summary.pending_upgrades, Vec::<u64>::new());
    network.all_sound();
    // The build that does not have it goes on.
    while network.epoch() < 8 {
        network.next_epoch();
    }
    refused(&network.propose(10, &cancel(id)), 4);
}

#[test]
fn what_cannot_be_done_any_more_fails_and_the_deposit_goes_back() {
    let mut network = governed();
    ok(&network.propose(20, &upgrade(10, 1)));
    ok(&network.propose(30, &upgrade(12, 1)));
    for id in [1, 2] {
        for voter in [10, 20, 30] {
            ok(&network.vote_on(voter, id, Vote::Yes));
        }
    }
    assert_eq!(network.close(1).state, ProposalState::Passed);
    let failed = network.proposal(2);
    assert_eq!(failed.state, ProposalState::Failed);
    assert_eq!(failed.results, [(Vote::Yes, q(300_000))].into());
    assert_eq!(
        (balance(&network, 20), balance(&network, 30)),
        (1_000_000, 1_000_000)
    );
    let summary = governance::summary(&network.view).unwrap();
    assert_eq!(summary.pending_upgrades, vec![1]);
    network.all_sound();
}

#[test]
fn parameters_of_every_service_change_together_and_hold_from_the_next_height() {
    let mut network = governed();
    let changes = StakingChanges {
        min_transfer: Some(q(500)),
        max_allowances: Some(3),
        disable_delegation: Some(true),
        reward_schedule: Some(vec![RewardStep {
            until: Epoch(9),
            scale: q(7),
        }]),
        fee_split_weight_vote: Some(q(9)),
        ..StakingChanges::default()
    };
    let id = network.carry(&change("staking", changes.encode()));
    let before = staking::parameters(&network.view).unwrap();
    network.next_epoch();
    assert_eq!(staking::parameters(&network.view), Ok(before.clone()));
    assert_eq!(network.close(id).state, ProposalState::Passed);
    let after = staking::parameters(&network.view).unwrap();
    assert_eq!((after.min_transfer, after.max_allowances), (q(500), 3));
    assert_eq!(after.fee_split_weight_vote, q(9));
    // What is not there stays.
    assert_eq!(after.gas_costs, before.gas_costs);
    assert_eq!(after.thresholds, before.thresholds);
    let to = address(20);
    let few = Transfer { to, amount: q(499) };
    let receipt = network.free(10, TRANSFER, few.encode());
    assert_eq!(rejection(&receipt), Some(("staking", 9)));

    let changes = RegistryChanges {
        max_node_expiration: Some(3),
        disable_km_runtime_registration: Some(true),
        ..RegistryChanges::default()
    };
    let id = network.carry(&change("registry", changes.encode()));
    assert_eq!(network.close(id).state, ProposalState::Passed);
    let after = registry::parameters(&network.view).unwrap();
    assert_eq!(after.max_node_expiration, 3);
    assert!(after.disable_km_runtime_registration && !after.disable_runtime_registration);

    let changes = KeymanagerChanges {
        gas_costs: [("update_policy".into(), 5)].into(),
    };
    let id = network.carry(&change("keymanager", changes.encode()));
    assert_eq!(network.close(id).state, ProposalState::Passed);
    let after = keymanager::parameters(&network.view).unwrap();
    assert_eq!(after.gas_costs, changes.gas_costs);

    let changes = GovernanceChanges {
        voting_period: Some(1),
        stake_threshold: Some(100),
        min_proposal_deposit: Some(q(2)),
        gas_costs: [("submit_proposal".into(), 20_000_000)].into(),
        ..GovernanceChanges::default()
    };
    let id = network.carry(&change("governance", changes.encode()));
    assert_eq!(network.close(id).state, ProposalState::Passed);
    let after = governance::parameters(&network.view).unwrap();
    assert_eq!((after.voting_period, after.stake_threshold), (1, 100));
    network.all_sound();
    // Proposing costs more gas than the transaction has.
    let receipt = network.propose(10, &upgrade(100, 1));
    assert_eq!(rejection(&receipt), Some(("consensus/transaction", 103)));
}

#[test]
fn changes_that_break_a_rule_are_refused_as_a_whole() {
    let staking = |changes: StakingChanges| change("staking", changes.encode());
    let governance_of = |changes: GovernanceChanges| change("governance", changes.encode());
    let registry_of = |changes: RegistryChanges| change("registry", changes.encode());
    let step = |until, scale| RewardStep {
        until: Epoch(until),
        scale: q(scale),
    };
    let bad = [
        staking(StakingChanges::default()),
        staking(StakingChanges {
            min_transfer: Some(q(1)),
            min_commission_rate: Some(q(100_001)),
            ..StakingChanges::default()
        }),
        staking(StakingChanges {
            fee_split_weight_propose: Some(q(0)),
            fee_split_weight_vote: Some(q(0)),
            fee_split_weight_next_propose: Some(q(0)),
            ..StakingChanges::default()
        }),
        staking(StakingChanges {
            reward_schedule: Some(vec![step(2, 1), step(2, 1)]),
            ..StakingChanges::default()
        }),
        staking(StakingChanges {
            reward_schedule: Some(vec![step(2, 100_000_001)]),
            ..StakingChanges::default()
        }),
        governance_of(GovernanceChanges::default()),
        governance_of(GovernanceChanges {
            stake_threshold: Some(66),
            ..GovernanceChanges::default()
        }),
        governance_of(GovernanceChanges {
            stake_threshold: Some(101),
            ..GovernanceChanges::default()
        }),
        governance_of(GovernanceChanges {
            voting_period: Some(3),
            ..GovernanceChanges::default()
        }),
        governance_of(GovernanceChanges {
            upgrade_min_epoch_diff: Some(2),
            ..GovernanceChanges::default()
        }),
        registry_of(RegistryChanges::default()),
        registry_of(RegistryChanges {
            max_node_expiration: Some(0),
            ..RegistryChanges::default()
        }),
        registry_of(RegistryChanges {
            enable_runtime_governance_models: [(4, true)].into(),
            ..RegistryChanges::default()
        }),
        change("keymanager", KeymanagerChanges::default().encode()),
        // Nothing that can be decoded.
        change("staking", vec![0x01]),
        change("governance", vec![0xa1, 0x61, 0x78, 0x00]),
    ];
    let mut network = governed();
    let before = export(&network.view).unwrap();
    for content in bad {
        refused(&network.propose(10, &content), 101);
    }
    let after = export(&network.view).unwrap();
    assert_eq!(after.governance, before.governance);
    assert_eq!(after.staking.params, before.staking.params);
    assert_eq!(balance(&network, 10), 1_000_000);
}

#[test]
fn changes_that_became_impossible_fail() {
    let mut network = governed();
    // Each is right by itself; after the first the second is not.
    let shorter = GovernanceChanges {
        upgrade_min_epoch_diff: Some(3),
        ..GovernanceChanges::default()
    };
    let longer = GovernanceChanges {
        voting_period: Some(2),
        upgrade_cancel_min_epoch_diff: Some(4),
        ..GovernanceChanges::default()
    };
    let off = GovernanceChanges {
        enable_change_parameters_proposal: Some(false),
        ..GovernanceChanges::default()
    };
    let ids = [shorter, off, longer].map(|changes| {
        let content = change("governance", changes.encode());
        network.carry(&content)
    });
    let states = ids.map(|id| network.close(id).state);
    let expected = [
        ProposalState::Passed,
        ProposalState::Passed,
        ProposalState::Failed,
    ];
    assert_eq!(states, expected);
    let params = governance::parameters(&network.view).unwrap();
    assert_eq!(params.upgrade_cancel_min_epoch_diff, 3);
    // Now they are disabled.
    let content = change("staking", StakingChanges::default().encode());
    refused(&network.propose(10, &content), 1);
    network.all_sound();
}

#[test]
fn malformed_proposals_are_refused() {
    let mut network = governed();
    let with = |change: &dyn Fn(&mut ProposalContent)| {
        let mut content = upgrade(9, 1);
        change(&mut content);
        content
    };
    let of_upgrade = |change: &dyn Fn(&mut trilith_protocol::root::governance::Upgrade)| {
        with(&|content| change(content.upgrade.as_mut().unwrap()))
    };
    let titled = |title: &str| {
        with(&|content| {
            content.metadata = Some(ProposalMetadata {
                title: title.into(),
                description: String::new(),
            });
        })
    };
    let bad = [
        ProposalContent::default(),
        with(&|content| content.cancel_upgrade = cancel(1).cancel_upgrade),
        titled("a title"),
        of_upgrade(&|upgrade| upgrade.v = 2),
        of_upgrade(&|upgrade| upgrade.handler = "ab".into()),
        of_upgrade(&|upgrade| upgrade.handler = "a".repeat(33)),
        of_upgrade(&|upgrade| upgrade.target.runtime_host_protocol = version(0)),
        of_upgrade(&|upgrade| upgrade.epoch = Epoch(0)),
        of_upgrade(&|upgrade| upgrade.epoch = Epoch(u64::MAX)),
        change("nobody", StakingChanges::default().encode()),
        activate(&[]),
        activate(&[2, 1]),
        activate(&[1, 1]),
        activate(&(0..65).collect::<Vec<u8>>()),
    ];
    for content in bad {
        refused(&network.propose(10, &content), 1);
    }
    refused(&network.free(10, SUBMIT_PROPOSAL, vec![0x01]), 1);
    refused(&network.free(10, CAST_VOTE, vec![0x01]), 1);
    // A vote that there is not.
    let mut vote = ProposalVote {
        id: 1,
        vote: Vote::Abstain,
    }
    .encode();
    let last = vote.iter().rposition(|byte| *byte == 3).unwrap();
    vote[last] = 4;
    refused(&network.free(10, CAST_VOTE, vote), 1);

    let mut document = governed_document();
    let params = &mut document.services.governance.params;
    params.allow_proposal_metadata = true;
    let mut network = Network::new(&document);
    refused(&network.propose(10, &upgrade(9, 1)), 1);
    refused(&network.propose(10, &titled("ab")), 1);
    refused(&network.propose(10, &titled(&"a".repeat(101))), 1);
    ok(&network.propose(10, &titled("abc")));
    network.all_sound();
}

#[test]
fn every_other_reason_for_refusal() {
    let mut network = governed();
    // 2: an upgrade that is too soon, by one epoch.
    refused(&network.propose(10, &upgrade(3, 1)), 2);
    // 5: no such proposal, to cancel and to vote on.
    refused(&network.propose(10, &cancel(1)), 5);
    refused(&network.vote_on(10, 1, Vote::Yes), 5);
    let id = network.carry(&upgrade(6, 1));
    // 4: an upgrade that is not pending yet.
    refused(&network.propose(10, &cancel(id)), 4);
    assert_eq!(network.close(id).state, ProposalState::Passed);
    // 7: closed.
    refused(&network.vote_on(10, id, Vote::No), 7);
    // 3: another upgrade four epochs away is possible, three are not.
    refused(&network.propose(10, &upgrade(9, 1)), 3);
    ok(&network.propose(10, &upgrade(10, 1)));
    // 2: it is epoch 2; an upgrade at epoch 6 cannot be cancelled from epoch 4 on.
    network.next_epoch();
    network.next_epoch();
    refused(&network.propose(10, &cancel(id)), 2);
    // 4: a proposal of something else.
    let other = network.carry(&activate(&[7]));
    refused(&network.propose(10, &cancel(other)), 4);
    // 102: a feature that was approved.
    assert_eq!(network.close(other).state, ProposalState::Passed);
    refused(&network.propose(10, &activate(&[6, 7])), 102);
    // The deposit is more than there is.
    let receipt = network.propose(60, &upgrade(100, 1));
    assert_eq!(rejection(&receipt), Some(("staking", 3)));
    network.all_sound();
}

#[test]
fn who_may_not_vote() {
    let mut network = governed();
    ok(&network.propose(10, &upgrade(9, 1)));
    // 6: no entity, although it has delegated.
    let (to, amount) = (address(50), q(5_000));
    ok(&network.free(10, TRANSFER, Transfer { to, amount }.encode()));
    let account = address(10);
    ok(&network.free(50, ADD_ESCROW, Escrow { account, amount }.encode()));
    refused(&network.vote_on(50, 1, Vote::Yes), 6);
    // An entity without validator that has delegated may vote, one that has not may not.
    let (to, amount) = (address(60), q(5_000));
    ok(&network.free(10, TRANSFER, Transfer { to, amount }.encode()));
    let account = address(60);
    ok(&network.free(60, ADD_ESCROW, Escrow { account, amount }.encode()));
    ok(&network.register_entity(60, &[]));
    refused(&network.vote_on(60, 1, Vote::Yes), 6);
    let (account, amount) = (address(20), q(1));
    let (to, more) = (address(60), q(5));
    ok(&network.free(10, TRANSFER, Transfer { to, amount: more }.encode()));
    ok(&network.free(60, ADD_ESCROW, Escrow { account, amount }.encode()));
    ok(&network.vote_on(60, 1, Vote::Yes));

    let mut document = governed_document();
    let params = &mut document.services.governance.params;
    params.allow_vote_without_entity = true;
    let mut network = Network::new(&document);
    ok(&network.propose(10, &upgrade(9, 1)));
    refused(&network.vote_on(50, 1, Vote::Yes), 6);
}

#[test]
fn no_stake_at_all_rejects() {
    let mut document = governed_document();
    let params = &mut document.services.staking.params;
    params.thresholds.clear();
    params.debonding_interval = 1;
    let mut network = Network::new(&document);
    let id = network.carry(&activate(&[1]));
    for entity in [10, 20, 30] {
        let all = ReclaimEscrow {
            account: address(entity),
            shares: q(100_000),
        };
        ok(&network.free(entity, RECLAIM_ESCROW, all.encode()));
    }
    let proposal = network.close(id);
    assert_eq!(proposal.state, ProposalState::Rejected);
    assert_eq!(proposal.invalid_votes, 3);
    network.all_sound();
}

#[test]
fn the_numbers_of_proposals_and_votes_are_bounded() {
    // 105: a document with the most votes.
    let mut document = governed_document();
    let count: u32 = 65_536;
    let voter = |number: u32| {
        let mut bytes = [0; Address::LEN];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Address::from_bytes(bytes)
    };
    let active = Proposal {
        id: 1,
        submitter: address(10),
        state: ProposalState::Active,
        deposit: q(0),
        content: upgrade(9, 1),
        created_at: Epoch(0),
        closes_at: Epoch(2),
        results: [].into(),
        invalid_votes: 0,
    };
    let votes = (0..count).map(|number| VoteEntry {
        voter: voter(number),
        vote: Vote::Yes,
    });
    let genesis = &mut document.services.governance;
    genesis.proposals = vec![active];
    genesis.vote_entries = [(1, votes.collect())].into();
    let mut network = Network::new(&document);
    refused(&network.vote_on(10, 1, Vote::Yes), 105);

    // 104: as many proposals as can be voted on.
    let mut document = governed_document();
    let params = &mut document.services.governance.params;
    params.min_proposal_deposit = q(0);
    document.services.transactions.gas_per_byte = 0;
    let mut network = Network::new(&document);
    let body = activate(&[1]).encode();
    let nonce = |network: &Network| network.account(&address(10)).general.nonce;
    while governance::summary(&network.view).unwrap().active.len() < 256 {
        let first = nonce(&network);
        let batch: Vec<Vec<u8>> = (first..first + 64)
            .map(|nonce| {
                let transaction = trilith_protocol::root::Transaction {
                    nonce,
                    fee: Some(FREE),
                    method: SUBMIT_PROPOSAL.into(),
                    body: trilith_protocol::root::RawItem(body.clone()),
                };
                transaction.sign(&network::key(10), &network.chain).encode()
            })
            .collect();
        for receipt in network.height(&batch).receipts {
            assert_eq!(receipt.status, ReceiptStatus::Accepted);
        }
    }
    refused(&network.propose(10, &activate(&[1])), 104);
    network.all_sound();
    // All of them close at once.
    network.next_epoch();
    network.next_epoch();
    let summary = governance::summary(&network.view).unwrap();
    assert_eq!((summary.active.len(), summary.next_proposal), (0, 257));
    network.all_sound();
}

#[test]
fn documents_that_do_not_fit_are_refused() {
    let mut network = governed();
    let id = network.carry(&upgrade(9, 1));
    ok(&network.propose(20, &activate(&[1])));
    let mut document = governed_document();
    document.services = export(&network.view).unwrap();
    assert!(genesis_write_log(&document).is_ok());
    let refused = |change: &dyn Fn(&mut RootGenesis)| {
        let mut document = document.clone();
        change(&mut document);
        genesis_write_log(&document).unwrap_err()
    };
    let rule = |error: GenesisError| matches!(error, GenesisError::Rule { .. });
    let order = |error: GenesisError| matches!(error, GenesisError::Order { .. });
    let sum = refused(&|d| d.services.governance.proposals[0].deposit = q(1));
    assert!(matches!(sum, GenesisError::Sum { .. }));
    assert!(rule(
        refused(&|d| d.services.governance.proposals[0].id = 2)
    ));
    assert!(rule(refused(&|d| {
        d.services.governance.proposals[0].content = ProposalContent::default();
    })));
    assert!(rule(refused(&|d| {
        d.services.governance.proposals[0].invalid_votes = 1;
    })));
    assert!(rule(refused(&|d| {
        d.services.governance.params.stake_threshold = 66;
    })));
    assert!(rule(refused(&|d| {
        let votes = &mut d.services.governance.vote_entries;
        let of_first = votes.remove(&id).unwrap();
        votes.insert(3, of_first);
    })));
    assert!(rule(refused(&|d| {
        let votes = &mut d.services.governance.vote_entries;
        votes.get_mut(&id).unwrap().swap(0, 1);
    })));
    // It has not passed yet.
    assert!(rule(refused(
        &|d| d.services.governance.pending_upgrades = vec![id]
    )));
    assert!(order(refused(&|d| d
        .services
        .governance
        .pending_upgrades = vec![1, 1])));
    let record = FeatureRecord {
        id: feature(1),
        proposal: 0,
        since: Epoch(0),
    };
    assert!(order(refused(&|d| {
        d.services.governance.features = vec![record, record];
    })));
    let many = refused(&|d| {
        let features = (0..4_097u32).map(|number| {
            let mut record = record;
            record.id.0[..4].copy_from_slice(&number.to_be_bytes());
            record
        });
        d.services.governance.features = features.collect();
    });
    assert!(matches!(many, GenesisError::TooMany { .. }));
}

#[test]
fn the_service_answers_questions() {
    let mut network = governed();
    let RootAnswer::Governance(summary) = network.ask(&RootQuery::Governance) else {
        panic!("the service was asked for");
    };
    assert_eq!((summary.next_proposal, summary.active), (1, vec![]));
    assert_eq!(summary.params.voting_period, 2);
    let empty = network.ask(&RootQuery::Proposals(0));
    assert_eq!(empty, RootAnswer::Proposals(Vec::new()));
    let id = network.carry(&upgrade(9, 1));
    ok(&network.propose(20, &activate(&[1])));
    let all = vec![network.proposal(1), network.proposal(2)];
    for first in [0, 1] {
        let page = network.ask(&RootQuery::Proposals(first));
        assert_eq!(page, RootAnswer::Proposals(all.clone()));
    }
    let page = network.ask(&RootQuery::Proposals(2));
    assert_eq!(page, RootAnswer::Proposals(all[1..].to_vec()));
    let end = network.ask(&RootQuery::Proposals(u64::MAX));
    assert_eq!(end, RootAnswer::Proposals(Vec::new()));
    let RootAnswer::Votes(votes) = network.ask(&RootQuery::Votes(of(id))) else {
        panic!("votes were asked for");
    };
    assert_eq!(votes.len(), 3);
    let rest = network.ask(&RootQuery::Votes(VotesOf {
        proposal: id,
        after: Some(votes[0].voter),
    }));
    assert_eq!(rest, RootAnswer::Votes(votes[1..].to_vec()));
    assert_eq!(
        network.ask(&RootQuery::Votes(of(9))),
        RootAnswer::Votes(Vec::new())
    );
}

#[test]
fn a_fee_is_paid_for_a_refused_proposal() {
    let mut network = governed();
    let fee = Fee {
        amount: q(700),
        gas: 100_000,
    };
    let body = upgrade(1, 1).encode();
    let transaction = network.signed(10, SUBMIT_PROPOSAL, body, Some(fee));
    let receipt = network.height(&[transaction]).receipts.remove(0);
    refused(&receipt, 2);
    assert_eq!(balance(&network, 10), 1_000_000 - 700);
    assert_eq!(network.next_proposal(), 1);
    network.all_sound();
}

/// What entities and others do.
#[derive(Clone, Debug)]
enum Act {
    Call(u8, &'static str, Vec<u8>),
    /// Proposes, and all entities are for it.
    Carry(u8, ProposalContent),
    Idle(u64),
}

fn content() -> impl Strategy<Value = ProposalContent> {
    let staking = (0..2_000u128, any::<bool>()).prop_map(|(least, off)| {
        let changes = StakingChanges {
            min_transfer: Some(q(least)),
            disable_delegation: Some(off),
            ..StakingChanges::default()
        };
        change("staking", changes.encode())
    });
    let own = (1..5u64, 60..105u8, 0..3_000u128).prop_map(|(period, threshold, deposit)| {
        let changes = GovernanceChanges {
            voting_period: Some(period),
            stake_threshold: Some(threshold),
            min_proposal_deposit: Some(q(deposit)),
            ..GovernanceChanges::default()
        };
        change("governance", changes.encode())
    });
    prop_oneof![
        2 => (3..14u64).prop_map(|epoch| upgrade(epoch, 1)),
        1 => (1..6u64).prop_map(cancel),
        2 => staking,
        2 => own,
        3 => proptest::collection::btree_set(1..20u8, 0..4)
            .prop_map(|ids| activate(&ids.into_iter().collect::<Vec<u8>>())),
    ]
}

/// Entities 10, 20 and 30, and account 50, which has no entity.
fn act() -> impl Strategy<Value = Act> {
    let who = || prop_oneof![3 => Just(10u8), 3 => Just(20), 3 => Just(30), 1 => Just(50)];
    let vote = prop_oneof![4 => Just(Vote::Yes), 1 => Just(Vote::No), 1 => Just(Vote::Abstain)];
    prop_oneof![
        4 => (who(), content()).prop_map(|(who, content)| {
            Act::Call(who, SUBMIT_PROPOSAL, content.encode())
        }),
        3 => (who(), content()).prop_map(|(who, content)| Act::Carry(who, content)),
        12 => (who(), 1..8u64, vote).prop_map(|(who, id, vote)| {
            Act::Call(who, CAST_VOTE, ProposalVote { id, vote }.encode())
        }),
        1 => (who(), who(), 0..60_000u128).prop_map(|(who, to, amount)| {
            let body = Escrow { account: address(to), amount: q(amount) };
            Act::Call(who, ADD_ESCROW, body.encode())
        }),
        1 => (who(), who(), 0..60_000u128).prop_map(|(who, to, shares)| {
            let body = ReclaimEscrow { account: address(to), shares: q(shares) };
            Act::Call(who, RECLAIM_ESCROW, body.encode())
        }),
        1 => (who(), 0..3_000u128).prop_map(|(who, amount)| {
            let body = Transfer { to: address(50), amount: q(amount) };
            Act::Call(who, TRANSFER, body.encode())
        }),
        1 => (who(), content(), any::<u8>(), any::<proptest::sample::Index>()).prop_map(
            |(who, content, byte, at)| {
                let mut body = content.encode();
                let at = at.index(body.len());
                body[at] = byte;
                Act::Call(who, SUBMIT_PROPOSAL, body)
            },
        ),
        3 => (1..9u64).prop_map(Act::Idle),
    ]
}

/// The root over what the services keep.
fn root_of_services(network: &Network) -> trilith_types::Hash {
    let entries = network.view.entries.iter();
    let entries = entries.filter(|(key, _)| b"SRGK".contains(&key[0]));
    trilith_mkvs::root_of(entries.map(|(key, value)| (key.clone(), value.clone()))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Over any history: stake is conserved, the service's state is sound, features stay approved,
    /// what a root remembers changes nothing, and a document made of the state gives the same state
    /// of the services.
    #[test]
    fn governance_keeps_its_invariants(acts in proptest::collection::vec(act(), 1..80)) {
        let mut document = governed_document();
        document.services.governance.params.allow_vote_without_entity = true;
        let mut network = Network::new(&document);
        let mut forgetful = Network::new(&document);
        forgetful.remember = false;
        let mut approved: Vec<FeatureRecord> = Vec::new();
        for act in acts {
            let calls = match act {
                Act::Call(who, method, body) => vec![(who, method, body)],
                Act::Carry(who, content) => {
                    let id = network.next_proposal();
                    let vote = Vote::Yes;
                    let vote = ProposalVote { id, vote }.encode();
                    let votes = [10, 20, 30].map(|who| (who, CAST_VOTE, vote.clone()));
                    let submit = (who, SUBMIT_PROPOSAL, content.encode());
                    [vec![submit], votes.into()].concat()
                }
                Act::Idle(heights) => {
                    network.idle(heights);
                    forgetful.idle(heights);
                    Vec::new()
                }
            };
            for (who, method, body) in calls {
                let inputs = [network.signed(who, method, body, Some(FREE))];
                let one = network.height(&inputs);
                let two = forgetful.height(&inputs);
                prop_assert_eq!(one.write_log, two.write_log);
                prop_assert_eq!(one.receipts, two.receipts);
            }
            prop_assert_eq!(staking::total_supply(&network.view), Ok(q(SUPPLY)));
            prop_assert_eq!(staking::check(&network.view), Ok(()));
            prop_assert_eq!(governance::check(&network.view), Ok(()));
            // What is approved stays so, since the same epoch.
            let features = governance::features(&network.view).unwrap().features;
            prop_assert!(approved.iter().all(|record| features.contains(record)));
            approved = features;
        }
        prop_assert_eq!(network.view.root(), forgetful.view.root());
        let mut other = document.clone();
        other.services = export(&network.view).unwrap();
        let bytes = other.encode();
        prop_assert_eq!(RootGenesis::decode(&bytes), Ok(other.clone()));
        let imported = Network::new(&other);
        prop_assert_eq!(root_of_services(&network), root_of_services(&imported));
    }
}
