//! The functions of templates over numbers, times and durations.

use super::format::{float_precision_g, timestamp};
use super::functions::{Outcome, exactly};
use super::value::Value;

/// Functions over numbers.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn number(name: &str, args: &[Value]) -> Option<Outcome> {
    let map = |change: fn(f64) -> Result<String, String>| {
        exactly(name, args)
            .and_then(|[value]| value.number())
            .and_then(|number| change(number).map(Value::Str))
    };
    Some(match name {
        "humanize" => map(|value| Ok(humanize(value))),
        "humanize1024" => map(|value| Ok(humanize_1024(value))),
        "humanizeDuration" => map(|value| Ok(humanize_duration(value))),
        "humanizePercentage" => {
            map(|value| Ok(format!("{}%", float_precision_g(value * 100.0, 4))))
        }
        "humanizeTimestamp" => map(|value| {
            if value.is_finite() {
                timestamp(value).ok_or_else(|| "the time is out of range".into())
            } else {
                Ok(float_precision_g(value, 4))
            }
        }),
        "toTime" => exactly(name, args).and_then(|[value]| value.number().map(Value::Time)),
        "toDuration" => exactly(name, args)
            .and_then(|[value]| value.number())
            .map(|seconds| Value::Str(go_duration((seconds * 1e9) as i64))),
        "parseDuration" => exactly(name, args)
            .and_then(|[value]| parse_duration(value.string()?).map(Value::Float)),
        _ => return None,
    })
}

fn humanize(value: f64) -> String {
    let plain = || float_precision_g(value, 4);
    if value == 0.0 || !value.is_finite() {
        return plain();
    }
    let mut scaled = value;
    let mut prefix = "";
    if value.abs() >= 1.0 {
        for next in ["k", "M", "G", "T", "P", "E", "Z", "Y"] {
            if scaled.abs() < 1000.0 {
                break;
            }
            prefix = next;
            scaled /= 1000.0;
        }
    } else {
        for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
            if scaled.abs() >= 1.0 {
                break;
            }
            prefix = next;
            scaled *= 1000.0;
        }
    }
    format!("{}{prefix}", float_precision_g(scaled, 4))
}

fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return float_precision_g(value, 4);
    }
    let mut scaled = value;
    let mut prefix = "";
    for next in ["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"] {
        if scaled.abs() < 1024.0 {
            break;
        }
        prefix = next;
        scaled /= 1024.0;
    }
    format!("{}{prefix}", float_precision_g(scaled, 4))
}

#[allow(clippy::cast_possible_truncation)]
fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return float_precision_g(value, 4);
    }
    if value == 0.0 {
        return format!("{}s", float_precision_g(value, 4));
    }
    if value.abs() >= 1.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        let total = value.abs();
        let whole = total as i64;
        let (seconds, minutes) = (whole % 60, whole / 60 % 60);
        let (hours, days) = (whole / 3600 % 24, whole / 86_400);
        if days != 0 {
            return format!("{sign}{days}d {hours}h {minutes}m {seconds}s");
        }
        if hours != 0 {
            return format!("{sign}{hours}h {minutes}m {seconds}s");
        }
        if minutes != 0 {
            return format!("{sign}{minutes}m {seconds}s");
        }
        return format!("{sign}{}s", float_precision_g(total, 4));
    }
    let mut scaled = value;
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if scaled.abs() >= 1.0 {
            break;
        }
        prefix = next;
        scaled *= 1000.0;
    }
    format!("{}{prefix}s", float_precision_g(scaled, 4))
}

/// A duration as Go prints it: `1h0m0s`, `1m30.5s`, `250ms`.
fn go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{sign}{nanos}ns"),
        1_000..1_000_000 => return format!("{sign}{}µs", decimal(nanos, 3)),
        1_000_000..1_000_000_000 => return format!("{sign}{}ms", decimal(nanos, 6)),
        _ => {}
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = decimal(nanos % 60_000_000_000, 9);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// A whole number with its last digits behind a point, without zeros at the end.
fn decimal(number: u64, digits: u32) -> String {
    let unit = 10_u64.pow(digits);
    let (whole, rest) = (number / unit, number % unit);
    let rest = format!("{rest:0width$}", width = digits as usize);
    let rest = rest.trim_end_matches('0');
    let point = if rest.is_empty() { "" } else { "." };
    format!("{whole}{point}{rest}")
}

/// A Prometheus duration in seconds.
fn parse_duration(text: &str) -> Result<f64, String> {
    let invalid = || format!("not a valid duration string: {text:?}");
    if text == "0" {
        return Ok(0.0);
    }
    let units = [
        ("ms", 0.001),
        ("y", 31_536_000.0),
        ("w", 604_800.0),
        ("d", 86_400.0),
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
    ];
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    let mut total = 0.0;
    let mut last = f64::INFINITY;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(invalid)?;
        let count: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let (unit, seconds) = units
            .into_iter()
            .find(|(unit, _)| rest.starts_with(unit))
            .ok_or_else(invalid)?;
        // Units come in order, each once.
        if seconds >= last {
            return Err(invalid());
        }
        last = seconds;
        total += count * seconds;
        rest = &rest[unit.len()..];
    }
    if last.is_infinite() {
        Err(invalid())
    } else {
        Ok(sign * total)
    }
}
