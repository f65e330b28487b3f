//! Rewrites a validated module so that the executor can meter, bound, save and restore it.
//!
//! What changes:
//! - `nop`s beside operators make up what the price table cannot express (see [`super::price`]).
//! - Every function takes its stack units from a counter when it is entered, traps if the counter
//!   falls below zero, and gives them back on every way out.
//! - Mutable globals, the memory, the first table, the start function and the stack counter are
//!   exported under own names; other exports than functions go; functions other than entry points
//!   keep an export under another name, because an export may be what allows a `ref.func`.
//! - The start function no longer runs by itself. Active data segments become empty passive ones
//!   (which is what they are to the program after instantiation); the executor writes their bytes.
//!
//! Indices of functions, types, globals, tables and data segments stay as they were, so operators
//! are copied as bytes. Only `return` is replaced: the body is wrapped in a block, and a branch to
//! it leaves through the code that gives the units back.
//!
//! Invariant: the operators that are added have price 0, so the meter reads the same as it would
//! for the original program.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, Encode, ExportKind, ExportSection, GlobalType,
    Instruction, Module, RawSection, SectionId, ValType,
};
use wasmparser::{FuncType, FunctionBody, Operator, OperatorsReader, Parser, Payload};
use wasmtime::OperatorCost;

use super::price;
use super::validate::Checked;
use trilith_params::wasm::{STACK_UNITS_FRAME, STACK_UNITS_MAX};

/// Export name of the memory.
pub(crate) const MEMORY: &str = "t:memory";
/// Export name of the first table.
pub(crate) const TABLE: &str = "t:table";
/// Export name of the start function.
pub(crate) const START: &str = "t:start";
/// Export name of the counter of free stack units.
pub(crate) const STACK: &str = "t:stack";

/// Export name of the `n`-th mutable global.
pub(crate) fn global_name(n: usize) -> String {
    format!("t:g{n}")
}

/// A module's sections by id, in the order in which they stand in a module.
const ORDER: [SectionId; 11] = [
    SectionId::Type,
    SectionId::Import,
    SectionId::Function,
    SectionId::Table,
    SectionId::Memory,
    SectionId::Global,
    SectionId::Export,
    SectionId::Element,
    SectionId::DataCount,
    SectionId::Code,
    SectionId::Data,
];

/// Rewrites `wasm`, which `checked` was made from.
pub(super) fn rewrite(wasm: &[u8], checked: &Checked) -> Result<Vec<u8>, String> {
    let table = price::table();
    let weights = Weights::new(checked);
    let blocks = BlockTypes::new(checked);
    let mut sections: [Option<Vec<u8>>; ORDER.len()] = Default::default();
    let mut code = CodeSection::new();
    let mut next_function = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(|error| error.to_string())?;
        if let Payload::CodeSectionEntry(body) = &payload {
            let function = Function {
                weights: &weights,
                units: units_of(checked.stack_values[next_function]),
                result: blocks.of(checked.function_types[next_function]),
                memory64: checked.prepared.memory64,
                imported: checked.imported_functions,
                table: &table,
            };
            code.raw(&function.rewrite(body)?);
            next_function += 1;
        } else if let Some((id, range)) = payload.as_section()
            && let Some(place) = ORDER.iter().position(|section| *section as u8 == id)
        {
            sections[place] = Some(wasm[range].to_vec());
        }
    }
    let mut set = |id: SectionId, body: Option<Vec<u8>>| {
        let place = ORDER.iter().position(|section| *section == id);
        sections[place.expect("all sections are in the order")] = body;
    };
    set(SectionId::Export, Some(exports(checked, &weights)));
    set(
        SectionId::Code,
        (next_function > 0).then(|| section_body(&code)),
    );
    set(SectionId::Data, data(wasm, checked));
    append(&mut sections[0], &blocks.added)?;
    append(&mut sections[5], &weights.globals())?;
    let mut module = Module::new();
    for (id, data) in ORDER.iter().zip(&sections) {
        if let Some(data) = data {
            module.section(&RawSection {
                id: *id as u8,
                data,
            });
        }
    }
    Ok(module.finish())
}

/// The contents of an encoded section, without its length.
fn section_body(section: &impl Encode) -> Vec<u8> {
    let mut encoded = Vec::new();
    section.encode(&mut encoded);
    let length = encoded
        .iter()
        .position(|byte| byte & 0x80 == 0)
        .map_or(0, |last| last + 1);
    encoded.split_off(length)
}

/// Adds entries to a section that is a counted list, making the section if there was none.
fn append(section: &mut Option<Vec<u8>>, entries: &[Vec<u8>]) -> Result<(), String> {
    if entries.is_empty() {
        return Ok(());
    }
    let old = section.take().unwrap_or_else(|| vec![0]);
    let mut reader = wasmparser::BinaryReader::new(&old, 0);
    let count = reader.read_var_u32().map_err(|error| error.to_string())?;
    let mut body = Vec::with_capacity(old.len() + 16 * entries.len());
    (count + entries.len() as u32).encode(&mut body);
    body.extend_from_slice(&old[reader.original_position()..]);
    for entry in entries {
        body.extend_from_slice(entry);
    }
    *section = Some(body);
    Ok(())
}

fn exports(checked: &Checked, weights: &Weights) -> Vec<u8> {
    let mut exports = ExportSection::new();
    for (n, (name, function)) in checked.function_exports.iter().enumerate() {
        if name.starts_with("canister_") {
            exports.export(name, ExportKind::Func, *function);
        } else {
            exports.export(&format!("f:{n}"), ExportKind::Func, *function);
        }
    }
    if checked.has_memory {
        exports.export(MEMORY, ExportKind::Memory, 0);
    }
    if checked.has_table {
        exports.export(TABLE, ExportKind::Table, 0);
    }
    if let Some(start) = checked.start {
        exports.export(START, ExportKind::Func, start);
    }
    for (n, global) in checked.mutable_globals.iter().enumerate() {
        exports.export(&global_name(n), ExportKind::Global, *global);
    }
    exports.export(STACK, ExportKind::Global, weights.counter);
    section_body(&exports)
}

fn data(wasm: &[u8], checked: &Checked) -> Option<Vec<u8>> {
    if checked.data_is_active.is_empty() {
        return None;
    }
    let mut data = DataSection::new();
    for (active, range) in checked.data_is_active.iter().zip(&checked.data_ranges) {
        let bytes = if *active {
            &[][..]
        } else {
            &wasm[range.clone()]
        };
        data.passive(bytes.iter().copied());
    }
    Some(section_body(&data))
}

/// Stack units of a function: its values and its frame, rounded up to a power of two so that few
/// globals hold all amounts that occur.
fn units_of(values: u64) -> u64 {
    (STACK_UNITS_FRAME + values).next_power_of_two()
}

/// The globals of the stack counter. Amounts stand in immutable globals, because reading a global
/// is one of the operators that cost nothing.
struct Weights {
    /// Index of the counter.
    counter: u32,
    /// Amounts in use, ascending. The global of the n-th is `counter + 2 + 2n`, that of its
    /// negative follows.
    amounts: Vec<u64>,
}

impl Weights {
    fn new(checked: &Checked) -> Self {
        let mut amounts: Vec<u64> = checked.stack_values.iter().map(|v| units_of(*v)).collect();
        amounts.sort_unstable();
        amounts.dedup();
        Self {
            counter: checked.globals,
            amounts,
        }
    }

    /// The entries of the global section: counter, zero, amounts and their negatives.
    fn globals(&self) -> Vec<Vec<u8>> {
        let mut entries = vec![global(true, STACK_UNITS_MAX as i64), global(false, 0)];
        for amount in &self.amounts {
            entries.push(global(false, *amount as i64));
            entries.push(global(false, -(*amount as i64)));
        }
        entries
    }

    fn zero(&self) -> u32 {
        self.counter + 1
    }

    /// Global of an amount, or of its negative.
    fn amount(&self, units: u64, negative: bool) -> u32 {
        let place = self
            .amounts
            .binary_search(&units)
            .expect("all amounts were collected");
        self.counter + 2 + 2 * place as u32 + u32::from(negative)
    }

    /// `counter -= amount` (or `+=`), of operators without a price.
    fn take(&self, units: u64, back: bool, into: &mut Vec<u8>) {
        Instruction::GlobalGet(self.counter).encode(into);
        Instruction::GlobalGet(self.amount(units, back)).encode(into);
        Instruction::I64Sub.encode(into);
        Instruction::GlobalSet(self.counter).encode(into);
    }
}

fn global(mutable: bool, value: i64) -> Vec<u8> {
    let mut entry = Vec::new();
    GlobalType {
        val_type: ValType::I64,
        mutable,
        shared: false,
    }
    .encode(&mut entry);
    ConstExpr::i64_const(value).encode(&mut entry);
    entry
}

/// The block types that wrap bodies: `() -> results`. Several results need a type of their own.
struct BlockTypes {
    by_type: Vec<BlockType>,
    added: Vec<Vec<u8>>,
}

impl BlockTypes {
    fn new(checked: &Checked) -> Self {
        let mut added: Vec<Vec<u8>> = Vec::new();
        let first = checked.types.len() as u32;
        let by_type = checked
            .types
            .iter()
            .map(|ty| match ty.results() {
                [] => BlockType::Empty,
                [one] => BlockType::Result(encoder_type(*one)),
                _ => {
                    let entry = block_signature(ty);
                    let place = added.iter().position(|known| *known == entry);
                    let place = place.unwrap_or_else(|| {
                        added.push(entry);
                        added.len() - 1
                    });
                    BlockType::FunctionType(first + place as u32)
                }
            })
            .collect();
        Self { by_type, added }
    }

    fn of(&self, ty: u32) -> BlockType {
        self.by_type[ty as usize]
    }
}

/// The type section's entry for `() -> results of ty`.
fn block_signature(ty: &FuncType) -> Vec<u8> {
    let mut entry = vec![0x60, 0x00];
    (ty.results().len() as u32).encode(&mut entry);
    for result in ty.results() {
        encoder_type(*result).encode(&mut entry);
    }
    entry
}

fn encoder_type(ty: wasmparser::ValType) -> ValType {
    match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        // Validation admits no other reference type: externref needs the garbage-collection types.
        wasmparser::ValType::Ref(_) => ValType::FUNCREF,
    }
}

/// How to rewrite one function.
struct Function<'a> {
    weights: &'a Weights,
    units: u64,
    result: BlockType,
    memory64: bool,
    imported: u32,
    table: &'a OperatorCost,
}

impl Function<'_> {
    fn rewrite(&self, body: &FunctionBody<'_>) -> Result<Vec<u8>, String> {
        let bytes = body.as_bytes();
        let base = body.range().start;
        let reader = body
            .get_binary_reader_for_operators()
            .map_err(|error| error.to_string())?;
        let mut operators = OperatorsReader::new(reader);
        let mut copied = operators.original_position() - base;
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 4 + 32);
        out.extend_from_slice(&bytes[..copied]);
        self.enter(&mut out);
        Instruction::Block(self.result).encode(&mut out);
        let mut open = 0u32;
        while !operators.eof() {
            let (operator, offset) = operators
                .read_with_offset()
                .map_err(|error| error.to_string())?;
            let extra = price::extra(&operator, self.memory64, self.imported, self.table);
            if extra > 0 {
                out.extend_from_slice(&bytes[copied..offset - base]);
                copied = offset - base;
                out.resize(out.len() + extra as usize, NOP);
            }
            match operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open += 1,
                Operator::End => open = open.saturating_sub(1),
                Operator::Return => {
                    out.extend_from_slice(&bytes[copied..offset - base]);
                    Instruction::Br(open).encode(&mut out);
                    copied = operators.original_position() - base;
                }
                Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                    out.extend_from_slice(&bytes[copied..offset - base]);
                    copied = offset - base;
                    self.weights.take(self.units, true, &mut out);
                }
                _ => {}
            }
        }
        // The body's own `end` now closes the block.
        out.extend_from_slice(&bytes[copied..]);
        self.weights.take(self.units, true, &mut out);
        Instruction::End.encode(&mut out);
        Ok(out)
    }

    /// Takes the units and traps if there are not enough.
    fn enter(&self, out: &mut Vec<u8>) {
        self.weights.take(self.units, false, out);
        Instruction::GlobalGet(self.weights.counter).encode(out);
        Instruction::GlobalGet(self.weights.zero()).encode(out);
        Instruction::I64LtS.encode(out);
        Instruction::If(BlockType::Empty).encode(out);
        Instruction::Unreachable.encode(out);
        Instruction::End.encode(out);
    }
}

/// Encoding of `nop`.
const NOP: u8 = 0x01;
