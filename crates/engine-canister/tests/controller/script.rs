//! A test double of the executor: "modules" are texts and messages carry the program to run, so
//! that a test says in one line what a canister does. It keeps state in the memories like a real
//! one, uses slices, and fails on request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use candid::Principal;
use trilith_engine_canister::api::*;
use trilith_protocol::Fault;
use trilith_types::hash::sha256;
use trilith_types::{Image, PAGE_BYTES, PageRun};

/// Programs of callbacks by the number that canisters keep: what a function table is to Wasm.
static PROGRAMS: Mutex<BTreeMap<u64, String>> = Mutex::new(BTreeMap::new());

fn register(program: &str) -> (u64, u64) {
    let digest = sha256(&[program.as_bytes()]);
    let number = u64::from_be_bytes(digest[..8].try_into().unwrap());
    PROGRAMS.lock().unwrap().insert(number, program.to_owned());
    (0, number)
}

/// Runs texts. A module has lines `export <entry>[: <program>]` and `section <public|private>
/// <name> <text>`; without a program the argument is the program.
#[derive(Default)]
pub struct ScriptExecutor {
    modules: Mutex<BTreeMap<ModuleHash, Arc<Vec<u8>>>>,
    /// How many of the next slices fail.
    pub failures: AtomicU32,
    /// Executions that were started.
    pub started: AtomicU64,
}

impl Executor for ScriptExecutor {
    fn prepare(&self, wasm: &Arc<Vec<u8>>) -> Result<Arc<PreparedModule>, PrepareError> {
        let text = wasm
            .strip_prefix(b"\0asm")
            .and_then(|text| std::str::from_utf8(text).ok());
        let text = text.ok_or_else(|| PrepareError::Invalid("not a script".to_owned()))?;
        let hash = sha256(&[wasm]);
        self.modules.lock().unwrap().insert(hash, wasm.clone());
        let mut exports = Vec::new();
        let mut metadata = Vec::new();
        for line in text.lines() {
            if let Some(export) = line.strip_prefix("export ") {
                exports.push(entry(export.split(':').next().unwrap().trim()));
            } else if let Some(section) = line.strip_prefix("section ") {
                let words: Vec<&str> = section.splitn(3, ' ').collect();
                metadata.push(MetadataSection {
                    name: words[1].to_owned(),
                    public: words[0] == "public",
                    content: words[2].as_bytes().to_vec(),
                });
            }
        }
        exports.sort();
        Ok(Arc::new(PreparedModule {
            hash,
            wasm_bytes: wasm.len() as u64,
            has_start: exports.contains(&EntryPoint::Start),
            exports,
            metadata,
            memory64: false,
            memory_minimum: 1,
            memory_maximum: None,
            globals: vec![GlobalValue::I32(7)],
            instruction_count: 1,
        }))
    }

    fn start(
        &self,
        module: &Arc<PreparedModule>,
        request: ExecutionRequest,
    ) -> Result<Box<dyn Execution>, Fault> {
        self.started.fetch_add(1, Ordering::Relaxed);
        let bytes = self.modules.lock().unwrap()[&module.hash].clone();
        let failing = self
            .failures
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok();
        let slice = request.slice_instructions;
        let result = Machine::new(request).run(std::str::from_utf8(&bytes[4..]).unwrap());
        Ok(Box::new(ScriptExecution {
            result: Some(result),
            used: 0,
            slice,
            failing,
        }))
    }
}

fn entry(text: &str) -> EntryPoint {
    let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
    match kind {
        "start" => EntryPoint::Start,
        "init" => EntryPoint::Init,
        "pre_upgrade" => EntryPoint::PreUpgrade,
        "post_upgrade" => EntryPoint::PostUpgrade,
        "inspect" => EntryPoint::InspectMessage,
        "heartbeat" => EntryPoint::Heartbeat,
        "timer" => EntryPoint::GlobalTimer,
        "low_memory" => EntryPoint::OnLowWasmMemory,
        "update" => EntryPoint::Update(name.to_owned()),
        "query" => EntryPoint::Query(name.to_owned()),
        "composite" => EntryPoint::CompositeQuery(name.to_owned()),
        other => panic!("no entry {other}"),
    }
}

struct ScriptExecution {
    result: Option<ExecutionResult>,
    used: u64,
    slice: u64,
    failing: bool,
}

impl Execution for ScriptExecution {
    fn run_slice(&mut self) -> Result<Slice, Fault> {
        if self.failing {
            return Err(Fault("the test asked for it".to_owned()));
        }
        let total = self
            .result
            .as_ref()
            .expect("the execution has not ended")
            .instructions;
        if total - self.used > self.slice {
            self.used += self.slice;
            return Ok(Slice::Paused);
        }
        Ok(Slice::Finished(Box::new(
            self.result.take().expect("just seen"),
        )))
    }
}

struct Machine {
    request: ExecutionRequest,
    heap: Vec<u8>,
    stable: Vec<u8>,
    heap_pages: u64,
    effects: Effects,
    prints: Vec<Vec<u8>>,
    instructions: u64,
}

/// A string in the first page of a memory.
fn load(image: &Image) -> Vec<u8> {
    let bytes = image.read(0, PAGE_BYTES).unwrap();
    let len = u64::from_be_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8..8 + len].to_vec()
}

fn save(value: &[u8]) -> PageRun {
    let mut page = (value.len() as u64).to_be_bytes().to_vec();
    page.extend_from_slice(value);
    page.resize(PAGE_BYTES, 0);
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(&page).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    PageRun {
        page: 0,
        count: 1,
        file: Arc::new(file),
        file_page: 0,
    }
}

impl Machine {
    fn new(request: ExecutionRequest) -> Self {
        let (heap, stable) = (load(&request.heap), load(&request.stable));
        Self {
            heap_pages: request.heap_wasm_pages,
            request,
            heap,
            stable,
            effects: Effects::default(),
            prints: Vec::new(),
            instructions: 1_000,
        }
    }

    fn run(mut self, module: &str) -> ExecutionResult {
        let program = self.program(module);
        let end = program
            .split(';')
            .map(str::trim)
            .filter(|op| !op.is_empty())
            .try_for_each(|op| self.step(op));
        let end = end.and_then(|()| {
            if self.instructions > self.request.instructions_max {
                return Err(Trap {
                    kind: TrapKind::OutOfInstructions,
                    message: "out of instructions".to_owned(),
                });
            }
            Ok(())
        });
        if self.request.keep_changes {
            let stable_pages =
                u64::from(!self.stable.is_empty()).max(self.request.stable_wasm_pages);
            self.effects.memory = Some(MemoryChanges {
                globals: vec![GlobalValue::I32(8)],
                heap_wasm_pages: self.heap_pages,
                heap_runs: vec![save(&self.heap)],
                stable_wasm_pages: stable_pages,
                stable_runs: if stable_pages > 0 {
                    vec![save(&self.stable)]
                } else {
                    Vec::new()
                },
            });
        }
        ExecutionResult {
            instructions: self.instructions.min(self.request.instructions_max),
            end: end.map(|()| Box::new(self.effects)),
            prints: self.prints,
            memory_version: None,
        }
    }

    fn program(&self, module: &str) -> String {
        if let EntryPoint::Callback { environment, .. } = &self.request.entry {
            return PROGRAMS.lock().unwrap()[environment].clone();
        }
        let lines = module
            .lines()
            .filter_map(|line| line.strip_prefix("export "));
        let mut found = lines
            .filter(|line| entry(line.split(':').next().unwrap().trim()) == self.request.entry);
        match found.next().and_then(|line| line.split_once(':')) {
            Some((_, program)) => program.to_owned(),
            None => String::from_utf8(self.request.argument.clone()).unwrap(),
        }
    }

    fn answer(&mut self, answer: Answer) -> Result<(), Trap> {
        if self.request.answered || self.effects.answer.is_some() {
            return Err(Trap {
                kind: TrapKind::Contract,
                message: "answered twice".to_owned(),
            });
        }
        self.effects.answer = Some(answer);
        Ok(())
    }

    fn reply(&mut self, bytes: impl Into<Vec<u8>>) -> Result<(), Trap> {
        self.answer(Answer::Reply(bytes.into()))
    }

    fn step(&mut self, op: &str) -> Result<(), Trap> {
        let (name, rest) = op.split_once(' ').unwrap_or((op, ""));
        match name {
            "reply" => return self.reply(rest),
            "reply_state" => return self.reply(self.heap.clone()),
            "reply_stable" => return self.reply(self.stable.clone()),
            "reply_arg" => return self.reply(self.request.argument.clone()),
            "reply_time" => return self.reply(self.request.environment.time_nanos.to_string()),
            "reply_caller_info" => {
                let info = self.request.caller_info.as_deref();
                let text = info.map(|info| {
                    let data = String::from_utf8_lossy(&info.data);
                    format!("{data} by {}", info.signer)
                });
                return self.reply(text.unwrap_or_default());
            }
            "reply_version" => return self.reply(self.request.environment.version.to_string()),
            "reply_refund" => return self.reply(self.request.cycles_refunded.to_string()),
            "reply_certificate" => {
                return self.reply(
                    self.request
                        .environment
                        .data_certificate
                        .clone()
                        .unwrap_or_default(),
                );
            }
            "reply_reject" => {
                let (code, message) = self.request.reject.clone().unwrap();
                return self.reply(format!("{code} {message}"));
            }
            "reject" => return self.answer(Answer::Reject(rest.to_owned())),
            "trap" => {
                let message = format!("Canister called `ic0.trap` with message: '{rest}'");
                return Err(Trap {
                    kind: TrapKind::Called,
                    message,
                });
            }
            "set" => self.heap = rest.as_bytes().to_vec(),
            "add" => self.heap.extend_from_slice(rest.as_bytes()),
            "stable" => self.stable = rest.as_bytes().to_vec(),
            "save" => self.stable = self.heap.clone(),
            "restore" => self.heap = self.stable.clone(),
            "print" => self.prints.push(rest.as_bytes().to_vec()),
            "certify" => self.effects.certified_data = Some(rest.as_bytes().to_vec()),
            "certify_hex" => self.effects.certified_data = Some(hex::decode(rest).unwrap()),
            "timer" => self.effects.global_timer = Some(rest.parse().unwrap()),
            "burn" => self.effects.cycles_burned += rest.parse::<u128>().unwrap(),
            "accept" => {
                self.effects.cycles_accepted += rest
                    .parse::<u128>()
                    .unwrap()
                    .min(self.request.cycles_available)
            }
            "grow" => {
                self.heap_pages += rest.parse::<u64>().unwrap();
                let limit = self.request.heap_wasm_pages_max;
                if self.heap_pages > limit {
                    let message = format!("no more than {limit} pages");
                    let kind = TrapKind::MemoryLimit;
                    return Err(Trap { kind, message });
                }
            }
            "reply_pages" => return self.reply(self.heap_pages.to_string()),
            "reply_variables" => {
                let variables = format!("{:?}", self.request.environment.variables);
                return self.reply(variables);
            }
            "spend" => self.instructions += rest.parse::<u64>().unwrap(),
            "take" => self.effects.message_accepted = self.request.method_name == rest,
            "call" => self.call(rest),
            other => panic!("no operation {other}"),
        }
        Ok(())
    }

    /// `call <callee> <method> <cycles> <timeout|-> [argument or 0x and digits] [on reply] [on reject] [on cleanup]`,
    /// with `,` for `;` inside the brackets; nesting is by doubling.
    fn call(&mut self, text: &str) {
        let (head, tail) = text.split_once(" [").unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        let parts: Vec<String> = split_brackets(&format!("[{tail}"));
        let cleanup = &parts[3];
        self.effects.calls.push(Call {
            callee: Principal::from_text(words[0]).unwrap(),
            method: words[1].to_owned(),
            argument: match parts[0].strip_prefix("0x") {
                Some(digits) => hex::decode(digits).unwrap(),
                None => parts[0].clone().into_bytes(),
            },
            cycles: words[2].parse().unwrap(),
            on_reply: register(&parts[1]),
            on_reject: register(&parts[2]),
            on_cleanup: (!cleanup.is_empty()).then(|| register(cleanup)),
            timeout_seconds: words[3].parse().ok(),
        });
    }
}

/// The contents of consecutive brackets; at the outermost level `,` becomes `;`.
fn split_brackets(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let (mut depth, mut current) = (0, String::new());
    for letter in text.chars() {
        match letter {
            '[' if depth == 0 => depth = 1,
            ']' if depth == 1 => {
                depth = 0;
                parts.push(std::mem::take(&mut current));
            }
            ',' if depth == 1 => current.push(';'),
            _ if depth == 0 => {}
            other => {
                depth += i32::from(other == '[') - i32::from(other == ']');
                current.push(other);
            }
        }
    }
    parts
}
