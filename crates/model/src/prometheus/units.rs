//! UCUM units and the words that Prometheus names use for them.

/// (UCUM code, word) of what stands before a slash.
const MAIN: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("1", ""),
    ("%", "percent"),
];

/// (UCUM code, word) of what stands after a slash.
const PER: &[(&str, &str)] = &[
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The words for the unit and for what it is counted per, where it has them.
///
/// Annotations (`{requests}`) are no unit.
pub(super) fn unit_words(unit: &str) -> (Option<String>, Option<String>) {
    let (main, per) = match unit.split_once('/') {
        Some((main, per)) => (main, Some(per)),
        None => (unit, None),
    };
    (word(main, MAIN), per.and_then(|per| word(per, PER)))
}

/// The unit as it appears in a metric name and in metadata: `By/s` is `bytes_per_second`.
pub fn unit_name(unit: &str) -> String {
    match unit_words(unit) {
        (Some(main), Some(per)) => format!("{main}_per_{per}"),
        (Some(main), None) => main,
        (None, Some(per)) => format!("per_{per}"),
        (None, None) => String::new(),
    }
}

fn word(code: &str, table: &[(&str, &str)]) -> Option<String> {
    let code = code.trim();
    if code.contains(['{', '}']) {
        return None;
    }
    let word = match table.iter().find(|(known, _)| *known == code) {
        Some((_, word)) => (*word).to_owned(),
        None => super::words(code).collect::<Vec<_>>().join("_"),
    };
    (!word.is_empty()).then_some(word)
}
