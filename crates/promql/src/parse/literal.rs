//! Numbers, durations and strings.

use super::lexer::TokenKind;
use crate::ast::StringLiteral;
use crate::format::{parse_duration, quote};

/// How many bytes at the start of `text`, which begins with a digit or a dot before one, are read as
/// a number or a duration, and which it is, or what is wrong with it.
pub(super) fn duration_or_number(text: &str) -> (usize, Result<TokenKind, String>) {
    let bytes = text.as_bytes();
    let read = match number_length(bytes) {
        Ok(length) => {
            let text = &text[..length];
            let kind = match number(text) {
                Some(number) => TokenKind::Number(number),
                None => TokenKind::BadNumber(bad_number(text)),
            };
            return (length, Ok(kind));
        }
        Err(read) => read,
    };
    let units = unit_lengths(&bytes[read..]);
    let length = read + units.unwrap_or_else(|read| read);
    let literal = &text[..length];
    if units.is_err() {
        let message = format!("bad number or duration syntax: {}", quote(literal));
        return (length, Err(message));
    }
    let out_of_range = || TokenKind::BadDuration("duration out of range".to_owned());
    let kind = match parse_duration(literal) {
        Some(milliseconds) if milliseconds <= MAX_LITERAL_MS => TokenKind::Duration(milliseconds),
        Some(_) => out_of_range(),
        None if literal.bytes().filter(u8::is_ascii_digit).count() > 15 => out_of_range(),
        None => {
            let message = format!("not a valid duration string: {}", quote(literal));
            TokenKind::BadDuration(message)
        }
    };
    (length, Ok(kind))
}

/// Why Go does not read a number.
fn bad_number(text: &str) -> String {
    let is_large = text.parse::<f64>().is_ok_and(f64::is_infinite);
    let reason = if is_large {
        "value out of range"
    } else {
        "invalid syntax"
    };
    let text = quote(text);
    format!("error parsing number: strconv.ParseFloat: parsing {text}: {reason}")
}

/// The length of the number that the bytes begin with: digits, one dot, one exponent with its sign,
/// underscores between digits. Where they cannot be read as a number, how far that was seen.
fn number_length(bytes: &[u8]) -> Result<usize, usize> {
    let is_hex = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let is_digit = |byte: u8| match is_hex {
        true => byte.is_ascii_hexdigit(),
        false => byte.is_ascii_digit(),
    };
    let at = |index: usize| bytes.get(index).copied();
    let mut index = 0;
    if is_hex {
        index = if at(2) == Some(b'_') { 3 } else { 2 };
    }
    index += usize::from(at(index) == Some(b'.'));
    index += usize::from(at(index).is_some_and(is_digit));
    let (mut dot, mut exponent) = (false, false);
    while let Some(byte) = at(index) {
        index += 1;
        match byte {
            b'.' => {
                if dot {
                    return Err(index);
                }
                if matches!(at(index), Some(b'_' | b'.')) {
                    return Err(index + 1);
                }
                if is_hex {
                    return Err(index);
                }
                dot = true;
            }
            // Among hexadecimal digits it is one, but a second one is not taken there either.
            b'e' | b'E' => {
                if exponent {
                    return Err(index);
                }
                exponent = true;
                index += usize::from(matches!(at(index), Some(b'+' | b'-')));
                match at(index) {
                    None => return Err(index),
                    Some(b'.' | b'_' | b'e' | b'E') => return Err(index + 1),
                    Some(_) => {}
                }
            }
            b'_' => match at(index) {
                None => return Err(index),
                Some(b'.' | b'_' | b'e' | b'E') => return Err(index + 1),
                Some(_) => {}
            },
            byte if is_digit(byte) => {}
            _ => {
                index -= 1;
                break;
            }
        }
    }
    match at(index) {
        Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_' => Err(index),
        _ => Ok(index),
    }
}

/// The length of what makes a number a duration: its unit, and more digits with theirs. Where that
/// is not what stands there, how far that was seen.
fn unit_lengths(bytes: &[u8]) -> Result<usize, usize> {
    let at = |index: usize| bytes.get(index).copied();
    let mut index = 0;
    loop {
        let is_unit = |byte: u8| b"smhdw".contains(&byte) || (byte == b'y' && index == 0);
        if !at(index).is_some_and(is_unit) {
            return Err(index);
        }
        index += 1;
        index += usize::from(at(index) == Some(b's'));
        if !at(index).is_some_and(|byte| byte.is_ascii_digit()) {
            break;
        }
        while at(index).is_some_and(|byte| byte.is_ascii_digit()) {
            index += 1;
        }
    }
    match at(index) {
        Some(byte) if byte.is_ascii_alphanumeric() || byte == b'_' => Err(index + 1),
        _ => Ok(index),
    }
}

/// The longest literal, about 292 years: in nanoseconds it fits into 64 bits.
const MAX_LITERAL_MS: i64 = i64::MAX / 1_000_000;

/// A number as Go reads it: whole ones decimal, `0x..`, or octal after a leading zero, all others
/// decimal; with underscores between digits, and after `0x`.
fn number(text: &str) -> Option<f64> {
    let separated = !text.contains('_') || {
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
        let bytes = text.as_bytes();
        let between = |at: usize| {
            let before = digit(bytes[..at].last()) || matches!(bytes[..at], [b'0', b'x' | b'X']);
            before && digit(bytes.get(at + 1))
        };
        let underscores = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_');
        underscores.map(|(at, _)| at).all(between)
    };
    if !separated {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).or_else(|| {
        let is_decimal = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
        if !digits.bytes().all(is_decimal) || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        // Rust reads `2.` and `.5` too; an overflow gives infinity, which Go refuses.
        let number = digits.parse::<f64>().ok();
        number.filter(|number| number.is_finite())
    })
}

#[allow(clippy::cast_precision_loss)]
fn integer(text: &str) -> Option<f64> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hexadecimal, text.strip_prefix('0')) {
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    // A sign would be read as part of the number.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let integer = i64::from_str_radix(digits, radix).ok()?;
    Some(integer as f64)
}

/// How many bytes of a text are a string literal whose opening quote stands before it, the closing
/// one included, and its value, or the first thing that is wrong with it.
pub(super) fn quoted(text: &str, quote: char) -> (usize, Result<StringLiteral, String>) {
    let mut bytes = Vec::new();
    let mut rest = text;
    loop {
        let ends = |c: char| c == quote || (quote != '`' && matches!(c, '\\' | '\n'));
        let end = rest.find(ends).unwrap_or(rest.len());
        bytes.extend_from_slice(&rest.as_bytes()[..end]);
        let Some(c) = rest[end..]
            .chars()
            .next()
            .filter(|c| *c != '\n' || quote == '`')
        else {
            let kind = if quote == '`' { "raw" } else { "quoted" };
            return (text.len(), Err(format!("unterminated {kind} string")));
        };
        rest = &rest[end + 1..];
        if c == quote {
            return (text.len() - rest.len(), Ok(literal(bytes)));
        }
        match escape(rest, quote, &mut bytes) {
            Ok(after) => rest = after,
            Err(message) => return (text.len(), Err(message)),
        }
    }
}

fn literal(bytes: Vec<u8>) -> StringLiteral {
    match String::from_utf8(bytes) {
        Ok(value) => StringLiteral {
            value,
            invalid: None,
        },
        Err(error) => {
            let bytes = error.into_bytes();
            StringLiteral {
                value: String::from_utf8_lossy(&bytes).into_owned(),
                invalid: Some(bytes),
            }
        }
    }
}

/// Appends what the escape at the start of `text` (after its backslash) stands for.
fn escape<'a>(text: &'a str, quote: char, out: &mut Vec<u8>) -> Result<&'a str, String> {
    let unknown = |c: char| format!("unknown escape sequence U+{:04X} '{c}'", c as u32);
    let c = text
        .chars()
        .next()
        .ok_or_else(|| "escape sequence not terminated".to_owned())?;
    let rest = &text[c.len_utf8()..];
    let simple = match c {
        'a' => b'\x07',
        'b' => b'\x08',
        'f' => b'\x0c',
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => b'\x0b',
        '\\' => b'\\',
        c if c == quote => c as u8,
        'x' => return code(rest, 2, 16, out, true),
        'u' => return code(rest, 4, 16, out, false),
        'U' => return code(rest, 8, 16, out, false),
        '0'..='7' => return code(text, 3, 8, out, true),
        c => return Err(unknown(c)),
    };
    out.push(simple);
    Ok(rest)
}

/// A character or byte given by its number.
fn code<'a>(
    text: &'a str,
    digits: usize,
    radix: u32,
    out: &mut Vec<u8>,
    byte: bool,
) -> Result<&'a str, String> {
    let mut number: u32 = 0;
    let mut chars = text.chars();
    for _ in 0..digits {
        let c = chars
            .next()
            .ok_or_else(|| "escape sequence not terminated".to_owned())?;
        let digit = c.to_digit(radix).ok_or_else(|| {
            let number = c as u32;
            match c.is_control() {
                true => format!("illegal character U+{number:04X} in escape sequence"),
                false => format!("illegal character U+{number:04X} '{c}' in escape sequence"),
            }
        })?;
        // Eight digits of four bits each fit.
        number = number * radix + digit;
    }
    let invalid = || "escape sequence is an invalid Unicode code point".to_owned();
    if byte {
        out.push(u8::try_from(number).map_err(|_| invalid())?);
    } else {
        let c = char::from_u32(number).ok_or_else(invalid)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(chars.as_str())
}
