//! Candid text: what is encoded, what is refused and where, and what replies look like.

use candid::types::Function;
use candid::{CandidType, Encode, Int, Nat, Principal, idl_hash};

use super::*;
use crate::canister::interface::Interface;

const INTERFACE: &str = "type List = opt record { head : nat; tail : List };
service : {
  one : (nat8) -> ();
  two : (text, opt nat) -> ();
  person : (record { name : text; age : nat8; tags : vec text; boss : opt principal }) -> ();
  shape : (variant { circle : nat; none }) -> ();
  list : (List) -> ();
  bytes : (blob, float64, bool) -> (nat);
}";

/// Encodes an argument of a method of the interface.
fn encoded(method: &str, text: &str) -> Result<Vec<u8>, ArgumentFault> {
    let interface = Interface::from_text(INTERFACE).unwrap();
    let function: &Function = interface.method(method).unwrap();
    encode(text, Some(interface.types(&function.args)))
}

fn refused(method: &str, text: &str) -> String {
    encoded(method, text).unwrap_err().message
}

#[test]
fn numbers_get_the_types_of_the_interface() {
    assert_eq!(encoded("one", "(5)").unwrap(), Encode!(&5_u8).unwrap());
    let both = Encode!(&"a", &Some(Nat::from(7_u8))).unwrap();
    assert_eq!(encoded("two", "(\"a\", opt 7)").unwrap(), both);
    // Optional arguments at the end may be left out.
    let first = Encode!(&"a", &None::<Nat>).unwrap();
    assert_eq!(encoded("two", "(\"a\")").unwrap(), first);
    // Without an interface a number is an integer.
    assert_eq!(
        encode("(5)", None).unwrap(),
        Encode!(&Int::from(5)).unwrap()
    );
}

#[test]
fn a_mistake_is_named_with_its_place() {
    let too_large = refused("one", "(256)");
    assert!(too_large.starts_with("the argument: "), "{too_large}");
    let text = refused("two", "(5)");
    assert!(text.starts_with("argument 1: type mismatch: 5"), "{text}");
    assert_eq!(
        refused("two", "(\"a\", null, 1)"),
        "there are 3 of the 2 arguments that are wanted"
    );
    assert_eq!(
        refused("two", "()"),
        "there are 0 of the 2 arguments that are wanted"
    );
    let person = |age: &str, tags: &str| {
        format!("(record {{ name = \"a\"; age = {age}; tags = vec {{ {tags} }} }})")
    };
    assert!(encoded("person", &person("7", "\"x\"; \"y\"")).is_ok());
    let age = refused("person", &person("\"old\"", ""));
    assert!(age.starts_with("the argument, field `age`: "), "{age}");
    let tag = refused("person", &person("7", "\"x\"; 5"));
    let place = "the argument, field `tags`, element 2: ";
    assert!(tag.starts_with(place), "{tag}");
    let shape = refused("shape", "(variant { circle = \"x\" })");
    assert!(shape.contains("variant `circle`"), "{shape}");
    assert!(refused("shape", "(variant { square })").contains("square"));
}

#[test]
fn a_field_that_the_type_does_not_have_is_not_dropped() {
    let text = "(record { name = \"a\"; age = 1; tags = vec {}; bos = null })";
    let message = refused("person", text);
    assert!(message.contains("a field `bos` (`boss`?)"), "{message}");
}

#[test]
fn a_mistake_in_the_syntax_has_line_and_column() {
    let fault = encoded("one", "(1 2)").unwrap_err();
    assert_eq!(fault.at, Some((1, 4)));
    assert_eq!(fault.around.as_deref(), Some("it goes wrong at `2)`"));
    assert!(
        fault.message.contains("unexpected token"),
        "{}",
        fault.message
    );
    let fault = encoded("one", "(1,\n  \u{e4}\n)").unwrap_err();
    assert_eq!(fault.at.unwrap().0, 2);
    let fault = encoded("one", "(record { a = 1 }").unwrap_err();
    let end = "it ends after `(record { a = 1 }`";
    assert_eq!(fault.around.as_deref(), Some(end));
    assert!(encoded("one", "5").unwrap_err().at.is_some());
    assert!(encoded("one", "").unwrap_err().at.is_some());
}

#[test]
fn examples_are_arguments_of_their_types() {
    let interface = Interface::from_text(INTERFACE).unwrap();
    for (name, function) in interface.methods() {
        let types = interface.types(&function.args);
        let example = types.example();
        encode(&example, Some(types)).unwrap_or_else(|fault| panic!("{name} {example} {fault:?}"));
    }
    let types = interface.method("two").unwrap();
    let types = interface.types(&types.args);
    assert_eq!(types.signature(), "(text, opt nat)");
    assert_eq!(types.example(), "(\"text\", opt 1)");
}

#[derive(CandidType)]
struct Everything {
    flag: bool,
    small: u32,
    large: u64,
    huge: Nat,
    negative: Int,
    ratio: f64,
    text: String,
    bytes: serde_bytes::ByteBuf,
    some: Option<Option<u8>>,
    none: Option<u8>,
    list: Vec<i16>,
    pair: (u8, String),
    id: Principal,
    choice: Result<(), String>,
}

#[test]
fn replies_are_shown_as_json_without_loss() {
    let value = Everything {
        flag: true,
        small: u32::MAX,
        large: u64::MAX,
        huge: Nat::from(u128::MAX),
        negative: Int::from(-3),
        ratio: 1.5,
        text: "\"ä".to_owned(),
        bytes: vec![0, 255].into(),
        some: Some(None),
        none: None,
        list: vec![1, -1],
        pair: (7, "x".to_owned()),
        id: Principal::anonymous(),
        choice: Err("no".to_owned()),
    };
    let reply = Encode!(&value, &f64::NAN).unwrap();
    let did = "service : { get : () -> (record {
        flag : bool; small : nat32; large : nat64; huge : nat; negative : int; ratio : float64;
        text : text; bytes : blob; some : opt opt nat8; none : opt nat8; list : vec int16;
        pair : record { nat8; text }; id : principal; choice : variant { Ok; Err : text } },
        float64) query }";
    let interface = Interface::from_text(did).unwrap();
    let function = interface.method("get").unwrap();
    let values = decode(&reply, Some(interface.types(&function.rets))).unwrap();
    let expected = json!([{
        "flag": true,
        "small": 4_294_967_295_u32,
        "large": "18446744073709551615",
        "huge": "340282366920938463463374607431768211455",
        "negative": "-3",
        "ratio": 1.5,
        "text": "\"ä",
        "bytes": "00ff",
        "some": [[]],
        "none": [],
        "list": [1, -1],
        "pair": [7, "x"],
        "id": "2vxsx-fae",
        "choice": { "Err": "no" },
    }, "NaN"]);
    assert_eq!(to_json(&values), expected);
    // Without the interface the names are gone, and nothing else.
    let untyped = to_json(&decode(&reply, None).unwrap());
    assert_eq!(untyped[0].as_object().unwrap().len(), 14);
    assert_eq!(untyped[0][idl_hash("flag").to_string()], true);
}

#[test]
fn what_is_shown_can_be_sent_back() {
    let text = "(record { name = \"a\"; age = 7; tags = vec { \"x\" }; boss = null })";
    let bytes = encoded("person", text).unwrap();
    let interface = Interface::from_text(INTERFACE).unwrap();
    let types = &interface.method("person").unwrap().args;
    let shown = decode(&bytes, Some(interface.types(types)))
        .unwrap()
        .to_string();
    assert_eq!(encoded("person", &shown).unwrap(), bytes);
}

#[test]
fn hostile_replies_do_not_hang() {
    // A vector of 2^40 nulls in a few bytes.
    let mut reply = b"DIDL\x01\x6d\x7f\x01\x00".to_vec();
    reply.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x20]);
    assert!(decode(&reply, None).is_err());
    assert!(decode(b"not candid", None).is_err());
    assert!(decode(b"", None).is_err());
}

#[test]
fn names_are_likened() {
    assert_eq!(nearest("gret", ["get", "greet", "inc"]), Some("greet"));
    assert_eq!(nearest("GET", ["get", "greet"]), Some("get"));
    assert_eq!(nearest("xyz", ["get", "greet"]), None);
}
