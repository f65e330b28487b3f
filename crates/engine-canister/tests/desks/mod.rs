//! Desks for the tests of sandboxes: they run in a real jail, but what they do is said by the
//! argument of the message, and some of it no executor would do.
#![allow(unsafe_code)]

use std::fs::File;
use std::sync::Arc;

use nix::sys::memfd::{MFdFlags, memfd_create};
use sha2::{Digest, Sha256};
use trilith_engine_canister::api::{
    Answer, Effects, ExecutionRequest, ExecutionResult, GlobalValue, MemoryChanges, PreparedModule,
};
use trilith_engine_canister::executor::wire::{
    Encoded, decode_prepared, decode_request, encode_prepared, encode_result,
};
use trilith_engine_canister::sandbox::desk::{
    Compilation, CompileDesk, Desks, ExecuteDesk, Progress,
};
use trilith_protocol::Fault;
use trilith_types::{PAGE_BYTES, PageFile, PageRun};

/// First argument of this binary when it is to use these desks.
pub const ARGUMENT: &str = "--test-desks";

pub fn desks() -> Desks {
    Desks {
        execute: |pagemap| {
            assert!(pagemap.is_some(), "the pagemap is passed to the desk");
            Ok(Box::new(Scripted {
                pagemap,
                served: 0,
                module: None,
                request: None,
                pauses: 0,
            }))
        },
        compile: || Ok(Box::new(Copier)),
    }
}

struct Copier;

impl CompileDesk for Copier {
    fn compile(&mut self, wasm: &[u8]) -> Result<Compilation, Fault> {
        if wasm.starts_with(b"crash") {
            crash();
        }
        if wasm.starts_with(b"invalid") {
            return Ok(Compilation::Invalid(
                "the module starts with `invalid`".into(),
            ));
        }
        let mut hash: [u8; 32] = Sha256::digest(wasm).into();
        if wasm.starts_with(b"other") {
            hash[0] ^= 1;
        }
        let prepared = encode_prepared(&PreparedModule {
            hash,
            wasm_bytes: wasm.len() as u64,
            exports: Vec::new(),
            metadata: Vec::new(),
            memory64: false,
            memory_minimum: 1,
            memory_maximum: None,
            globals: vec![GlobalValue::I32(0)],
            has_start: false,
            instruction_count: 0,
        });
        Ok(Compilation::Done {
            prepared,
            code: wasm.to_vec(),
        })
    }
}

struct Scripted {
    pagemap: Option<File>,
    /// Messages this process has finished.
    served: u64,
    module: Option<PreparedModule>,
    request: Option<ExecutionRequest>,
    pauses: u32,
}

impl ExecuteDesk for Scripted {
    fn load(&mut self, prepared: &[u8], code: &File, code_bytes: u64) -> Result<(), Fault> {
        assert!(self.module.is_none(), "a process serves one module");
        let mut bytes = vec![0; code_bytes as usize];
        std::os::unix::fs::FileExt::read_exact_at(code, &mut bytes, 0)
            .map_err(|error| Fault(error.to_string()))?;
        assert!(
            std::os::unix::fs::FileExt::write_at(code, b"x", 0).is_err(),
            "code is sealed"
        );
        let module = decode_prepared(prepared).map_err(|error| Fault(error.to_string()))?;
        let hash: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(module.hash, hash, "the code is that of the module");
        self.module = Some(module);
        Ok(())
    }

    fn start(&mut self, request: &[u8], files: &[PageFile]) -> Result<(), Fault> {
        let request = decode_request(request, files).map_err(|error| Fault(error.to_string()))?;
        if request.argument == b"refuse" {
            return Err(Fault("refused to start".into()));
        }
        assert!(self.request.is_none(), "one execution at a time");
        self.request = Some(request);
        self.pauses = 0;
        Ok(())
    }

    fn run(&mut self) -> Result<Progress, Fault> {
        let Some(request) = self.request.as_ref() else {
            return Err(Fault("nothing to run".into()));
        };
        if request.argument == b"pause" && self.pauses < 2 {
            self.pauses += 1;
            return Ok(Progress::Paused);
        }
        self.served += 1;
        let finished = self.finished(request);
        self.request = None;
        Ok(Progress::Finished(finished))
    }

    fn abandon(&mut self) {
        self.request = None;
    }
}

impl Scripted {
    fn finished(&self, request: &ExecutionRequest) -> Encoded {
        let mut effects = Effects {
            memory: Some(unchanged(request)),
            ..Effects::default()
        };
        let mut reply = request.argument.clone();
        let mut result = ExecutionResult {
            instructions: request.instructions_max,
            end: Ok(Box::default()),
            prints: Vec::new(),
            memory_version: Some(self.served),
        };
        let script = String::from_utf8_lossy(&request.argument).into_owned();
        let memory = effects.memory.as_mut().expect("just made");
        match script.as_str() {
            "hang" => loop {
                std::hint::spin_loop();
            },
            "crash" => crash(),
            "panic" => panic!("a test wanted this panic"),
            "served" => reply = self.served.to_be_bytes().to_vec(),
            "pagemap" => reply = vec![u8::from(self.pagemap.is_some())],
            "remember" => reply = format!("{:?}", request.memory_version).into_bytes(),
            "sum" => reply = heap_sum(request).to_be_bytes().to_vec(),
            "keep" => result.memory_version = request.memory_version,
            "forget" => result.memory_version = None,
            "write" => memory.heap_runs = vec![run(2, 2, sealable(3), 1)],
            "garbage" => {
                return Encoded {
                    bytes: vec![0xff; 9],
                    files: Vec::new(),
                };
            }
            "instructions" => result.instructions += 1,
            "globals" => memory.globals = vec![GlobalValue::I64(0)],
            "pages" => memory.heap_wasm_pages = request.heap_wasm_pages_max + 1,
            "shrink" => memory.stable_wasm_pages = 0,
            "outside" => memory.heap_runs = vec![run(15, 2, sealable(2), 0)],
            "short" => memory.heap_runs = vec![run(0, 2, sealable(1), 0)],
            "unsealable" => memory.heap_runs = vec![run(0, 1, unsealable(), 0)],
            "mapped" => memory.heap_runs = vec![run(0, 1, mapped(), 0)],
            "cycles" => effects.cycles_burned = request.balance + 1,
            "accepted" => effects.cycles_accepted = request.cycles_available + 1,
            "no-memory" => effects.memory = None,
            "certified" => effects.certified_data = Some(vec![0; 33]),
            _ => {}
        }
        effects.answer = Some(Answer::Reply(reply));
        result.end = Ok(Box::new(effects));
        encode_result(&result)
    }
}

fn unchanged(request: &ExecutionRequest) -> MemoryChanges {
    MemoryChanges {
        globals: vec![GlobalValue::I32(0)],
        heap_wasm_pages: request.heap_wasm_pages,
        heap_runs: Vec::new(),
        stable_wasm_pages: request.stable_wasm_pages,
        stable_runs: Vec::new(),
    }
}

fn heap_sum(request: &ExecutionRequest) -> u64 {
    for run in request.heap.runs() {
        let written = std::os::unix::fs::FileExt::write_at(run.file.as_ref(), b"x", 0);
        assert!(written.is_err(), "page files cannot be written");
    }
    let bytes = request.heap.pages() as usize * PAGE_BYTES;
    let heap = request
        .heap
        .read(0, bytes)
        .expect("page files are readable");
    heap.into_iter().map(u64::from).sum()
}

fn run(page: u64, count: u64, file: File, file_page: u64) -> PageRun {
    PageRun {
        page,
        count,
        file: Arc::new(file),
        file_page,
    }
}

/// A memory file as executors make them, of so many pages; page n is full of n.
fn sealable(pages: u8) -> File {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create("pages", flags).expect("memory files are allowed"));
    for page in 0..pages {
        let offset = u64::from(page) * PAGE_BYTES as u64;
        std::os::unix::fs::FileExt::write_all_at(&file, &[page; PAGE_BYTES], offset)
            .expect("memory files can be written");
    }
    file
}

fn unsealable() -> File {
    let file = memfd_create("pages", MFdFlags::MFD_CLOEXEC).expect("memory files are allowed");
    let file = File::from(file);
    file.set_len(PAGE_BYTES as u64)
        .expect("memory files can grow");
    file
}

/// A file that this process can go on changing through a mapping.
fn mapped() -> File {
    use std::os::fd::AsRawFd;
    let file = sealable(1);
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    let (nowhere, fd) = (std::ptr::null_mut(), file.as_raw_fd());
    // SAFETY: a new mapping at an address that the kernel chooses, never dereferenced.
    let memory = unsafe { libc::mmap(nowhere, PAGE_BYTES, writable, libc::MAP_SHARED, fd, 0) };
    assert_ne!(memory, libc::MAP_FAILED);
    file
}

fn crash() -> ! {
    // SAFETY: reading address 8 is what the test is about: it ends the process by SIGSEGV.
    unsafe { std::ptr::without_provenance::<u8>(8).read_volatile() };
    unreachable!("the read ends the process")
}
