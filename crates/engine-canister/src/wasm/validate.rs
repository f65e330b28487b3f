//! Decides whether bytes are a canister module: valid WebAssembly with the features canisters may
//! use, within the limits, importing only `ic0` and exporting entry points of the right type.
//!
//! The verdict depends on the bytes alone. Every rejection states fact, value and limit, in the
//! words of the Internet Computer's replica where it has words for it.
//!
//! Source of rules and limits: Internet Computer interface specification, "Canister module format"
//! and "WebAssembly module requirements"; the replica's own limits where they are higher.

use std::collections::BTreeSet;
use std::ops::Range;

use sha2::{Digest, Sha256};
use trilith_params::wasm::{
    CODE_BYTES_MAX, FUNCTION_COMPLEXITY_MAX, FUNCTION_INSTRUCTIONS_MAX, FUNCTIONS_MAX, GLOBALS_MAX,
    METADATA_BYTES_MAX, METADATA_SECTIONS_MAX, METHOD_NAME_BYTES_MAX, METHODS_MAX,
    MODULE_BYTES_MAX, TABLE_ELEMENTS_MAX, WASM_PAGE_BYTES,
};
use wasmparser::{
    ConstExpr, DataKind, ExternalKind, FuncToValidate, FuncType, FuncValidatorAllocations,
    FunctionBody, Operator, Parser, Payload, TypeRef, ValType, ValidPayload, Validator,
    ValidatorResources, WasmFeatures,
};

use super::complexity;
use super::imports::Import;
use crate::api::{EntryPoint, GlobalValue, MetadataSection, PreparedModule};

/// A validated module and what instrumentation and execution need to know of it.
pub(super) struct Checked {
    /// What callers are told.
    pub prepared: PreparedModule,
    /// Number of imported functions: the index of the first defined one.
    pub imported_functions: u32,
    /// The function types.
    pub types: Vec<FuncType>,
    /// Type of each defined function.
    pub function_types: Vec<u32>,
    /// Stack values of each defined function: parameters, locals and the highest operand stack.
    pub stack_values: Vec<u64>,
    /// Number of globals.
    pub globals: u32,
    /// Indices of the mutable globals.
    pub mutable_globals: Vec<u32>,
    /// Function exports by name.
    pub function_exports: Vec<(String, u32)>,
    /// The start function.
    pub start: Option<u32>,
    /// Whether there is a memory.
    pub has_memory: bool,
    /// Whether there is a table.
    pub has_table: bool,
    /// Active data segments: offset in memory and place of the bytes in the module.
    pub active_data: Vec<(u64, Range<usize>)>,
    /// For each data segment whether it is active.
    pub data_is_active: Vec<bool>,
    /// Place of each data segment's bytes in the module.
    pub data_ranges: Vec<Range<usize>>,
}

/// The WebAssembly features that canisters may use.
pub(super) fn features() -> WasmFeatures {
    WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::SIMD
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::FLOATS
        | WasmFeatures::MEMORY64
}

/// Validates a module.
pub(super) fn check(wasm: &[u8]) -> Result<Checked, String> {
    if wasm.len() > MODULE_BYTES_MAX {
        let len = wasm.len();
        return Err(format!(
            "Failed to decode wasm module: it has {len} bytes, over the limit of {MODULE_BYTES_MAX}"
        ));
    }
    let mut checker = Checker::new(wasm);
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        checker.before(&payload)?;
        if let ValidPayload::Func(function, body) = validator.payload(&payload).map_err(invalid)? {
            allocations = checker.function(function, &body, allocations)?;
        }
        checker.after(&payload)?;
    }
    checker.finish()
}

fn invalid(error: wasmparser::BinaryReaderError) -> String {
    format!("Wasmtime failed to validate wasm module {error}")
}

fn too_many(what: &str, defined: usize, allowed: usize) -> String {
    format!(
        "Wasm module defined {defined} {what} which exceeds the maximum number allowed {allowed}."
    )
}

/// What is wrong with a section, `import`, `export`, `data`, `global` or `custom`.
fn section(name: &str, why: impl std::fmt::Display) -> String {
    format!("Wasm module has an invalid {name} section. {why}")
}

/// Collects facts while the validator goes through the module.
struct Checker<'a> {
    wasm: &'a [u8],
    out: Checked,
    imports: Vec<(String, u32)>,
    icp_sections: usize,
    icp_bytes: usize,
    globals: usize,
}

impl<'a> Checker<'a> {
    fn new(wasm: &'a [u8]) -> Self {
        let prepared = PreparedModule {
            hash: Sha256::digest(wasm).into(),
            wasm_bytes: wasm.len() as u64,
            exports: Vec::new(),
            metadata: Vec::new(),
            memory64: false,
            memory_minimum: 0,
            memory_maximum: None,
            globals: Vec::new(),
            has_start: false,
            instruction_count: 0,
        };
        let out = Checked {
            prepared,
            imported_functions: 0,
            types: Vec::new(),
            function_types: Vec::new(),
            stack_values: Vec::new(),
            globals: 0,
            mutable_globals: Vec::new(),
            function_exports: Vec::new(),
            start: None,
            has_memory: false,
            has_table: false,
            active_data: Vec::new(),
            data_is_active: Vec::new(),
            data_ranges: Vec::new(),
        };
        Self {
            wasm,
            out,
            imports: Vec::new(),
            icp_sections: 0,
            icp_bytes: 0,
            globals: 0,
        }
    }

    /// Limits that are cheap to see before the validator does its work.
    fn before(&mut self, payload: &Payload<'_>) -> Result<(), String> {
        match payload {
            Payload::FunctionSection(reader) if reader.count() as usize > FUNCTIONS_MAX => Err(
                too_many("functions", reader.count() as usize, FUNCTIONS_MAX),
            ),
            Payload::GlobalSection(reader) if reader.count() as usize > GLOBALS_MAX => {
                Err(too_many("globals", reader.count() as usize, GLOBALS_MAX))
            }
            Payload::CodeSectionStart { size, .. } if *size as usize > CODE_BYTES_MAX => {
                Err(format!(
                    "Wasm module code section size of {size} exceeds the maximum allowed size of \
                     {CODE_BYTES_MAX}"
                ))
            }
            _ => Ok(()),
        }
    }

    /// Facts of a section the validator has accepted.
    fn after(&mut self, payload: &Payload<'a>) -> Result<(), String> {
        match payload {
            Payload::TypeSection(reader) => {
                for ty in reader.clone().into_iter_err_on_gc_types() {
                    self.out.types.push(ty.map_err(invalid)?);
                }
            }
            Payload::ImportSection(reader) => self.import_section(reader.clone())?,
            Payload::FunctionSection(reader) => {
                for ty in reader.clone() {
                    self.out.function_types.push(ty.map_err(invalid)?);
                }
            }
            Payload::TableSection(reader) => {
                for table in reader.clone() {
                    let initial = table.map_err(invalid)?.ty.initial;
                    if initial > TABLE_ELEMENTS_MAX {
                        return Err(format!(
                            "a table has {initial} elements at the start, over the limit of \
                             {TABLE_ELEMENTS_MAX}"
                        ));
                    }
                    self.out.has_table = true;
                }
            }
            Payload::MemorySection(reader) => {
                for memory in reader.clone() {
                    let memory = memory.map_err(invalid)?;
                    self.out.has_memory = true;
                    self.out.prepared.memory64 = memory.memory64;
                    self.out.prepared.memory_minimum = memory.initial;
                    self.out.prepared.memory_maximum = memory.maximum;
                }
            }
            Payload::GlobalSection(reader) => self.global_section(reader.clone())?,
            Payload::ExportSection(reader) => {
                for export in reader.clone() {
                    let export = export.map_err(invalid)?;
                    if export.kind == ExternalKind::Func {
                        self.out
                            .function_exports
                            .push((export.name.to_owned(), export.index));
                    } else if export.name.starts_with("canister_") {
                        let why = format!("Exporting reserved symbol {} not allowed.", export.name);
                        return Err(section("export", why));
                    }
                }
            }
            Payload::StartSection { func, .. } => {
                self.out.start = Some(*func);
                self.out.prepared.has_start = true;
            }
            Payload::DataSection(reader) => self.data_section(reader.clone())?,
            Payload::CustomSection(reader) => self.custom_section(reader.name(), reader.data())?,
            _ => {}
        }
        Ok(())
    }

    fn import_section(
        &mut self,
        reader: wasmparser::ImportSectionReader<'a>,
    ) -> Result<(), String> {
        for import in reader.into_imports() {
            let import = import.map_err(invalid)?;
            let (module, name) = (import.module, import.name);
            let why = match import.ty {
                TypeRef::Func(_) if module == "ic0" => None,
                TypeRef::Func(_) if Import::named(name).is_some() => Some(format!(
                    "Module imports function {name:?} from {module:?}, expected to be imported from one of [\"ic0\"] instead."
                )),
                TypeRef::Func(_) => Some(format!(
                    "Module imports function '{name}' from '{module}' that is not exported by the runtime."
                )),
                TypeRef::Memory(_) => Some(format!(
                    "Importing memories is not allowed: '{module}.{name}'."
                )),
                TypeRef::Table(_) => Some(format!(
                    "Importing tables is not allowed: '{module}.{name}'."
                )),
                TypeRef::Tag(_) => Some("Importing tags is not allowed.".to_owned()),
                _ => Some("Importing globals is not allowed.".to_owned()),
            };
            if let Some(why) = why {
                return Err(section("import", why));
            }
            let TypeRef::Func(ty) = import.ty else {
                continue;
            };
            self.imports.push((import.name.to_owned(), ty));
        }
        self.out.imported_functions = self.imports.len() as u32;
        Ok(())
    }

    fn global_section(
        &mut self,
        reader: wasmparser::GlobalSectionReader<'a>,
    ) -> Result<(), String> {
        for (index, global) in reader.into_iter().enumerate() {
            let global = global.map_err(invalid)?;
            self.globals = index + 1;
            if !global.ty.mutable {
                continue;
            }
            let ty = global.ty.content_type;
            let value = initial_value(&global.init_expr, ty).ok_or_else(|| {
                let why = format!("Unsupported global type: {ty:?} of the mutable global {index}");
                section("global", why)
            })?;
            self.out.mutable_globals.push(index as u32);
            self.out.prepared.globals.push(value);
        }
        Ok(())
    }

    fn data_section(&mut self, reader: wasmparser::DataSectionReader<'a>) -> Result<(), String> {
        for segment in reader {
            let segment = segment.map_err(invalid)?;
            let start = segment.data.as_ptr() as usize - self.wasm.as_ptr() as usize;
            let range = start..start + segment.data.len();
            let active = matches!(segment.kind, DataKind::Active { .. });
            if let DataKind::Active { offset_expr, .. } = segment.kind {
                let offset = constant_address(&offset_expr).ok_or_else(|| {
                    section(
                        "data",
                        "Invalid offset expression in data segment: no constant",
                    )
                })?;
                let limit = self
                    .out
                    .prepared
                    .memory_minimum
                    .saturating_mul(WASM_PAGE_BYTES);
                let end = offset.saturating_add(segment.data.len() as u64);
                if end > limit {
                    let len = segment.data.len();
                    return Err(format!(
                        "Wasm module has invalid data segment of {len} bytes at {offset}; it ends at \
                         {end}, the initial memory at {limit}"
                    ));
                }
                self.out.active_data.push((offset, range.clone()));
            }
            self.out.data_is_active.push(active);
            self.out.data_ranges.push(range);
        }
        Ok(())
    }

    fn custom_section(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        if !name.starts_with("icp:") {
            return Ok(());
        }
        let (public, short) = if let Some(short) = name.strip_prefix("icp:public ") {
            (true, short)
        } else if let Some(short) = name.strip_prefix("icp:private ") {
            (false, short)
        } else {
            let why = if matches!(name, "icp:public" | "icp:private") {
                "'icp:' section names must have a space after the public/private scope".to_owned()
            } else {
                format!(
                    "Invalid custom section: Custom section '{name}' has no public/private scope defined."
                )
            };
            return Err(section("custom", why));
        };
        self.icp_sections += 1;
        self.icp_bytes += short.len() + content.len();
        let (count, bytes) = (self.icp_sections, self.icp_bytes);
        if count > METADATA_SECTIONS_MAX {
            return Err(too_many("custom sections", count, METADATA_SECTIONS_MAX));
        }
        if bytes > METADATA_BYTES_MAX {
            return Err(section(
                "custom",
                format!(
                    "Invalid custom sections: total size of the custom sections exceeds the maximum allowed: size {bytes} bytes, allowed {METADATA_BYTES_MAX} bytes"
                ),
            ));
        }
        self.out.prepared.metadata.push(MetadataSection {
            name: short.to_owned(),
            public,
            content: content.to_vec(),
        });
        Ok(())
    }

    /// Validates a function body and notes its size and how much stack it takes.
    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
        allocations: FuncValidatorAllocations,
    ) -> Result<FuncValidatorAllocations, String> {
        // As the replica counts: functions that are imported have no index here.
        let index = function.index - self.out.imported_functions;
        let mut validator = function.into_validator(allocations);
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader).map_err(invalid)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let (mut count, mut highest, mut complexity) = (0u64, 0u32, 0u64);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset().map_err(invalid)?;
            validator.op(offset, &operator).map_err(invalid)?;
            highest = highest.max(validator.operand_stack_height());
            count += 1;
            if count > FUNCTION_INSTRUCTIONS_MAX {
                return Err(format!(
                    "Wasm module contains a function at index {index} of size {count} that exceeds \
                     the maximum allowed size of {FUNCTION_INSTRUCTIONS_MAX}"
                ));
            }
            complexity += complexity::points(&operator);
            if complexity > FUNCTION_COMPLEXITY_MAX {
                return Err(format!(
                    "Wasm module contains a function at index {index} with complexity {complexity} \
                     which exceeds the maximum complexity allowed {FUNCTION_COMPLEXITY_MAX}"
                ));
            }
        }
        operators.finish().map_err(invalid)?;
        self.out.prepared.instruction_count += count;
        self.out
            .stack_values
            .push(u64::from(validator.len_locals()) + u64::from(highest));
        Ok(validator.into_allocations())
    }

    /// Checks what needs the whole module.
    fn finish(mut self) -> Result<Checked, String> {
        self.out.globals = self.globals as u32;
        self.check_imports()?;
        self.check_exports()?;
        self.out.prepared.exports.sort();
        self.out.prepared.metadata.sort();
        let names: Vec<_> = self
            .out
            .prepared
            .metadata
            .iter()
            .map(|m| m.name.as_str())
            .collect();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let why = format!("Invalid custom section: name {} already exists", pair[0]);
            return Err(section("custom", why));
        }
        Ok(self.out)
    }

    fn check_imports(&self) -> Result<(), String> {
        let memory64 = self.out.prepared.memory64;
        for (name, ty) in &self.imports {
            let known = Import::named(name).filter(|import| !(import.narrow && memory64));
            let Some(known) = known else {
                let width = if memory64 { " to 64-bit memories" } else { "" };
                return Err(section(
                    "import",
                    format!(
                        "Module imports function '{name}' from 'ic0' that is not exported by the runtime{width}."
                    ),
                ));
            };
            let expected = (
                wanted(known.parameters, memory64),
                wanted(known.result, memory64),
            );
            let found = &self.out.types[*ty as usize];
            check_signature(name, found, &expected.0, &expected.1)?;
        }
        Ok(())
    }

    fn check_exports(&mut self) -> Result<(), String> {
        let mut method_names = BTreeSet::new();
        let mut name_bytes = 0;
        for (export, index) in &self.out.function_exports {
            if !export.starts_with("canister_") {
                continue;
            }
            let (entry, method) = entry_point(export).ok_or_else(|| {
                let why =
                    format!("Exporting reserved function '{export}' with \"canister_\" prefix");
                section("export", why)
            })?;
            let ty = self.type_of_function(*index);
            check_signature(export, ty, &[], &[])?;
            if let Some(method) = method {
                name_bytes += method.len();
                if !method_names.insert(method) {
                    return Err(section(
                        "export",
                        format!(
                            "Duplicate function '{method}' exported multiple times with different call types: update, query, or composite_query."
                        ),
                    ));
                }
            }
            self.out.prepared.exports.push(entry);
        }
        let named = "exported functions called `canister_update <name>`, `canister_query <name>`, or `canister_composite_query <name>`";
        let count = method_names.len();
        if count > METHODS_MAX {
            let why = format!("The number of {named} exceeds {METHODS_MAX}. There are {count}.");
            return Err(section("export", why));
        }
        if name_bytes > METHOD_NAME_BYTES_MAX {
            let why = format!(
                "The sum of `<name>` lengths in {named} exceeds {METHOD_NAME_BYTES_MAX}. It is {name_bytes}."
            );
            return Err(section("export", why));
        }
        Ok(())
    }

    fn type_of_function(&self, index: u32) -> &FuncType {
        let imported = self.out.imported_functions;
        let ty = match index.checked_sub(imported) {
            None => self.imports[index as usize].1,
            Some(defined) => self.out.function_types[defined as usize],
        };
        &self.out.types[ty as usize]
    }
}

/// The entry point an export name stands for, and the method's name if it is a method.
fn entry_point(export: &str) -> Option<(EntryPoint, Option<&str>)> {
    let plain = match export {
        "canister_init" => Some(EntryPoint::Init),
        "canister_pre_upgrade" => Some(EntryPoint::PreUpgrade),
        "canister_post_upgrade" => Some(EntryPoint::PostUpgrade),
        "canister_inspect_message" => Some(EntryPoint::InspectMessage),
        "canister_heartbeat" => Some(EntryPoint::Heartbeat),
        "canister_global_timer" => Some(EntryPoint::GlobalTimer),
        "canister_on_low_wasm_memory" => Some(EntryPoint::OnLowWasmMemory),
        _ => None,
    };
    if let Some(entry) = plain {
        return Some((entry, None));
    }
    if let Some(name) = export.strip_prefix("canister_update ") {
        return Some((EntryPoint::Update(name.to_owned()), Some(name)));
    }
    if let Some(name) = export.strip_prefix("canister_query ") {
        return Some((EntryPoint::Query(name.to_owned()), Some(name)));
    }
    let name = export.strip_prefix("canister_composite_query ")?;
    Some((EntryPoint::CompositeQuery(name.to_owned()), Some(name)))
}

/// The export name of an entry point of a module.
pub(crate) fn export_name(entry: &EntryPoint) -> Option<String> {
    Some(match entry {
        EntryPoint::Init => "canister_init".to_owned(),
        EntryPoint::PreUpgrade => "canister_pre_upgrade".to_owned(),
        EntryPoint::PostUpgrade => "canister_post_upgrade".to_owned(),
        EntryPoint::InspectMessage => "canister_inspect_message".to_owned(),
        EntryPoint::Heartbeat => "canister_heartbeat".to_owned(),
        EntryPoint::GlobalTimer => "canister_global_timer".to_owned(),
        EntryPoint::OnLowWasmMemory => "canister_on_low_wasm_memory".to_owned(),
        EntryPoint::Update(name) => format!("canister_update {name}"),
        EntryPoint::Query(name) => format!("canister_query {name}"),
        EntryPoint::CompositeQuery(name) => format!("canister_composite_query {name}"),
        EntryPoint::Start | EntryPoint::Callback { .. } => return None,
    })
}

fn wanted(letters: &str, memory64: bool) -> Vec<ValType> {
    let wide = Import::widths(letters, memory64);
    wide.into_iter()
        .map(|wide| if wide { ValType::I64 } else { ValType::I32 })
        .collect()
}

/// Whether a function has the type that the runtime expects of it.
fn check_signature(
    name: &str,
    found: &FuncType,
    parameters: &[ValType],
    results: &[ValType],
) -> Result<(), String> {
    let why = if found.params() != parameters {
        let found = found.params();
        format!("Expected input params {parameters:?} for '{name}', got {found:?}.")
    } else if found.results() != results {
        let found = found.results();
        format!("Expected return type {results:?} for '{name}', got {found:?}.")
    } else {
        return Ok(());
    };
    Err(format!(
        "Wasm module has an invalid function signature. {why}"
    ))
}

/// The only operator of a constant expression, if it has just one.
fn constant<'a>(expression: &ConstExpr<'a>) -> Option<Operator<'a>> {
    let mut reader = expression.get_operators_reader();
    let operator = reader.read().ok()?;
    matches!(reader.read().ok()?, Operator::End).then_some(operator)
}

fn constant_address(expression: &ConstExpr<'_>) -> Option<u64> {
    match constant(expression)? {
        Operator::I32Const { value } => Some(u64::from(value as u32)),
        Operator::I64Const { value } => Some(value as u64),
        _ => None,
    }
}

fn initial_value(expression: &ConstExpr<'_>, ty: ValType) -> Option<GlobalValue> {
    if ty.is_reference_type() {
        return None;
    }
    match constant(expression)? {
        Operator::I32Const { value } => Some(GlobalValue::I32(value)),
        Operator::I64Const { value } => Some(GlobalValue::I64(value)),
        Operator::F32Const { value } => Some(GlobalValue::F32(value.bits())),
        Operator::F64Const { value } => Some(GlobalValue::F64(value.bits())),
        Operator::V128Const { value } => Some(GlobalValue::V128(value.i128() as u128)),
        _ => None,
    }
}
