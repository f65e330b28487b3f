//! The history of canisters: who changed code or controllers, when and how.

use candid::Principal;
use trilith_types::hash::sha256;

use super::types::{
    ChangeRecord, DeploymentMode, DetailsRecord, InfoArgs, InfoResult, OriginRecord, SnapshotSource,
};
use super::{ManagedResult, answered, decoded};
use crate::controller::archive::{Archive, Change, ChangeDetails, ChangeOrigin};
use crate::controller::management::status::module_hash;
use crate::controller::record::{Canister, Origin, Request, Settings};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;
use crate::ingress::decode_candid;

/// The version of itself that a canister states in the argument of a call, if it does.
fn stated_version(argument: &[u8]) -> Option<u64> {
    #[derive(candid::CandidType, serde::Deserialize)]
    struct WithVersion {
        sender_canister_version: Option<u64>,
    }
    let found: WithVersion = decode_candid(argument).ok()?;
    found.sender_canister_version
}

/// The reject of a canister's call that states another version than the canister has.
pub(crate) fn check_sender_version(request: &Request, version: u64) -> Option<Rejection> {
    let stated = stated_version(&request.argument).filter(|stated| *stated != version)?;
    let why = format!(
        "Management canister call payload includes sender canister version {stated} that does not match the actual sender canister version {version}."
    );
    Some(Rejection::new(ErrorCode::ContractViolation, why))
}

/// Who makes a change with a call; a canister may state its version in the argument.
pub(super) fn origin_of(request: &Request) -> ChangeOrigin {
    let id = request.origin.caller();
    match request.origin {
        Origin::Canister { .. } => ChangeOrigin::Canister {
            id,
            version: stated_version(&request.argument),
        },
        Origin::Ingress { .. } | Origin::Task {} => ChangeOrigin::User { id },
    }
}

/// Hash of environment variables: of the sorted hashes of names and values. `None` if there are
/// none.
pub(super) fn variables_hash(settings: &Settings) -> Option<[u8; 32]> {
    let variables = settings.variables.iter();
    let mut hashes: Vec<[u8; 64]> = variables
        .map(|(name, value)| {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&sha256(&[name.as_bytes()]));
            pair[32..].copy_from_slice(&sha256(&[value.as_bytes()]));
            pair
        })
        .collect();
    hashes.sort_unstable();
    (!hashes.is_empty()).then(|| sha256(&[&hashes.concat()]))
}

fn record_of(change: &Change) -> ChangeRecord {
    let blob = |bytes: &[u8]| serde_bytes::ByteBuf::from(bytes.to_vec());
    let details = match &change.details {
        ChangeDetails::Creation {
            controllers,
            variables,
        } => DetailsRecord::creation {
            controllers: controllers.clone(),
            environment_variables_hash: variables.map(|hash| blob(&hash)),
        },
        ChangeDetails::Uninstall {} => DetailsRecord::code_uninstall,
        ChangeDetails::Deployment { mode, module_hash } => DetailsRecord::code_deployment {
            mode: match mode {
                0 => DeploymentMode::install,
                1 => DeploymentMode::reinstall,
                _ => DeploymentMode::upgrade,
            },
            module_hash: blob(module_hash),
        },
        ChangeDetails::Controllers { controllers } => DetailsRecord::controllers_change {
            controllers: controllers.clone(),
        },
        ChangeDetails::Snapshot {
            from,
            id,
            version,
            taken_at,
            uploaded,
        } => DetailsRecord::load_snapshot {
            from_canister_id: *from,
            snapshot_id: blob(id),
            canister_version: *version,
            taken_at_timestamp: *taken_at,
            source: source_of(*uploaded),
        },
    };
    ChangeRecord {
        timestamp_nanos: change.time,
        canister_version: change.version,
        origin: match change.origin {
            ChangeOrigin::User { id } => OriginRecord::from_user { user_id: id },
            ChangeOrigin::Canister { id, version } => OriginRecord::from_canister {
                canister_id: id,
                canister_version: version,
            },
        },
        details,
    }
}

/// Where a snapshot comes from, in candid.
pub(super) fn source_of(uploaded: bool) -> SnapshotSource {
    if uploaded {
        SnapshotSource::metadata_upload(candid::Reserved)
    } else {
        SnapshotSource::taken_from_canister(candid::Reserved)
    }
}

/// `canister_info`: the newest changes that are asked for, oldest first.
pub(super) fn info(canister: &Canister, archive: Option<&Archive>, asked: u64) -> InfoResult {
    let history = archive.map(|archive| &archive.history);
    let known = history.map_or(0, |history| history.len());
    let asked = usize::try_from(asked).unwrap_or(usize::MAX).min(known);
    let recent = history
        .into_iter()
        .flat_map(|history| history.iter().skip(known - asked));
    InfoResult {
        total_num_changes: canister.changes,
        recent_changes: recent.map(record_of).collect(),
        module_hash: module_hash(canister),
        controllers: canister.settings.controllers.clone(),
    }
}

impl Round<'_> {
    /// Adds a change to a canister's history. Its version is that after the change.
    pub(crate) fn record_change(
        &mut self,
        id: Principal,
        request: &Request,
        details: ChangeDetails,
    ) {
        let time = self.now();
        let canister = self.state.existing(&id);
        canister.changes += 1;
        let version = canister.version;
        let origin = origin_of(request);
        self.state.archive_mut(id).push(Change {
            time,
            version,
            origin,
            details,
        });
    }

    pub(super) fn canister_info(&mut self, request: &Request) -> ManagedResult {
        let args: InfoArgs = decoded!(request);
        let id = args.canister_id;
        let asked = args.num_requested_changes.unwrap_or(0);
        let Some(canister) = self.state.canister(&id) else {
            return Ok(Rejection::not_found(id).into());
        };
        let result = info(canister, self.state.archive(&id), asked);
        Ok(answered(request, &result))
    }
}
