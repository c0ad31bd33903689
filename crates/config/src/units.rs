//! Durations and sizes as people write them.

use std::fmt;
use std::time::Duration;

const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration as Prometheus does: whole numbers with units from large to small, each at
/// most once (`1h30m`, `500ms`), or `0`. The error says what is wrong with it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.is_empty() {
        return Err("the duration is empty".to_owned());
    }
    let mut rest = text;
    let mut milliseconds: u64 = 0;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..]
            .bytes()
            .take_while(u8::is_ascii_alphabetic)
            .count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        if digits == 0 {
            return Err(format!("`{text}` is not a duration"));
        }
        if letters == 0 {
            return Err(format!("`{number}` has no unit"));
        }
        let Some(index) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(format!("`{unit}` is not a unit of time"));
        };
        if index < next_unit {
            return Err("units must go from large to small".to_owned());
        }
        next_unit = index + 1;
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(UNITS[index].1));
        let sum = part.and_then(|part| milliseconds.checked_add(part));
        // Prometheus keeps durations as 63-bit nanoseconds.
        milliseconds = sum
            .filter(|sum| *sum <= i64::MAX as u64 / 1_000_000)
            .ok_or_else(|| format!("`{text}` is too long, the most is about 292 years"))?;
        rest = &rest[digits + letters..];
    }
    Ok(Duration::from_millis(milliseconds))
}

/// Writes a duration as [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, length) in UNITS {
        // Years and weeks only where they come out even: `90d` is clearer than `12w6d`.
        if matches!(unit, "y" | "w") && rest % length != 0 {
            continue;
        }
        if rest >= length {
            text.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    text
}

/// A number of bytes, written `64MiB`, `1.5GB` or `4096`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZES: [(&str, u64); 13] = [
    ("", 1),
    ("b", 1),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("bytes", 1),
];

impl ByteSize {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let split = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim();
        let known = SIZES
            .iter()
            .find(|(name, _)| unit.eq_ignore_ascii_case(name));
        let Some((_, factor)) = known else {
            return Err(format!("`{unit}` is not a unit of size"));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let parts = (whole.parse::<u64>(), fraction.parse::<u64>());
        let (Ok(whole), Ok(tenths)) = parts else {
            return Err(format!("`{text}` is not a size"));
        };
        let scale = 10u64.checked_pow(fraction.len() as u32);
        let extra = scale.map(|scale| u128::from(tenths) * u128::from(*factor) / u128::from(scale));
        let bytes = u128::from(whole) * u128::from(*factor) + extra.unwrap_or(0);
        u64::try_from(bytes)
            .map(Self)
            .map_err(|_| format!("`{text}` is too large"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, factor) in [
            ("PiB", 1 << 50),
            ("TiB", 1 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("KiB", 1u64 << 10),
        ] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests;
