//! Numbers and lengths of time as written in a query.

/// (unit, nanoseconds), longest unit first so that `ms` is not read as minutes.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3_600e9),
    ("d", 86_400e9),
];

/// Why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// A number without a unit.
    NoUnit,
    /// Anything else.
    Malformed,
    /// Over 584 years.
    TooLong,
}

/// Nanoseconds of `250ms`, `1.5s`, `1m30s`.
pub fn duration_nanos(text: &str) -> Result<u64, DurationError> {
    if !text.is_empty() && text.parse::<f64>().is_ok() && !text.contains(['n', 'i']) {
        return Err(DurationError::NoUnit);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or(DurationError::Malformed)?;
        let nanos = scaled(number, *factor)?;
        total = total.checked_add(nanos).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(total)
}

/// Whole numbers are scaled exactly; a double would lose nanoseconds of long durations.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]
fn scaled(number: &str, factor: f64) -> Result<u64, DurationError> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole
            .checked_mul(factor as u64)
            .ok_or(DurationError::TooLong);
    }
    let value: f64 = number.parse().map_err(|_| DurationError::Malformed)?;
    let nanos = (value * factor).round();
    if nanos >= u64::MAX as f64 {
        Err(DurationError::TooLong)
    } else {
        Ok(nanos as u64)
    }
}

/// A number as written: whole where it can be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Whole.
    Int(i64),
    /// Not.
    Double(f64),
}

/// The number that a text is; names of infinity and of no number are not numbers here.
pub(super) fn number(text: &str) -> Option<Number> {
    let digit = text
        .bytes()
        .find(|byte| !matches!(byte, b'-' | b'+' | b'.'))?;
    if !digit.is_ascii_digit() {
        return None;
    }
    if let Ok(int) = text.parse() {
        return Some(Number::Int(int));
    }
    text.parse()
        .ok()
        .filter(|double: &f64| double.is_finite())
        .map(Number::Double)
}
