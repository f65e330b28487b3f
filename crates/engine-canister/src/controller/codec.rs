//! Canonical encoding of the state's records: every struct an array of its fields, every choice an
//! array that begins with its number. Decoding is strict.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use candid::Principal;
use trilith_params::canister::{STATE_ITEMS_MAX, STATE_STRING_BYTES_MAX};
use trilith_types::PublicKey;
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

use super::archive::*;
use super::record::*;
use super::reject::Rejection;
use crate::api::{CallerInfo, GlobalValue};

/// A value with a canonical encoding.
pub(crate) trait Record: Sized {
    fn write(&self, e: &mut Encoder);
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.write(&mut encoder);
        encoder.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(bytes);
        let value = Self::read(&mut decoder)?;
        decoder.finish()?;
        Ok(value)
    }
}

impl Record for u64 {
    fn write(&self, e: &mut Encoder) {
        e.uint(*self);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        d.uint()
    }
}

impl Record for u16 {
    fn write(&self, e: &mut Encoder) {
        e.uint(u64::from(*self));
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Self::try_from(d.uint()?).map_err(|_| DecodeError::Field("u16"))
    }
}

impl Record for u128 {
    fn write(&self, e: &mut Encoder) {
        e.bytes(&self.to_be_bytes());
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_be_bytes(d.bytes_exact("u128")?))
    }
}

impl Record for bool {
    fn write(&self, e: &mut Encoder) {
        e.bool(*self);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        d.bool()
    }
}

impl Record for String {
    fn write(&self, e: &mut Encoder) {
        e.text(self);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(d.text("text", STATE_STRING_BYTES_MAX)?.to_owned())
    }
}

impl Record for Vec<u8> {
    fn write(&self, e: &mut Encoder) {
        e.bytes(self);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(d.bytes("bytes", STATE_STRING_BYTES_MAX)?.to_vec())
    }
}

impl<const N: usize> Record for [u8; N] {
    fn write(&self, e: &mut Encoder) {
        e.bytes(self);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        d.bytes_exact("bytes")
    }
}

impl Record for PublicKey {
    fn write(&self, e: &mut Encoder) {
        e.bytes(self.as_bytes());
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_bytes(d.bytes_exact("public key")?))
    }
}

impl Record for Principal {
    fn write(&self, e: &mut Encoder) {
        e.bytes(self.as_slice());
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let bytes = d.bytes("principal", Self::MAX_LENGTH_IN_BYTES)?;
        Self::try_from_slice(bytes).map_err(|_| DecodeError::Field("principal"))
    }
}

impl<T: Record> Record for Arc<T> {
    fn write(&self, e: &mut Encoder) {
        (**self).write(e);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::read(d).map(Self::new)
    }
}

impl<T: Record> Record for Option<T> {
    fn write(&self, e: &mut Encoder) {
        match self {
            None => {
                e.array(0);
            }
            Some(value) => value.write(e.array(1)),
        }
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match d.array("option", 1)? {
            0 => Ok(None),
            _ => T::read(d).map(Some),
        }
    }
}

impl<A: Record, B: Record> Record for (A, B) {
    fn write(&self, e: &mut Encoder) {
        self.0.write(e.array(2));
        self.1.write(e);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        exactly(d, 2)?;
        Ok((A::read(d)?, B::read(d)?))
    }
}

impl<A: Record, B: Record, C: Record> Record for (A, B, C) {
    fn write(&self, e: &mut Encoder) {
        self.0.write(e.array(3));
        self.1.write(e);
        self.2.write(e);
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        exactly(d, 3)?;
        Ok((A::read(d)?, B::read(d)?, C::read(d)?))
    }
}

fn exactly(d: &mut Decoder<'_>, items: usize) -> Result<(), DecodeError> {
    if d.array("record", items)? == items {
        Ok(())
    } else {
        Err(DecodeError::Field("record"))
    }
}

/// Lists; not for `Vec<u8>`, which is a byte string.
macro_rules! lists {
    ($($list:ident of $item:ty),* $(,)?) => {$(
        impl Record for $list<$item> {
            fn write(&self, e: &mut Encoder) {
                e.array(self.len());
                for item in self {
                    item.write(e);
                }
            }
            fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                let count = d.array("list", STATE_ITEMS_MAX)?;
                (0..count).map(|_| <$item>::read(d)).collect()
            }
        }
    )*};
}

lists! {
    Vec of Principal, Vec of PublicKey, Vec of StopWaiter, Vec of GlobalValue,
    Vec of (String, String), Vec of (String, bool, Vec<u8>),
    VecDeque of Request, VecDeque of (u64, Request), VecDeque of Input, VecDeque of LogRecord,
    VecDeque of Change,
}

impl<K: Record + Ord, V: Record> Record for BTreeMap<K, V> {
    fn write(&self, e: &mut Encoder) {
        e.array(self.len());
        for (key, value) in self {
            key.write(e.array(2));
            value.write(e);
        }
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut map = Self::new();
        for _ in 0..d.array("table", STATE_ITEMS_MAX)? {
            let (key, value) = <(K, V)>::read(d)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(DecodeError::Field("key of a table"));
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

macro_rules! count {
    () => { 0usize };
    ($head:ident $($tail:ident)*) => { 1usize + count!($($tail)*) };
}

/// Structs: arrays of the named fields.
macro_rules! structs {
    ($($name:ident { $($field:ident),* $(,)? } $(skip $skipped:ident)?;)*) => {$(
        impl Record for $name {
            fn write(&self, e: &mut Encoder) {
                e.array(count!($($field)*));
                $(self.$field.write(e);)*
            }
            fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                exactly(d, count!($($field)*))?;
                Ok(Self { $($field: Record::read(d)?,)* $($skipped: Default::default(),)? })
            }
        }
    )*};
}

structs! {
    Meta {
        time, round, next_index, first, charged, committee, management, randomness, installing,
        executed, consumed, instructions, state_bytes,
    };
    Installing { request, target, sent_hash, bytes, slices, frozen, prepaid };
    Canister {
        settings, status, cycles, version, code, certified_data, global_timer, contexts, callbacks,
        next_number, inputs, paused, charged, created, installed, chunks, snapshot_bytes,
        log_bytes, changes, hook, consumed,
    } skip memory_version;
    Settings {
        controllers, compute_allocation, memory_allocation, freezing_threshold,
        reserved_cycles_limit, wasm_memory_limit, wasm_memory_threshold, log_visibility,
        snapshot_visibility, status_visibility, log_memory_limit, incoming_cycles_min, variables,
    };
    StopWaiter { origin, cycles, since };
    Code { module, globals, heap_pages, stable_pages, fresh };
    Module { sent_hash, bytes, memory64, heartbeat, timer, inspect, low_memory, metadata };
    Request { origin, method, argument, cycles };
    Response { callback, refund, result };
    Rejection { error, message };
    Paused { job, slices, frozen, prepaid };
    Frozen {
        time, balance, floor, cycles_available, answered, calls_max, status, version, controllers,
        variables, subnet_nodes, context_instructions, other_memory, heap_pages_max,
        stable_pages_max, global_timer,
    };
    CallContext { origin, cycles, answered, outstanding, instructions, deleted };
    Callback {
        context, callee, on_reply, on_reject, on_cleanup, deadline, prepaid, transmission, responded,
    };
    LogRecord { index, time, content };
    Log { records, next };
    Archive { history, snapshots, next_snapshot };
    Change { time, version, origin, details };
    Taken {
        taken_at, version, module, module_bytes, globals, heap_pages, stable_pages, fresh,
        certified_data, global_timer, hook, chunks,
    };
    Consumed {
        memory, compute_allocation, ingress, instructions, transmission, uninstall, creation, burned,
    };
    CallerInfo { data, signer };
    RequestRecord { sender, receiver, effective, expiry, status, kept_until };
}

/// Choices: arrays of a number and the fields of the variant.
macro_rules! choices {
    ($($name:ident { $($number:literal $variant:ident { $($field:ident),* }),* $(,)? })*) => {$(
        impl Record for $name {
            fn write(&self, e: &mut Encoder) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        e.array(1 + count!($($field)*)).uint($number);
                        $($field.write(e);)*
                    })*
                }
            }
            fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                let items = d.array(stringify!($name), 8)?;
                match (d.uint()?, items.wrapping_sub(1)) {
                    $(($number, fields) if fields == count!($($field)*) => {
                        $(let $field = Record::read(d)?;)*
                        Ok(Self::$variant { $($field),* })
                    })*
                    _ => Err(DecodeError::Field(stringify!($name))),
                }
            }
        }
    )*};
}

choices! {
    Visibility { 0 Controllers {}, 1 Public {}, 2 Allowed { viewers } }
    Status { 0 Running {}, 1 Stopping { waiters }, 2 Stopped {} }
    Origin { 0 Ingress { id, sender, info }, 1 Canister { caller, callback, deadline }, 2 Task {} }
    Reply { 0 Data { bytes }, 1 Reject { rejection } }
    Input { 0 Request { request }, 1 Response { response } }
    Job { 0 Request { request }, 1 Response { response }, 2 Heartbeat {}, 3 GlobalTimer {}, 4 LowMemory {} }
    Hook { 0 Idle {}, 1 Ready {}, 2 Executed {} }
    ChangeOrigin { 0 User { id }, 1 Canister { id, version } }
    ChangeDetails {
        0 Creation { controllers, variables }, 1 Uninstall {}, 2 Deployment { mode, module_hash },
        3 Controllers { controllers }, 4 Snapshot { from, id, version, taken_at, uploaded }
    }
    RequestState { 0 Received {}, 1 Processing {}, 2 Answered { reply } }
}

impl Record for GlobalValue {
    fn write(&self, e: &mut Encoder) {
        e.array(2);
        match *self {
            Self::I32(value) => e.uint(0).uint(u64::from(value as u32)),
            Self::I64(value) => e.uint(1).uint(value as u64),
            Self::F32(bits) => e.uint(2).uint(u64::from(bits)),
            Self::F64(bits) => e.uint(3).uint(bits),
            Self::V128(value) => e.uint(4).bytes(&value.to_be_bytes()),
        };
    }
    fn read(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        exactly(d, 2)?;
        let narrow = |d: &mut Decoder<'_>| {
            u32::try_from(d.uint()?).map_err(|_| DecodeError::Field("32-bit global"))
        };
        Ok(match d.uint()? {
            0 => Self::I32(narrow(d)? as i32),
            1 => Self::I64(d.uint()? as i64),
            2 => Self::F32(narrow(d)?),
            3 => Self::F64(d.uint()?),
            4 => Self::V128(u128::from_be_bytes(d.bytes_exact("vector global")?)),
            _ => return Err(DecodeError::Field("kind of global")),
        })
    }
}

/// Entry point for fuzzing: arbitrary bytes as each kind of record of the state. What decodes,
/// encodes to the same bytes.
pub fn fuzz_record(bytes: &[u8]) {
    fn round_trip<T: Record>(bytes: &[u8]) {
        if let Ok(record) = T::decode(bytes) {
            assert_eq!(
                record.encode(),
                bytes,
                "the encoding of a record is canonical"
            );
        }
    }
    round_trip::<Meta>(bytes);
    round_trip::<Canister>(bytes);
    round_trip::<Archive>(bytes);
    round_trip::<Log>(bytes);
    round_trip::<RequestRecord>(bytes);
}
