//! What the canonical form of a type looks like, as a value: so that a form can be shown to people
//! and read from what they write without a second description that could differ.
//!
//! A shape says which CBOR items a form has and what they mean. It is made by the same macros that
//! define the form. It must not know how anybody shows it.

/// The canonical form of a type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One CBOR item of any kind.
    Item,
    /// An unsigned integer up to this one.
    Uint(u64),
    /// True or false.
    Bool,
    /// Text.
    Text,
    /// Bytes, any number of them.
    Bytes,
    /// Exactly as many bytes.
    Exact(usize),
    /// A [`crate::root::Quantity`]: a number in bytes, big-endian.
    Quantity,
    /// The address of a staking account.
    Address,
    /// A number that stands for a name.
    Named(&'static [(u64, &'static str)]),
    /// Null, or this.
    Optional(Box<Self>),
    /// A list.
    List(Box<Self>),
    /// A map from keys to values, both of one shape.
    Map(Box<Self>, Box<Self>),
    /// A map from the names of fields.
    Struct(Vec<FieldShape>),
    /// A map of exactly one of these fields.
    Choice(Vec<FieldShape>),
}

/// When a field is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Always,
    /// Unless its value is empty.
    UnlessEmpty,
    /// Unless its value is its type's default.
    UnlessDefault,
}

/// A field of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldShape {
    /// Its name.
    pub name: &'static str,
    /// When it is there.
    pub presence: Presence,
    /// Its value.
    pub shape: Shape,
}

impl FieldShape {
    /// A field that is always there.
    pub(crate) const fn always(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            presence: Presence::Always,
            shape,
        }
    }
}

impl Shape {
    /// A list of items of a shape.
    pub fn list_of(item: Self) -> Self {
        Self::List(Box::new(item))
    }
}
