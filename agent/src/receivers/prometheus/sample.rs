//! What answers say, whatever their format: families, samples, exemplars.

use std::borrow::Cow;

use model::native::NativeHistogram;

/// Labels that one sample may have in an answer, before any limit of the configuration: what has
/// more is no sample that anyone meant.
pub(super) const LABELS_MAX: usize = 1 << 14;
/// Up to so many labels are compared with each other.
const COMPARED_LABELS: usize = 16;

/// What is known of the family that samples belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Family {
    /// The name without suffixes.
    pub(super) name: String,
    /// The type as it is written; empty for none.
    pub(super) kind: String,
    /// The help text.
    pub(super) help: String,
    /// The unit.
    pub(super) unit: String,
}

impl Family {
    /// Whether samples of this name are of the family.
    pub(super) fn has(&self, name: &str) -> bool {
        let Some(suffix) = name.strip_prefix(self.name.as_str()) else {
            return false;
        };
        match self.kind.as_str() {
            "counter" => matches!(suffix, "" | "_total" | "_created"),
            "histogram" => matches!(suffix, "" | "_bucket" | "_sum" | "_count" | "_created"),
            "gaugehistogram" => matches!(suffix, "" | "_bucket" | "_gsum" | "_gcount"),
            "summary" => matches!(suffix, "" | "_sum" | "_count" | "_created"),
            "info" => matches!(suffix, "" | "_info"),
            _ => suffix.is_empty(),
        }
    }
}

/// Names and values of labels.
pub(super) type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// One sample.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Sample<'a> {
    /// The metric's name.
    pub(super) name: Cow<'a, str>,
    /// Labels as sent.
    pub(super) labels: Pairs<'a>,
    /// The value, where it is a number.
    pub(super) value: f64,
    /// The value, where it is a native histogram.
    pub(super) native: Option<Box<NativeHistogram>>,
    /// The time in milliseconds, where it says one.
    pub(super) time_ms: Option<i64>,
    /// When its counter began, in unix nanoseconds; 0 where it does not say.
    pub(super) start_unix_nano: u64,
    /// Examples of what was counted.
    pub(super) exemplars: Vec<Exemplar<'a>>,
}

/// An example of what was counted.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Exemplar<'a> {
    /// Labels of its own.
    pub(super) labels: Pairs<'a>,
    /// The value.
    pub(super) value: f64,
    /// The time in milliseconds, where it says one.
    pub(super) time_ms: Option<i64>,
}

/// Whatever NaN it is, the one that has no meaning of its own.
pub(super) fn plain(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}

/// Adds a label; an error says that there are too many, or that it was there already.
pub(super) fn push_label<'a>(
    list: &mut Pairs<'a>,
    name: Cow<'a, str>,
    value: Cow<'a, str>,
) -> Result<(), &'static str> {
    if list.len() >= LABELS_MAX {
        return Err("more labels than a sample can have");
    }
    if list.len() < COMPARED_LABELS && list.iter().any(|(known, _)| *known == name) {
        return Err(LABEL_TWICE);
    }
    list.push((name, value));
    Ok(())
}

/// Looks at once for labels that are there twice, where there are many.
pub(super) fn check_labels(list: &Pairs<'_>) -> Result<(), &'static str> {
    if list.len() <= COMPARED_LABELS {
        return Ok(());
    }
    let mut names: Vec<&str> = list.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    match names.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(LABEL_TWICE),
        false => Ok(()),
    }
}

const LABEL_TWICE: &str = "a label twice";

/// A bound or quantile as every format has it from here on, so that a series is the same whichever
/// format it came in: with a point or an exponent where it is finite.
pub(super) fn bound_text(bound: f64) -> String {
    if bound.is_nan() {
        return "NaN".to_owned();
    }
    if bound.is_infinite() {
        return if bound > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = bound.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{bound:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let text = bound.abs().to_string();
    let sign = if bound < 0.0 { "-" } else { "" };
    match text.contains('.') {
        true => format!("{sign}{text}"),
        false => format!("{sign}{text}.0"),
    }
}

/// Writes the bound of a bucket, or the quantile of a summary, as [`bound_text`] has it.
pub(super) fn settle_bound(family: &Family, labels: &mut Pairs<'_>) {
    let label = match family.kind.as_str() {
        "histogram" | "gaugehistogram" => "le",
        "summary" => "quantile",
        _ => return,
    };
    let Some((_, value)) = labels.iter_mut().find(|(name, _)| name == label) else {
        return;
    };
    if let Ok(bound) = value.parse() {
        let text = bound_text(bound);
        if text != **value {
            *value = Cow::Owned(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_written_alike() {
        for (bound, text) in [
            (1.0, "1.0"),
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (-1.0, "-1.0"),
            (0.25, "0.25"),
            (1e-4, "0.0001"),
            (0.000_025, "2.5e-05"),
            (999_999.0, "999999.0"),
            (1_048_576.0, "1.048576e+06"),
            (1e21, "1e+21"),
            (-1e-7, "-1e-07"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(bound_text(bound), text);
        }
    }

    #[test]
    fn labels_are_there_once() {
        let mut list = Pairs::new();
        for at in 0..COMPARED_LABELS + 3 {
            push_label(&mut list, format!("l{at}").into(), "x".into()).unwrap();
        }
        assert_eq!(check_labels(&list), Ok(()));
        push_label(&mut list, "l3".into(), "x".into()).unwrap();
        assert_eq!(check_labels(&list), Err(LABEL_TWICE));
        let mut few = vec![("a".into(), "1".into())];
        assert_eq!(
            push_label(&mut few, "a".into(), "2".into()),
            Err(LABEL_TWICE)
        );
        let mut many = vec![("a".into(), "1".into()); LABELS_MAX];
        assert!(push_label(&mut many, "b".into(), "2".into()).is_err());
    }
}
