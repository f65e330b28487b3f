//! How complex a function is: a rough measure of what compiling it costs, by which functions that
//! would hold up the compiler are refused.
//!
//! Knows operators only. Source: the Internet Computer's embedder, validation of canister modules.

use wasmparser::Operator;

macro_rules! classes {
    ($( $points:literal: $($operator:ident)* ; )*) => {
        /// The points of an operator; operators not listed have one.
        pub(super) fn points(operator: &Operator<'_>) -> u64 {
            match operator {
                $( $(Operator::$operator { .. })|* => $points, )*
                _ => 1,
            }
        }
    };
}

classes! {
    50: Block Loop If Br BrIf BrTable Call CallIndirect MemoryGrow TableGrow;
    14: TableGet;
    8: RefFunc;
    7: TableSet;
    6: RefIsNull;
    5: TableFill I64ExtendI32S I64ExtendI32U F32DemoteF64
        I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U
        I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U
        F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U
        F64ConvertI32S F64ConvertI32U F64ConvertI64S F64ConvertI64U;
    4: F32Neg F32Abs F64Neg F64Abs TableCopy TableInit MemoryCopy;
    3: F32Copysign F64Copysign F64Eq MemoryFill
        I32RemU I32RemS I64RemU I64RemS I32DivU I32DivS I64DivU I64DivS
        I32Load I64Load F32Load F64Load I32Load8S I32Load8U I32Load16S I32Load16U
        I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U
        I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U
        I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U;
    2: GlobalGet I32Popcnt I64Popcnt Select MemorySize
        I32Store I32Store16 I32Store8 I64Store I64Store32 I64Store16 I64Store8 F64Store F32Store
        I32Eqz I32Eq I32Ne I32LtS I32LtU I32GtS I32GtU I32LeS I32LeU I32GeS I32GeU
        I64Eqz I64Eq I64Ne I64LtS I64LtU I64GtS I64GtU I64LeS I64LeU I64GeS I64GeU
        F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Ne F64Lt F64Gt F64Le F64Ge
        F32Ceil F64Ceil F32Floor F64Floor F32Sqrt F64Sqrt F32Trunc F64Trunc
        I32ReinterpretF32 I64ReinterpretF64 F32ReinterpretI32 F64ReinterpretI64
        I32WrapI64 I32Extend8S I32Extend16S I64Extend8S I64Extend16S I64Extend32S F64PromoteF32;
}
