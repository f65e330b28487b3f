//! Candid as people and programs write it: arguments from text, replies to text and JSON.
//!
//! ```text
//! JSON     bool, text, null       as they are
//!          nat8..32, int8..32     numbers; the other integers strings, which keep all digits
//!          float32, float64       numbers; strings if they are not finite
//!          opt                    [] or [value], so that `opt opt` keeps its meaning
//!          vec, record {a; b}     array; blob: hexadecimal string
//!          record, variant        object by field names
//!          principal, service     string; func: [principal, method]
//! ```

use candid::types::value::{IDLField, IDLValue};
use candid::types::{Label, Type, TypeEnv, TypeInner};
use candid::{DecoderConfig, IDLArgs};
use serde_json::{Value, json};

/// Work that decoding a reply may cost, in the decoder's own measure, in which a byte of a blob
/// costs four: enough for the largest reply, and too little to hang.
const DECODING_QUOTA: usize = 400_000_000;
/// Characters around the place of an error that are shown.
const CONTEXT_CHARS: usize = 24;
/// Two names that differ in more than this part of them are not mistaken for each other.
const SIMILARITY_MIN: f64 = 0.6;
/// How deep an example of a type goes before options and vectors in it are empty.
const EXAMPLE_DEPTH: usize = 3;

/// The known name that is most like the one given, if any is.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let scored = known.into_iter().map(|other| {
        let likeness = strsim::normalized_damerau_levenshtein(&name, &other.to_lowercase());
        (likeness, other)
    });
    let likely = scored.filter(|(likeness, _)| *likeness >= SIMILARITY_MIN);
    let best = likely.max_by(|left, right| left.0.total_cmp(&right.0));
    best.map(|(_, other)| other)
}

/// The types that arguments are to have.
#[derive(Clone, Copy)]
pub(super) struct Types<'a> {
    pub(super) env: &'a TypeEnv,
    pub(super) types: &'a [Type],
}

impl Types<'_> {
    /// The types as candid writes them, on one line.
    pub(super) fn signature(&self) -> String {
        let types: Vec<String> = self
            .types
            .iter()
            .map(|ty| one_line(&ty.to_string()))
            .collect();
        format!("({})", types.join(", "))
    }

    /// Arguments of these types, for a user to begin with.
    pub(super) fn example(&self) -> String {
        let values: Vec<String> = self
            .types
            .iter()
            .map(|ty| example(self.env, ty, 0))
            .collect();
        format!("({})", values.join(", "))
    }
}

/// Text without line breaks and repeated blanks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text as the rest of a sentence.
fn decapitalized(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// Why an argument cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArgumentFault {
    /// What is wrong.
    pub(super) message: String,
    /// Where in the text, as line and column from 1, if it is a matter of syntax.
    pub(super) at: Option<(usize, usize)>,
    /// The text around it.
    pub(super) around: Option<String>,
}

impl ArgumentFault {
    fn of_values(message: String) -> Self {
        Self {
            message,
            at: None,
            around: None,
        }
    }
}

/// Encodes arguments written as candid text, with the types of the interface if it is known.
pub(super) fn encode(text: &str, types: Option<Types<'_>>) -> Result<Vec<u8>, ArgumentFault> {
    let parsed = candid_parser::parse_idl_args(text).map_err(|error| syntax_fault(text, &error))?;
    let Some(types) = types else {
        return parsed
            .to_bytes()
            .map_err(|error| ArgumentFault::of_values(error.to_string()));
    };
    let mut values = parsed.args;
    let (given, wanted) = (values.len(), types.types.len());
    let optional = |ty: &Type| {
        let traced = types.env.trace_type(ty);
        traced.is_ok_and(|ty| {
            matches!(
                ty.as_ref(),
                TypeInner::Opt(_) | TypeInner::Null | TypeInner::Reserved
            )
        })
    };
    let rest = types.types.get(given..);
    if !rest.is_some_and(|rest| rest.iter().all(optional)) {
        let are = if given == 1 { "is" } else { "are" };
        let message = format!("there {are} {given} of the {wanted} arguments that are wanted");
        return Err(ArgumentFault::of_values(message));
    }
    values.resize(wanted, IDLValue::Null);
    let mut annotated = Vec::with_capacity(wanted);
    for (position, (value, ty)) in values.iter().zip(types.types).enumerate() {
        let place = if wanted == 1 {
            "the argument".to_owned()
        } else {
            format!("argument {}", position + 1)
        };
        check(value, types.env, ty, &place).map_err(ArgumentFault::of_values)?;
        let value = value.annotate_type(true, types.env, ty);
        annotated.push(value.map_err(|e| ArgumentFault::of_values(format!("{place}: {e}")))?);
    }
    IDLArgs { args: annotated }
        .to_bytes_with_types(types.env, types.types)
        .map_err(|error| ArgumentFault::of_values(error.to_string()))
}

fn syntax_fault(text: &str, error: &candid_parser::Error) -> ArgumentFault {
    let report = error.report();
    let Some(label) = report.labels.first() else {
        return ArgumentFault::of_values(report.message);
    };
    let expected = one_line(&report.notes.join(" "));
    let mut message = decapitalized(&label.message);
    if !expected.is_empty() {
        message = format!("{message}; it {}", decapitalized(&expected));
    }
    // Labels of what is missing at the end lie behind it.
    let mut start = label.range.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let (before, after) = text.split_at(start);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let skipped = before.chars().count().saturating_sub(CONTEXT_CHARS);
    let before: String = before.chars().skip(skipped).collect();
    let after: String = after.chars().take(CONTEXT_CHARS).collect();
    let around = if after.is_empty() {
        format!("it ends after `{}`", one_line(&before))
    } else {
        format!("it goes wrong at `{}`", one_line(&after))
    };
    ArgumentFault {
        message,
        at: Some((line, column)),
        around: Some(around),
    }
}

/// Checks a parsed value against its type, so that an error names its place. Fields that the type
/// does not have are refused: they would be dropped without a word.
fn check(value: &IDLValue, env: &TypeEnv, ty: &Type, place: &str) -> Result<(), String> {
    let traced = env.trace_type(ty).map_err(|error| error.to_string())?;
    match (value, traced.as_ref()) {
        (IDLValue::Record(fields), TypeInner::Record(types)) => {
            for IDLField { id, val } in fields {
                let Some(field) = types.iter().find(|field| *field.id == *id) else {
                    let names: Vec<String> = types.iter().map(|f| f.id.to_string()).collect();
                    let likely = nearest(&id.to_string(), names.iter().map(String::as_str));
                    let likely = likely.map_or(String::new(), |name| format!(" (`{name}`?)"));
                    let ty = one_line(&traced.to_string());
                    return Err(format!(
                        "{place} has a field `{id}`{likely}, and {ty} has none"
                    ));
                };
                check(val, env, &field.ty, &format!("{place}, field `{id}`"))?;
            }
        }
        (IDLValue::Vec(values), TypeInner::Vec(inner)) => {
            for (position, value) in values.iter().enumerate() {
                let place = format!("{place}, element {}", position + 1);
                check(value, env, inner, &place)?;
            }
        }
        (IDLValue::Opt(value), TypeInner::Opt(inner)) => check(value, env, inner, place)?,
        (IDLValue::Variant(variant), TypeInner::Variant(types)) => {
            let IDLField { id, val } = &*variant.0;
            if let Some(field) = types.iter().find(|field| *field.id == *id) {
                check(val, env, &field.ty, &format!("{place}, variant `{id}`"))?;
            }
        }
        _ => {}
    }
    match value.annotate_type(true, env, ty) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{place}: {}", one_line(&error.to_string()))),
    }
}

/// A value of a type.
fn example(env: &TypeEnv, ty: &Type, depth: usize) -> String {
    let Ok(traced) = env.trace_type(ty) else {
        return "null".to_owned();
    };
    let deep = depth >= EXAMPLE_DEPTH;
    let inner = |ty: &Type| example(env, ty, depth + 1);
    match traced.as_ref() {
        TypeInner::Bool => "true".to_owned(),
        TypeInner::Text => "\"text\"".to_owned(),
        TypeInner::Float32 | TypeInner::Float64 => "1.5".to_owned(),
        TypeInner::Principal => "principal \"aaaaa-aa\"".to_owned(),
        TypeInner::Service(_) => "service \"aaaaa-aa\"".to_owned(),
        TypeInner::Func(_) => "func \"aaaaa-aa\".method".to_owned(),
        TypeInner::Opt(_) if deep => "null".to_owned(),
        TypeInner::Opt(ty) => format!("opt {}", inner(ty)),
        TypeInner::Vec(_) if traced.is_blob(env) => "blob \"\\00\\ff\"".to_owned(),
        TypeInner::Vec(_) if deep => "vec {}".to_owned(),
        TypeInner::Vec(ty) => format!("vec {{ {} }}", inner(ty)),
        // A type that holds itself without an option or a vector between has no value at all.
        TypeInner::Record(_) | TypeInner::Variant(_) if depth > 2 * EXAMPLE_DEPTH => "…".to_owned(),
        TypeInner::Record(fields) => {
            let fields = fields.iter().map(|field| match &*field.id {
                Label::Unnamed(_) => inner(&field.ty),
                id => format!("{id} = {}", inner(&field.ty)),
            });
            let fields: Vec<String> = fields.collect();
            format!("record {{ {} }}", fields.join("; "))
        }
        TypeInner::Variant(fields) => match fields.first() {
            Some(field) if *field.ty == TypeInner::Null => format!("variant {{ {} }}", field.id),
            Some(field) => format!("variant {{ {} = {} }}", field.id, inner(&field.ty)),
            None => "variant {}".to_owned(),
        },
        TypeInner::Null | TypeInner::Reserved | TypeInner::Empty => "null".to_owned(),
        _ => "1".to_owned(),
    }
}

/// Decodes a reply, with the types of the interface if it is known.
pub(super) fn decode(reply: &[u8], types: Option<Types<'_>>) -> candid::Result<IDLArgs> {
    let mut config = DecoderConfig::new();
    config.set_decoding_quota(DECODING_QUOTA);
    config.set_full_error_message(false);
    match types {
        Some(types) => {
            let (env, types) = (types.env, types.types);
            IDLArgs::from_bytes_with_types_with_config(reply, env, types, &config)
        }
        None => IDLArgs::from_bytes_with_config(reply, &config),
    }
}

/// Values as JSON: an array, one element for each.
pub(super) fn to_json(values: &IDLArgs) -> Value {
    values.args.iter().map(value_to_json).collect()
}

fn value_to_json(value: &IDLValue) -> Value {
    match value {
        IDLValue::Bool(value) => json!(value),
        IDLValue::Null | IDLValue::Reserved => Value::Null,
        IDLValue::Text(text) => json!(text),
        IDLValue::Number(digits) => json!(digits),
        IDLValue::Float64(value) => float(*value),
        IDLValue::Float32(value) => float(f64::from(*value)),
        IDLValue::None => json!([]),
        IDLValue::Opt(value) => json!([value_to_json(value)]),
        IDLValue::Vec(values) => values.iter().map(value_to_json).collect(),
        IDLValue::Blob(bytes) => json!(hex::encode(bytes)),
        IDLValue::Record(fields) if is_tuple(fields) => fields
            .iter()
            .map(|field| value_to_json(&field.val))
            .collect(),
        IDLValue::Record(fields) => {
            let fields = fields.iter();
            Value::Object(fields.map(named).collect())
        }
        IDLValue::Variant(variant) => Value::Object([named(&variant.0)].into_iter().collect()),
        IDLValue::Principal(id) | IDLValue::Service(id) => json!(id.to_text()),
        IDLValue::Func(id, method) => json!([id.to_text(), method]),
        IDLValue::Int(value) => json!(value.0.to_string()),
        IDLValue::Nat(value) => json!(value.0.to_string()),
        IDLValue::Nat64(value) => json!(value.to_string()),
        IDLValue::Int64(value) => json!(value.to_string()),
        IDLValue::Nat8(value) => json!(value),
        IDLValue::Nat16(value) => json!(value),
        IDLValue::Nat32(value) => json!(value),
        IDLValue::Int8(value) => json!(value),
        IDLValue::Int16(value) => json!(value),
        IDLValue::Int32(value) => json!(value),
    }
}

fn float(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

fn named(field: &IDLField) -> (String, Value) {
    let name = match &field.id {
        Label::Named(name) => name.clone(),
        Label::Id(id) | Label::Unnamed(id) => id.to_string(),
    };
    (name, value_to_json(&field.val))
}

fn is_tuple(fields: &[IDLField]) -> bool {
    let ids = fields.iter().map(|field| field.id.get_id());
    !fields.is_empty() && ids.zip(0..).all(|(id, place)| id == place)
}

#[cfg(test)]
mod tests;
