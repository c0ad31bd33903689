//! Splits text into literal text and variables, and stores the variables that stand at one place of one template.
//!
//! What is a variable is only a matter of size, never of correctness: a template with its variables filled in is
//! the text again, byte for byte, whatever was chosen. Variables are runs of ASCII letters and digits that contain
//! a digit (a number, with its sign where that cannot be a hyphen; a hex run; any other id), UUIDs, and the byte
//! 0, which marks places in stored templates and so may not occur in their literal text.
//!
//! All variables of one place are stored by the narrowest of these types that fits every one of them:
//! - unsigned (0): decimal without leading zeros, below 10^19: a stream of integers;
//! - signed (1): the same with an optional minus, below 10^18, never "-0": a stream of zigzag coded integers;
//! - digits (2): up to 19 digits with leading zeros: a stream of widths, then a stream of integers;
//! - UUID, lower (3) or upper case (4): 16 bytes each;
//! - hex, lower (5) or upper case (6): a stream of lengths, then two digits a byte, the first in the high half,
//!   each variable filled up to a whole byte;
//! - text (7): byte strings.
//!
//! Types 3 to 7 store distinct variables: a varint count and the codes precede them.

use std::borrow::Cow;

use super::codes::{self, Strings, decode_strings, encode_strings};
use super::distinct::distinct;
use super::ints::{self, Depth};
use super::wire::{Cursor, Decoded, Malformed, put_varint, unzigzag, zigzag};

/// Stands for a variable in a stored template.
pub(crate) const PLACE: u8 = 0;

/// The most variables in one text; the last one takes all of the rest.
pub(crate) const MAX_VARIABLES: usize = 48;

const DIGIT: u8 = 1;
const LOWER_HEX: u8 = 2;
const UPPER_HEX: u8 = 4;
const LETTER: u8 = 8;
const ZERO_BYTE: u8 = 16;
const WORD: u8 = DIGIT | LOWER_HEX | UPPER_HEX | LETTER;

const CLASS: [u8; 256] = {
    let mut class = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => LOWER_HEX,
            b'A'..=b'F' => UPPER_HEX,
            b'g'..=b'z' | b'G'..=b'Z' => LETTER,
            PLACE => ZERO_BYTE,
            _ => 0,
        };
        byte += 1;
    }
    class
};

/// A run of hex digits of at least this length is one variable, however its letters and digits alternate.
const MIN_HEX: usize = 6;

const UUID_LEN: usize = 36;

/// Splits texts into templates and variables, reusing its buffers.
#[derive(Debug, Default)]
pub(crate) struct Splitter<'a> {
    /// The template of the last text: literal text with a [`PLACE`] for each variable.
    pub(crate) template: Vec<u8>,
    /// The variables of all texts so far.
    pub(crate) variables: Vec<&'a [u8]>,
    first: usize,
    copied: usize,
}

impl<'a> Splitter<'a> {
    /// Splits `text`; its variables are appended to those of the texts before.
    pub(crate) fn split(&mut self, text: &'a [u8]) {
        self.template.clear();
        self.first = self.variables.len();
        self.copied = 0;
        let mut at = 0;
        while at < text.len() {
            let class = CLASS[usize::from(text[at])];
            if class == 0 {
                at += 1;
                continue;
            }
            let start = at;
            let mut seen = 0;
            if class == ZERO_BYTE {
                at += 1;
                seen = ZERO_BYTE;
            } else {
                while at < text.len() {
                    let class = CLASS[usize::from(text[at])];
                    if class & WORD == 0 {
                        break;
                    }
                    seen |= class;
                    at += 1;
                }
                if at - start == 8 && text.get(at) == Some(&b'-') && is_uuid_at(text, start) {
                    at = start + UUID_LEN;
                    seen = ZERO_BYTE;
                }
            }
            if seen & (DIGIT | ZERO_BYTE) != 0 && !self.run(text, start, at, seen) {
                return;
            }
        }
        self.template.extend_from_slice(&text[self.copied..]);
    }

    /// Adds the variables of one run; false when the text has been used up by the last variable allowed.
    fn run(&mut self, text: &'a [u8], start: usize, end: usize, seen: u8) -> bool {
        if seen & !DIGIT == 0 {
            let signed = start > self.copied
                && text[start - 1] == b'-'
                && (start == 1
                    || !matches!(CLASS[usize::from(text[start - 2])], 1..=8)
                        && text[start - 2] != b'-');
            return self.variable(text, start - usize::from(signed), end);
        }
        let one_case = seen & !(DIGIT | LOWER_HEX) == 0 || seen & !(DIGIT | UPPER_HEX) == 0;
        if seen & ZERO_BYTE != 0 || (one_case && end - start >= MIN_HEX) {
            return self.variable(text, start, end);
        }
        let mut groups = [(0usize, 0usize); 4];
        let mut count = 0;
        let is_digit = |at: usize| text[at].is_ascii_digit();
        let mut at = start;
        while at < end {
            let from = at;
            while at < end && is_digit(at) == is_digit(from) {
                at += 1;
            }
            if count == groups.len() {
                return self.variable(text, start, end);
            }
            groups[count] = (from, at);
            count += 1;
        }
        let groups = &groups[..count];
        // "12ms", "20T10", "1h30m" on one side, "host12" on the other; anything else is an id.
        let parts = if is_digit(start) {
            groups
                .iter()
                .all(|(from, to)| is_digit(*from) || to - from <= 3)
        } else {
            count == 2
        };
        if !parts {
            return self.variable(text, start, end);
        }
        let mut digits = groups.iter().filter(|(from, _)| is_digit(*from));
        digits.all(|(from, to)| self.variable(text, *from, *to))
    }

    /// Adds one variable and the literal text before it.
    fn variable(&mut self, text: &'a [u8], start: usize, end: usize) -> bool {
        self.template.extend_from_slice(&text[self.copied..start]);
        self.template.push(PLACE);
        if self.variables.len() - self.first == MAX_VARIABLES - 1 {
            self.variables.push(&text[start..]);
            self.copied = text.len();
            return false;
        }
        self.variables.push(&text[start..end]);
        self.copied = end;
        true
    }
}

/// Whether a UUID in one case, not followed by more of a word, starts at `start`.
fn is_uuid_at(text: &[u8], start: usize) -> bool {
    let Some(uuid) = text.get(start..start + UUID_LEN) else {
        return false;
    };
    let ends = text
        .get(start + UUID_LEN)
        .is_none_or(|next| CLASS[usize::from(*next)] & WORD == 0);
    ends && uuid_case(uuid).is_some()
}

/// The classes of the letters of a UUID; None when it is none or its letters are of both cases.
fn uuid_case(text: &[u8]) -> Option<u8> {
    if text.len() != UUID_LEN {
        return None;
    }
    let mut seen = 0;
    for (position, byte) in text.iter().enumerate() {
        let class = CLASS[usize::from(*byte)];
        match position {
            8 | 13 | 18 | 23 if *byte == b'-' => {}
            8 | 13 | 18 | 23 => return None,
            _ if class & (DIGIT | LOWER_HEX | UPPER_HEX) == 0 => return None,
            _ => seen |= class,
        }
    }
    let letters = seen & (LOWER_HEX | UPPER_HEX);
    (letters != LOWER_HEX | UPPER_HEX).then_some(letters)
}

const UNSIGNED: u8 = 0;
const SIGNED: u8 = 1;
const DIGITS: u8 = 2;
const LOWER_UUID: u8 = 3;
const UPPER_UUID: u8 = 4;
const LOWER_HEX_RUN: u8 = 5;
const UPPER_HEX_RUN: u8 = 6;
const TEXT: u8 = 7;

/// A bit for each type that can store `variable`.
fn fitting_types(variable: &[u8]) -> u8 {
    const ANY: u8 = 1 << TEXT;
    if variable.len() == UUID_LEN && variable[8] == b'-' {
        return match uuid_case(variable) {
            Some(LOWER_HEX) => ANY | 1 << LOWER_UUID,
            Some(UPPER_HEX) => ANY | 1 << UPPER_UUID,
            Some(_) => ANY | 1 << LOWER_UUID | 1 << UPPER_UUID,
            None => ANY,
        };
    }
    let mut seen = 0;
    for byte in variable {
        seen |= match CLASS[usize::from(*byte)] {
            0 => ZERO_BYTE,
            class => class,
        };
    }
    if seen == DIGIT {
        let hex = 1 << LOWER_HEX_RUN | 1 << UPPER_HEX_RUN;
        if variable.len() > 19 {
            return ANY | hex;
        }
        let numbers = if variable[0] == b'0' && variable.len() > 1 {
            0
        } else if variable.len() <= 18 {
            1 << UNSIGNED | 1 << SIGNED
        } else {
            1 << UNSIGNED
        };
        return ANY | hex | 1 << DIGITS | numbers;
    }
    if seen & !(DIGIT | LOWER_HEX) == 0 && seen != 0 {
        return ANY | 1 << LOWER_HEX_RUN;
    }
    if seen & !(DIGIT | UPPER_HEX) == 0 && seen != 0 {
        return ANY | 1 << UPPER_HEX_RUN;
    }
    if let [b'-', b'1'..=b'9', rest @ ..] = variable
        && rest.len() < 18
        && rest.iter().all(u8::is_ascii_digit)
    {
        return ANY | 1 << SIGNED;
    }
    ANY
}

fn parse_digits(digits: &[u8]) -> u64 {
    digits
        .iter()
        .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'))
}

fn parse_signed(text: &[u8]) -> i64 {
    match text {
        [b'-', digits @ ..] => -(parse_digits(digits) as i64),
        digits => parse_digits(digits) as i64,
    }
}

/// Appends the variables of one place; `unique` when the caller knows that no two of them are equal.
pub(crate) fn encode(out: &mut Vec<u8>, variables: &[&[u8]], unique: bool) {
    let mut fitting = u8::MAX;
    for variable in variables {
        fitting &= fitting_types(variable);
        if fitting == 1 << TEXT {
            break;
        }
    }
    let kind = fitting.trailing_zeros() as u8;
    out.push(kind);
    let numbers = |parse: &dyn Fn(&[u8]) -> u64| {
        variables
            .iter()
            .map(|text| parse(text))
            .collect::<Vec<u64>>()
    };
    match kind {
        UNSIGNED => {
            ints::encode_unsigned(out, &numbers(&parse_digits), Depth::Outer);
        }
        SIGNED => {
            let values = numbers(&|text| zigzag(parse_signed(text)));
            ints::encode_unsigned(out, &values, Depth::Outer);
        }
        DIGITS => {
            ints::encode_unsigned(out, &numbers(&|text| text.len() as u64), Depth::Outer);
            ints::encode_unsigned(out, &numbers(&parse_digits), Depth::Outer);
        }
        _ => encode_distinct(out, kind, variables, unique),
    }
}

fn encode_distinct(out: &mut Vec<u8>, kind: u8, variables: &[&[u8]], unique: bool) {
    let (chosen, codes) = if unique {
        (
            Cow::Borrowed(variables),
            (0..variables.len() as u32).collect(),
        )
    } else {
        let found = distinct(variables);
        let chosen = found.first.iter().map(|at| variables[*at as usize]);
        (Cow::Owned(chosen.collect::<Vec<&[u8]>>()), found.codes)
    };
    put_varint(out, chosen.len() as u64);
    codes::encode(out, &codes, chosen.len());
    match kind {
        LOWER_UUID | UPPER_UUID => {
            for text in chosen.iter() {
                for group in [0..8, 9..13, 14..18, 19..23, 24..36] {
                    put_hex(out, &text[group]);
                }
            }
        }
        LOWER_HEX_RUN | UPPER_HEX_RUN => {
            let lengths: Vec<u64> = chosen.iter().map(|text| text.len() as u64).collect();
            ints::encode_unsigned(out, &lengths, Depth::Outer);
            for text in chosen.iter() {
                put_hex(out, text);
            }
        }
        _ => encode_strings(out, &chosen),
    }
}

/// Appends hex digits, two a byte; the last byte is filled up with a zero.
fn put_hex(out: &mut Vec<u8>, digits: &[u8]) {
    // Letters are 0x41 or 0x61 and up, so their low half starts at 1 where digits start at 0.
    let value = |digit: u8| (digit & 0x0f) + (digit >> 6) * 9;
    let (pairs, rest) = digits.as_chunks::<2>();
    out.extend(
        pairs
            .iter()
            .map(|[high, low]| value(*high) << 4 | value(*low)),
    );
    out.extend(rest.iter().map(|high| value(*high) << 4));
}

/// The variables of one place, in the order of the texts that have them.
#[derive(Debug)]
pub(crate) enum Variables {
    Unsigned(Vec<u64>),
    Signed(Vec<u64>),
    Digits {
        widths: Vec<u64>,
        values: Vec<u64>,
    },
    Uuid {
        bytes: Vec<[u8; 16]>,
        digits: &'static [u8; 16],
        codes: Vec<u32>,
    },
    Hex {
        runs: HexRuns,
        digits: &'static [u8; 16],
        codes: Vec<u32>,
    },
    Text {
        distinct: Strings,
        codes: Vec<u32>,
    },
}

/// Runs of hex digits, two a byte.
#[derive(Debug, Default)]
pub(crate) struct HexRuns {
    bytes: Vec<u8>,
    /// Per run where it starts in the bytes, and how many digits it has.
    runs: Vec<(u32, u32)>,
}

/// Reads the `count` variables of one place. `count` has been compared with its limit.
pub(crate) fn decode(from: &mut Cursor<'_>, count: usize) -> Decoded<Variables> {
    let kind = from.u8()?;
    match kind {
        UNSIGNED => {
            return Ok(Variables::Unsigned(ints::decode(
                from,
                count,
                Depth::Outer,
            )?));
        }
        SIGNED => return Ok(Variables::Signed(ints::decode(from, count, Depth::Outer)?)),
        DIGITS => {
            let widths = ints::decode(from, count, Depth::Outer)?;
            let values = ints::decode(from, count, Depth::Outer)?;
            if widths.iter().any(|width| *width > 19) {
                return Err(Malformed("a number has more than 19 digits"));
            }
            return Ok(Variables::Digits { widths, values });
        }
        LOWER_UUID..=TEXT => {}
        _ => return Err(Malformed("a variable type is not known")),
    }
    let entries = from.bounded(count, "there are more distinct variables than variables")?;
    let codes = codes::decode(from, count, entries)?;
    let digits = match kind {
        LOWER_UUID | LOWER_HEX_RUN => b"0123456789abcdef",
        _ => b"0123456789ABCDEF",
    };
    Ok(match kind {
        LOWER_UUID | UPPER_UUID => Variables::Uuid {
            bytes: from.take(entries * 16)?.as_chunks::<16>().0.to_vec(),
            digits,
            codes,
        },
        LOWER_HEX_RUN | UPPER_HEX_RUN => Variables::Hex {
            runs: hex_runs(from, entries)?,
            digits,
            codes,
        },
        _ => Variables::Text {
            distinct: decode_strings(from, entries)?,
            codes,
        },
    })
}

fn hex_runs(from: &mut Cursor<'_>, entries: usize) -> Decoded<HexRuns> {
    let lengths = ints::decode(from, entries, Depth::Outer)?;
    let mut out = HexRuns::default();
    for length in lengths {
        // A length beyond the stored bytes fails in take, before anything is allocated for it.
        let length = usize::try_from(length).map_err(|_| Malformed("a hex run is too long"))?;
        let bytes = from.take(length.div_ceil(2))?;
        out.runs.push((out.bytes.len() as u32, length as u32));
        out.bytes.extend_from_slice(bytes);
    }
    Ok(out)
}

fn put_uuid(out: &mut Vec<u8>, uuid: &[u8; 16], digits: &[u8; 16]) {
    let mut text = [b'-'; UUID_LEN];
    let mut at = 0;
    for (position, byte) in uuid.iter().enumerate() {
        at += usize::from(matches!(position, 4 | 6 | 8 | 10));
        text[at] = digits[usize::from(byte >> 4)];
        text[at + 1] = digits[usize::from(byte & 15)];
        at += 2;
    }
    out.extend_from_slice(&text);
}

impl Variables {
    /// Appends variable `index`, which is below the count that was decoded.
    pub(crate) fn write(&self, index: usize, out: &mut Vec<u8>) {
        match self {
            Variables::Unsigned(values) => put_decimal(out, values[index], 1),
            Variables::Signed(values) => {
                let value = unzigzag(values[index]);
                if value < 0 {
                    out.push(b'-');
                }
                put_decimal(out, value.unsigned_abs(), 1);
            }
            Variables::Digits { widths, values } => {
                put_decimal(out, values[index], widths[index] as usize)
            }
            Variables::Uuid {
                bytes,
                digits,
                codes,
            } => put_uuid(out, &bytes[codes[index] as usize], digits),
            Variables::Hex {
                runs,
                digits,
                codes,
            } => {
                let (start, length) = runs.runs[codes[index] as usize];
                let bytes = &runs.bytes[start as usize..][..length.div_ceil(2) as usize];
                for (position, byte) in bytes.iter().enumerate() {
                    out.push(digits[usize::from(byte >> 4)]);
                    if position as u32 * 2 + 1 < length {
                        out.push(digits[usize::from(byte & 15)]);
                    }
                }
            }
            Variables::Text { distinct, codes } => {
                out.extend_from_slice(distinct.get(codes[index] as usize));
            }
        }
    }
}

/// Appends `value` in decimal, filled up with zeros to at least `width` (at most 20) digits.
fn put_decimal(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while value != 0 {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}
