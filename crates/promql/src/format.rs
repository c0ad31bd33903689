//! Numbers, strings, times and durations as Prometheus writes them.

use std::fmt::Write;

/// A sample value: `NaN`, `+Inf`, `-Inf`, or the shortest decimal number that reads back the same,
/// without an exponent.
pub fn value(value: f64) -> String {
    special(value).map_or_else(|| format!("{value}"), str::to_owned)
}

/// A sample value as the HTTP API writes it: like [`value`], but with an exponent for very small
/// and very large numbers.
pub fn api_value(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && magnitude.is_finite() && !(1e-6..1e21).contains(&magnitude) {
        return exponent(number);
    }
    value(number)
}

/// A number in the shorter of its decimal and exponent forms, as in messages.
pub fn general(number: f64) -> String {
    if let Some(special) = special(number) {
        return special.to_owned();
    }
    let scientific = format!("{number:e}");
    let (_, exp) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exp: i32 = exp.parse().unwrap_or(0);
    // Go's `%g` changes over at these exponents; messages are compared with Prometheus' own.
    if (-4..6).contains(&exp) {
        format!("{number}")
    } else {
        exponent(number)
    }
}

/// A number in two significant digits, in the shorter of its decimal and exponent forms.
pub fn two_digits(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return general(number);
    }
    let scientific = format!("{number:.1e}");
    let (digits, exp) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = digits.strip_suffix(".0").unwrap_or(digits);
    let exp: i32 = exp.parse().unwrap_or(0);
    if !(-4..2).contains(&exp) {
        let sign = if exp < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:0>2}", exp.abs());
    }
    let decimals = usize::try_from(1 - exp).unwrap_or(0);
    let fixed = format!("{number:.decimals$}");
    if fixed.contains('.') {
        fixed.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        fixed
    }
}

/// A whole number with a comma after each thousand, as in `11,000`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time as `2026-01-02T03:04:05Z`, in whole seconds.
pub fn rfc3339(time_ms: i64) -> String {
    let seconds = time_ms / 1000;
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let date = crate::date::Date::of_day(days);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year,
        date.month,
        date.day,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value == f64::INFINITY {
        Some("+Inf")
    } else if value == f64::NEG_INFINITY {
        Some("-Inf")
    } else {
        None
    }
}

/// With an exponent of at least two digits and its sign.
fn exponent(number: f64) -> String {
    let scientific = format!("{number:e}");
    let (digits, exp) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, exp) = exp.strip_prefix('-').map_or(('+', exp), |exp| ('-', exp));
    format!("{digits}e{sign}{exp:0>2}")
}

/// A string in double quotes with everything unprintable escaped.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        push_quoted(&mut quoted, c);
    }
    quoted.push('"');
    quoted
}

/// Bytes in double quotes; what is not UTF-8 is written as `\x..`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            push_quoted(&mut quoted, c);
        }
        for byte in chunk.invalid() {
            push_hex(&mut quoted, *byte);
        }
    }
    quoted.push('"');
    quoted
}

fn push_quoted(out: &mut String, c: char) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        c if (c as u32) < 0x20 || c == '\u{7f}' => push_hex(out, c as u8),
        c if c.is_control() => {
            let _ = write!(out, "\\u{:04x}", c as u32);
        }
        c => out.push(c),
    }
}

fn push_hex(out: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// A duration such as `1d2h` or `-5m`. Years and weeks are only used where nothing remains.
pub fn duration(milliseconds: i64) -> String {
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    if milliseconds < 0 {
        out.push('-');
    }
    let mut rest = milliseconds.unsigned_abs();
    for (unit, length) in UNITS {
        let length = length.unsigned_abs();
        let exact_only = matches!(unit, "y" | "w");
        if rest < length || (exact_only && !rest.is_multiple_of(length)) {
            continue;
        }
        let _ = write!(out, "{}{unit}", rest / length);
        rest %= length;
    }
    out
}

/// Reads a duration such as `1d2h`: units from large to small, each at most once.
pub fn parse_duration(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total: i64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = &rest[..letters];
        rest = &rest[letters..];
        let (_, length) = units.find(|(known, _)| *known == unit)?;
        total = total.checked_add(number.checked_mul(*length)?)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn numbers_are_written_as_prometheus_does() {
        assert_eq!(value(1e21), "1000000000000000000000");
        assert_eq!(value(f64::INFINITY), "+Inf");
        assert_eq!(value(-0.5), "-0.5");
        assert_eq!(api_value(1e21), "1e+21");
        assert_eq!(api_value(1.5e-7), "1.5e-07");
        assert_eq!(api_value(0.0), "0");
        let general_cases = [
            (1_000_000.0, "1e+06"),
            (100_000.0, "100000"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5, "1.5"),
            (123_456.789, "123456.789"),
            (1_234_567.5, "1.2345675e+06"),
        ];
        for (number, want) in general_cases {
            assert_eq!(general(number), want);
        }
    }

    #[test]
    fn two_digits_are_enough() {
        for (number, want) in [
            (0.0, "0"),
            (1.0, "1"),
            (99.4, "99"),
            (123.0, "1.2e+02"),
            (0.012_34, "0.012"),
            (0.000_05, "5e-05"),
            (1.25, "1.2"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(two_digits(number), want);
        }
    }

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(951_782_400_123), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(3_000_000), "1970-01-01T00:50:00Z");
    }

    #[test]
    fn durations_are_read_and_written() {
        let cases = [
            (300_000, "5m"),
            (90_000, "1m30s"),
            (604_800_000, "1w"),
            (691_200_000, "8d"),
            (-1, "-1ms"),
            (0, "0s"),
        ];
        for (milliseconds, text) in cases {
            assert_eq!(duration(milliseconds), text);
            if milliseconds > 0 {
                assert_eq!(parse_duration(text), Some(milliseconds));
            }
        }
        for wrong in ["", "5", "m", "5m5m", "5s1m", "1x", "99999999999y"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn quotes_escape_what_cannot_be_printed() {
        assert_eq!(quote("a\"\\\n\u{1}é"), r#""a\"\\\n\x01é""#);
        assert_eq!(quote_bytes(b"a\xc5z"), r#""a\xc5z""#);
    }
}
