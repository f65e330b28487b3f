//! Log lines by what they say, so that the names of programs, of which most lines consist, take a
//! byte.
//!
//! ```text
//! 0 ‖ text                  any line
//! 1 ‖ text                  Program log: text
//! 2 ‖ key ‖ depth           Program key invoke [depth]
//! 3 ‖ key                   Program key success
//! 4 ‖ key ‖ used ‖ limit    Program key consumed used of limit compute units
//! 5 ‖ key ‖ text            Program key failed: text
//! ```
//!
//! A line is of a kind only where the kind gives back every byte of it; numbers with a leading zero,
//! for one, are text. Source of the lines: crate `solana-program-runtime` 4.2, `stable_log`.

/// Any line.
pub(super) const TEXT: u8 = 0;
/// What a program logs.
pub(super) const LOG: u8 = 1;
/// A program is called.
pub(super) const INVOKE: u8 = 2;
/// A program ended well.
pub(super) const SUCCESS: u8 = 3;
/// What a program used.
pub(super) const CONSUMED: u8 = 4;
/// A program failed.
pub(super) const FAILED: u8 = 5;

/// What a program that a line begins with did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed<'l> {
    Invoke(u64),
    Success,
    Consumed(u64, u64),
    Failed(&'l str),
}

/// A line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'l> {
    Text(&'l str),
    Log(&'l str),
    /// Of a program, if the name is the one of a key.
    Of(&'l str, Deed<'l>),
}

impl<'l> Line<'l> {
    pub(super) fn parse(line: &'l str) -> Self {
        let Some(rest) = line.strip_prefix("Program ") else {
            return Self::Text(line);
        };
        if let Some(text) = rest.strip_prefix("log: ") {
            return Self::Log(text);
        }
        let deed = rest.split_once(' ').and_then(|(name, deed)| {
            let deed = deed_of(deed)?;
            Some(Self::Of(name, deed))
        });
        deed.unwrap_or(Self::Text(line))
    }
}

fn deed_of(text: &str) -> Option<Deed<'_>> {
    if text == "success" {
        return Some(Deed::Success);
    }
    if let Some(depth) = text.strip_prefix("invoke [") {
        return Some(Deed::Invoke(number(depth.strip_suffix(']')?)?));
    }
    if let Some(numbers) = text.strip_prefix("consumed ") {
        let (used, limit) = numbers.strip_suffix(" compute units")?.split_once(" of ")?;
        return Some(Deed::Consumed(number(used)?, number(limit)?));
    }
    text.strip_prefix("failed: ").map(Deed::Failed)
}

/// A number as it is written: without a sign or a leading zero.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = text.len() == 1 || !text.starts_with('0');
    if is_plain && is_short {
        text.parse().ok()
    } else {
        None
    }
}
