//! A network whose three entities vote, for tests of governance and features.

// Every test binary uses its own part of this file.
#![allow(dead_code)]

use trilith_protocol::root::governance::{
    ActivateFeatures, CAST_VOTE, CancelUpgrade, ChangeParameters, GovernanceEvent, Proposal,
    ProposalContent, ProposalState, ProposalVote, ProtocolVersions, SUBMIT_PROPOSAL, Upgrade, Vote,
};
use trilith_protocol::root::{FeatureId, Quantity, RawItem, RootAnswer, RootQuery};
use trilith_protocol::{QueryContext, ROOT_RUNTIME, Receipt, RootEvent, RootGenesis, Runtime as _};
use trilith_root::{governance, keymanager};
use trilith_types::{Epoch, PublicKey, Round, TimeNanos};

use crate::network::{Network, node, rejection};
use crate::registered::{
    FREE, VALIDATOR, document, entity_of, node_of, signed_entity, signed_node, version,
};

/// What a proposal costs until it is decided.
pub const DEPOSIT: u128 = 1_000;

/// By entity, its validator.
pub const VALIDATORS: [(u8, u8); 3] = [(10, 41), (20, 44), (30, 46)];

pub fn q(units: u128) -> Quantity {
    Quantity::new(units)
}

/// Entities 10, 20 and 30, each with a validator and a third of the voting stake; proposals close
/// after two epochs.
pub fn governed_document() -> RootGenesis {
    let mut document = document();
    let services = &mut document.services;
    let params = &mut services.governance.params;
    params.min_proposal_deposit = q(DEPOSIT);
    params.voting_period = 2;
    params.upgrade_min_epoch_diff = 4;
    params.upgrade_cancel_min_epoch_diff = 3;
    // Registered for long: renewals may be for as long.
    services.registry.params.max_node_expiration = 0;
    let mut entities: Vec<(PublicKey, _)> = Vec::new();
    let mut nodes: Vec<(PublicKey, _)> = Vec::new();
    for (entity, number) in VALIDATORS {
        let signed = signed_entity(&entity_of(entity, &[number]), entity);
        entities.push((node(entity), signed));
        let validator = node_of(entity, number, 1_000, (VALIDATOR, &[]));
        nodes.push((node(number), signed_node(&validator, number)));
    }
    entities.sort_by_key(|(id, _)| *id);
    nodes.sort_by_key(|(id, _)| *id);
    services.registry.entities = entities.into_iter().map(|(_, signed)| signed).collect();
    services.registry.nodes = nodes.into_iter().map(|(_, signed)| signed).collect();
    document
}

pub fn governed() -> Network {
    Network::new(&governed_document())
}

/// An upgrade to a version of the root's protocol.
pub fn upgrade(epoch: u64, major: u16) -> ProposalContent {
    ProposalContent {
        upgrade: Some(Upgrade {
            v: 1,
            handler: "next".into(),
            target: ProtocolVersions {
                consensus_protocol: version(major),
                runtime_host_protocol: version(1),
                runtime_committee_protocol: version(1),
            },
            epoch: Epoch(epoch),
        }),
        ..ProposalContent::default()
    }
}

pub fn cancel(proposal_id: u64) -> ProposalContent {
    ProposalContent {
        cancel_upgrade: Some(CancelUpgrade { proposal_id }),
        ..ProposalContent::default()
    }
}

pub fn change(module: &str, changes: Vec<u8>) -> ProposalContent {
    ProposalContent {
        change_parameters: Some(ChangeParameters {
            module: module.into(),
            changes: RawItem(changes),
        }),
        ..ProposalContent::default()
    }
}

pub fn feature(number: u8) -> FeatureId {
    FeatureId([number; 32])
}

pub fn activate(numbers: &[u8]) -> ProposalContent {
    ProposalContent {
        activate_features: Some(ActivateFeatures {
            ids: numbers.iter().map(|number| feature(*number)).collect(),
        }),
        ..ProposalContent::default()
    }
}

pub fn refused(receipt: &Receipt, code: u32) {
    let found = rejection(receipt);
    assert_eq!(found, Some(("governance", code)), "{:?}", receipt.status);
}

impl Network {
    pub fn propose(&mut self, who: u8, content: &ProposalContent) -> Receipt {
        self.free(who, SUBMIT_PROPOSAL, content.encode())
    }

    pub fn vote_on(&mut self, who: u8, id: u64, vote: Vote) -> Receipt {
        self.free(who, CAST_VOTE, ProposalVote { id, vote }.encode())
    }

    /// A proposal that is made and voted for in one height, by all.
    pub fn carry(&mut self, content: &ProposalContent) -> u64 {
        let receipt = self.propose(10, content);
        assert_eq!(rejection(&receipt), None, "{:?}", receipt.status);
        let id = self.next_proposal() - 1;
        let votes = VALIDATORS.map(|(entity, _)| {
            let body = ProposalVote {
                id,
                vote: Vote::Yes,
            };
            self.signed(entity, CAST_VOTE, body.encode(), Some(FREE))
        });
        for receipt in self.height(&votes).receipts {
            assert_eq!(rejection(&receipt), None, "{:?}", receipt.status);
        }
        id
    }

    /// Goes on until votes are counted.
    pub fn close(&mut self, id: u64) -> Proposal {
        for _ in 0..5 {
            let proposal = self.proposal(id);
            if proposal.state != ProposalState::Active {
                return proposal;
            }
            self.next_epoch();
        }
        panic!("proposal {id} does not close");
    }

    pub fn proposal(&self, id: u64) -> Proposal {
        governance::proposal(&self.view, id).unwrap().unwrap()
    }

    pub fn next_proposal(&self) -> u64 {
        governance::summary(&self.view).unwrap().next_proposal
    }

    pub fn governance_events(&self) -> Vec<GovernanceEvent> {
        let events = self.events().into_iter();
        let ours = |event| match event {
            RootEvent::Governance(event) => Some(event),
            _ => None,
        };
        events.filter_map(ours).collect()
    }

    pub fn all_sound(&self) {
        self.sound();
        assert_eq!(governance::check(&self.view), Ok(()));
        assert_eq!(keymanager::check(&self.view), Ok(()));
    }

    /// Asks the root, through the encodings.
    pub fn ask(&self, query: &RootQuery) -> RootAnswer {
        let context = QueryContext {
            runtime: ROOT_RUNTIME,
            round: Round(0),
            time: TimeNanos(0),
            now: TimeNanos(0),
            attested: None,
        };
        let bytes = query.encode();
        assert_eq!(RootQuery::decode(&bytes).as_ref(), Ok(query));
        let answer = self.root.query(&self.view, &bytes, &context).unwrap();
        let decoded = RootAnswer::decode(&answer).unwrap();
        assert_eq!(decoded.encode(), answer);
        decoded
    }
}
