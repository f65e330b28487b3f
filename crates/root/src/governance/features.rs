//! Features of runtimes: approved once, pending until the next epoch, then active for ever.
//!
//! It is the one mechanism for every engine. What a feature means only engines know.

use trilith_params::root::FEATURES_MAX;
use trilith_protocol::RootEvent;
use trilith_protocol::root::governance::{
    ActivateFeatures, FeatureActivatedEvent, FeatureApprovedEvent, FeatureRecord, GovernanceEvent,
};
use trilith_protocol::root::{ActiveFeature, FeatureList};
use trilith_types::{Epoch, StateFault, StateRead};

use super::GovernanceError;
use super::store::{FEATURES, feature_key};
use crate::Refusal;
use crate::overlay::{Overlay, Values};
use crate::scope::Scope;
use crate::state::{self, decoded};

fn all(overlay: &Overlay<'_>) -> Result<Vec<FeatureRecord>, StateFault> {
    let entries = overlay.all(FEATURES)?;
    entries.iter().map(|(_, value)| decoded(value)).collect()
}

/// Checks that features are new, and not too many.
pub(super) fn check_new(scope: &mut Scope<'_>, wanted: &ActivateFeatures) -> Result<(), Refusal> {
    for feature in &wanted.ids {
        let known: Option<FeatureRecord> = scope.overlay.record(&feature_key(feature))?;
        if let Some(FeatureRecord { proposal, .. }) = known {
            let feature = *feature;
            return Err(GovernanceError::FeatureKnown { feature, proposal }.into());
        }
    }
    let count = scope.overlay.all(FEATURES)?.len() + wanted.ids.len();
    if count > FEATURES_MAX {
        let limit = FEATURES_MAX;
        return Err(GovernanceError::TooManyFeatures { count, limit }.into());
    }
    Ok(())
}

/// Approves features: they are active from the next epoch on.
pub(super) fn approve(
    scope: &mut Scope<'_>,
    wanted: &ActivateFeatures,
    proposal: u64,
) -> Result<(), Refusal> {
    check_new(scope, wanted)?;
    let since = Epoch(scope.epoch.0.saturating_add(1));
    for feature in &wanted.ids {
        let feature = *feature;
        let record = FeatureRecord {
            id: feature,
            proposal,
            since,
        };
        scope.overlay.put_record(feature_key(&feature), &record);
        let event = FeatureApprovedEvent {
            feature,
            proposal,
            since,
        };
        scope.emit(RootEvent::Governance(GovernanceEvent::FeatureApproved(
            event,
        )));
    }
    Ok(())
}

/// Tells which features are active from this epoch on.
pub(super) fn tell_active(scope: &mut Scope<'_>) -> Result<(), StateFault> {
    for record in all(&scope.overlay)? {
        if record.since == scope.epoch {
            let event = FeatureActivatedEvent { feature: record.id };
            scope.emit(RootEvent::Governance(GovernanceEvent::FeatureActivated(
                event,
            )));
        }
    }
    Ok(())
}

/// The approved features, those that are pending included.
///
/// # Errors
/// [`StateFault`] if the view cannot be read or holds what the root never wrote there.
pub fn features(view: &dyn StateRead) -> Result<FeatureList, StateFault> {
    Ok(FeatureList {
        epoch: state::epoch(view)?.epoch,
        features: all(&Overlay::new(view, Values::new()))?,
    })
}

/// The active features, ascending by identifier.
///
/// # Errors
/// See [`features`].
pub fn active_features(view: &dyn StateRead) -> Result<Vec<ActiveFeature>, StateFault> {
    let FeatureList { epoch, features } = features(view)?;
    let active = features
        .into_iter()
        .filter(|record| record.is_active(epoch));
    Ok(active
        .map(|record| ActiveFeature {
            id: record.id,
            since: record.since,
        })
        .collect())
}
