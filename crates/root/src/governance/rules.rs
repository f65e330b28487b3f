//! What a proposal must be by itself.
//!
//! Source: Oasis Core `governance/api` (`ProposalContent.ValidateBasic`), `upgrade/api`
//! (`Descriptor.ValidateBasic`).

use trilith_params::root::{
    PROPOSAL_FEATURES_MAX, PROPOSAL_TITLE_BYTES_MAX, PROPOSAL_TITLE_BYTES_MIN,
    UPGRADE_HANDLER_BYTES_MAX, UPGRADE_HANDLER_BYTES_MIN,
};
use trilith_protocol::root::governance::{
    ActivateFeatures, GovernanceParameters, ProposalContent, ProposalMetadata, UPGRADE_VERSION,
    Upgrade,
};
use trilith_protocol::root::registry::Version;
use trilith_types::Epoch;

use super::ArgumentRule;

/// The epochs an upgrade can be at. Source: Oasis Core `upgrade/api` (`MinUpgradeEpoch`,
/// `MaxUpgradeEpoch`), `beacon/api` (`EpochInvalid` is 2^64 - 1).
const UPGRADE_EPOCHS: std::ops::RangeInclusive<u64> = 1..=u64::MAX - 2;

/// What is proposed, of which there is exactly one.
pub(super) enum Kind<'a> {
    Upgrade(&'a Upgrade),
    CancelUpgrade(u64),
    ChangeParameters(&'a str, &'a [u8]),
    ActivateFeatures(&'a ActivateFeatures),
}

/// The one thing that is proposed.
pub(super) fn kind(content: &ProposalContent) -> Result<Kind<'_>, ArgumentRule> {
    let kinds = [
        content.upgrade.as_ref().map(Kind::Upgrade),
        content
            .cancel_upgrade
            .as_ref()
            .map(|cancel| Kind::CancelUpgrade(cancel.proposal_id)),
        content
            .change_parameters
            .as_ref()
            .map(|change| Kind::ChangeParameters(&change.module, &change.changes.0)),
        content
            .activate_features
            .as_ref()
            .map(Kind::ActivateFeatures),
    ];
    let mut kinds: Vec<Kind<'_>> = kinds.into_iter().flatten().collect();
    match (kinds.pop(), kinds.len()) {
        (Some(kind), 0) => Ok(kind),
        (None, _) => Err(ArgumentRule::Kinds(0)),
        (Some(_), others) => Err(ArgumentRule::Kinds(others + 1)),
    }
}

/// Checks a proposal by itself.
pub(super) fn check_form<'a>(
    content: &'a ProposalContent,
    parameters: &GovernanceParameters,
) -> Result<Kind<'a>, ArgumentRule> {
    let expected = parameters.allow_proposal_metadata;
    match &content.metadata {
        Some(metadata) if expected => title(metadata)?,
        None if !expected => {}
        found => {
            let found = found.is_some();
            return Err(ArgumentRule::Metadata { found, expected });
        }
    }
    let kind = kind(content)?;
    match &kind {
        Kind::Upgrade(upgrade) => descriptor(upgrade)?,
        Kind::ChangeParameters(..) if !parameters.enable_change_parameters_proposal => {
            return Err(ArgumentRule::ChangesDisabled);
        }
        Kind::ActivateFeatures(features) => ascending(features)?,
        Kind::CancelUpgrade(_) | Kind::ChangeParameters(..) => {}
    }
    Ok(kind)
}

fn length(what: &'static str, len: usize, min: usize, max: usize) -> Result<(), ArgumentRule> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    Err(ArgumentRule::Length {
        what,
        len,
        min,
        max,
    })
}

fn title(metadata: &ProposalMetadata) -> Result<(), ArgumentRule> {
    length(
        "title",
        metadata.title.len(),
        PROPOSAL_TITLE_BYTES_MIN,
        PROPOSAL_TITLE_BYTES_MAX,
    )
}

fn descriptor(upgrade: &Upgrade) -> Result<(), ArgumentRule> {
    if upgrade.v != UPGRADE_VERSION {
        return Err(ArgumentRule::Version {
            found: upgrade.v,
            expected: UPGRADE_VERSION,
        });
    }
    length(
        "name of the upgrade's handler",
        upgrade.handler.len(),
        UPGRADE_HANDLER_BYTES_MIN,
        UPGRADE_HANDLER_BYTES_MAX,
    )?;
    let target = &upgrade.target;
    let versions = [
        ("consensus protocol", target.consensus_protocol),
        ("runtime host protocol", target.runtime_host_protocol),
        (
            "runtime committee protocol",
            target.runtime_committee_protocol,
        ),
    ];
    for (what, version) in versions {
        if version == Version::default() {
            return Err(ArgumentRule::Target(what));
        }
    }
    let Epoch(epoch) = upgrade.epoch;
    if UPGRADE_EPOCHS.contains(&epoch) {
        Ok(())
    } else {
        Err(ArgumentRule::Epoch(upgrade.epoch))
    }
}

fn ascending(features: &ActivateFeatures) -> Result<(), ArgumentRule> {
    let (count, limit) = (features.ids.len(), PROPOSAL_FEATURES_MAX);
    let ascending = features.ids.windows(2).all(|pair| pair[0] < pair[1]);
    if ascending && (1..=limit).contains(&count) {
        return Ok(());
    }
    Err(ArgumentRule::Features {
        count,
        ascending,
        limit,
    })
}
