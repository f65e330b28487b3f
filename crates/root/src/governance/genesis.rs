//! The governance service's part of a genesis document: into the state, and out of it.
//!
//! A document may come from another network, at any of its epochs: epochs are not checked.
//!
//! Source: Oasis Core `apps/governance/genesis.go`, `governance/api/sanity_check.go`.

use trilith_params::root::{FEATURES_MAX, PROPOSAL_VOTES_MAX};
use trilith_protocol::root::governance::{
    FeatureRecord, GovernanceGenesis, GovernanceParameters, Proposal, ProposalState, VoteEntry,
};
use trilith_protocol::root::staking::StakingGenesis;
use trilith_protocol::root::{GenesisError, Quantity};
use trilith_types::{StateFault, StateRead};

use super::change::sound;
use super::store::{
    self, ACTIVE, FEATURES, FIRST, MARK, NEXT, Number, PARAMETERS, PROPOSALS, UPGRADES, at_epoch,
    feature_key, proposal_key, vote_key, votes_on,
};
use crate::overlay::{Entry, Overlay, Values};
use crate::state::{Record, decoded};

/// The entries of the state that a document gives.
///
/// # Errors
/// [`GenesisError`] if the document breaks a rule.
pub(crate) fn import(
    genesis: &GovernanceGenesis,
    staking: &StakingGenesis,
) -> Result<Vec<Entry>, GenesisError> {
    sound(&genesis.params).map_err(refused)?;
    let mut entries = Vec::new();
    if genesis.params != GovernanceParameters::default() {
        entries.push((PARAMETERS.to_vec(), genesis.params.to_bytes()));
    }
    proposals(genesis, staking, &mut entries)?;
    votes(genesis, &mut entries)?;
    upgrades(genesis, &mut entries)?;
    features(&genesis.features, &mut entries)?;
    Ok(entries)
}

fn refused(rule: String) -> GenesisError {
    let part = "governance parameters, proposals, votes or features";
    GenesisError::Rule { part, rule }
}

fn proposals(
    genesis: &GovernanceGenesis,
    staking: &StakingGenesis,
    entries: &mut Vec<Entry>,
) -> Result<(), GenesisError> {
    let mut next = FIRST;
    let mut deposits = Some(Quantity::ZERO);
    for proposal in &genesis.proposals {
        let id = proposal.id;
        if id != next {
            let rule = format!("proposal {id} stands where proposal {next} must");
            return Err(refused(rule));
        }
        next = id.checked_add(1).ok_or_else(|| {
            refused(format!(
                "proposal {id} has the last number, there is no next"
            ))
        })?;
        super::rules::kind(&proposal.content)
            .map_err(|rule| refused(format!("proposal {id}: {rule}")))?;
        if proposal.state == ProposalState::Active {
            if !proposal.results.is_empty() || proposal.invalid_votes > 0 {
                let rule = format!("proposal {id} is active and has results");
                return Err(refused(rule));
            }
            deposits = deposits.and_then(|sum| sum.plus(proposal.deposit));
            let count = genesis.vote_entries.get(&id).map_or(0, Vec::len) as u64;
            let key = at_epoch(ACTIVE, proposal.closes_at, id);
            entries.push((key, Number(count).to_bytes()));
        }
        entries.push((proposal_key(id), proposal.to_bytes()));
    }
    if next > FIRST {
        entries.push((NEXT.to_vec(), Number(next).to_bytes()));
    }
    let found = staking.governance_deposits;
    if deposits != Some(found) {
        return Err(GenesisError::Sum {
            what: "deposits of active proposals",
            found,
            expected: deposits.unwrap_or(Quantity::MAX),
        });
    }
    Ok(())
}

fn votes(genesis: &GovernanceGenesis, entries: &mut Vec<Entry>) -> Result<(), GenesisError> {
    for (id, votes) in &genesis.vote_entries {
        let known = (FIRST..=genesis.proposals.len() as u64).contains(id);
        let ascending = votes.windows(2).all(|pair| pair[0].voter < pair[1].voter);
        let count = votes.len() as u64;
        if !known || !ascending || votes.is_empty() || count > PROPOSAL_VOTES_MAX {
            let rule = format!(
                "the {count} votes on proposal {id} must be from 1 to {PROPOSAL_VOTES_MAX}, \
                 ascending by voter, and on a proposal that is there"
            );
            return Err(refused(rule));
        }
        for vote in votes {
            entries.push((vote_key(*id, &vote.voter), vote.to_bytes()));
        }
    }
    Ok(())
}

fn upgrades(genesis: &GovernanceGenesis, entries: &mut Vec<Entry>) -> Result<(), GenesisError> {
    let ids = &genesis.pending_upgrades;
    if !ids.windows(2).all(|pair| pair[0] < pair[1]) {
        let what = "pending upgrades";
        return Err(GenesisError::Order { what });
    }
    for id in ids {
        let mut proposals = genesis.proposals.iter();
        let proposal = proposals
            .find(|proposal| proposal.id == *id && proposal.state == ProposalState::Passed);
        let upgrade = proposal.and_then(|proposal| proposal.content.upgrade.as_ref());
        let upgrade = upgrade.ok_or_else(|| {
            refused(format!(
                "proposal {id} is pending and not an upgrade that passed"
            ))
        })?;
        entries.push((at_epoch(UPGRADES, upgrade.epoch, *id), MARK.to_vec()));
    }
    Ok(())
}

fn features(features: &[FeatureRecord], entries: &mut Vec<Entry>) -> Result<(), GenesisError> {
    let (what, count, limit) = ("features", features.len(), FEATURES_MAX);
    if count > limit {
        return Err(GenesisError::TooMany { what, count, limit });
    }
    if !features.windows(2).all(|pair| pair[0].id < pair[1].id) {
        return Err(GenesisError::Order { what });
    }
    let records = features.iter();
    entries.extend(records.map(|record| (feature_key(&record.id), record.to_bytes())));
    Ok(())
}

/// What the state holds, as a part of a genesis document. Importing it gives the same entries.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn export(view: &dyn StateRead) -> Result<GovernanceGenesis, StateFault> {
    let overlay = Overlay::new(view, Values::new());
    let proposals: Vec<Proposal> = list(&overlay, PROPOSALS)?;
    let mut genesis = GovernanceGenesis {
        params: store::parameters(view)?,
        features: list(&overlay, FEATURES)?,
        pending_upgrades: store::summary(view)?.pending_upgrades,
        ..GovernanceGenesis::default()
    };
    genesis.pending_upgrades.sort_unstable();
    for proposal in &proposals {
        let votes: Vec<VoteEntry> = votes_on(&overlay, proposal.id)?;
        if !votes.is_empty() {
            genesis.vote_entries.insert(proposal.id, votes);
        }
    }
    genesis.proposals = proposals;
    Ok(genesis)
}

fn list<R: Record>(overlay: &Overlay<'_>, prefix: &[u8]) -> Result<Vec<R>, StateFault> {
    let entries = overlay.all(prefix)?;
    entries.iter().map(|(_, value)| decoded(value)).collect()
}
