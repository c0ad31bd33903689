//! Numbers and times as Go prints them, and `printf`.

use super::value::Value;

/// Digits and decimal exponent of the shortest text that reads back as this number.
fn shortest(value: f64) -> (String, i32) {
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    (digits, exponent.parse().unwrap_or(0))
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".into())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.into())
    } else {
        None
    }
}

fn with_exponent(sign: &str, digits: &str, exponent: i32) -> String {
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!(
        "{sign}{first}{point}{rest}e{direction}{:02}",
        exponent.abs()
    )
}

/// The number in its shortest form with an exponent: Go's `%e` without a precision.
pub fn float_e(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (digits, exponent) = shortest(value.abs());
    with_exponent(
        if value.is_sign_negative() { "-" } else { "" },
        &digits,
        exponent,
    )
}

/// The number in its shortest form: Go's `%v`.
pub fn float_g(value: f64) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (digits, exponent) = shortest(value.abs());
    // From a million on Go writes an exponent.
    if (-4..6).contains(&exponent) {
        format!("{value}")
    } else {
        with_exponent(
            if value.is_sign_negative() { "-" } else { "" },
            &digits,
            exponent,
        )
    }
}

/// Go's `%.{precision}g`.
pub(super) fn float_precision_g(value: f64, precision: usize) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let precision = precision.max(1);
    let text = format!("{:.*e}", precision - 1, value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let sign = if value.is_sign_negative() { "-" } else { "" };
    let significant = i32::try_from(precision).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= significant {
        let trimmed = digits.trim_end_matches('0');
        let trimmed = if trimmed.is_empty() { "0" } else { trimmed };
        return with_exponent(sign, trimmed, exponent);
    }
    let decimals = usize::try_from(significant - 1 - exponent).unwrap_or(0);
    let fixed = format!("{:.decimals$}", value.abs());
    let fixed = if fixed.contains('.') {
        fixed.trim_end_matches('0').trim_end_matches('.')
    } else {
        &fixed
    };
    format!("{sign}{fixed}")
}

/// A unix time as Go prints one in UTC.
pub(super) fn timestamp(seconds: f64) -> Option<String> {
    if !seconds.is_finite() || seconds.abs() > 253_402_300_799.0 {
        return None;
    }
    #[allow(clippy::cast_possible_truncation)]
    let (whole, nanos) = (
        seconds.floor() as i64,
        ((seconds - seconds.floor()) * 1e9).round() as i32,
    );
    let time = jiff::Timestamp::new(whole, nanos.min(999_999_999)).ok()?;
    let base = time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let fraction = format!("{nanos:09}");
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{base}{point}{fraction} +0000 UTC"))
}

/// Go's `Sprintf` for the verbs that templates use.
pub(super) fn printf(format: &str, args: &[Value]) -> String {
    let mut out = String::new();
    let mut args = args.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = chars.next_if(|c| matches!(c, '-' | '+' | ' ' | '0' | '#')) {
            flags.push(flag);
        }
        let width = digits(&mut chars);
        let precision = chars
            .next_if_eq(&'.')
            .map(|_| digits(&mut chars).unwrap_or(0));
        match chars.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match args.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => {
                    let text = verb_text(verb, value, precision, &flags);
                    pad(&mut out, &text, width, &flags);
                }
            },
        }
    }
    let extra: Vec<String> = args
        .map(|value| format!("{}={}", value.kind(), value.text()))
        .collect();
    if !extra.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    out
}

fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<usize> {
    let mut number = None;
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        let digit = usize::try_from(c.to_digit(10)?).ok()?;
        // Nobody pads to more than this; a larger number would only fill memory.
        number = Some((number.unwrap_or(0usize) * 10 + digit).min(1_000));
    }
    number
}

fn pad(out: &mut String, text: &str, width: Option<usize>, flags: &str) {
    let missing = width.unwrap_or(0).saturating_sub(text.chars().count());
    if flags.contains('-') {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if flags.contains('0') && text.starts_with(['-', '+']) {
        out.push_str(&text[..1]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&text[1..]);
    } else {
        let fill = if flags.contains('0') { '0' } else { ' ' };
        out.extend(std::iter::repeat_n(fill, missing));
        out.push_str(text);
    }
}

fn verb_text(verb: char, value: &Value, precision: Option<usize>, flags: &str) -> String {
    let plus = |text: String| {
        if flags.contains('+') && !text.starts_with(['-', '+']) {
            format!("+{text}")
        } else {
            text
        }
    };
    let wrong = || format!("%!{verb}({}={})", value.kind(), value.text());
    match (verb, value) {
        ('v', Value::Float(float)) if precision.is_some() => {
            plus(float_precision_g(*float, precision.unwrap_or(0)))
        }
        ('v' | 's', Value::Str(text)) => match precision {
            Some(length) => text.chars().take(length).collect(),
            None => text.clone(),
        },
        ('v', Value::Int(_) | Value::Float(_)) => plus(value.text()),
        ('v', _) => value.text(),
        ('s', Value::List(_) | Value::Map(_)) => value.text(),
        ('q', Value::Str(text)) => format!("{text:?}"),
        ('d', Value::Int(int)) => plus(int.to_string()),
        ('x', Value::Int(int)) => format!("{int:x}"),
        ('X', Value::Int(int)) => format!("{int:X}"),
        ('x', Value::Str(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('t', Value::Bool(flag)) => flag.to_string(),
        ('f' | 'F', Value::Float(float)) => {
            plus(special(*float).unwrap_or_else(|| format!("{float:.*}", precision.unwrap_or(6))))
        }
        ('g', Value::Float(float)) => plus(match precision {
            Some(precision) => float_precision_g(*float, precision),
            None => float_g(*float),
        }),
        ('e', Value::Float(float)) => {
            let text = format!("{:.*e}", precision.unwrap_or(6), float.abs());
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if float.is_sign_negative() { "-" } else { "" };
            let direction = if exponent < 0 { '-' } else { '+' };
            let scientific = format!("{sign}{mantissa}e{direction}{:02}", exponent.abs());
            plus(special(*float).unwrap_or(scientific))
        }
        _ => wrong(),
    }
}
