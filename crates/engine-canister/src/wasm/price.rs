//! What an instruction of a canister costs: which operator has which of the weights that
//! [`trilith_params::wasm`] lists, and how wasmtime is made to charge them.
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
//! Source of the classes: the Internet Computer's embedder (instruction weights of its metering).

use trilith_params::wasm::{
    WEIGHT_BLOCK, WEIGHT_BRANCH, WEIGHT_BULK, WEIGHT_CALL, WEIGHT_CALL_INDIRECT,
    WEIGHT_FLOAT_ARITHMETIC, WEIGHT_FLOAT_COMPARE, WEIGHT_FLOAT_CONVERT_SIGNED,
    WEIGHT_FLOAT_CONVERT_UNSIGNED, WEIGHT_FLOAT_DIVIDE, WEIGHT_FLOAT_DIVIDE_WIDE,
    WEIGHT_FLOAT_EXTREMES, WEIGHT_FLOAT_ROOT, WEIGHT_FLOAT_ROUND, WEIGHT_FLOAT_TRUNCATE,
    WEIGHT_FUNCTION_REFERENCE, WEIGHT_GLOBAL, WEIGHT_GROW, WEIGHT_INTEGER_DIVIDE, WEIGHT_PLAIN,
    WEIGHT_SIZE, WEIGHT_TABLE_ACCESS, WEIGHT_TAIL_CALL, WEIGHT_TAIL_CALL_INDIRECT,
    WEIGHT_VECTOR_BYTES, WEIGHT_VECTOR_CONVERT, WEIGHT_VECTOR_EXTREMES, WEIGHT_VECTOR_MULTIPLY,
    WEIGHT_VECTOR_MULTIPLY_WIDE, WEIGHT_WIDE_ACCESS,
};
use wasmparser::Operator;
use wasmtime::OperatorCost;

macro_rules! weights {
    ($( $weight:ident: $($operator:ident)* ; )*) => {
        /// The weight of an operator in a module with 32-bit memory. Block structure is free;
        /// operators not listed cost
        /// [`WEIGHT_PLAIN`].
        fn weight(operator: &Operator<'_>) -> u32 {
            match operator {
                $( $(Operator::$operator { .. })|* => $weight, )*
                _ => WEIGHT_PLAIN,
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
    WEIGHT_BLOCK: Block Loop Else End;
    WEIGHT_PLAIN: Nop Drop Unreachable;
    WEIGHT_GLOBAL: GlobalGet GlobalSet;
    WEIGHT_BRANCH: Br BrIf BrTable If Return;
    WEIGHT_FLOAT_ARITHMETIC: F32Add F32Sub F32Mul F64Add F64Sub F64Mul
        F32x4Add F32x4Sub F32x4Mul F64x2Add F64x2Sub F64x2Mul;
    WEIGHT_VECTOR_MULTIPLY: I32x4Mul I16x8Mul I32x4DotI16x8S;
    WEIGHT_FLOAT_DIVIDE: F32Div;
    WEIGHT_FLOAT_COMPARE: F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge
        F32x4Eq F32x4Ne F32x4Lt F32x4Gt F32x4Le F32x4Ge
        F64x2Eq F64x2Ne F64x2Lt F64x2Gt F64x2Le F64x2Ge;
    WEIGHT_FLOAT_CONVERT_SIGNED: F32ConvertI32S F32ConvertI64S F64ConvertI32S F64ConvertI64S;
    WEIGHT_TAIL_CALL: ReturnCall;
    WEIGHT_VECTOR_MULTIPLY_WIDE: I64x2Mul F32x4Div F32x4PMin F32x4PMax F64x2PMin F64x2PMax;
    WEIGHT_CALL: Call;
    WEIGHT_TABLE_ACCESS: TableGet TableSet;
    WEIGHT_FLOAT_DIVIDE_WIDE: F64Div F32Sqrt F64x2Div F32x4Sqrt;
    WEIGHT_FLOAT_ROUND: F32Ceil F32Floor F32Trunc F32Nearest F64Ceil F64Floor F64Trunc F64Nearest
        F32x4Ceil F32x4Floor F32x4Trunc F32x4Nearest F64x2Ceil F64x2Floor F64x2Trunc F64x2Nearest;
    WEIGHT_VECTOR_BYTES: I8x16Swizzle I8x16Popcnt;
    WEIGHT_FLOAT_ROOT: F64Sqrt F64x2Sqrt;
    WEIGHT_INTEGER_DIVIDE: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU;
    WEIGHT_CALL_INDIRECT: CallIndirect;
    WEIGHT_VECTOR_EXTREMES: F32x4Min F32x4Max F64x2Min F64x2Max;
    WEIGHT_VECTOR_CONVERT: I32x4TruncSatF32x4S I32x4TruncSatF32x4U
        I32x4TruncSatF64x2SZero I32x4TruncSatF64x2UZero
        F32x4ConvertI32x4U F64x2ConvertLowI32x4U;
    WEIGHT_FLOAT_CONVERT_UNSIGNED: F32ConvertI32U F32ConvertI64U F64ConvertI32U F64ConvertI64U;
    WEIGHT_FLOAT_EXTREMES: F32Min F32Max F64Min F64Max;
    WEIGHT_SIZE: MemorySize TableSize;
    WEIGHT_FLOAT_TRUNCATE: I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U
        I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U
        I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U
        I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U;
    WEIGHT_TAIL_CALL_INDIRECT: ReturnCallIndirect;
    WEIGHT_BULK: MemoryFill MemoryCopy MemoryInit DataDrop TableFill TableCopy TableInit ElemDrop;
    WEIGHT_FUNCTION_REFERENCE: RefFunc;
    WEIGHT_GROW: MemoryGrow TableGrow;
}

/// Price of an operator in instructions. Bulk operations cost one more for every byte or element.
pub fn price(operator: &Operator<'_>, memory64: bool) -> u32 {
    let wide = memory64 && accesses_memory(operator);
    weight(operator) + if wide { WEIGHT_WIDE_ACCESS } else { 0 }
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
