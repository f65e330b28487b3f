//! Amounts as people write them: cycles such as `1.5T`, bytes such as `2GiB`, times such as `30d`.

use candid::Nat;

/// A trillion cycles, in which people count them.
const TRILLION: u128 = 1_000_000_000_000;

/// Parses `text` as a decimal number with one of the `units`, exactly: `1.5T` is a whole number of
/// cycles, `1.0000000000001T` is not.
fn parse(text: &str, units: &[(&str, u128)], example: &str) -> Result<u128, String> {
    let refuse = || format!("`{text}` is no amount; write it like {example}");
    let compact: String = text.chars().filter(|letter| *letter != '_').collect();
    let split = compact.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, unit) = compact.split_at(split.unwrap_or(compact.len()));
    let unit = unit.trim();
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .ok_or_else(refuse)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || (number.contains('.') && fraction.is_empty()) || fraction.contains('.') {
        return Err(refuse());
    }
    let too_large = || format!("`{text}` is over the limit of 2^128 - 1");
    let whole: u128 = whole.parse().map_err(|_| too_large())?;
    let whole = whole.checked_mul(*factor).ok_or_else(too_large)?;
    if fraction.is_empty() {
        return Ok(whole);
    }
    let places = u32::try_from(fraction.len()).map_err(|_| refuse())?;
    let digits: u128 = fraction.parse().map_err(|_| refuse())?;
    let part = digits.checked_mul(*factor).ok_or_else(too_large)?;
    let scale = 10_u128.checked_pow(places).ok_or_else(too_large)?;
    if part % scale != 0 {
        return Err(format!("`{text}` is no whole number"));
    }
    whole.checked_add(part / scale).ok_or_else(too_large)
}

/// Parses an amount of cycles.
pub(super) fn parse_cycles(text: &str) -> Result<u128, String> {
    let units = [
        ("", 1),
        ("K", 1_000),
        ("M", 1_000_000),
        ("B", 1_000_000_000),
        ("T", TRILLION),
    ];
    parse(text, &units, "3T, 500B or 1_000_000")
}

/// Parses a number of bytes.
pub(super) fn parse_bytes(text: &str) -> Result<u64, String> {
    let units = [
        ("", 1),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
    ];
    let bytes = parse(text, &units, "2GiB, 512MiB or 65536")?;
    u64::try_from(bytes).map_err(|_| format!("`{text}` is over the limit of 2^64 - 1 bytes"))
}

/// Parses a time in seconds.
pub(super) fn parse_seconds(text: &str) -> Result<u64, String> {
    let units = [
        ("", 1),
        ("s", 1),
        ("m", 60),
        ("h", 3_600),
        ("d", 86_400),
        ("w", 604_800),
    ];
    let seconds = parse(text, &units, "30d, 12h or 2592000 (seconds)")?;
    u64::try_from(seconds).map_err(|_| format!("`{text}` is over the limit of 2^64 - 1 seconds"))
}

/// A number with its digits in groups of three.
pub(super) fn grouped(value: &Nat) -> String {
    let digits = value.0.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// An amount of cycles for people: in full, and in trillions if it is that large.
pub(super) fn show_cycles(value: &Nat) -> String {
    let text = grouped(value);
    match u128::try_from(&value.0) {
        Ok(cycles) if cycles >= TRILLION / 1_000 => {
            let thousandths = cycles / (TRILLION / 1_000);
            let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
            format!("{text} ({whole}.{rest:03} T)")
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, cycles) in [
            ("0", 0),
            ("1_000", 1_000),
            ("3T", 3 * TRILLION),
            ("1.5t", TRILLION + TRILLION / 2),
            ("0.000000000001T", 1),
            ("20 B", 20_000_000_000),
        ] {
            assert_eq!(parse_cycles(text), Ok(cycles), "{text}");
        }
        let most = u128::MAX.to_string();
        assert_eq!(parse_cycles(&most), Ok(u128::MAX));
        let more = format!("{most}0");
        let wrong = [
            "",
            "T",
            ".5T",
            "1.T",
            "1.2.3",
            "-1",
            "1X",
            "1.0000000000001T",
            "1e3",
            &more,
            "999999999999999999999999999999T",
        ];
        for text in wrong {
            assert!(parse_cycles(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_and_times_have_their_units() {
        assert_eq!(parse_bytes("2GiB"), Ok(2 << 30));
        assert_eq!(parse_bytes("1kb"), Ok(1_000));
        assert!(parse_bytes("1T").is_err());
        assert_eq!(parse_seconds("30d"), Ok(2_592_000));
        assert_eq!(parse_seconds("90"), Ok(90));
        assert!(parse_seconds("1.5s").is_err());
    }

    #[test]
    fn numbers_are_shown_in_groups() {
        let shown = |value: u128| show_cycles(&Nat::from(value));
        assert_eq!(shown(7), "7");
        assert_eq!(shown(1_234), "1_234");
        assert_eq!(shown(100 * TRILLION), "100_000_000_000_000 (100.000 T)");
        assert_eq!(shown(1_500_000_000), "1_500_000_000 (0.001 T)");
    }
}
