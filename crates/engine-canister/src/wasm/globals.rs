//! Values of globals as clients write and read them in snapshots.
//!
//! Knows candid and the values; floats are carried as their bits and never calculated with.
//!
//! Source: `ic.did` of the interface specification, `read_canister_snapshot_metadata`.

use candid::{CandidType, Nat};
use serde::Deserialize;

use crate::api::GlobalValue;

/// A value of a global in candid.
#[derive(CandidType, Deserialize, Clone, Debug)]
#[allow(
    non_camel_case_types,
    missing_docs,
    reason = "the names of the candid variants"
)]
pub(crate) enum GlobalVariant {
    i32(i32),
    i64(i64),
    f32(f32),
    f64(f64),
    v128(Nat),
}

impl From<GlobalValue> for GlobalVariant {
    fn from(value: GlobalValue) -> Self {
        match value {
            GlobalValue::I32(value) => Self::i32(value),
            GlobalValue::I64(value) => Self::i64(value),
            GlobalValue::F32(bits) => Self::f32(f32::from_bits(bits)),
            GlobalValue::F64(bits) => Self::f64(f64::from_bits(bits)),
            GlobalValue::V128(value) => Self::v128(Nat::from(value)),
        }
    }
}

impl TryFrom<GlobalVariant> for GlobalValue {
    type Error = String;

    fn try_from(value: GlobalVariant) -> Result<Self, String> {
        Ok(match value {
            GlobalVariant::i32(value) => Self::I32(value),
            GlobalVariant::i64(value) => Self::I64(value),
            GlobalVariant::f32(value) => Self::F32(value.to_bits()),
            GlobalVariant::f64(value) => Self::F64(value.to_bits()),
            GlobalVariant::v128(value) => {
                Self::V128(u128::try_from(&value.0).map_err(|_| {
                    format!("a vector global is {value}, over the limit of 2^128 − 1")
                })?)
            }
        })
    }
}
