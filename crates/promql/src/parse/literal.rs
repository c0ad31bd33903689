//! Numbers, durations and strings.

use super::lexer::TokenKind;
use crate::ast::StringLiteral;
use crate::format::parse_duration;

pub(super) fn duration_or_number(text: &str) -> Option<TokenKind> {
    if let Some(number) = number(text) {
        return Some(TokenKind::Number(number));
    }
    parse_duration(text).map(TokenKind::Duration)
}

/// A number as Go reads it: decimal, `0x..`, `0b..`, `0o..`, a leading zero for octal, and
/// underscores between digits.
pub(crate) fn number(text: &str) -> Option<f64> {
    if let Some(integer) = integer(text) {
        return Some(integer);
    }
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b".eE+-_".contains(&byte));
    if !plain || !text.bytes().any(|byte| byte.is_ascii_digit()) || text.contains('_') {
        return None;
    }
    // Rust reads `2.` and `.5` too; an overflow gives infinity, which Go refuses.
    text.parse::<f64>().ok().filter(|number| number.is_finite())
}

#[allow(clippy::cast_precision_loss)]
fn integer(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix) = if let Some(digits) = lower.strip_prefix("0x") {
        (digits, 16)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (digits, 2)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (digits, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (&lower[1..], 8)
    } else {
        (lower.as_str(), 10)
    };
    let separated = |text: &str| !text.starts_with('_') || radix != 10;
    if digits.is_empty() || digits.ends_with('_') || digits.contains("__") || !separated(digits) {
        return None;
    }
    let digits = digits.replace('_', "");
    if !digits.bytes().next()?.is_ascii_alphanumeric() {
        return None;
    }
    i64::from_str_radix(&digits, radix)
        .ok()
        .map(|integer| integer as f64)
}

/// The value of a string literal's body.
pub(super) fn unquote(body: &str, quote: char) -> Result<StringLiteral, String> {
    if quote == '`' || !body.contains('\\') {
        return Ok(StringLiteral {
            value: body.to_owned(),
            invalid: None,
        });
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(index) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..index]);
        rest = escape(&rest[index + 1..], quote, &mut bytes)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(match String::from_utf8(bytes) {
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
    })
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
    let invalid = || "escape sequence is an invalid code point".to_owned();
    let number = text
        .get(..digits)
        .filter(|digits| digits.bytes().all(|b| b.is_ascii_alphanumeric()));
    let number = number.ok_or_else(invalid)?;
    let number = u32::from_str_radix(number, radix).map_err(|_| invalid())?;
    if byte {
        out.push(u8::try_from(number).map_err(|_| invalid())?);
    } else {
        let c = char::from_u32(number).ok_or_else(invalid)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(&text[digits..])
}
