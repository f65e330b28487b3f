//! One execution: a fresh instance of the module over the canister's memory, run in slices, and
//! turned into a result.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use trilith_protocol::Fault;
use trilith_types::PAGE_BYTES;
use wasmtime::{Engine, Func, Global, Instance, Store, Val};

use super::heap::{Heap, neighbours};
use super::heaps::Heaps;
use super::memory::with_memory;
use super::pages::PageWriter;
use super::slices::Slices;
use super::stable::Stable;
use super::system::State;
use super::{Loaded, fault, words};
use crate::api::{
    Effects, EntryPoint, Execution, ExecutionRequest, ExecutionResult, GlobalValue, MemoryChanges,
    PreparedModule, Slice, Trap,
};
use crate::wasm::WASM_PAGE_BYTES;
use crate::wasm::instrument::{MEMORY, STACK, START, TABLE, global_name};
use crate::wasm::validate::export_name;
use trilith_params::wasm::{GRAIN_INSTRUCTIONS, HEAP_DIRTY_PAGE};

/// Fuel while the instance is made: enough for any table initialisation that the limits allow; the
/// program does not run yet and pays nothing.
const SETUP_FUEL: u64 = u64::MAX / 4;

/// A machine that stopped.
struct Stopped {
    store: Store<State>,
    instance: Instance,
    result: wasmtime::Result<()>,
}

type Running = Pin<Box<dyn Future<Output = Stopped> + Send>>;

/// A message being run in this process.
pub(super) struct LocalExecution {
    stage: Stage,
    slices: Arc<Slices>,
    heaps: Arc<Heaps>,
    /// The version that the request gave its heap.
    version: Option<u64>,
    /// How many mutable globals the module has.
    globals: usize,
}

enum Stage {
    /// Ended before it began.
    Ended(Trap),
    Running {
        machine: Running,
        heap: Heap,
    },
    Over,
}

/// Sets up an execution.
pub(super) fn start(
    engine: &Engine,
    loaded: &Loaded,
    heaps: &Arc<Heaps>,
    request: ExecutionRequest,
) -> Result<LocalExecution, Fault> {
    let slices = Arc::new(Slices::new(request.slice_instructions));
    let version = request.memory_version;
    let stage = match set_up(engine, loaded, heaps, request, &slices)? {
        Ok((machine, heap)) => Stage::Running { machine, heap },
        Err(trap) => Stage::Ended(trap),
    };
    let globals = loaded.prepared.globals.len();
    Ok(LocalExecution {
        stage,
        slices,
        heaps: heaps.clone(),
        version,
        globals,
    })
}

fn set_up(
    engine: &Engine,
    loaded: &Loaded,
    heaps: &Heaps,
    request: ExecutionRequest,
    slices: &Arc<Slices>,
) -> Result<Result<(Running, Heap), Trap>, Fault> {
    let module = &*loaded.prepared;
    let wasm_pages = request.heap_wasm_pages.max(module.memory_minimum);
    let max = request
        .heap_wasm_pages_max
        .min(module.memory_maximum.unwrap_or(u64::MAX));
    if wasm_pages > max {
        return Ok(Err(words::heap_limit(wasm_pages, max)));
    }
    let mut heap = heaps.take(&request, wasm_pages).map_err(io_fault)?;
    if request.write_data_segments {
        write_segments(&mut heap, &loaded.segments)?;
    }
    let entry = request.entry.clone();
    let globals = request.globals.clone();
    let instructions_max = request.instructions_max;
    let mut store = Store::new(engine, state(request, slices.clone()));
    store.limiter(|state| state);
    store.set_fuel(SETUP_FUEL).map_err(fault)?;
    let made = with_memory(heap.lend(), || {
        ready(loaded.instance.instantiate_async(&mut store))
    });
    let instance = match made.ok_or_else(|| Fault("instantiation was paused".into()))? {
        Ok(instance) => instance,
        Err(error) => {
            return match error.downcast::<wasmtime::Trap>() {
                Ok(trap) => Ok(Err(words::machine(trap))),
                Err(error) => Err(fault(error)),
            };
        }
    };
    store.data_mut().memory = instance.get_memory(&mut store, MEMORY);
    restore_globals(&mut store, &instance, module, &globals)?;
    let Some((function, arguments)) = find_entry(&mut store, &instance, &entry, module.memory64)
    else {
        return Ok(Err(words::no_method(&entry)));
    };
    store.set_fuel(instructions_max).map_err(fault)?;
    store
        .fuel_async_yield_interval(Some(GRAIN_INSTRUCTIONS))
        .map_err(fault)?;
    let machine: Running = Box::pin(async move {
        let result = function.call_async(&mut store, &arguments, &mut []).await;
        Stopped {
            store,
            instance,
            result,
        }
    });
    Ok(Ok((machine, heap)))
}

fn state(request: ExecutionRequest, slices: Arc<Slices>) -> State {
    State {
        stable: Stable::new(
            request.stable.clone(),
            request.stable_wasm_pages,
            request.stable_wasm_pages_max,
        ),
        balance: request.balance,
        available: request.cycles_available,
        effects: Effects::default(),
        reply: Vec::new(),
        opening: None,
        prints: Vec::new(),
        printed: 0,
        trap: None,
        fault: None,
        memory: None,
        slices,
        request,
    }
}

fn write_segments(heap: &mut Heap, segments: &[(u64, Vec<u8>)]) -> Result<(), Fault> {
    let memory = heap.bytes();
    for (offset, bytes) in segments {
        let start = usize::try_from(*offset).unwrap_or(usize::MAX);
        let place = memory.get_mut(start..start.saturating_add(bytes.len()));
        let place = place.ok_or_else(|| {
            Fault(format!(
                "a data segment at {offset} lies outside the memory it was checked for"
            ))
        })?;
        place.copy_from_slice(bytes);
    }
    Ok(())
}

/// Polls once; `None` if that was not enough.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn restore_globals(
    store: &mut Store<State>,
    instance: &Instance,
    module: &PreparedModule,
    globals: &[GlobalValue],
) -> Result<(), Fault> {
    if globals.is_empty() {
        return Ok(());
    }
    if globals.len() != module.globals.len() {
        return Err(Fault(format!(
            "the request has {} globals, the module {}",
            globals.len(),
            module.globals.len()
        )));
    }
    for (n, value) in globals.iter().enumerate() {
        let value = match value {
            GlobalValue::I32(v) => Val::I32(*v),
            GlobalValue::I64(v) => Val::I64(*v),
            GlobalValue::F32(v) => Val::F32(*v),
            GlobalValue::F64(v) => Val::F64(*v),
            GlobalValue::V128(v) => Val::V128((*v).into()),
        };
        exported_global(store, instance, n)?
            .set(&mut *store, value)
            .map_err(fault)?;
    }
    Ok(())
}

fn save_globals(
    store: &mut Store<State>,
    instance: &Instance,
    count: usize,
) -> Result<Vec<GlobalValue>, Fault> {
    let mut globals = Vec::with_capacity(count);
    for n in 0..count {
        globals.push(
            match exported_global(store, instance, n)?.get(&mut *store) {
                Val::I32(v) => GlobalValue::I32(v),
                Val::I64(v) => GlobalValue::I64(v),
                Val::F32(v) => GlobalValue::F32(v),
                Val::F64(v) => GlobalValue::F64(v),
                Val::V128(v) => GlobalValue::V128(v.as_u128()),
                _ => {
                    return Err(Fault(format!(
                        "global {n} has a type that validation refuses"
                    )));
                }
            },
        );
    }
    Ok(globals)
}

fn exported_global(
    store: &mut Store<State>,
    instance: &Instance,
    n: usize,
) -> Result<Global, Fault> {
    let global = instance.get_global(&mut *store, &global_name(n));
    global.ok_or_else(|| Fault(format!("the compiled module does not export global {n}")))
}

/// The function of an entry point and its arguments.
fn find_entry(
    store: &mut Store<State>,
    instance: &Instance,
    entry: &EntryPoint,
    memory64: bool,
) -> Option<(Func, Vec<Val>)> {
    if let EntryPoint::Callback {
        function,
        environment,
    } = entry
    {
        let table = instance.get_table(&mut *store, TABLE)?;
        let function = *table.get(&mut *store, *function)?.as_func()??;
        let argument = if memory64 {
            Val::I64(*environment as i64)
        } else {
            Val::I32(*environment as u32 as i32)
        };
        let ty = function.ty(&*store);
        let fits = ty.results().len() == 0
            && ty.params().len() == 1
            && ty.params().all(|wanted| {
                if memory64 {
                    wanted.is_i64()
                } else {
                    wanted.is_i32()
                }
            });
        return fits.then(|| (function, vec![argument]));
    }
    let name = export_name(entry).unwrap_or_else(|| START.to_owned());
    let function = instance.get_func(&mut *store, &name)?;
    Some((function, Vec::new()))
}

impl Execution for LocalExecution {
    fn run_slice(&mut self) -> Result<Slice, Fault> {
        let mut context = Context::from_waker(Waker::noop());
        let stopped = match &mut self.stage {
            Stage::Running { machine, .. } => loop {
                match machine.as_mut().poll(&mut context) {
                    Poll::Ready(stopped) => break stopped,
                    Poll::Pending if self.slices.paused() => return Ok(Slice::Paused),
                    Poll::Pending => {}
                }
            },
            Stage::Ended(_) | Stage::Over => {
                return match std::mem::replace(&mut self.stage, Stage::Over) {
                    Stage::Ended(trap) => Ok(finished(0, Err(trap), Vec::new(), None)),
                    _ => Err(Fault("the execution is over".into())),
                };
            }
        };
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Running { heap, .. } => self.finish(stopped, heap),
            _ => Err(Fault("the execution is over".into())),
        }
    }
}

impl LocalExecution {
    fn finish(&self, stopped: Stopped, heap: Heap) -> Result<Slice, Fault> {
        let Stopped {
            mut store,
            instance,
            result,
        } = stopped;
        let max = store.data().request.instructions_max;
        let used = max.saturating_sub(store.get_fuel().map_err(fault)?);
        let deep = matches!(
            instance.get_global(&mut store, STACK).map(|global| global.get(&mut store)),
            Some(Val::I64(free)) if free < 0
        );
        let globals = match &result {
            Ok(()) if store.data().request.keep_changes => {
                save_globals(&mut store, &instance, self.globals)?
            }
            _ => Vec::new(),
        };
        let mut state = store.into_data();
        if let Some(reason) = state.fault.take() {
            return Err(Fault(reason));
        }
        if heap.failed() {
            return Err(Fault("the kernel refused memory".into()));
        }
        let prints = std::mem::take(&mut state.prints);
        let end = match result {
            Ok(()) => None,
            Err(error) => Some(why(error, &mut state, deep, max)?),
        };
        match end {
            Some(trap) => Ok(self.undo(used, Err(trap), prints, heap, &state)),
            None if used >= max => {
                let trap = words::out_of_instructions(max);
                Ok(self.undo(max, Err(trap), prints, heap, &state))
            }
            None if !state.request.keep_changes => {
                let effects = std::mem::take(&mut state.effects);
                Ok(self.undo(used, Ok(Box::new(effects)), prints, heap, &state))
            }
            None => self.keep(used, globals, prints, heap, state),
        }
    }

    /// Ends a message whose changes of memory are not wanted.
    fn undo(
        &self,
        used: u64,
        end: Result<Box<Effects>, Trap>,
        prints: Vec<Vec<u8>>,
        mut heap: Heap,
        state: &State,
    ) -> Slice {
        let undone = heap
            .candidates(&self.heaps.pagemap)
            .and_then(|candidates| heap.roll_back(&candidates));
        let version = match undone {
            Ok(()) => self.heaps.keep(state.request.canister, heap, self.version),
            Err(_) => None,
        };
        finished(used, end, prints, version)
    }

    /// Ends a message that completed and whose changes are wanted.
    fn keep(
        &self,
        used: u64,
        globals: Vec<GlobalValue>,
        prints: Vec<Vec<u8>>,
        mut heap: Heap,
        mut state: State,
    ) -> Result<Slice, Fault> {
        let max = state.request.instructions_max;
        let candidates = heap.candidates(&self.heaps.pagemap).map_err(io_fault)?;
        let dirty = heap
            .dirty(&candidates, &state.request.heap)
            .map_err(io_fault)?;
        let used = used.saturating_add(HEAP_DIRTY_PAGE.saturating_mul(dirty.len() as u64));
        if used >= max {
            let trap = words::out_of_instructions(max);
            return Ok(self.undo(max, Err(trap), prints, heap, &state));
        }
        let mut writer = PageWriter::default();
        let mut heap_runs = Vec::new();
        for (first, end) in neighbours(&dirty) {
            let bytes = &heap.bytes()[first as usize * PAGE_BYTES..end as usize * PAGE_BYTES];
            heap_runs.push(writer.write(first, bytes).map_err(io_fault)?);
        }
        let stable_runs = state.stable.changes(&mut writer).map_err(io_fault)?;
        let mut effects = std::mem::take(&mut state.effects);
        effects.memory = Some(MemoryChanges {
            globals,
            heap_wasm_pages: heap.wasm_pages(),
            heap_runs,
            stable_wasm_pages: state.stable.wasm_pages(),
            stable_runs,
        });
        let version = match heap.adopt(&dirty, &candidates) {
            Ok(()) => self.heaps.keep(state.request.canister, heap, None),
            Err(_) => None,
        };
        Ok(finished(used, Ok(Box::new(effects)), prints, version))
    }
}

/// The trap behind an error, or a fault if the program did not cause it.
fn why(error: wasmtime::Error, state: &mut State, deep: bool, max: u64) -> Result<Trap, Fault> {
    if let Some(trap) = state.trap.take() {
        return Ok(trap);
    }
    match error.downcast::<wasmtime::Trap>() {
        Ok(wasmtime::Trap::OutOfFuel) => Ok(words::out_of_instructions(max)),
        Ok(wasmtime::Trap::StackOverflow) => Ok(words::stack_overflow()),
        Ok(wasmtime::Trap::UnreachableCodeReached) if deep => Ok(words::stack_overflow()),
        Ok(trap) => Ok(words::machine(trap)),
        Err(error) => Err(fault(error)),
    }
}

fn finished(
    instructions: u64,
    end: Result<Box<Effects>, Trap>,
    prints: Vec<Vec<u8>>,
    memory_version: Option<u64>,
) -> Slice {
    Slice::Finished(Box::new(ExecutionResult {
        instructions,
        end,
        prints,
        memory_version,
    }))
}

fn io_fault(error: std::io::Error) -> Fault {
    Fault(format!("memory of a canister: {error}"))
}

// A memory is measured in Wasm pages and found dirty in pages; the code above relies on this.
const _: () = assert!(WASM_PAGE_BYTES.is_multiple_of(PAGE_BYTES as u64));
