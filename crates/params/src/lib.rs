//! Every consensus number of Trilith: value, unit, reason, source, version.
//!
//! A consensus number is one that all nodes must agree on, because an outcome depends on it. Each
//! is a typed constant that code uses, and a row of [`TABLE`] that people read: the row is made
//! from the constant, so the two cannot differ. `conformance/params.snap` holds the table as text;
//! changing a number changes that file, and whoever reviews the change reads it there.
//!
//! Numbers that only this node cares about (how much it caches, how long it waits for a peer) are
//! configuration and stand elsewhere.
//!
//! Invariants: names are unique; relations between numbers are asserted at compile time; a number
//! that changes the outcome of anything already finalised gets a new version.

pub mod account;
pub mod canister;
pub mod host;
pub mod ingress;
pub mod root;
pub mod wasm;

use std::fmt::Write as _;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Work of programs of the account runtime, as its virtual machine meters it.
    ComputeUnits,
    /// Things: entries, inputs, nodes.
    Count,
    /// Cycles, in which canisters pay.
    Cycles,
    /// Spans of heights between elections.
    Epochs,
    /// Units of work of root transactions, in which they are limited and priced.
    Gas,
    /// Root blocks.
    Heights,
    /// WebAssembly instructions, weighted.
    Instructions,
    /// Lamports, in which accounts pay.
    Lamports,
    /// Milliseconds of agreed or of waiting time.
    Milliseconds,
    /// Nanoseconds of agreed time.
    Nanoseconds,
    /// Pages of 4 KiB.
    Pages,
    /// Hundredths.
    Percent,
    /// Seconds of agreed time.
    Seconds,
    /// Slots of the account runtime, 400 ms of agreed time.
    Slots,
    /// Parts of a message's stack.
    StackUnits,
    /// Pages of 64 KiB.
    WasmPages,
}

/// One consensus number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    /// `module.name`, unique.
    pub name: &'static str,
    /// The value.
    pub value: u64,
    /// What the value counts.
    pub unit: Unit,
    /// Where it comes from: a specification, another system's parameter, a measurement, or the
    /// reason for our own choice.
    pub source: &'static str,
    /// Counts the values this number has had, from 1.
    pub version: u32,
}

/// Defines typed constants and, from the same lines, the rows of a module.
macro_rules! params {
    (
        $module:literal;
        $(
            $(#[$doc:meta])*
            $name:ident: $kind:ty = $value:expr, $unit:ident, v $version:literal, $source:literal;
        )*
    ) => {
        $(
            $(#[$doc])*
            #[doc = ""]
            #[doc = concat!("Source: ", $source, ".")]
            pub const $name: $kind = $value;
        )*

        /// The numbers of this module, in the order of their definition.
        pub const PARAMS: &[$crate::Param] = &[
            $($crate::Param {
                name: concat!($module, ".", stringify!($name)),
                value: {
                    assert!($name as u64 as u128 == $name as u128, "a row holds 64 bits");
                    $name as u64
                },
                unit: $crate::Unit::$unit,
                source: $source,
                version: $version,
            },)*
        ];
    };
}
pub(crate) use params;

/// The numbers of all modules.
pub const TABLE: &[&[Param]] = &[
    root::PARAMS,
    host::PARAMS,
    canister::PARAMS,
    ingress::PARAMS,
    wasm::PARAMS,
    account::PARAMS,
];

/// The table as text, one number a line: name, value, unit, version, source. The same text on
/// every machine.
pub fn table_text() -> String {
    let mut text = String::new();
    for param in TABLE.iter().copied().flatten() {
        let Param {
            name,
            value,
            unit,
            source,
            version,
        } = param;
        writeln!(
            text,
            "{name} = {value} {unit:?}, version {version}: {source}"
        )
        .expect("writing to a string does not fail");
    }
    text
}
