//! What an instruction of a canister costs, and the bounds that go with it: the one place of every
//! number that decides a meter reading or a stack overflow.
//!
//! The meter is wasmtime's fuel with a table of operator prices. The table alone does not suffice:
//! entries end at 255, the price of a memory access depends on the width of the memory, and the
//! operators that instrumentation adds must cost the program nothing. So the table charges what it
//! can, charges nothing for the five operators that instrumentation uses, and [`extra`] says how
//! many `nop`s (price 1, no machine code) stand beside an operator for the rest.
//!
//! Wasmtime also charges 1 whenever a function is entered; calls cost 1 less for it, so that only
//! the entry of the message itself shows.
//!
//! Invariant: for every operator a program may use, table price + extra nops = [`price`]; for calls
//! together with the entry they lead to. (An indirect call of an import is 1 cheaper: what is
//! called is not known when code is made.)
//!
//! Source of the weights: the Internet Computer's embedder (instruction weights of its metering);
//! numbers marked "own" stand where no source was at hand.

use wasmparser::Operator;
use wasmtime::OperatorCost;

/// Stack units a message may have in use. One unit stands for [`STACK_UNIT_BYTES`] of native stack.
/// Own choice: a recursive function of ten values gets 32,768 levels.
pub const STACK_UNITS_MAX: u64 = 1 << 20;

/// Units every function activation takes beside its values: return address, saved registers, the
/// engine's own variables.
pub const STACK_UNITS_FRAME: u64 = 8;

/// Native stack provided for a unit. A value takes 8 bytes (a vector 16); the rest is room for how
/// the register allocator lays out a frame. With the optimiser off it merges no computations, so a
/// frame grows with the values that are live, which the unit counts.
pub const STACK_UNIT_BYTES: usize = 128;

/// Native stack beyond Wasm's share, for host functions.
pub const HOST_STACK_BYTES: usize = 2 << 20;

/// Instructions after which wasmtime hands control back, whatever the slice. A slice ends at such a
/// point or in a host call. A trap of the machine loses what was counted since the last one, so
/// this also bounds by how much a trapped message pays too little. At 0.1 µs for a pause this costs
/// about 0.2 %.
pub const GRAIN_INSTRUCTIONS: u64 = 100_000;

/// Charged for every 4 KiB page of heap whose bytes a message changed: first write 5,000, copy
/// 3,000. Plain heap reads are not charged.
pub const HEAP_DIRTY_PAGE: u64 = 8_000;

/// Charged when a message first touches a 4 KiB page of stable memory.
pub const STABLE_ACCESS_PAGE: u64 = 5_000;

/// Charged in addition when it first writes to it: first write 5,000, copy 3,000.
pub const STABLE_DIRTY_PAGE: u64 = 8_000;

/// Charged by host functions for each byte they copy.
pub const HOST_BYTE: u64 = 1;

macro_rules! weights {
    ($( $weight:literal: $($operator:ident)* ; )*) => {
        /// The weight of an operator in a module with 32-bit memory. Block structure is free;
        /// operators not listed cost 1.
        fn weight(operator: &Operator<'_>) -> u32 {
            match operator {
                $( $(Operator::$operator { .. })|* => $weight, )*
                _ => 1,
            }
        }

        /// The table's part of the weights.
        fn listed(table: &mut OperatorCost) {
            const fn capped(weight: u32) -> u8 {
                if weight > 255 { 255 } else { weight as u8 }
            }
            $( $( table.$operator = capped($weight); )* )*
        }
    };
}

weights! {
    0: Block Loop Else End;
    1: Nop Drop Unreachable;
    2: GlobalGet GlobalSet Br BrIf BrTable If Return
       F32Add F32Sub F32Mul F64Add F64Sub F64Mul
       F32x4Add F32x4Sub F32x4Mul F64x2Add F64x2Sub F64x2Mul
       I32x4Mul I16x8Mul I32x4DotI16x8S;
    3: F32Div F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge
       F32ConvertI32S F32ConvertI64S F64ConvertI32S F64ConvertI64S
       F32x4Eq F32x4Ne F32x4Lt F32x4Gt F32x4Le F32x4Ge
       F64x2Eq F64x2Ne F64x2Lt F64x2Gt F64x2Le F64x2Ge
       ReturnCall;
    4: I64x2Mul F32x4Div F32x4PMin F32x4PMax F64x2PMin F64x2PMax;
    5: Call F64Div F32Sqrt TableGet TableSet
       F32Ceil F32Floor F32Trunc F32Nearest F64Ceil F64Floor F64Trunc F64Nearest
       F64x2Div F32x4Sqrt I8x16Swizzle I8x16Popcnt
       F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest;
    8: F64Sqrt F64x2Sqrt;
    10: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU CallIndirect;
    14: F32x4Min F32x4Max F64x2Min F64x2Max
        I32x4TruncSatF32x4S I32x4TruncSatF32x4U I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero
        F32x4ConvertI32x4U F64x2ConvertLowI32x4U;
    16: F32ConvertI32U F32ConvertI64U F64ConvertI32U F64ConvertI64U;
    18: F32Min F32Max F64Min F64Max;
    20: MemorySize TableSize
        I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U
        I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U
        I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U
        I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U;
    60: ReturnCallIndirect;
    100: MemoryFill MemoryCopy MemoryInit DataDrop TableFill TableCopy TableInit ElemDrop;
    130: RefFunc;
    300: MemoryGrow TableGrow;
}

/// Price of an operator in instructions. Bulk operations cost one more for every byte or element.
pub fn price(operator: &Operator<'_>, memory64: bool) -> u32 {
    weight(operator) + u32::from(memory64 && accesses_memory(operator))
}

/// What wasmtime charges whenever a function is entered, beside the table.
pub const ENTRY: u8 = 1;

/// How many `nop`s must stand beside an operator of the original program. Functions below
/// `imported` are the host's, which are not entered as Wasm functions are.
pub fn extra(operator: &Operator<'_>, memory64: bool, imported: u32, table: &OperatorCost) -> u32 {
    let entered = match operator {
        Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
            *function_index >= imported
        }
        Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => true,
        _ => false,
    };
    let charged = table.cost(operator) as u32 + if entered { u32::from(ENTRY) } else { 0 };
    price(operator, memory64).saturating_sub(charged)
}

/// The table for wasmtime: the weights, but nothing for the operators that instrumentation uses,
/// and calls without what entering the function costs.
pub fn table() -> OperatorCost {
    let mut table = OperatorCost::new();
    listed(&mut table);
    table.GlobalGet = 0;
    table.GlobalSet = 0;
    table.I64Sub = 0;
    table.I64LtS = 0;
    table.If = 0;
    table.Call -= ENTRY;
    table.CallIndirect -= ENTRY;
    table.ReturnCall -= ENTRY;
    table.ReturnCallIndirect -= ENTRY;
    table
}

/// Whether the operator loads from or stores to memory, which costs one more where addresses have
/// 64 bits.
fn accesses_memory(operator: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::I32Load { .. }
            | O::I64Load { .. }
            | O::F32Load { .. }
            | O::F64Load { .. }
            | O::I32Load8S { .. }
            | O::I32Load8U { .. }
            | O::I32Load16S { .. }
            | O::I32Load16U { .. }
            | O::I64Load8S { .. }
            | O::I64Load8U { .. }
            | O::I64Load16S { .. }
            | O::I64Load16U { .. }
            | O::I64Load32S { .. }
            | O::I64Load32U { .. }
            | O::I32Store { .. }
            | O::I64Store { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32Store8 { .. }
            | O::I32Store16 { .. }
            | O::I64Store8 { .. }
            | O::I64Store16 { .. }
            | O::I64Store32 { .. }
            | O::V128Load { .. }
            | O::V128Load8x8S { .. }
            | O::V128Load8x8U { .. }
            | O::V128Load16x4S { .. }
            | O::V128Load16x4U { .. }
            | O::V128Load32x2S { .. }
            | O::V128Load32x2U { .. }
            | O::V128Load8Splat { .. }
            | O::V128Load16Splat { .. }
            | O::V128Load32Splat { .. }
            | O::V128Load64Splat { .. }
            | O::V128Load32Zero { .. }
            | O::V128Load64Zero { .. }
            | O::V128Store { .. }
            | O::V128Load8Lane { .. }
            | O::V128Load16Lane { .. }
            | O::V128Load32Lane { .. }
            | O::V128Load64Lane { .. }
            | O::V128Store8Lane { .. }
            | O::V128Store16Lane { .. }
            | O::V128Store32Lane { .. }
            | O::V128Store64Lane { .. }
    )
}
