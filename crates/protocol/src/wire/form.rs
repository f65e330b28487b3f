//! [`Wire`]: types that have one canonical CBOR form, and [`wire_struct`], which defines a struct
//! together with that form so that the two cannot differ.
//!
//! The forms are those that Oasis Core's Go structs have: a struct is a map from field names, a
//! field marked `unless_empty` is left out where its value is empty (zero, no bytes, no items, all
//! fields left out), one marked `unless_default` where it is its type's default, keys of maps ascend. What Go writes for a list that was never set is null,
//! which is another value than a list without items: such fields are `Option`s that are always
//! there.
//!
//! Invariant: what is read encodes to the bytes it came from. A field that is there although it is
//! empty is therefore refused. Lists and maps grow as their items arrive, and the bytes they come
//! from are bounded by whoever reads the whole.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use trilith_types::cbor::{DecodeError, Decoder, Encoder};
use trilith_types::{Epoch, Hash, Height, PublicKey, RuntimeId, Signature};

use super::shape::Shape;

/// Most items of a list or map, which a decoder compares with what is left of the bytes besides.
const ITEMS_MAX: usize = 1 << 20;

/// Most bytes of a text.
const TEXT_BYTES_MAX: usize = 1024;

/// A type with one canonical form.
pub(crate) trait Wire: Sized {
    /// Writes the form.
    fn put(&self, encoder: &mut Encoder);

    /// Reads the form; `what` names the value in errors.
    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError>;

    /// Whether a field marked `unless_empty` is left out with this value.
    fn is_empty(&self) -> bool;

    /// What the form looks like. A type that does not say is shown as the item it is.
    fn shape() -> Shape {
        Shape::Item
    }
}

/// A byte string of any length.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob(pub Vec<u8>);

/// One CBOR item that somebody else reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawItem(pub Vec<u8>);

/// A text that is the key of a map: ordered as encodings are, shorter first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name(pub String);

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len(), &self.0).cmp(&(other.0.len(), &other.0))
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Wire for Name {
    fn put(&self, encoder: &mut Encoder) {
        self.0.put(encoder);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        String::read(decoder, what).map(Self)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shape() -> Shape {
        Shape::Text
    }
}

macro_rules! wire_uint {
    ($($kind:ty),*) => {$(
        impl Wire for $kind {
            fn put(&self, encoder: &mut Encoder) {
                encoder.uint(u64::from(*self));
            }

            fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
                super::narrow(decoder, what)
            }

            fn is_empty(&self) -> bool {
                *self == 0
            }

            fn shape() -> Shape {
                Shape::Uint(u64::from(<$kind>::MAX))
            }
        }
    )*};
}

wire_uint!(u8, u16, u32, u64);

impl Wire for Epoch {
    fn put(&self, encoder: &mut Encoder) {
        encoder.uint(self.0);
    }

    fn read(decoder: &mut Decoder<'_>, _: &'static str) -> Result<Self, DecodeError> {
        decoder.uint().map(Self)
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }

    fn shape() -> Shape {
        Shape::Uint(u64::MAX)
    }
}

impl Wire for Height {
    fn put(&self, encoder: &mut Encoder) {
        encoder.uint(self.0);
    }

    fn read(decoder: &mut Decoder<'_>, _: &'static str) -> Result<Self, DecodeError> {
        decoder.uint().map(Self)
    }

    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Wire for bool {
    fn put(&self, encoder: &mut Encoder) {
        encoder.bool(*self);
    }

    fn read(decoder: &mut Decoder<'_>, _: &'static str) -> Result<Self, DecodeError> {
        decoder.bool()
    }

    fn is_empty(&self) -> bool {
        !self
    }

    fn shape() -> Shape {
        Shape::Bool
    }
}

impl Wire for String {
    fn put(&self, encoder: &mut Encoder) {
        encoder.text(self);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        Ok(decoder.text(what, TEXT_BYTES_MAX)?.to_owned())
    }

    fn is_empty(&self) -> bool {
        self.as_str().is_empty()
    }

    fn shape() -> Shape {
        Shape::Text
    }
}

impl Wire for Blob {
    fn put(&self, encoder: &mut Encoder) {
        encoder.bytes(&self.0);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        Ok(Self(decoder.bytes(what, usize::MAX)?.to_vec()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn shape() -> Shape {
        Shape::Bytes
    }
}

impl Wire for RawItem {
    fn put(&self, encoder: &mut Encoder) {
        encoder.raw(&self.0);
    }

    fn read(decoder: &mut Decoder<'_>, _: &'static str) -> Result<Self, DecodeError> {
        Ok(Self(decoder.skip()?.to_vec()))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

macro_rules! wire_bytes {
    ($($kind:ty),*) => {$(
        impl Wire for $kind {
            fn put(&self, encoder: &mut Encoder) {
                encoder.bytes(self.as_bytes());
            }

            fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
                decoder.bytes_exact(what).map(Self::from_bytes)
            }

            fn is_empty(&self) -> bool {
                false
            }

            fn shape() -> Shape {
                Shape::Exact(size_of::<$kind>())
            }
        }
    )*};
}

wire_bytes!(Hash, PublicKey, RuntimeId, Signature);

impl<T: Wire> Wire for Box<T> {
    fn put(&self, encoder: &mut Encoder) {
        (**self).put(encoder);
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        T::read(decoder, what).map(Self::new)
    }

    fn is_empty(&self) -> bool {
        (**self).is_empty()
    }
}

/// Null where there is none.
impl<T: Wire> Wire for Option<T> {
    fn put(&self, encoder: &mut Encoder) {
        match self {
            None => {
                encoder.null();
            }
            Some(value) => value.put(encoder),
        }
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        if decoder.null() {
            Ok(None)
        } else {
            T::read(decoder, what).map(Some)
        }
    }

    fn is_empty(&self) -> bool {
        self.is_none()
    }

    fn shape() -> Shape {
        Shape::Optional(Box::new(T::shape()))
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, encoder: &mut Encoder) {
        encoder.array(self.len());
        for item in self {
            item.put(encoder);
        }
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        super::list(decoder, what, ITEMS_MAX, |d| T::read(d, what))
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn shape() -> Shape {
        Shape::list_of(T::shape())
    }
}

/// The order of keys in memory must be the canonical one: that of their encodings, shorter first.
/// It is for integers and for byte strings of one length.
impl<K: Wire + Ord, V: Wire> Wire for BTreeMap<K, V> {
    fn put(&self, encoder: &mut Encoder) {
        encoder.map(self.len());
        for (key, value) in self {
            key.put(encoder);
            value.put(encoder);
        }
    }

    fn read(decoder: &mut Decoder<'_>, what: &'static str) -> Result<Self, DecodeError> {
        let count = decoder.map(what, ITEMS_MAX)?;
        let mut map = Self::new();
        for _ in 0..count {
            let at = decoder.position();
            let key = K::read(decoder, what)?;
            let ascending = map.last_key_value().is_none_or(|(last, _)| *last < key);
            if !ascending {
                return Err(DecodeError::NotCanonical { at });
            }
            let value = V::read(decoder, what)?;
            map.insert(key, value);
        }
        Ok(map)
    }

    fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    fn shape() -> Shape {
        Shape::Map(Box::new(K::shape()), Box::new(V::shape()))
    }
}

/// Reads the value of a field `unless_empty`.
pub(crate) fn filled<T: Wire + Default>(
    value: Option<T>,
    name: &'static str,
) -> Result<T, DecodeError> {
    match value {
        None => Ok(T::default()),
        Some(value) if value.is_empty() => Err(DecodeError::Field(name)),
        Some(value) => Ok(value),
    }
}

/// Reads the value of a field `unless_default`.
pub(crate) fn changed<T: Default + PartialEq>(
    value: Option<T>,
    name: &'static str,
) -> Result<T, DecodeError> {
    match value {
        None => Ok(T::default()),
        Some(value) if value == T::default() => Err(DecodeError::Field(name)),
        Some(value) => Ok(value),
    }
}

/// Whether a value is its type's default.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Defines a struct, its [`Wire`] form, and `encode` and `decode` with a limit in bytes.
macro_rules! wire_struct {
    (
        $(#[$meta:meta])*
        pub struct $name:ident as $what:literal, at most $limit:expr, {
            $( $(#[$of_field:meta])* $field:ident: $kind:ty = $mode:ident $key:literal, )*
        }
    ) => {
        $(#[$meta])*
        pub struct $name {
            $( $(#[$of_field])* pub $field: $kind, )*
        }

        impl $crate::wire::Wire for $name {
            fn put(&self, encoder: &mut trilith_types::cbor::Encoder) {
                let map = trilith_types::cbor::MapBuilder::new();
                $( let map = $crate::wire::wire_field!(put $mode map, self.$field, $key); )*
                encoder.raw(&map.finish());
            }

            fn read(
                decoder: &mut trilith_types::cbor::Decoder<'_>,
                _: &'static str,
            ) -> Result<Self, trilith_types::cbor::DecodeError> {
                $( let mut $field: Option<$kind> = None; )*
                let limit = [$($key),*].len();
                decoder.fields($what, limit, |name, d| {
                    match name {
                        $( $key => $field = Some(<$kind as $crate::wire::Wire>::read(d, $key)?), )*
                        _ => return Err(trilith_types::cbor::DecodeError::Field($what)),
                    }
                    Ok(())
                })?;
                Ok(Self {
                    $( $field: $crate::wire::wire_field!(take $mode $field, $key)?, )*
                })
            }

            fn is_empty(&self) -> bool {
                true $( && $crate::wire::wire_field!(empty $mode self.$field) )*
            }

            fn shape() -> $crate::wire::Shape {
                $crate::wire::Shape::Struct(vec![$(
                    $crate::wire::FieldShape {
                        name: $key,
                        presence: $crate::wire::wire_field!(presence $mode),
                        shape: <$kind as $crate::wire::Wire>::shape(),
                    },
                )*])
            }
        }

        impl $name {
            /// Canonical encoding.
            pub fn encode(&self) -> Vec<u8> {
                let mut encoder = trilith_types::cbor::Encoder::new();
                $crate::wire::Wire::put(self, &mut encoder);
                encoder.finish()
            }

            /// Reads what `encode` wrote.
            ///
            /// # Errors
            /// [`trilith_types::cbor::DecodeError`] if the bytes are not the canonical encoding of
            /// such a value or are too many.
            pub fn decode(bytes: &[u8]) -> Result<Self, trilith_types::cbor::DecodeError> {
                $crate::wire::whole(bytes, $what, $limit, |decoder| {
                    <Self as $crate::wire::Wire>::read(decoder, $what)
                })
            }

            /// What the encoding looks like.
            pub fn shape() -> $crate::wire::Shape {
                <Self as $crate::wire::Wire>::shape()
            }
        }
    };
}

/// The ways in which [`wire_struct`] treats a field.
macro_rules! wire_field {
    (put always $map:ident, $value:expr, $key:literal) => {
        $map.field($key, |encoder| $crate::wire::Wire::put(&$value, encoder))
    };
    (put unless_empty $map:ident, $value:expr, $key:literal) => {
        $map.field_if(!$crate::wire::Wire::is_empty(&$value), $key, |encoder| {
            $crate::wire::Wire::put(&$value, encoder)
        })
    };
    (put unless_default $map:ident, $value:expr, $key:literal) => {
        $map.field_if(!$crate::wire::is_default(&$value), $key, |encoder| {
            $crate::wire::Wire::put(&$value, encoder)
        })
    };
    (take unless_default $value:ident, $key:literal) => {
        $crate::wire::changed($value, $key)
    };
    (empty unless_default $value:expr) => {
        $crate::wire::is_default(&$value)
    };
    (take always $value:ident, $key:literal) => {
        $crate::wire::required($value, $key)
    };
    (take unless_empty $value:ident, $key:literal) => {
        $crate::wire::filled($value, $key)
    };
    (presence always) => {
        $crate::wire::Presence::Always
    };
    (presence unless_empty) => {
        $crate::wire::Presence::UnlessEmpty
    };
    (presence unless_default) => {
        $crate::wire::Presence::UnlessDefault
    };
    (empty always $value:expr) => {
        false
    };
    (empty unless_empty $value:expr) => {
        $crate::wire::Wire::is_empty(&$value)
    };
}

/// Defines an enum of which each variant holds one value, and its form `{variant: value}`.
macro_rules! wire_choice {
    (
        $(#[$meta:meta])*
        pub enum $name:ident as $what:literal {
            $( $(#[$of_variant:meta])* $variant:ident($kind:ty) = $key:literal, )*
        }
    ) => {
        $(#[$meta])*
        pub enum $name {
            $( $(#[$of_variant])* $variant($kind), )*
        }

        impl $crate::wire::Wire for $name {
            fn put(&self, encoder: &mut trilith_types::cbor::Encoder) {
                encoder.map(1);
                match self {
                    $( Self::$variant(value) => {
                        encoder.text($key);
                        $crate::wire::Wire::put(value, encoder);
                    } )*
                }
            }

            fn read(
                decoder: &mut trilith_types::cbor::Decoder<'_>,
                what: &'static str,
            ) -> Result<Self, trilith_types::cbor::DecodeError> {
                let mut choice = None;
                decoder.fields($what, 1, |name, d| {
                    choice = Some(match name {
                        $( $key => Self::$variant($crate::wire::Wire::read(d, $key)?), )*
                        _ => return Err(trilith_types::cbor::DecodeError::Field($what)),
                    });
                    Ok(())
                })?;
                $crate::wire::required(choice, what)
            }

            fn is_empty(&self) -> bool {
                false
            }

            fn shape() -> $crate::wire::Shape {
                $crate::wire::Shape::Choice(vec![$(
                    $crate::wire::FieldShape::always(
                        $key,
                        <$kind as $crate::wire::Wire>::shape(),
                    ),
                )*])
            }
        }

        impl $name {
            /// What the encoding looks like.
            pub fn shape() -> $crate::wire::Shape {
                <Self as $crate::wire::Wire>::shape()
            }
        }
    };
}

/// Defines an enum without values, and its form: a number.
macro_rules! wire_number {
    (
        $(#[$meta:meta])*
        pub enum $name:ident: $repr:ident as $what:literal {
            $( $(#[$of_variant:meta])* $variant:ident = $number:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr($repr)]
        pub enum $name {
            $( $(#[$of_variant])* $variant = $number, )*
        }

        impl $name {
            /// All of them, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];
        }

        impl $crate::wire::Wire for $name {
            fn put(&self, encoder: &mut trilith_types::cbor::Encoder) {
                encoder.uint(*self as u64);
            }

            fn read(
                decoder: &mut trilith_types::cbor::Decoder<'_>,
                what: &'static str,
            ) -> Result<Self, trilith_types::cbor::DecodeError> {
                match decoder.uint()? {
                    $( $number => Ok(Self::$variant), )*
                    _ => Err(trilith_types::cbor::DecodeError::Field(what)),
                }
            }

            fn is_empty(&self) -> bool {
                *self as u64 == 0
            }

            fn shape() -> $crate::wire::Shape {
                $crate::wire::Shape::Named(&[$(($number, stringify!($variant))),*])
            }
        }
    };
}

pub(crate) use {wire_choice, wire_field, wire_number, wire_struct};
