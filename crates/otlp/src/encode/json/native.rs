//! Native histograms beside OTLP's JSON: under a key of their own, since OTLP has no form for float
//! counts, custom bounds and reset hints. Whoever does not know the key passes over it.

use model::native::{BucketSpan, NativeCounts, NativeHistogram, ResetHint};
use model::value::double_to_json;
use serde_json::{Map, Value as Json, json};

/// Adds the count and the sum as OTLP has them, and the whole under `nativeHistogram`.
pub(super) fn put(object: &mut Map<String, Json>, value: &NativeHistogram) {
    let hint = match value.reset {
        ResetHint::Unknown => "unknown",
        ResetHint::Reset => "reset",
        ResetHint::NotReset => "not_reset",
        ResetHint::Gauge => "gauge",
    };
    let (count, zero_count, positive, negative) = match &value.counts {
        NativeCounts::Integer {
            count,
            zero_count,
            positive,
            negative,
        } => {
            object.insert("count".to_owned(), count.to_string().into());
            let whole = |list: &[u64]| list.iter().map(|n| Json::from(n.to_string())).collect();
            let texts: (Json, Json) = (whole(positive), whole(negative));
            let zero_count = Json::from(zero_count.to_string());
            (count.to_string().into(), zero_count, texts.0, texts.1)
        }
        NativeCounts::Float {
            count,
            zero_count,
            positive,
            negative,
        } => {
            let doubles = |list: &[f64]| list.iter().map(|n| double_to_json(*n)).collect();
            let (positive, negative) = (doubles(positive), doubles(negative));
            let (count, zero_count) = (double_to_json(*count), double_to_json(*zero_count));
            (count, zero_count, positive, negative)
        }
    };
    object.insert("sum".to_owned(), double_to_json(value.sum));
    let bounds = value.custom_bounds.iter();
    let whole = json!({
        "schema": value.schema,
        "count": count,
        "sum": double_to_json(value.sum),
        "zeroThreshold": double_to_json(value.zero_threshold),
        "zeroCount": zero_count,
        "positiveSpans": spans(&value.positive_spans),
        "positiveCounts": positive,
        "negativeSpans": spans(&value.negative_spans),
        "negativeCounts": negative,
        "customBounds": bounds.map(|bound| double_to_json(*bound)).collect::<Json>(),
        "counterReset": hint,
    });
    object.insert("nativeHistogram".to_owned(), whole);
}

fn spans(spans: &[BucketSpan]) -> Json {
    let one = |span: &BucketSpan| json!({"offset": span.offset, "length": span.length});
    spans.iter().map(one).collect()
}
