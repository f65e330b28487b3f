//! Requests, results and prepared modules as bytes, for an executor in another process and for a
//! cache on disk.
//!
//! The encoding is a sequence of canonical CBOR items in the order of the fields; the head of a list
//! counts elements, whose items follow one after the other. Page files are not in it: an image or a list of runs names them
//! by their index in a separate list, whose descriptors travel beside the bytes. Everything decoded
//! here may come from a process that ran untrusted code, so every length, index and range is
//! checked before it is used; a decoded value is no more trusted than its sender.

use std::collections::BTreeMap;
use std::sync::Arc;

use candid::Principal;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Image, PageFile, PageRun};

use crate::api::{
    Answer, Call, CallFees, CallMode, CallerInfo, Effects, EntryPoint, Environment,
    ExecutionRequest, ExecutionResult, GlobalValue, MemoryChanges, MetadataSection, PreparedModule,
    Trap, TrapKind,
};

/// Most pages an image on the wire may have: 2^40 pages of 4 KiB, far above every memory limit,
/// low enough that byte offsets fit 64 bits.
const PAGES_MAX: u64 = 1 << 40;

/// Version of the encoding; the first item of every message. A reader refuses other versions.
const WIRE_VERSION: u64 = 2;

/// Bytes and the page files that they name by index.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    /// The encoded value.
    pub bytes: Vec<u8>,
    /// Its page files, each once, in order of first use.
    pub files: Vec<PageFile>,
}

/// Encodes a request.
pub fn encode_request(request: &ExecutionRequest) -> Encoded {
    let mut writer = Writer::new();
    write_request(&mut writer, request);
    writer.finish()
}

/// Decodes a request whose files are `files`.
///
/// # Errors
/// If the bytes are not the encoding of a request or name a file that is not in the list.
pub fn decode_request(bytes: &[u8], files: &[PageFile]) -> Result<ExecutionRequest, DecodeError> {
    let mut reader = Reader::new(bytes, files)?;
    let request = read_request(&mut reader)?;
    reader.decoder.finish()?;
    Ok(request)
}

/// Encodes a result.
pub fn encode_result(result: &ExecutionResult) -> Encoded {
    let mut writer = Writer::new();
    write_result(&mut writer, result);
    writer.finish()
}

/// Decodes a result whose files are `files`.
///
/// # Errors
/// If the bytes are not the encoding of a result or name a file that is not in the list.
pub fn decode_result(bytes: &[u8], files: &[PageFile]) -> Result<ExecutionResult, DecodeError> {
    let mut reader = Reader::new(bytes, files)?;
    let result = read_result(&mut reader)?;
    reader.decoder.finish()?;
    Ok(result)
}

/// Encodes what is known of a module.
pub fn encode_prepared(module: &PreparedModule) -> Vec<u8> {
    let mut writer = Writer::new();
    write_prepared(&mut writer, module);
    writer.finish().bytes
}

/// Decodes what is known of a module.
///
/// # Errors
/// If the bytes are not such an encoding.
pub fn decode_prepared(bytes: &[u8]) -> Result<PreparedModule, DecodeError> {
    let mut reader = Reader::new(bytes, &[])?;
    let module = read_prepared(&mut reader)?;
    reader.decoder.finish()?;
    Ok(module)
}

/// Feeds `input` to every decoder of this module; for the fuzzer. Returns how many accepted it.
pub fn decode_anything(input: &[u8]) -> usize {
    usize::from(decode_request(input, &[]).is_ok())
        + usize::from(decode_result(input, &[]).is_ok())
        + usize::from(decode_prepared(input).is_ok())
}

/// An encoder that collects page files.
struct Writer {
    encoder: Encoder,
    files: Vec<PageFile>,
    /// Index of each file by its address; looked up only, never iterated.
    indices: BTreeMap<usize, u64>,
}

impl Writer {
    fn new() -> Self {
        let mut encoder = Encoder::new();
        encoder.uint(WIRE_VERSION);
        Self {
            encoder,
            files: Vec::new(),
            indices: BTreeMap::new(),
        }
    }

    fn finish(self) -> Encoded {
        Encoded {
            bytes: self.encoder.finish(),
            files: self.files,
        }
    }

    fn uint(&mut self, value: u64) {
        self.encoder.uint(value);
    }

    fn bytes(&mut self, value: &[u8]) {
        self.encoder.bytes(value);
    }

    fn text(&mut self, value: &str) {
        self.encoder.text(value);
    }

    fn bool(&mut self, value: bool) {
        self.encoder.bool(value);
    }

    fn wide(&mut self, value: u128) {
        self.encoder.bytes(&value.to_be_bytes());
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        match value {
            None => {
                self.encoder.null();
            }
            Some(value) => {
                self.encoder.array(1);
                write(self, value);
            }
        }
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.encoder.array(items.len());
        for item in items {
            write(self, item);
        }
    }

    fn run(&mut self, run: &PageRun) {
        let address = Arc::as_ptr(&run.file) as usize;
        let next = self.files.len() as u64;
        let index = *self.indices.entry(address).or_insert(next);
        if index == next {
            self.files.push(run.file.clone());
        }
        self.encoder
            .array(4)
            .uint(run.page)
            .uint(run.count)
            .uint(index)
            .uint(run.file_page);
    }

    fn image(&mut self, image: &Image) {
        self.uint(image.pages());
        self.encoder.array(image.run_count());
        for run in image.runs() {
            self.run(run);
        }
    }

    fn global(&mut self, value: &GlobalValue) {
        self.encoder.array(2);
        match value {
            GlobalValue::I32(v) => self.encoder.uint(0).uint(u64::from(*v as u32)),
            GlobalValue::I64(v) => self.encoder.uint(1).uint(*v as u64),
            GlobalValue::F32(v) => self.encoder.uint(2).uint(u64::from(*v)),
            GlobalValue::F64(v) => self.encoder.uint(3).uint(*v),
            GlobalValue::V128(v) => self.encoder.uint(4).bytes(&v.to_be_bytes()),
        };
    }
}

/// A decoder that resolves page files.
struct Reader<'a> {
    decoder: Decoder<'a>,
    files: &'a [PageFile],
    /// Length of the input: no string in it is longer, no list has more items.
    len: usize,
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8], files: &'a [PageFile]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        if decoder.uint()? != WIRE_VERSION {
            return Err(DecodeError::Field("wire version"));
        }
        Ok(Self {
            decoder,
            files,
            len: bytes.len(),
        })
    }

    fn uint(&mut self) -> Result<u64, DecodeError> {
        self.decoder.uint()
    }

    fn uint32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        u32::try_from(self.decoder.uint()?).map_err(|_| DecodeError::Field(what))
    }

    fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, DecodeError> {
        Ok(self.decoder.bytes(what, self.len)?.to_vec())
    }

    fn text(&mut self, what: &'static str) -> Result<String, DecodeError> {
        Ok(self.decoder.text(what, self.len)?.to_owned())
    }

    fn bool(&mut self) -> Result<bool, DecodeError> {
        self.decoder.bool()
    }

    fn wide(&mut self, what: &'static str) -> Result<u128, DecodeError> {
        Ok(u128::from_be_bytes(self.decoder.bytes_exact(what)?))
    }

    fn principal(&mut self) -> Result<Principal, DecodeError> {
        let bytes = self.decoder.bytes("principal", 29)?;
        Principal::try_from_slice(bytes).map_err(|_| DecodeError::Field("principal"))
    }

    fn optional<T>(
        &mut self,
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.decoder.null() {
            return Ok(None);
        }
        self.tuple(what, 1)?;
        read(self).map(Some)
    }

    fn tuple(&mut self, what: &'static str, len: usize) -> Result<(), DecodeError> {
        if self.decoder.array(what, len)? == len {
            Ok(())
        } else {
            Err(DecodeError::Field(what))
        }
    }

    fn list<T>(
        &mut self,
        what: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.decoder.array(what, self.len)?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(read(self)?);
        }
        Ok(items)
    }

    fn run(&mut self) -> Result<PageRun, DecodeError> {
        self.tuple("page run", 4)?;
        let (page, count) = (self.uint()?, self.uint()?);
        let (index, file_page) = (self.uint()?, self.uint()?);
        let fits = |first: u64| first <= PAGES_MAX && count <= PAGES_MAX - first;
        if count == 0 || !fits(page) || !fits(file_page) {
            return Err(DecodeError::Field("page run"));
        }
        let index = usize::try_from(index).map_err(|_| DecodeError::Field("file index"))?;
        let file = self
            .files
            .get(index)
            .ok_or(DecodeError::Field("file index"))?
            .clone();
        Ok(PageRun {
            page,
            count,
            file,
            file_page,
        })
    }

    /// Runs that ascend, do not overlap and lie below `pages`.
    fn runs(&mut self, pages: u64) -> Result<Vec<PageRun>, DecodeError> {
        let runs = self.list("page runs", Self::run)?;
        let mut next = 0;
        for run in &runs {
            if run.page < next || run.page + run.count > pages {
                return Err(DecodeError::Field("page runs"));
            }
            next = run.page + run.count;
        }
        Ok(runs)
    }

    fn image(&mut self) -> Result<Image, DecodeError> {
        let pages = self.uint()?;
        if pages > PAGES_MAX {
            return Err(DecodeError::Field("image"));
        }
        let mut image = Image::zero(pages);
        for run in self.runs(pages)? {
            image.overlay(run);
        }
        Ok(image)
    }

    fn global(&mut self) -> Result<GlobalValue, DecodeError> {
        self.tuple("global", 2)?;
        Ok(match self.uint()? {
            0 => GlobalValue::I32(self.uint32("global")? as i32),
            1 => GlobalValue::I64(self.uint()? as i64),
            2 => GlobalValue::F32(self.uint32("global")?),
            3 => GlobalValue::F64(self.uint()?),
            4 => GlobalValue::V128(self.wide("global")?),
            _ => return Err(DecodeError::Field("global")),
        })
    }
}

/// The contexts in the order of their codes on the wire.
const MODES: [CallMode; 15] = [
    CallMode::Start,
    CallMode::Init,
    CallMode::PreUpgrade,
    CallMode::Update,
    CallMode::ReplicatedQuery,
    CallMode::NonReplicatedQuery,
    CallMode::CompositeQuery,
    CallMode::ReplyCallback,
    CallMode::RejectCallback,
    CallMode::CompositeReplyCallback,
    CallMode::CompositeRejectCallback,
    CallMode::Cleanup,
    CallMode::CompositeCleanup,
    CallMode::InspectMessage,
    CallMode::SystemTask,
];

/// The kinds of traps in the order of their codes on the wire.
const TRAPS: [TrapKind; 9] = [
    TrapKind::Called,
    TrapKind::Wasm,
    TrapKind::StackOverflow,
    TrapKind::OutOfInstructions,
    TrapKind::Contract,
    TrapKind::OutOfCycles,
    TrapKind::MethodNotFound,
    TrapKind::MemoryLimit,
    TrapKind::FunctionNotFound,
];

/// Position of `value` in `table`, which lists every variant.
fn code<T: PartialEq>(table: &[T], value: &T) -> u64 {
    table
        .iter()
        .position(|entry| entry == value)
        .expect("the table lists every variant") as u64
}

fn decode_code<T: Copy>(table: &[T], code: u64, what: &'static str) -> Result<T, DecodeError> {
    usize::try_from(code)
        .ok()
        .and_then(|code| table.get(code).copied())
        .ok_or(DecodeError::Field(what))
}

fn write_entry(writer: &mut Writer, entry: &EntryPoint) {
    let (code, name, callback) = match entry {
        EntryPoint::Start => (0, "", (0, 0)),
        EntryPoint::Init => (1, "", (0, 0)),
        EntryPoint::PreUpgrade => (2, "", (0, 0)),
        EntryPoint::PostUpgrade => (3, "", (0, 0)),
        EntryPoint::InspectMessage => (4, "", (0, 0)),
        EntryPoint::Heartbeat => (5, "", (0, 0)),
        EntryPoint::GlobalTimer => (6, "", (0, 0)),
        EntryPoint::OnLowWasmMemory => (7, "", (0, 0)),
        EntryPoint::Update(name) => (8, name.as_str(), (0, 0)),
        EntryPoint::Query(name) => (9, name.as_str(), (0, 0)),
        EntryPoint::CompositeQuery(name) => (10, name.as_str(), (0, 0)),
        EntryPoint::Callback {
            function,
            environment,
        } => (11, "", (*function, *environment)),
    };
    writer
        .encoder
        .array(4)
        .uint(code)
        .text(name)
        .uint(callback.0)
        .uint(callback.1);
}

fn read_entry(reader: &mut Reader<'_>) -> Result<EntryPoint, DecodeError> {
    reader.tuple("entry point", 4)?;
    let code = reader.uint()?;
    let name = reader.text("entry point")?;
    let (function, environment) = (reader.uint()?, reader.uint()?);
    let entry = match code {
        8 => EntryPoint::Update(name.clone()),
        9 => EntryPoint::Query(name.clone()),
        10 => EntryPoint::CompositeQuery(name.clone()),
        11 => EntryPoint::Callback {
            function,
            environment,
        },
        0 => EntryPoint::Start,
        1 => EntryPoint::Init,
        2 => EntryPoint::PreUpgrade,
        3 => EntryPoint::PostUpgrade,
        4 => EntryPoint::InspectMessage,
        5 => EntryPoint::Heartbeat,
        6 => EntryPoint::GlobalTimer,
        7 => EntryPoint::OnLowWasmMemory,
        _ => return Err(DecodeError::Field("entry point")),
    };
    let named = (8..=10).contains(&code);
    let plain = (named || name.is_empty()) && (code == 11 || (function, environment) == (0, 0));
    if plain {
        Ok(entry)
    } else {
        Err(DecodeError::Field("entry point"))
    }
}

fn write_environment(writer: &mut Writer, environment: &Environment) {
    writer.uint(environment.time_nanos);
    writer.bytes(environment.subnet.as_slice());
    writer.uint(environment.subnet_nodes);
    writer.bytes(&environment.root_key);
    writer.uint(u64::from(environment.status));
    writer.uint(environment.version);
    writer.list(&environment.controllers, |w, id| w.bytes(id.as_slice()));
    writer.list(&environment.variables, |w, (name, value)| {
        w.encoder.array(2).text(name).text(value);
    });
    writer.optional(environment.data_certificate.as_ref(), |w, bytes| {
        w.bytes(bytes)
    });
    writer.uint(environment.context_instructions);
    writer.uint(environment.other_memory_bytes);
    writer.uint(environment.global_timer);
}

fn read_environment(reader: &mut Reader<'_>) -> Result<Environment, DecodeError> {
    Ok(Environment {
        time_nanos: reader.uint()?,
        subnet: reader.principal()?,
        subnet_nodes: reader.uint()?,
        root_key: reader.bytes("root key")?,
        status: reader.uint32("status")?,
        version: reader.uint()?,
        controllers: reader.list("controllers", Reader::principal)?,
        variables: reader.list("variables", |r| {
            r.tuple("variable", 2)?;
            Ok((r.text("variable")?, r.text("variable")?))
        })?,
        data_certificate: reader.optional("certificate", |r| r.bytes("certificate"))?,
        context_instructions: reader.uint()?,
        other_memory_bytes: reader.uint()?,
        global_timer: reader.uint()?,
    })
}

fn write_request(writer: &mut Writer, request: &ExecutionRequest) {
    writer.bytes(request.canister.as_slice());
    write_entry(writer, &request.entry);
    writer.uint(code(&MODES, &request.mode));
    writer.bytes(request.caller.as_slice());
    writer.optional(request.caller_info.as_ref(), |w, info| {
        w.encoder
            .array(2)
            .bytes(&info.data)
            .bytes(info.signer.as_slice());
    });
    writer.bytes(&request.argument);
    writer.optional(request.reject.as_ref(), |w, (code, message)| {
        w.encoder.array(2).uint(u64::from(*code)).text(message);
    });
    writer.text(&request.method_name);
    writer.uint(request.deadline);
    writer.bool(request.answered);
    writer.wide(request.cycles_available);
    writer.wide(request.cycles_refunded);
    writer.wide(request.balance);
    writer.wide(request.balance_floor);
    writer.wide(request.call_fees.base);
    writer.wide(request.call_fees.per_request_byte);
    writer.wide(request.call_fees.response_prepayment);
    writer.uint(u64::from(request.calls_max));
    write_environment(writer, &request.environment);
    writer.list(&request.globals, Writer::global);
    writer.image(&request.heap);
    writer.uint(request.heap_wasm_pages);
    writer.uint(request.heap_wasm_pages_max);
    writer.image(&request.stable);
    writer.uint(request.stable_wasm_pages);
    writer.uint(request.stable_wasm_pages_max);
    writer.optional(request.memory_version, Writer::uint);
    writer.bool(request.write_data_segments);
    writer.uint(request.instructions_max);
    writer.uint(request.slice_instructions);
    writer.bool(request.keep_changes);
}

fn read_request(reader: &mut Reader<'_>) -> Result<ExecutionRequest, DecodeError> {
    Ok(ExecutionRequest {
        canister: reader.principal()?,
        entry: read_entry(reader)?,
        mode: decode_code(&MODES, reader.uint()?, "mode")?,
        caller: reader.principal()?,
        caller_info: reader.optional("caller info", |r| {
            r.tuple("caller info", 2)?;
            let (data, signer) = (r.bytes("caller info")?, r.principal()?);
            Ok(Arc::new(CallerInfo { data, signer }))
        })?,
        argument: reader.bytes("argument")?,
        reject: reader.optional("reject", |r| {
            r.tuple("reject", 2)?;
            Ok((r.uint32("reject code")?, r.text("reject message")?))
        })?,
        method_name: reader.text("method name")?,
        deadline: reader.uint()?,
        answered: reader.bool()?,
        cycles_available: reader.wide("cycles")?,
        cycles_refunded: reader.wide("cycles")?,
        balance: reader.wide("cycles")?,
        balance_floor: reader.wide("cycles")?,
        call_fees: CallFees {
            base: reader.wide("fee")?,
            per_request_byte: reader.wide("fee")?,
            response_prepayment: reader.wide("fee")?,
        },
        calls_max: reader.uint32("calls")?,
        environment: read_environment(reader)?,
        globals: reader.list("globals", Reader::global)?,
        heap: reader.image()?,
        heap_wasm_pages: reader.uint()?,
        heap_wasm_pages_max: reader.uint()?,
        stable: reader.image()?,
        stable_wasm_pages: reader.uint()?,
        stable_wasm_pages_max: reader.uint()?,
        memory_version: reader.optional("memory version", Reader::uint)?,
        write_data_segments: reader.bool()?,
        instructions_max: reader.uint()?,
        slice_instructions: reader.uint()?,
        keep_changes: reader.bool()?,
    })
}

fn write_pair(writer: &mut Writer, pair: (u64, u64)) {
    writer.encoder.array(2).uint(pair.0).uint(pair.1);
}

fn read_pair(reader: &mut Reader<'_>) -> Result<(u64, u64), DecodeError> {
    reader.tuple("callback", 2)?;
    Ok((reader.uint()?, reader.uint()?))
}

fn write_call(writer: &mut Writer, call: &Call) {
    writer.bytes(call.callee.as_slice());
    writer.text(&call.method);
    writer.bytes(&call.argument);
    writer.wide(call.cycles);
    write_pair(writer, call.on_reply);
    write_pair(writer, call.on_reject);
    writer.optional(call.on_cleanup, write_pair);
    writer.optional(call.timeout_seconds, |w, seconds| {
        w.uint(u64::from(seconds))
    });
}

fn read_call(reader: &mut Reader<'_>) -> Result<Call, DecodeError> {
    Ok(Call {
        callee: reader.principal()?,
        method: reader.text("method")?,
        argument: reader.bytes("argument")?,
        cycles: reader.wide("cycles")?,
        on_reply: read_pair(reader)?,
        on_reject: read_pair(reader)?,
        on_cleanup: reader.optional("cleanup", read_pair)?,
        timeout_seconds: reader.optional("timeout", |r| r.uint32("timeout"))?,
    })
}

fn write_effects(writer: &mut Writer, effects: &Effects) {
    writer.optional(effects.answer.as_ref(), |w, answer| {
        w.encoder.array(2);
        match answer {
            Answer::Reply(bytes) => w.encoder.uint(0).bytes(bytes),
            Answer::Reject(message) => w.encoder.uint(1).text(message),
        };
    });
    writer.list(&effects.calls, write_call);
    writer.wide(effects.cycles_accepted);
    writer.wide(effects.cycles_burned);
    writer.optional(effects.certified_data.as_ref(), |w, bytes| w.bytes(bytes));
    writer.optional(effects.global_timer, Writer::uint);
    writer.bool(effects.message_accepted);
    writer.optional(effects.memory.as_ref(), |w, memory| {
        w.list(&memory.globals, Writer::global);
        w.uint(memory.heap_wasm_pages);
        w.list(&memory.heap_runs, Writer::run);
        w.uint(memory.stable_wasm_pages);
        w.list(&memory.stable_runs, Writer::run);
    });
}

fn read_memory(reader: &mut Reader<'_>) -> Result<MemoryChanges, DecodeError> {
    let pages = |wasm_pages: u64| {
        let pages = wasm_pages
            .checked_mul(16)
            .filter(|pages| *pages <= PAGES_MAX);
        pages.ok_or(DecodeError::Field("memory length"))
    };
    let globals = reader.list("globals", Reader::global)?;
    let heap_wasm_pages = reader.uint()?;
    let heap_runs = reader.runs(pages(heap_wasm_pages)?)?;
    let stable_wasm_pages = reader.uint()?;
    let stable_runs = reader.runs(pages(stable_wasm_pages)?)?;
    Ok(MemoryChanges {
        globals,
        heap_wasm_pages,
        heap_runs,
        stable_wasm_pages,
        stable_runs,
    })
}

fn read_effects(reader: &mut Reader<'_>) -> Result<Effects, DecodeError> {
    Ok(Effects {
        answer: reader.optional("answer", |r| {
            r.tuple("answer", 2)?;
            match r.uint()? {
                0 => Ok(Answer::Reply(r.bytes("reply")?)),
                1 => Ok(Answer::Reject(r.text("reject")?)),
                _ => Err(DecodeError::Field("answer")),
            }
        })?,
        calls: reader.list("calls", read_call)?,
        cycles_accepted: reader.wide("cycles")?,
        cycles_burned: reader.wide("cycles")?,
        certified_data: reader.optional("certified data", |r| {
            Ok(r.decoder.bytes("certified data", 32)?.to_vec())
        })?,
        global_timer: reader.optional("global timer", Reader::uint)?,
        message_accepted: reader.bool()?,
        memory: reader.optional("memory", read_memory)?,
    })
}

fn write_result(writer: &mut Writer, result: &ExecutionResult) {
    writer.uint(result.instructions);
    writer.encoder.array(2);
    match &result.end {
        Ok(effects) => {
            writer.uint(0);
            write_effects(writer, effects);
        }
        Err(trap) => {
            writer.uint(1 + code(&TRAPS, &trap.kind));
            writer.text(&trap.message);
        }
    }
    writer.list(&result.prints, |w, line| w.bytes(line));
    writer.optional(result.memory_version, Writer::uint);
}

fn read_result(reader: &mut Reader<'_>) -> Result<ExecutionResult, DecodeError> {
    let instructions = reader.uint()?;
    reader.tuple("end", 2)?;
    let end = match reader.uint()? {
        0 => Ok(Box::new(read_effects(reader)?)),
        kind => {
            let kind = decode_code(&TRAPS, kind - 1, "trap")?;
            Err(Trap {
                kind,
                message: reader.text("trap")?,
            })
        }
    };
    Ok(ExecutionResult {
        instructions,
        end,
        prints: reader.list("prints", |r| r.bytes("print"))?,
        memory_version: reader.optional("memory version", Reader::uint)?,
    })
}

fn write_prepared(writer: &mut Writer, module: &PreparedModule) {
    writer.bytes(&module.hash);
    writer.uint(module.wasm_bytes);
    writer.list(&module.exports, write_entry);
    writer.list(&module.metadata, |w, section| {
        w.encoder
            .array(3)
            .text(&section.name)
            .bool(section.public)
            .bytes(&section.content);
    });
    writer.bool(module.memory64);
    writer.uint(module.memory_minimum);
    writer.optional(module.memory_maximum, Writer::uint);
    writer.list(&module.globals, Writer::global);
    writer.bool(module.has_start);
    writer.uint(module.instruction_count);
}

fn read_prepared(reader: &mut Reader<'_>) -> Result<PreparedModule, DecodeError> {
    Ok(PreparedModule {
        hash: reader.decoder.bytes_exact("module hash")?,
        wasm_bytes: reader.uint()?,
        exports: reader.list("exports", read_entry)?,
        metadata: reader.list("metadata", |r| {
            r.tuple("metadata", 3)?;
            Ok(MetadataSection {
                name: r.text("metadata")?,
                public: r.bool()?,
                content: r.bytes("metadata")?,
            })
        })?,
        memory64: reader.bool()?,
        memory_minimum: reader.uint()?,
        memory_maximum: reader.optional("memory maximum", Reader::uint)?,
        globals: reader.list("globals", Reader::global)?,
        has_start: reader.bool()?,
        instruction_count: reader.uint()?,
    })
}
