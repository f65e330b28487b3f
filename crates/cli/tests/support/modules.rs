//! Small modules that tests write themselves: what no sample canister does.

use std::io::Write as _;

/// Prints two lines, of which the second would clear a terminal.
pub const PRINTER: &str = r#"(module
    (import "ic0" "debug_print" (func $print (param i32 i32)))
    (import "ic0" "msg_reply" (func $reply))
    (import "ic0" "trap" (func $trap (param i32 i32)))
    (memory 1)
    (data (i32.const 0) "hello\1b[2J, all")
    (func (export "canister_update hello")
        (call $print (i32.const 0) (i32.const 5))
        (call $print (i32.const 5) (i32.const 4))
        (call $reply))
    (func (export "canister_update fall") (call $trap (i32.const 0) (i32.const 5)))
    (func (export "canister_composite_query deep") (call $reply)))"#;

/// Accepts no message from users.
pub const SHUT: &str = r#"(module
    (import "ic0" "msg_reply" (func $reply))
    (func (export "canister_inspect_message"))
    (func (export "canister_update knock") (call $reply)))"#;

/// Imports what no network has.
pub const FOREIGN: &str = r#"(module (import "env" "open" (func)))"#;

/// A module from its text, with custom sections behind it.
pub fn module(text: &str, sections: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = wat::parse_str(text).expect("the text is a module");
    for (name, content) in sections {
        let mut body = leb128(name.len());
        body.extend(name.as_bytes());
        body.extend(*content);
        bytes.push(0);
        bytes.extend(leb128(body.len()));
        bytes.extend(body);
    }
    bytes
}

fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).expect("seven bits fit");
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Bytes that do not compress.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    bytes.take(length).collect()
}

/// The same, compressed.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
