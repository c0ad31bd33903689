//! Histograms as tests write them, in the form in which promtool prints them.

use promql::FloatHistogram;
use promql::format::general;
use promql::histogram::{IndexedBucket, ResetHint};

/// More empty buckets than these between two others are written as in `0x1000000`, which does not
/// read back: nobody writes them out.
const GAP_MAX: i64 = 10_000;

/// A histogram as in `{{schema:1 count:4 sum:3 buckets:[2 0 2]}}`, without what is zero. Two are the
/// same to a test where these texts are: not-a-number is itself, and hints count.
pub(super) fn histogram(of: &FloatHistogram) -> String {
    let mut fields = Vec::new();
    if of.schema != 0 {
        fields.push(format!("schema:{}", of.schema));
    }
    for (key, number) in [
        ("count", of.count),
        ("sum", of.sum),
        ("z_bucket", of.zero_count),
        ("z_bucket_w", of.zero_threshold),
    ] {
        if number != 0.0 {
            fields.push(format!("{key}:{}", general(number)));
        }
    }
    if let Some(bounds) = of.bounds.as_deref().filter(|_| of.is_custom()) {
        let bounds: Vec<String> = bounds.iter().copied().map(general).collect();
        fields.push(format!("custom_values:[{}]", bounds.join(" ")));
    }
    let hint = match of.hint {
        ResetHint::Unknown => None,
        ResetHint::Reset => Some("reset"),
        ResetHint::NotReset => Some("not_reset"),
        ResetHint::Gauge => Some("gauge"),
    };
    fields.extend(hint.map(|hint| format!("counter_reset_hint:{hint}")));
    buckets("offset", "buckets", &of.positive, &mut fields);
    buckets("n_offset", "n_buckets", &of.negative, &mut fields);
    format!("{{{{{}}}}}", fields.join(" "))
}

/// Adds where the first bucket is that is not empty, and all from it to the last such.
fn buckets(offset_key: &str, key: &str, of: &[IndexedBucket], fields: &mut Vec<String>) {
    let mut counts = Vec::new();
    let mut next = None;
    for bucket in of.iter().filter(|bucket| bucket.count != 0.0) {
        let index = i64::from(bucket.index);
        match next.map(|next| index - next) {
            None if index != 0 => fields.push(format!("{offset_key}:{index}")),
            Some(gap) if gap > GAP_MAX => counts.push(format!("0x{gap}")),
            Some(gap) => counts.extend((0..gap).map(|_| "0".to_owned())),
            None => {}
        }
        counts.push(general(bucket.count));
        next = Some(index + 1);
    }
    if !counts.is_empty() {
        fields.push(format!("{key}:[{}]", counts.join(" ")));
    }
}
