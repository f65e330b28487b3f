//! Feature gates: approved by governance, pending, active from the next epoch on, on every node at
//! the same height.

mod governed;
mod network;
mod registered;

use governed::{activate, feature, governed, governed_document, q, refused};
use network::{Network, OTHER, RUNTIME, address, node, rejection};
use registered::{VALIDATOR, document, entity_of, node_of, ok, signed_entity, signed_node};
use trilith_protocol::root::governance::{
    FeatureActivatedEvent, FeatureApprovedEvent, FeatureRecord, GovernanceEvent, ProposalState,
    Vote,
};
use trilith_protocol::root::{ActiveFeature, FeatureId, RootAnswer, RootQuery};
use trilith_root::governance;
use trilith_types::{Epoch, StateRead as _};

/// What a round of a runtime sees.
fn seen(network: &Network) -> Vec<ActiveFeature> {
    let RootAnswer::FromRoot(news) = network.ask(&RootQuery::FromRoot(RUNTIME)) else {
        panic!("news from the root were asked for");
    };
    // Features are for all runtimes.
    let other = network.ask(&RootQuery::FromRoot(OTHER));
    assert_eq!(other, RootAnswer::FromRoot(news.clone()));
    news.features
}

fn known(network: &Network) -> (u64, Vec<FeatureRecord>) {
    let RootAnswer::Features(list) = network.ask(&RootQuery::Features) else {
        panic!("features were asked for");
    };
    (list.epoch.0, list.features)
}

/// Two replicas, of which one remembers what it wrote and the other starts anew at every height.
struct Replicas(Network, Network);

impl Replicas {
    fn new() -> Self {
        let mut forgetful = governed();
        forgetful.remember = false;
        Self(governed(), forgetful)
    }

    fn both(&mut self, act: impl Fn(&mut Network)) {
        act(&mut self.0);
        act(&mut self.1);
        assert_eq!(self.0.view.root(), self.1.view.root());
        assert_eq!(seen(&self.0), seen(&self.1));
    }
}

#[test]
fn a_feature_is_approved_then_pending_then_active_on_every_replica() {
    let mut replicas = Replicas::new();
    replicas.both(|network| {
        assert_eq!(network.carry(&activate(&[3, 7])), 1);
        assert_eq!(known(network), (0, Vec::new()));
        network.next_epoch();
    });
    replicas.both(|network| {
        // Votes are counted at the first height of epoch 2: approved, and pending through it.
        network.next_epoch();
        assert_eq!(network.proposal(1).state, ProposalState::Passed);
        let record = |number| FeatureRecord {
            id: feature(number),
            proposal: 1,
            since: Epoch(3),
        };
        assert_eq!(known(network), (2, vec![record(3), record(7)]));
        let approved = GovernanceEvent::FeatureApproved(FeatureApprovedEvent {
            feature: feature(7),
            proposal: 1,
            since: Epoch(3),
        });
        assert!(network.governance_events().contains(&approved));
        assert!(!record(3).is_active(Epoch(2)) && record(3).is_active(Epoch(3)));
    });
    for _ in 0..9 {
        replicas.both(|network| {
            assert_eq!(seen(network), Vec::new());
            network.idle(1);
        });
    }
    replicas.both(|network| {
        assert_eq!((network.epoch(), seen(network)), (2, Vec::new()));
        // The very next height is the first of epoch 3.
        network.idle(1);
        let active = |number| ActiveFeature {
            id: feature(number),
            since: Epoch(3),
        };
        assert_eq!(network.epoch(), 3);
        assert_eq!(seen(network), vec![active(3), active(7)]);
        let told = GovernanceEvent::FeatureActivated(FeatureActivatedEvent {
            feature: feature(3),
        });
        assert!(network.governance_events().contains(&told));
    });
    replicas.both(|network| {
        // For ever, and told once.
        network.next_epoch();
        assert_eq!(seen(network).len(), 2);
        assert_eq!(network.governance_events(), Vec::new());
        network.all_sound();
    });
}

#[test]
fn a_feature_is_approved_once() {
    let mut network = governed();
    // Both are proposed while neither is approved.
    let first = network.carry(&activate(&[1, 2]));
    let second = network.carry(&activate(&[2, 3]));
    assert_eq!(network.close(first).state, ProposalState::Passed);
    assert_eq!(network.close(second).state, ProposalState::Failed);
    let ids: Vec<FeatureId> = known(&network).1.iter().map(|record| record.id).collect();
    assert_eq!(ids, vec![feature(1), feature(2)]);
    // Pending and active ones are refused.
    refused(&network.propose(10, &activate(&[2])), 102);
    network.next_epoch();
    refused(&network.propose(10, &activate(&[1, 9])), 102);
    network.all_sound();
}

#[test]
fn a_document_can_have_active_features_up_to_the_limit() {
    let mut document = governed_document();
    let record = |number: u32| {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        FeatureRecord {
            id: FeatureId(id),
            proposal: 0,
            since: Epoch(0),
        }
    };
    let features = &mut document.services.governance.features;
    *features = (0..4_095).map(record).collect();
    // One more is pending for longer.
    features.push(FeatureRecord {
        since: Epoch(5),
        ..record(4_095)
    });
    let mut network = Network::new(&document);
    assert_eq!(seen(&network).len(), 4_095);
    refused(&network.propose(10, &activate(&[200])), 103);
    network.all_sound();
}

/// What a developer network does to activate a feature: it has one entity, whose key signs both
/// transactions, with all stake, and a voting period of one epoch.
#[test]
fn one_entity_activates_a_feature_in_two_epochs() {
    let mut document = document();
    let services = &mut document.services;
    let params = &mut services.governance.params;
    params.voting_period = 1;
    params.upgrade_min_epoch_diff = 2;
    params.upgrade_cancel_min_epoch_diff = 2;
    services.registry.params.max_node_expiration = 0;
    let entity = signed_entity(&entity_of(10, &[41]), 10);
    services.registry.entities = vec![entity];
    let validator = node_of(10, 41, 1_000, (VALIDATOR, &[]));
    services.registry.nodes = vec![signed_node(&validator, 41)];
    // The others' stake has no validator: it does not vote.
    let mut network = Network::new(&document);
    assert_eq!(
        network.account(&address(10)).escrow.active.balance,
        q(100_000)
    );
    let RootAnswer::Governance(summary) = network.ask(&RootQuery::Governance) else {
        panic!("the service was asked for");
    };
    ok(&network.propose(10, &activate(&[5])));
    ok(&network.vote_on(10, summary.next_proposal, Vote::Yes));
    assert_eq!((network.epoch(), seen(&network)), (0, Vec::new()));
    network.next_epoch();
    assert_eq!(known(&network).1.len(), 1);
    assert_eq!(seen(&network), Vec::new());
    network.next_epoch();
    let since = Epoch(2);
    let id = feature(5);
    assert_eq!(seen(&network), vec![ActiveFeature { id, since }]);
    assert_eq!(
        governance::active_features(&network.view),
        Ok(vec![ActiveFeature { id, since }])
    );
    // Somebody else's vote does not count: nobody else can.
    let receipt = network.vote_on(20, 1, Vote::Yes);
    assert_eq!(rejection(&receipt), Some(("governance", 6)));
    assert_eq!(node(41), validator.id);
}
