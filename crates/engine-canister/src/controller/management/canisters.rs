//! Creating, starting, stopping and deleting canisters, and giving them cycles.

use candid::{Nat, Principal};
use trilith_protocol::Fault;

use super::history::variables_hash;
use super::settings::apply;
use super::types::{CanisterIdRecord, CreateArgs, ProvisionalCreateArgs, SettingsArgs, TopUpArgs};
use super::{Managed, ManagedResult, answered, decoded, done, invalid};
use crate::controller::archive::ChangeDetails;
use crate::controller::price;
use crate::controller::record::{
    Canister, ImageKind, Request, Settings, Status, StopWaiter, canister_id, canister_index,
    chunk_image_id, image_id,
};
use crate::controller::reject::{ErrorCode, Rejection};
use crate::controller::round::Round;
use trilith_params::canister::INDEX_MAX;

/// A natural number as cycles.
fn cycles_of(value: &Nat, what: &str) -> Result<u128, Rejection> {
    u128::try_from(&value.0)
        .map_err(|_| invalid(format!("{what} is {value}, over the limit of 2^128 − 1")))
}

impl Round<'_> {
    pub(super) fn create_canister(&mut self, request: &Request) -> ManagedResult {
        let settings = if request.argument.is_empty() {
            None
        } else {
            let args: CreateArgs = decoded!(request);
            args.settings
        };
        let Some(cycles) = request.cycles.checked_sub(price::CREATE_CANISTER) else {
            let (attached, price) = (request.cycles, price::CREATE_CANISTER);
            let why = format!(
                "Creating a canister requires a fee of {price} that is deducted from the canister's initial balance but only {attached} cycles were received with the create_canister request."
            );
            return Ok(Rejection::new(ErrorCode::InsufficientCyclesForCreate, why).into());
        };
        Ok(match self.create(request, cycles, settings, None)? {
            Ok(canister_id) => {
                let consumed = &mut self.state.existing(&canister_id).consumed;
                consumed.creation = price::CREATE_CANISTER;
                self.state.meta.consumed += price::CREATE_CANISTER;
                let Managed::Answered { reply, .. } =
                    answered(request, &CanisterIdRecord { canister_id })
                else {
                    return Err(Fault("a created canister is always answered".to_owned()));
                };
                Managed::Answered { reply, refund: 0 }
            }
            Err(rejection) => rejection.into(),
        })
    }

    pub(super) fn provisional_create(&mut self, request: &Request) -> ManagedResult {
        let args: ProvisionalCreateArgs = decoded!(request);
        let cycles = match args
            .amount
            .as_ref()
            .map(|amount| cycles_of(amount, "amount"))
        {
            None => price::PROVISIONAL_CYCLES,
            Some(Ok(cycles)) => cycles,
            Some(Err(rejection)) => return Ok(rejection.into()),
        };
        let created = self.create(request, cycles, args.settings, args.specified_id)?;
        Ok(match created {
            Ok(canister_id) => answered(request, &CanisterIdRecord { canister_id }),
            Err(rejection) => rejection.into(),
        })
    }

    fn create(
        &mut self,
        request: &Request,
        cycles: u128,
        settings: Option<SettingsArgs>,
        specified: Option<Principal>,
    ) -> Result<Result<Principal, Rejection>, Fault> {
        let now = self.now();
        let mut canister = Canister {
            settings: Settings {
                controllers: vec![request.origin.caller()],
                ..Settings::default()
            },
            cycles,
            charged: now,
            created: now,
            ..Canister::default()
        };
        if let Some(settings) = &settings {
            let capacity = self.compute_left(settings, None);
            if let Err(rejection) = apply(&mut canister, settings, capacity) {
                return Ok(Err(rejection));
            }
        }
        let id = match specified {
            Some(id) => self.check_specified(id),
            None => self.next_id(),
        };
        let id = match id {
            Ok(id) => id,
            Err(rejection) => return Ok(Err(rejection)),
        };
        let details = ChangeDetails::Creation {
            controllers: canister.settings.controllers.clone(),
            variables: variables_hash(&canister.settings),
        };
        self.state.put_canister(id, Some(canister));
        self.record_change(id, request, details);
        Ok(Ok(id))
    }

    fn check_specified(&self, id: Principal) -> Result<Principal, Rejection> {
        if canister_index(&id).is_none() {
            let (first, last) = (canister_id(0), canister_id(INDEX_MAX));
            let why = format!(
                "Unsuccessful validation of specified ID: {id} is outside of this subnet's range {first} to {last}"
            );
            return Err(Rejection::new(ErrorCode::NotHosted, why));
        }
        if self.state.canister(&id).is_some() {
            let why = format!("Unsuccessful canister creation: canister id {id} already exists.");
            return Err(Rejection::new(ErrorCode::CanisterIdExists, why));
        }
        Ok(id)
    }

    fn next_id(&mut self) -> Result<Principal, Rejection> {
        loop {
            let index = self.state.meta.next_index;
            if index > INDEX_MAX {
                let why =
                    "Could not create canister. Subnet has surpassed its canister ID allocation.";
                return Err(Rejection::new(ErrorCode::SubnetOversubscribed, why));
            }
            self.state.meta.next_index += 1;
            let id = canister_id(index);
            if self.state.canister(&id).is_none() {
                return Ok(id);
            }
        }
    }

    pub(super) fn provisional_top_up(&mut self, request: &Request) -> ManagedResult {
        let args: TopUpArgs = decoded!(request);
        let amount = match cycles_of(&args.amount, "amount") {
            Ok(amount) => amount,
            Err(rejection) => return Ok(rejection.into()),
        };
        let canister = self.state.existing(&args.canister_id);
        canister.cycles = canister.cycles.saturating_add(amount);
        Ok(done(request))
    }

    pub(super) fn deposit_cycles(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let canister = self.state.existing(&args.canister_id);
        canister.cycles = canister.cycles.saturating_add(request.cycles);
        let reply = candid::encode_args(()).expect("nothing can be encoded");
        Ok(Managed::Answered { reply, refund: 0 })
    }

    pub(super) fn start_canister(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let id = args.canister_id;
        let canister = self.state.existing(&id);
        if canister.status != Status::Running {
            canister.version += 1;
        }
        let before = std::mem::take(&mut canister.status);
        self.state.active.insert(id);
        if let Status::Stopping { waiters } = before {
            for waiter in waiters {
                let why = format!("Canister {id}'s stop request was cancelled.");
                let why = Rejection::new(ErrorCode::StoppingCancelled, why);
                self.respond(&waiter.origin, why.into(), waiter.cycles);
            }
        }
        Ok(done(request))
    }

    pub(super) fn stop_canister(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let since = self.now();
        let waiter = StopWaiter {
            origin: request.origin.clone(),
            cycles: request.cycles,
            since,
        };
        let canister = self.state.existing(&args.canister_id);
        match &mut canister.status {
            Status::Stopped => return Ok(done(request)),
            Status::Stopping { waiters } => waiters.push(waiter),
            Status::Running => {
                canister.version += 1;
                canister.status = Status::Stopping {
                    waiters: vec![waiter],
                };
            }
        }
        Ok(Managed::Later)
    }

    pub(super) fn delete_canister(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        let id = args.canister_id;
        if request.origin.caller() == id {
            let why = format!("Canister {id} cannot delete itself.");
            return Ok(Rejection::new(ErrorCode::InvalidController, why).into());
        }
        let canister = self.state.existing(&id);
        if canister.status != Status::Stopped {
            let why = format!("Canister {id} must be stopped before it is deleted.");
            return Ok(Rejection::new(ErrorCode::NotStopped, why).into());
        }
        self.clear_memories(id)?;
        self.clear_chunks(id)?;
        let snapshots = self.state.archive_mut(id).snapshots.clone();
        for (number, taken) in &snapshots {
            self.clear_snapshot(id, *number, taken)?;
        }
        self.state.forget(id);
        self.state.put_canister(id, None);
        Ok(done(request))
    }

    pub(super) fn uninstall_code(&mut self, request: &Request) -> ManagedResult {
        let args: CanisterIdRecord = decoded!(request);
        self.uninstall(args.canister_id)?;
        self.record_change(args.canister_id, request, ChangeDetails::Uninstall {});
        Ok(done(request))
    }

    /// Removes a canister's code, memories, chunks and prints, and answers its open calls.
    pub(crate) fn uninstall(&mut self, id: Principal) -> Result<(), Fault> {
        self.reject_contexts(id, "Canister has been uninstalled.");
        self.clear_memories(id)?;
        self.clear_chunks(id)?;
        let canister = self.state.existing(&id);
        canister.code = None;
        canister.certified_data.clear();
        canister.global_timer = 0;
        canister.version += 1;
        canister.log_bytes = 0;
        canister.memory_version = Default::default();
        canister.note_memory();
        self.state.log_mut(id).records.clear();
        Ok(())
    }

    fn clear_memories(&mut self, id: Principal) -> Result<(), Fault> {
        for kind in [ImageKind::Heap, ImageKind::Stable, ImageKind::Module] {
            self.state.image(&image_id(id, kind))?.clear();
        }
        Ok(())
    }

    pub(super) fn clear_chunks(&mut self, id: Principal) -> Result<(), Fault> {
        let chunks = std::mem::take(&mut self.state.existing(&id).chunks);
        for hash in chunks.keys() {
            self.state.image(&chunk_image_id(id, hash))?.clear();
        }
        Ok(())
    }
}
