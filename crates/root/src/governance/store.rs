//! Where things of the governance service stand in the state. See the service for the table.

use std::ops::ControlFlow;

use trilith_params::root::{PROPOSALS_PAGE, VOTES_PAGE};
use trilith_protocol::root::governance::{
    FeatureRecord, GovernanceParameters, Proposal, VoteEntry,
};
use trilith_protocol::root::{Address, FeatureId, GovernanceSummary, VotesOf};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, StateFault, StateRead};

use crate::overlay::{Entry, Overlay, Values};
use crate::scope::{Scope, broken};
use crate::state::{Record, decoded, read, record_of_encoded};

pub(super) const PARAMETERS: &[u8] = b"Gp";
pub(super) const NEXT: &[u8] = b"Gi";
pub(super) const PROPOSALS: &[u8] = b"Gn";
pub(super) const ACTIVE: &[u8] = b"Ga";
pub(super) const VOTES: &[u8] = b"Gv";
pub(super) const UPGRADES: &[u8] = b"Gu";
pub(super) const FEATURES: &[u8] = b"Gf";

/// Number of the first proposal.
pub(super) const FIRST: u64 = 1;

/// What stands at a key of an index: a true.
pub(super) const MARK: &[u8] = &[0xf5];

record_of_encoded!(GovernanceParameters, "governance parameters");
record_of_encoded!(Proposal, "proposal");
record_of_encoded!(VoteEntry, "vote");
record_of_encoded!(FeatureRecord, "feature");

/// A number by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number(pub(super) u64);

impl Record for Number {
    const NAME: &'static str = "number";

    fn to_bytes(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.uint(self.0);
        encoder.finish()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let number = decoder.uint()?;
        decoder.finish()?;
        Ok(Self(number))
    }
}

pub(super) fn proposal_key(id: u64) -> Vec<u8> {
    [PROPOSALS, &id.to_be_bytes()].concat()
}

/// The key of a proposal in an index by epoch.
pub(super) fn at_epoch(prefix: &[u8], epoch: Epoch, id: u64) -> Vec<u8> {
    [prefix, &epoch.0.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// Reads [`at_epoch`].
fn epoch_and_id(prefix: &[u8], key: &[u8]) -> Option<(Epoch, u64)> {
    let rest = key.strip_prefix(prefix)?;
    let (epoch, rest) = rest.split_first_chunk::<8>()?;
    let id = u64::from_be_bytes(rest.try_into().ok()?);
    Some((Epoch(u64::from_be_bytes(*epoch)), id))
}

pub(super) fn votes_prefix(id: u64) -> Vec<u8> {
    [VOTES, &id.to_be_bytes()].concat()
}

pub(super) fn vote_key(id: u64, voter: &Address) -> Vec<u8> {
    [VOTES, &id.to_be_bytes(), voter.as_bytes()].concat()
}

pub(super) fn feature_key(feature: &FeatureId) -> Vec<u8> {
    [FEATURES, &feature.0].concat()
}

/// An index by epoch, up to an epoch, ascending: epoch, number, value.
pub(super) fn index_until(
    overlay: &Overlay<'_>,
    prefix: &[u8],
    last: Epoch,
) -> Result<Vec<(Epoch, u64, Vec<u8>)>, StateFault> {
    let entries = overlay.entries(prefix, |key| match epoch_and_id(prefix, key) {
        Some((epoch, _)) if epoch > last => ControlFlow::Break(()),
        _ => ControlFlow::Continue(true),
    })?;
    let read = |(key, value): Entry| {
        let (epoch, id) = epoch_and_id(prefix, &key)
            .ok_or_else(|| broken("an index of proposals has a key of another length"))?;
        Ok((epoch, id, value))
    };
    entries.into_iter().map(read).collect()
}

/// The parameters in a height in the making.
pub(crate) fn parameters_of(scope: &mut Scope<'_>) -> Result<GovernanceParameters, StateFault> {
    Ok(scope.overlay.record(PARAMETERS)?.unwrap_or_default())
}

/// Writes the parameters, unless they are the default.
pub(super) fn save_parameters(scope: &mut Scope<'_>, parameters: &GovernanceParameters) {
    let is_default = *parameters == GovernanceParameters::default();
    let value = (!is_default).then(|| parameters.to_bytes());
    scope.overlay.put(PARAMETERS.to_vec(), value);
}

/// A proposal in a height in the making.
pub(super) fn load_proposal(
    scope: &mut Scope<'_>,
    id: u64,
) -> Result<Option<Proposal>, StateFault> {
    scope.overlay.record(&proposal_key(id))
}

/// The votes on a proposal, ascending by voter.
pub(super) fn votes_on(overlay: &Overlay<'_>, id: u64) -> Result<Vec<VoteEntry>, StateFault> {
    let entries = overlay.all(&votes_prefix(id))?;
    entries.iter().map(|(_, value)| decoded(value)).collect()
}

/// Numbers of an index, in its order.
fn ids(overlay: &Overlay<'_>, prefix: &[u8]) -> Result<Vec<u64>, StateFault> {
    let entries = index_until(overlay, prefix, Epoch(u64::MAX))?;
    Ok(entries.into_iter().map(|(_, id, _)| id).collect())
}

/// The parameters.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn parameters(view: &dyn StateRead) -> Result<GovernanceParameters, StateFault> {
    Ok(read(view, PARAMETERS)?.unwrap_or_default())
}

/// A proposal; `None` if there is none of this number.
///
/// # Errors
/// See [`parameters`].
pub fn proposal(view: &dyn StateRead, id: u64) -> Result<Option<Proposal>, StateFault> {
    read(view, &proposal_key(id))
}

/// A page of proposals, ascending, those from number `first` on.
///
/// # Errors
/// See [`parameters`].
pub fn proposals(view: &dyn StateRead, first: u64) -> Result<Vec<Proposal>, StateFault> {
    // Their numbers have no gaps.
    let last = first.saturating_add(PROPOSALS_PAGE as u64);
    let mut page = Vec::new();
    for id in first.max(FIRST)..last {
        let Some(found) = proposal(view, id)? else {
            break;
        };
        page.push(found);
    }
    Ok(page)
}

/// A page of votes on a proposal, ascending by voter.
///
/// # Errors
/// See [`parameters`].
pub fn votes(view: &dyn StateRead, of: &VotesOf) -> Result<Vec<VoteEntry>, StateFault> {
    let overlay = Overlay::new(view, Values::new());
    let after = of.after.map(|voter| vote_key(of.proposal, &voter));
    let mut count = 0;
    let entries = overlay.entries(&votes_prefix(of.proposal), |key| {
        if after.as_deref().is_some_and(|after| key <= after) {
            return ControlFlow::Continue(false);
        }
        if count == VOTES_PAGE {
            return ControlFlow::Break(());
        }
        count += 1;
        ControlFlow::Continue(true)
    })?;
    entries.iter().map(|(_, value)| decoded(value)).collect()
}

/// How the service stands.
///
/// # Errors
/// See [`parameters`].
pub fn summary(view: &dyn StateRead) -> Result<GovernanceSummary, StateFault> {
    let overlay = Overlay::new(view, Values::new());
    Ok(GovernanceSummary {
        params: parameters(view)?,
        next_proposal: read(view, NEXT)?.map_or(FIRST, |Number(next)| next),
        active: ids(&overlay, ACTIVE)?,
        pending_upgrades: ids(&overlay, UPGRADES)?,
    })
}
