//! The root's forms as JSON that people can read and write.
//!
//! A form is described by its [`Shape`], so that this knows no type: whatever the protocol adds can
//! be shown and read here without a change.
//!
//! ```text
//! number            a number; text above 2^53, where programs would round; both are read
//! amount of stake   decimal text; a number is read too
//! bytes, keys       hexadecimal text
//! account           its address, oasis1…
//! named number      its name, such as "NodeCompute"
//! map               an object; its keys are written as the above
//! field left out    left out where it is empty or the default
//! other item        "cbor:" and the item in hexadecimal
//! ```
//!
//! Invariant: what is written is read back to the same bytes. An error names the field by its path,
//! what it is, and what it may be.

use std::fmt;

use serde_json::{Map, Number, Value};
use thiserror::Error;
use trilith_protocol::RootEvent;
use trilith_protocol::root::governance::GovernanceEvent;
use trilith_protocol::root::registry::RegistryEvent;
use trilith_protocol::root::staking::StakingEvent;
use trilith_protocol::root::{Address, FieldShape, Presence, Quantity, Shape};
use trilith_types::cbor::{DecodeError, Decoder, Encoder};

/// The largest number that every reader of JSON keeps exactly. Source: RFC 8259, section 6.
const EXACT_MAX: u64 = 1 << 53;

/// Most items of a list or map; the bytes they come from are bounded besides.
const ITEMS_MAX: usize = 1 << 20;

/// How an item is marked of which no more is known than that it is CBOR.
const ITEM_PREFIX: &str = "cbor:";

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {what}")]
pub struct JsonFault {
    /// Where it stands: names of fields with dots, places in lists in brackets.
    pub path: String,
    /// What it is, and what it may be.
    pub what: String,
}

/// Shows an encoded value.
///
/// # Errors
/// [`DecodeError`] if the bytes are not of the shape.
pub fn show(bytes: &[u8], shape: &Shape) -> Result<Value, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    let value = value(&mut decoder, shape)?;
    decoder.finish()?;
    Ok(value)
}

/// Shows an event: those of services by their shapes, others by what their encoding tells.
pub fn show_event(event: &RootEvent) -> Value {
    let bytes = event.encode();
    let shape = match event {
        RootEvent::Staking(_) => Some(("staking", StakingEvent::shape())),
        RootEvent::Registry(_) => Some(("registry", RegistryEvent::shape())),
        RootEvent::Governance(_) => Some(("governance", GovernanceEvent::shape())),
        _ => None,
    };
    let shown = match shape {
        Some((name, shape)) => show(
            &bytes,
            &Shape::Choice(vec![FieldShape {
                name,
                presence: Presence::Always,
                shape,
            }]),
        ),
        None => any(&mut Decoder::new(&bytes)),
    };
    // What was just encoded can be decoded.
    shown.unwrap_or_else(|_| Value::String(item(&bytes)))
}

fn value(decoder: &mut Decoder<'_>, shape: &Shape) -> Result<Value, DecodeError> {
    Ok(match shape {
        Shape::Item => Value::String(item(decoder.skip()?)),
        Shape::Uint(_) => number(decoder.uint()?),
        Shape::Bool => Value::Bool(decoder.bool()?),
        Shape::Optional(_) if decoder.null() => Value::Null,
        Shape::Optional(shape) => value(decoder, shape)?,
        Shape::List(shape) => {
            let count = decoder.array("list", ITEMS_MAX)?;
            let items: Result<Vec<Value>, DecodeError> =
                (0..count).map(|_| value(decoder, shape)).collect();
            Value::Array(items?)
        }
        Shape::Map(key, of) => {
            let count = decoder.map("map", ITEMS_MAX)?;
            let mut map = Map::new();
            for _ in 0..count {
                let key = text(decoder, key)?;
                map.insert(key, value(decoder, of)?);
            }
            Value::Object(map)
        }
        Shape::Struct(fields) | Shape::Choice(fields) => {
            let mut map = Map::new();
            decoder.fields("fields", fields.len(), |name, d| {
                let field = fields.iter().find(|field| field.name == name);
                let field = field.ok_or(DecodeError::Field("fields"))?;
                map.insert(name.to_owned(), value(d, &field.shape)?);
                Ok(())
            })?;
            Value::Object(map)
        }
        other => Value::String(text(decoder, other)?),
    })
}

/// What can be a key too.
fn text(decoder: &mut Decoder<'_>, shape: &Shape) -> Result<String, DecodeError> {
    Ok(match shape {
        Shape::Uint(_) => decoder.uint()?.to_string(),
        Shape::Text => decoder.text("text", usize::MAX)?.to_owned(),
        Shape::Bytes | Shape::Exact(_) => hex::encode(decoder.bytes("bytes", usize::MAX)?),
        Shape::Quantity => {
            let quantity = Quantity::from_bytes(decoder.bytes("quantity", usize::MAX)?);
            let quantity = quantity.ok_or(DecodeError::Field("quantity"))?;
            quantity.to_string()
        }
        Shape::Address => Address::from_bytes(decoder.bytes_exact("address")?).to_string(),
        Shape::Named(names) => {
            let number = decoder.uint()?;
            let found = names.iter().find(|(of, _)| *of == number);
            let (_, name) = found.ok_or(DecodeError::Field("number"))?;
            (*name).to_owned()
        }
        _ => item(decoder.skip()?),
    })
}

fn number(number: u64) -> Value {
    if number <= EXACT_MAX {
        Value::Number(Number::from(number))
    } else {
        Value::String(number.to_string())
    }
}

fn item(bytes: &[u8]) -> String {
    format!("{ITEM_PREFIX}{}", hex::encode(bytes))
}

/// Shows an item of which no more is known than its encoding. Cannot be read back.
fn any(decoder: &mut Decoder<'_>) -> Result<Value, DecodeError> {
    let raw = decoder.skip()?;
    any_item(raw)
}

fn any_item(raw: &[u8]) -> Result<Value, DecodeError> {
    let mut decoder = Decoder::new(raw);
    // The major type of an item, in its first byte's highest bits. Source: RFC 8949, section 3.
    Ok(match raw.first().map(|byte| byte >> 5) {
        Some(0) => number(decoder.uint()?),
        Some(2) => Value::String(hex::encode(decoder.bytes("bytes", raw.len())?)),
        Some(3) => Value::String(decoder.text("text", raw.len())?.to_owned()),
        Some(4) => {
            let count = decoder.array("list", raw.len())?;
            let items: Result<Vec<Value>, DecodeError> =
                (0..count).map(|_| any(&mut decoder)).collect();
            Value::Array(items?)
        }
        Some(5) => {
            let count = decoder.map("map", raw.len())?;
            let mut map = Map::new();
            for _ in 0..count {
                let key = match any(&mut decoder)? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                map.insert(key, any(&mut decoder)?);
            }
            Value::Object(map)
        }
        _ if decoder.null() => Value::Null,
        _ => match decoder.bool() {
            Ok(value) => Value::Bool(value),
            Err(_) => Value::String(item(raw)),
        },
    })
}

/// Reads what [`show`] wrote, or somebody in its manner: gives the encoding.
///
/// # Errors
/// [`JsonFault`] naming the first value that is not of the shape.
pub fn read(value: &Value, shape: &Shape, name: &str) -> Result<Vec<u8>, JsonFault> {
    let path = Path(name.to_owned());
    read_value(value, shape, &path).map(|read| read.bytes)
}

/// Where a value stands.
struct Path(String);

impl Path {
    fn field(&self, name: &str) -> Self {
        if self.0.is_empty() {
            Self(name.to_owned())
        } else {
            Self(format!("{}.{name}", self.0))
        }
    }

    fn place(&self, place: usize) -> Self {
        Self(format!("{}[{place}]", self.0))
    }

    fn fault(&self, what: impl fmt::Display) -> JsonFault {
        let path = if self.0.is_empty() {
            "the whole"
        } else {
            &self.0
        };
        JsonFault {
            path: path.to_owned(),
            what: what.to_string(),
        }
    }

    /// It is something else than it must be.
    fn other(&self, found: &Value, wanted: &str) -> JsonFault {
        let mut found = found.to_string();
        if found.chars().count() > 64 {
            found = found.chars().take(60).chain("…".chars()).collect();
        }
        self.fault(format!("it is {found}, it must be {wanted}"))
    }
}

/// An encoded value.
struct Encoded {
    bytes: Vec<u8>,
    /// Whether a field with it is left out.
    is_empty: bool,
}

impl Encoded {
    fn of(is_empty: bool, write: impl FnOnce(&mut Encoder)) -> Self {
        let mut encoder = Encoder::new();
        write(&mut encoder);
        let bytes = encoder.finish();
        Self { bytes, is_empty }
    }
}

fn read_value(found: &Value, shape: &Shape, path: &Path) -> Result<Encoded, JsonFault> {
    match shape {
        Shape::Bool => {
            let value = found.as_bool();
            let value = value.ok_or_else(|| path.other(found, "true or false"))?;
            Ok(Encoded::of(!value, |encoder| {
                encoder.bool(value);
            }))
        }
        Shape::Optional(_) if found.is_null() => Ok(Encoded::of(true, |encoder| {
            encoder.null();
        })),
        Shape::Optional(shape) => {
            let inner = read_value(found, shape, path)?;
            Ok(Encoded {
                is_empty: false,
                ..inner
            })
        }
        Shape::List(shape) => read_list(found, shape, path),
        Shape::Map(key, of) => read_map(found, key, of, path),
        Shape::Struct(fields) => read_struct(found, fields, path),
        Shape::Choice(fields) => read_choice(found, fields, path),
        other => match found {
            Value::String(text) => read_text(text, other, path),
            Value::Number(number) if matches!(other, Shape::Uint(_) | Shape::Quantity) => {
                read_text(&number.to_string(), other, path)
            }
            _ => Err(path.other(found, &wanted(other))),
        },
    }
}

/// What a value of a simple shape must be.
fn wanted(shape: &Shape) -> String {
    match shape {
        Shape::Uint(max) => format!("a whole number from 0 to {max}"),
        Shape::Quantity => format!("a whole number of base units from 0 to {}", Quantity::MAX),
        Shape::Text => "text".to_owned(),
        Shape::Bytes => "bytes in hexadecimal".to_owned(),
        Shape::Exact(len) => format!("{len} bytes in hexadecimal"),
        Shape::Address => "the address of an account, oasis1…".to_owned(),
        Shape::Named(names) => {
            let names: Vec<&str> = names.iter().map(|(_, name)| *name).collect();
            format!("one of {}", names.join(", "))
        }
        _ => format!("{ITEM_PREFIX} and an item of canonical CBOR in hexadecimal"),
    }
}

fn read_text(text: &str, shape: &Shape, path: &Path) -> Result<Encoded, JsonFault> {
    let other = || path.other(&Value::String(text.to_owned()), &wanted(shape));
    match shape {
        Shape::Uint(max) => {
            let number: u64 = text.parse().map_err(|_| other())?;
            if number > *max {
                return Err(other());
            }
            Ok(Encoded::of(number == 0, |encoder| {
                encoder.uint(number);
            }))
        }
        Shape::Quantity => {
            let units: u128 = text.parse().map_err(|_| other())?;
            let bytes = Quantity::new(units).to_bytes();
            Ok(Encoded::of(units == 0, |encoder| {
                encoder.bytes(&bytes);
            }))
        }
        Shape::Text => Ok(Encoded::of(text.is_empty(), |encoder| {
            encoder.text(text);
        })),
        Shape::Bytes | Shape::Exact(_) => {
            let bytes = hex::decode(text).map_err(|_| other())?;
            let fixed = match shape {
                Shape::Exact(len) if bytes.len() != *len => return Err(other()),
                Shape::Exact(_) => true,
                _ => false,
            };
            Ok(Encoded::of(bytes.is_empty() && !fixed, |encoder| {
                encoder.bytes(&bytes);
            }))
        }
        Shape::Address => {
            let address: Address = text
                .parse()
                .map_err(|error| path.fault(format!("`{text}`: {error}")))?;
            Ok(Encoded::of(false, |encoder| {
                encoder.bytes(address.as_bytes());
            }))
        }
        Shape::Named(names) => {
            let found = names.iter().find(|(_, name)| *name == text);
            let (number, _) = found.ok_or_else(other)?;
            Ok(Encoded::of(*number == 0, |encoder| {
                encoder.uint(*number);
            }))
        }
        _ => {
            let digits = text.strip_prefix(ITEM_PREFIX).ok_or_else(other)?;
            let bytes = hex::decode(digits).map_err(|_| other())?;
            let mut decoder = Decoder::new(&bytes);
            let whole = decoder.skip().is_ok() && decoder.is_at_end();
            if !whole {
                return Err(other());
            }
            let is_empty = false;
            Ok(Encoded { bytes, is_empty })
        }
    }
}

fn read_list(found: &Value, shape: &Shape, path: &Path) -> Result<Encoded, JsonFault> {
    let items = found
        .as_array()
        .ok_or_else(|| path.other(found, "a list: [ … ]"))?;
    let mut encoder = Encoder::new();
    encoder.array(items.len());
    for (place, item) in items.iter().enumerate() {
        encoder.raw(&read_value(item, shape, &path.place(place))?.bytes);
    }
    Ok(Encoded {
        bytes: encoder.finish(),
        is_empty: items.is_empty(),
    })
}

fn object<'a>(found: &'a Value, path: &Path) -> Result<&'a Map<String, Value>, JsonFault> {
    found
        .as_object()
        .ok_or_else(|| path.other(found, "an object: { … }"))
}

fn read_map(found: &Value, key: &Shape, of: &Shape, path: &Path) -> Result<Encoded, JsonFault> {
    let object = object(found, path)?;
    let mut entries = Vec::new();
    for (name, value) in object {
        let at = path.field(name);
        let name = read_text(name, key, &at)?.bytes;
        entries.push((name, read_value(value, of, &at)?.bytes));
    }
    // The canonical order of keys: shorter encodings first. Source: RFC 7049, section 3.9.
    entries.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
    if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(path.fault("two of its keys are the same, written differently"));
    }
    let mut encoder = Encoder::new();
    encoder.map(entries.len());
    for (name, value) in &entries {
        encoder.raw(name).raw(value);
    }
    Ok(Encoded {
        bytes: encoder.finish(),
        is_empty: entries.is_empty(),
    })
}

/// Writes fields in canonical order.
fn struct_of(mut fields: Vec<(&'static str, Vec<u8>)>) -> Vec<u8> {
    fields.sort_by_key(|(name, _)| (name.len(), *name));
    let mut encoder = Encoder::new();
    encoder.map(fields.len());
    for (name, value) in &fields {
        encoder.text(name).raw(value);
    }
    encoder.finish()
}

fn names(fields: &[FieldShape]) -> String {
    let names: Vec<&str> = fields.iter().map(|field| field.name).collect();
    names.join(", ")
}

fn read_struct(found: &Value, fields: &[FieldShape], path: &Path) -> Result<Encoded, JsonFault> {
    let object = object(found, path)?;
    let unknown = |name: &&String| !fields.iter().any(|field| field.name == *name);
    if let Some(name) = object.keys().find(unknown) {
        let what = format!("there is no such field; there are {}", names(fields));
        return Err(path.field(name).fault(what));
    }
    let mut present = Vec::new();
    for field in fields {
        let at = path.field(field.name);
        let Some(value) = object.get(field.name) else {
            if field.presence == Presence::Always {
                return Err(at.fault("it is missing"));
            }
            continue;
        };
        let value = read_value(value, &field.shape, &at)?;
        if field.presence != Presence::UnlessEmpty || !value.is_empty {
            present.push((field.name, value.bytes));
        }
    }
    let always = fields
        .iter()
        .any(|field| field.presence == Presence::Always);
    let is_empty = present.is_empty() && !always;
    Ok(Encoded {
        bytes: struct_of(present),
        is_empty,
    })
}

fn read_choice(found: &Value, fields: &[FieldShape], path: &Path) -> Result<Encoded, JsonFault> {
    let object = object(found, path)?;
    let mut entries = object.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        let what = format!("it must have exactly one field of {}", names(fields));
        return Err(path.fault(what));
    };
    let field = fields.iter().find(|field| field.name == name);
    let field = field.ok_or_else(|| {
        let what = format!("there is no such field; there are {}", names(fields));
        path.field(name).fault(what)
    })?;
    let value = read_value(value, &field.shape, &path.field(name))?;
    Ok(Encoded {
        bytes: struct_of(vec![(field.name, value.bytes)]),
        is_empty: false,
    })
}
