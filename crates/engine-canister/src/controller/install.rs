//! Installing code: modules as they are sent, the stages of an installation, all or nothing, over
//! several rounds if need be.
//!
//! ```text
//! install, reinstall: new code and empty memories; start; canister_init
//! upgrade:            canister_pre_upgrade of the old code; new code and the old stable memory
//!                     (and the old heap if it is kept); start; canister_post_upgrade
//! ```
//!
//! All stages work on a draft, which replaces the canister's code when the last one has succeeded
//! and is dropped otherwise.

use std::io::Read as _;
use std::sync::Arc;

use candid::Principal;
use trilith_params::wasm::MODULE_BYTES_MAX;
use trilith_protocol::Fault;
use trilith_types::Image;
use trilith_types::hash::sha256;

use super::archive::ChangeDetails;
use super::begin::{freeze, limit_memory};
use super::machine::{self, Advance, Entry, Memory, PAGES_PER_WASM_PAGE, Surroundings};
use super::management::types::{
    InstallArgs, InstallChunkedArgs, Mode, Persistence, UpgradeOptions,
};
use super::management::{Managed, ManagedResult, invalid};
use super::memory_file::pages_of;
use super::overlay::RoundImage;
use super::price;
use super::record::{Canister, Code, Frozen, ImageKind, Installing, Module, Request, image_id};
use super::reject::{ErrorCode, Rejection};
use super::round::Round;
use crate::api::{
    CallMode, Effects, EntryPoint, Execution, ExecutionResult, PrepareError, PreparedModule,
};
use crate::ingress::decode_candid;

/// The custom section of modules that keep their data in the heap across upgrades. Source:
/// interface specification, "install_code".
const PERSISTENCE_SECTION: &str = "enhanced-orthogonal-persistence";

/// What is installed, and how.
struct Plan {
    target: Principal,
    /// 0 install, 1 reinstall, 2 upgrade.
    mode: u64,
    /// Most bytes of Wasm memory that the new code's stages may use.
    heap_bytes_max: u64,
    upgrade: Option<UpgradeOptions>,
    keep_heap: bool,
    caller: Principal,
    argument: Arc<Vec<u8>>,
    old: Option<Arc<PreparedModule>>,
    /// The image of the old module.
    old_image: Option<Image>,
    new: Arc<PreparedModule>,
    module: Arc<Module>,
    bytes: Arc<Vec<u8>>,
    stages: Vec<EntryPoint>,
}

/// The code of a canister while stages work on it.
struct Draft {
    code: Option<Code>,
    heap: RoundImage,
    stable: RoundImage,
    certified_data: Vec<u8>,
    global_timer: u64,
    burned: u128,
    memory_version: Option<u64>,
}

/// A paused installation as this node still has it.
pub(crate) struct LiveInstall {
    draft: Draft,
    /// Index of the stage that runs next or is paused.
    stage: usize,
    stage_slices: u64,
    execution: Option<Box<dyn Execution>>,
    /// Whole slices used by all stages together.
    total: u64,
    /// Instructions used by the stages that ended.
    instructions: u64,
    switched: bool,
    logs: Vec<ExecutionResult>,
}

impl LiveInstall {
    /// Applies a stage that ended to the draft; gives how the installation ended if it failed.
    fn end_stage(&mut self, target: Principal, mut result: ExecutionResult) -> Option<Ended> {
        self.stage_slices = 0;
        self.stage += 1;
        self.instructions += result.instructions;
        let end = std::mem::replace(&mut result.end, Ok(Box::default()));
        let ended = match end {
            Ok(effects) => {
                self.draft.apply(*effects, result.memory_version);
                None
            }
            Err(trap) => {
                let rejection = Rejection::of_trap(target, &trap);
                result.end = Err(trap);
                Some(Ended::Failed(rejection))
            }
        };
        self.logs.push(result);
        ended
    }
}

/// How an installation ended.
enum Ended {
    Paused,
    Succeeded,
    Failed(Rejection),
}

/// Undoes the compression of a module, if it has one.
fn uncompressed(sent: &[u8]) -> Result<Vec<u8>, String> {
    if !sent.starts_with(&[0x1f, 0x8b]) {
        let len = sent.len();
        return if len <= MODULE_BYTES_MAX {
            Ok(sent.to_vec())
        } else {
            Err(format!(
                "Failed to decode wasm module: it has {len} bytes, over the limit of {MODULE_BYTES_MAX}"
            ))
        };
    }
    let mut bytes = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(sent).take(MODULE_BYTES_MAX as u64 + 1);
    reader.read_to_end(&mut bytes).map_err(|error| {
        format!("Failed to decode wasm module: the gzip stream is damaged: {error}")
    })?;
    if bytes.len() > MODULE_BYTES_MAX {
        return Err(format!(
            "Failed to decode wasm module: uncompressed it has more bytes than the limit of {MODULE_BYTES_MAX}"
        ));
    }
    Ok(bytes)
}

pub(super) fn invalid_wasm(target: Principal, why: &str) -> Rejection {
    let message =
        format!("Error from Canister {target}: Canister's Wasm module is not valid: {why}");
    Rejection::new(ErrorCode::InvalidWasm, message)
}

/// Mode, target and argument of a call of `install_code` or `install_chunked_code`.
fn arguments(request: &Request) -> Result<(Mode, Principal, Vec<u8>), Rejection> {
    if request.method == "install_code" {
        let args: InstallArgs = decode_candid(&request.argument).map_err(invalid)?;
        return Ok((args.mode, args.canister_id, args.arg));
    }
    let args: InstallChunkedArgs = decode_candid(&request.argument).map_err(invalid)?;
    Ok((args.mode, args.target_canister, args.arg))
}

/// Whether the mode fits the canister.
fn check_mode(target: Principal, mode: Mode, canister: &Canister) -> Result<(), Rejection> {
    match mode {
        Mode::install if canister.code.is_some() => {
            let why = format!(
                "Canister {target} cannot be installed because the canister is not empty. Try installing with mode='reinstall' instead."
            );
            Err(Rejection::new(ErrorCode::NonEmpty, why))
        }
        Mode::upgrade(_) if canister.code.is_none() => Err(Rejection::no_module(target)),
        _ => Ok(()),
    }
}

/// Whether the heap is kept in an upgrade from `old` to `new`.
fn keeps_heap(
    options: UpgradeOptions,
    old: &Module,
    new: &PreparedModule,
) -> Result<bool, Rejection> {
    let supports = |mut sections: Box<dyn Iterator<Item = (&str, bool)> + '_>| {
        sections.any(|(name, public)| name == PERSISTENCE_SECTION && !public)
    };
    let old = supports(Box::new(
        old.metadata
            .iter()
            .map(|(name, public, _)| (name.as_str(), *public)),
    ));
    let new = supports(Box::new(
        new.metadata
            .iter()
            .map(|section| (section.name.as_str(), section.public)),
    ));
    let refuse = |why: &str| Err(Rejection::new(ErrorCode::ContractViolation, why));
    match options.wasm_memory_persistence {
        None if old => refuse(
            "Missing upgrade option: Enhanced orthogonal persistence requires the `wasm_memory_persistence` upgrade option.",
        ),
        Some(Persistence::keep) if !new => refuse(
            "Invalid upgrade option: The `wasm_memory_persistence: opt Keep` upgrade option requires that the new canister module supports enhanced orthogonal persistence.",
        ),
        Some(Persistence::keep) => Ok(true),
        None | Some(Persistence::replace) => Ok(false),
    }
}

/// The entries that an installation runs, in order.
fn stages(
    upgrade: Option<UpgradeOptions>,
    old: Option<&PreparedModule>,
    new: &PreparedModule,
) -> Vec<EntryPoint> {
    let mut stages = Vec::new();
    if let (Some(options), Some(old)) = (upgrade, old)
        && options.skip_pre_upgrade != Some(true)
        && old.exports.contains(&EntryPoint::PreUpgrade)
    {
        stages.push(EntryPoint::PreUpgrade);
    }
    if new.has_start {
        stages.push(EntryPoint::Start);
    }
    let last = if upgrade.is_some() {
        EntryPoint::PostUpgrade
    } else {
        EntryPoint::Init
    };
    if new.exports.contains(&last) {
        stages.push(last);
    }
    stages
}

/// What the state keeps of a module.
pub(super) fn module_of(new: &PreparedModule, sent_hash: [u8; 32]) -> Module {
    let has = |entry| new.exports.contains(&entry);
    let metadata = new.metadata.iter();
    Module {
        sent_hash,
        bytes: new.wasm_bytes,
        memory64: new.memory64,
        heartbeat: has(EntryPoint::Heartbeat),
        timer: has(EntryPoint::GlobalTimer),
        inspect: has(EntryPoint::InspectMessage),
        low_memory: has(EntryPoint::OnLowWasmMemory),
        metadata: metadata
            .map(|s| (s.name.clone(), s.public, s.content.clone()))
            .collect(),
    }
}

impl Round<'_> {
    pub(crate) fn install_code(&mut self, request: &Request) -> ManagedResult {
        match decode_candid::<InstallArgs>(&request.argument) {
            Ok(args) => self.begin_install(request, args.wasm_module),
            Err(why) => Ok(invalid(why).into()),
        }
    }

    pub(crate) fn install_chunked_code(&mut self, request: &Request) -> ManagedResult {
        let args = match decode_candid::<InstallChunkedArgs>(&request.argument) {
            Ok(args) => args,
            Err(why) => return Ok(invalid(why).into()),
        };
        match self.assemble(request, &args)? {
            Ok(module) => self.begin_install(request, module),
            Err(rejection) => Ok(rejection.into()),
        }
    }

    fn begin_install(&mut self, request: &Request, sent: Vec<u8>) -> ManagedResult {
        let target = match arguments(request) {
            Ok((_, target, _)) => target,
            Err(rejection) => return Ok(rejection.into()),
        };
        let sent_hash = sha256(&[&sent]);
        let bytes = match uncompressed(&sent) {
            Ok(bytes) => Arc::new(bytes),
            Err(why) => return Ok(invalid_wasm(target, &why).into()),
        };
        let plan = match self.plan(request, sent_hash, &bytes)? {
            Ok(plan) => plan,
            Err(rejection) => return Ok(rejection.into()),
        };
        let asked = price::execution(price::INSTALL_INSTRUCTIONS, plan.new.memory64);
        let canister = self.state.existing(&target);
        let (balance, floor) = (canister.cycles, canister.floor());
        let Some(left) = balance.checked_sub(asked).filter(|left| *left >= floor) else {
            let why = Rejection::out_of_cycles(target, balance, floor, asked).message;
            let why = format!("Canister installation failed with `{why}`.");
            return Ok(Rejection::new(ErrorCode::OutOfCycles, why).into());
        };
        canister.cycles = left;
        let nodes = self.context.committee.len() as u64;
        let frozen = freeze(self.state.existing(&target), self.context.time.0, nodes);
        let (request, len) = (request.clone(), bytes.len() as u64);
        let installing = Installing {
            request,
            target,
            sent_hash,
            bytes: len,
            slices: 0,
            frozen,
            prepaid: asked,
        };
        self.go_on_installing(installing, &plan)
    }

    /// Goes on with a paused installation.
    pub(crate) fn resume_install(&mut self) -> Result<(), Fault> {
        let Some(installing) = self.state.meta.installing.take() else {
            return Ok(());
        };
        let image = self
            .state
            .image(&image_id(installing.target, ImageKind::Pending))?
            .current
            .clone();
        let bytes = machine::module_bytes(&image, installing.bytes)?;
        let plan = self.plan(&installing.request, installing.sent_hash, &bytes)?;
        let plan = plan.map_err(|why| {
            Fault(format!(
                "a paused installation became invalid: {}",
                why.message
            ))
        })?;
        let request = installing.request.clone();
        let managed = self.go_on_installing(installing, &plan)?;
        self.settle(&request, managed);
        Ok(())
    }

    /// Checks an installation as far as that is possible without running it.
    fn plan(
        &mut self,
        request: &Request,
        sent_hash: [u8; 32],
        bytes: &Arc<Vec<u8>>,
    ) -> Result<Result<Plan, Rejection>, Fault> {
        let (mode, target, argument) = match arguments(request) {
            Ok(found) => found,
            Err(rejection) => return Ok(Err(rejection)),
        };
        if let Err(rejection) = check_mode(target, mode, self.state.existing(&target)) {
            return Ok(Err(rejection));
        }
        let new = match self.engine.config.executor.prepare(bytes) {
            Ok(prepared) => prepared,
            Err(PrepareError::Fault(fault)) => return Err(fault),
            Err(PrepareError::Invalid(why)) => return Ok(Err(invalid_wasm(target, &why))),
        };
        let old = self.prepared(target)?;
        let old_image = Some(
            self.state
                .image(&image_id(target, ImageKind::Module))?
                .current
                .clone(),
        );
        let (mut upgrade, mut keep_heap) = (None, false);
        if let (Mode::upgrade(options), Some(code)) = (mode, &self.state.existing(&target).code) {
            let options = options.unwrap_or_default();
            keep_heap = match keeps_heap(options, &code.module, &new) {
                Ok(keep) => keep,
                Err(rejection) => return Ok(Err(rejection)),
            };
            upgrade = Some(options);
        }
        let limit = self.state.existing(&target).settings.wasm_memory_limit;
        let heap_bytes_max = price::heap_bytes_max(new.memory64, limit);
        let stages = stages(upgrade, old.as_deref(), &new);
        let module = Arc::new(module_of(&new, sent_hash));
        let caller = request.origin.caller();
        let (argument, bytes) = (Arc::new(argument), bytes.clone());
        Ok(Ok(Plan {
            target,
            mode: match mode {
                Mode::install => 0,
                Mode::reinstall => 1,
                Mode::upgrade(_) => 2,
            },
            heap_bytes_max,
            upgrade,
            keep_heap,
            caller,
            argument,
            old,
            old_image,
            new,
            module,
            bytes,
            stages,
        }))
    }

    fn go_on_installing(&mut self, installing: Installing, plan: &Plan) -> ManagedResult {
        let allowed = installing.slices + self.slices_left().max(1);
        let live = self
            .live
            .install
            .take()
            .or_else(|| self.next_live.install.take());
        let mut run = match live {
            Some(run) => *run,
            None => self.draft(plan.target)?,
        };
        let ended = loop {
            match self.run_stage(&mut run, plan, &installing.frozen, allowed)? {
                Some(ended) => break ended,
                None => continue,
            }
        };
        let before = installing.slices * price::SLICE_INSTRUCTIONS;
        if matches!(ended, Ended::Paused) {
            if installing.slices == 0 {
                let (pages, runs) = pages_of(&plan.bytes)?;
                let image = self
                    .state
                    .image(&image_id(plan.target, ImageKind::Pending))?;
                image.clear();
                image.write(pages, runs);
            }
            self.count((run.total * price::SLICE_INSTRUCTIONS).saturating_sub(before));
            self.state.meta.installing = Some(Installing {
                slices: run.total,
                ..installing
            });
            self.next_live.install = Some(Box::new(run));
            return Ok(Managed::Later);
        }
        if installing.slices > 0 {
            self.state
                .image(&image_id(plan.target, ImageKind::Pending))?
                .clear();
        }
        self.settle_install(&installing, plan, &run);
        match ended {
            Ended::Failed(rejection) => Ok(rejection.into()),
            _ => {
                self.commit(run.draft, plan)?;
                let details = ChangeDetails::Deployment {
                    mode: plan.mode,
                    module_hash: plan.module.sent_hash,
                };
                self.record_change(plan.target, &installing.request, details);
                let reply = candid::encode_args(()).expect("nothing can be encoded");
                Ok(Managed::Answered {
                    reply,
                    refund: installing.request.cycles,
                })
            }
        }
    }

    /// Settles the price of an installation that ended, and keeps what it printed.
    fn settle_install(&mut self, installing: &Installing, plan: &Plan, run: &LiveInstall) {
        let instructions = plan.new.instruction_count;
        let compile = instructions.saturating_mul(price::COMPILE_PER_INSTRUCTION);
        let used = run
            .instructions
            .saturating_add(price::COMPILE_BASE)
            .saturating_add(compile);
        self.count(used.saturating_sub(installing.slices * price::SLICE_INSTRUCTIONS));
        let cost = price::execution(used, plan.new.memory64).min(installing.prepaid);
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(cost);
        let canister = self.state.existing(&plan.target);
        canister.cycles = canister.cycles.saturating_add(installing.prepaid - cost);
        canister.consumed.instructions = canister.consumed.instructions.saturating_add(cost);
        for result in &run.logs {
            self.log(plan.target, result);
        }
    }

    /// The code as it stands before the first stage.
    fn draft(&mut self, target: Principal) -> Result<LiveInstall, Fault> {
        let heap = self
            .state
            .image(&image_id(target, ImageKind::Heap))?
            .clone();
        let stable = self
            .state
            .image(&image_id(target, ImageKind::Stable))?
            .clone();
        let canister = self.state.existing(&target);
        let draft = Draft {
            code: canister.code.clone(),
            heap,
            stable,
            certified_data: canister.certified_data.clone(),
            global_timer: canister.global_timer,
            burned: 0,
            memory_version: canister.memory_version.0,
        };
        let logs = Vec::new();
        Ok(LiveInstall {
            draft,
            stage: 0,
            stage_slices: 0,
            execution: None,
            total: 0,
            instructions: 0,
            switched: false,
            logs,
        })
    }

    /// Runs the next stage, or goes on with it. `None` if the next one may follow.
    fn run_stage(
        &mut self,
        run: &mut LiveInstall,
        plan: &Plan,
        frozen: &Frozen,
        allowed: u64,
    ) -> Result<Option<Ended>, Fault> {
        let stage = plan.stages.get(run.stage);
        let is_old = stage == Some(&EntryPoint::PreUpgrade);
        if !is_old && !run.switched {
            run.draft.switch(plan);
            run.switched = true;
        }
        let Some(stage) = stage else {
            return Ok(Some(Ended::Succeeded));
        };
        if run.total >= allowed {
            return Ok(Some(Ended::Paused));
        }
        let module = if is_old {
            plan.old.as_ref()
        } else {
            Some(&plan.new)
        };
        let (Some(module), Some(code)) = (module, &run.draft.code) else {
            return Err(Fault("an installation has no code to run".to_owned()));
        };
        let config = &self.engine.config;
        let around = Surroundings {
            canister: plan.target,
            subnet: config.subnet_id,
            root_key: &config.root_key_der,
            data_certificate: None,
        };
        let draft = &run.draft;
        let memory = Memory {
            code,
            heap: &draft.heap.current,
            stable: &draft.stable.current,
            version: draft.memory_version,
        };
        let entry = plan.entry(
            stage,
            price::INSTALL_INSTRUCTIONS.saturating_sub(run.instructions),
        );
        // Replacing the code deactivates the timer, and a stage sees what earlier ones set.
        let frozen = Frozen {
            global_timer: draft.global_timer,
            ..plan.frozen(frozen, is_old)
        };
        let request = || machine::request(&around, &memory, &entry, &frozen);
        let bytes = || match (is_old, &plan.old_image) {
            (true, Some(image)) => machine::module_bytes(image, code.module.bytes),
            _ => Ok(plan.bytes.clone()),
        };
        let mut start = || machine::start(&*config.executor, module, &bytes, &request);
        let more = allowed - run.total;
        match machine::advance(&mut start, run.execution.take(), run.stage_slices, more)? {
            Advance::Paused(execution) => {
                run.execution = Some(execution);
                run.stage_slices += more;
                run.total = allowed;
                Ok(Some(Ended::Paused))
            }
            Advance::Finished(mut result, used) => {
                run.total += used - run.stage_slices;
                if !is_old {
                    // What was kept of the old memory does not count as grown.
                    let kept = if plan.keep_heap { code.heap_pages } else { 0 };
                    limit_memory(&mut result, kept, plan.heap_bytes_max);
                }
                Ok(run.end_stage(plan.target, *result))
            }
        }
    }

    /// Makes the draft the code of the canister.
    fn commit(&mut self, draft: Draft, plan: &Plan) -> Result<(), Fault> {
        let (id, now) = (plan.target, self.now());
        self.state
            .put_image(image_id(id, ImageKind::Heap), draft.heap);
        self.state
            .put_image(image_id(id, ImageKind::Stable), draft.stable);
        let (pages, runs) = pages_of(&plan.bytes)?;
        let image = self.state.image(&image_id(id, ImageKind::Module))?;
        image.clear();
        image.write(pages, runs);
        self.engine
            .modules
            .put(plan.module.sent_hash, plan.new.clone());
        let canister = self.state.existing(&id);
        canister.code = draft.code;
        canister.installed = now;
        canister.certified_data = draft.certified_data;
        canister.global_timer = draft.global_timer;
        let burned = draft.burned.min(canister.cycles);
        canister.cycles -= burned;
        canister.consumed.burned = canister.consumed.burned.saturating_add(burned);
        canister.memory_version.0 = draft.memory_version;
        canister.version += 1;
        canister.note_memory();
        self.state.meta.consumed = self.state.meta.consumed.saturating_add(burned);
        self.state.active.insert(id);
        Ok(())
    }
}

impl Plan {
    fn entry(&self, stage: &EntryPoint, instructions_max: u64) -> Entry {
        let mode = match stage {
            EntryPoint::PreUpgrade => CallMode::PreUpgrade,
            EntryPoint::Start => CallMode::Start,
            _ => CallMode::Init,
        };
        let argument = self.argument.clone();
        Entry {
            caller: self.caller,
            argument,
            instructions_max,
            ..Entry::plain(stage.clone(), mode)
        }
    }

    /// What a stage may see: the stages of the new code have the next version, and the limits of
    /// its memory.
    fn frozen(&self, frozen: &Frozen, is_old: bool) -> Frozen {
        if is_old {
            return frozen.clone();
        }
        Frozen {
            version: frozen.version + 1,
            heap_pages_max: price::heap_bytes_max(self.new.memory64, 0) / price::WASM_PAGE_BYTES,
            ..frozen.clone()
        }
    }
}

impl Draft {
    /// Replaces the old code with the new.
    fn switch(&mut self, plan: &Plan) {
        let old = self.code.take();
        let upgrades = plan.upgrade.is_some();
        let stable_pages = if upgrades {
            old.as_ref().map_or(0, |old| old.stable_pages)
        } else {
            0
        };
        let minimum = plan.new.memory_minimum;
        let heap_pages = match &old {
            Some(old) if plan.keep_heap => old.heap_pages.max(minimum),
            _ => minimum,
        };
        if !plan.keep_heap {
            self.heap.clear();
        }
        if !upgrades {
            self.stable.clear();
            self.certified_data.clear();
        }
        self.heap
            .write(heap_pages * PAGES_PER_WASM_PAGE, Vec::new());
        self.global_timer = 0;
        self.memory_version = None;
        self.code = Some(Code {
            module: plan.module.clone(),
            globals: plan.new.globals.clone(),
            heap_pages,
            stable_pages,
            fresh: !plan.keep_heap,
        });
    }

    fn apply(&mut self, effects: Effects, version: Option<u64>) {
        if let Some(data) = effects.certified_data {
            self.certified_data = data;
        }
        if let Some(timer) = effects.global_timer {
            self.global_timer = timer;
        }
        self.burned = self.burned.saturating_add(effects.cycles_burned);
        let (Some(memory), Some(code)) = (effects.memory, &mut self.code) else {
            return;
        };
        self.heap.write(
            memory.heap_wasm_pages * PAGES_PER_WASM_PAGE,
            memory.heap_runs,
        );
        self.stable.write(
            memory.stable_wasm_pages * PAGES_PER_WASM_PAGE,
            memory.stable_runs,
        );
        code.globals = memory.globals;
        code.heap_pages = memory.heap_wasm_pages;
        code.stable_pages = memory.stable_wasm_pages;
        code.fresh = false;
        self.memory_version = version;
    }
}
