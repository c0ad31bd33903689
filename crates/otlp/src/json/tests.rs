use std::sync::Arc;

use model::metric::PointValue;
use model::room::{Budget, NoRoom, Room};
use model::{Signal, Value};

use super::JsonError;
use crate::encode::json as emit;
use crate::rows::Rows;

fn to_protobuf(signal: Signal, text: &[u8]) -> Result<Vec<u8>, JsonError> {
    super::to_protobuf(signal, text, usize::MAX, &mut Room::unlimited())
}

fn read(signal: Signal, text: &str) -> Rows {
    Rows::decode(signal, &to_protobuf(signal, text.as_bytes()).unwrap()).unwrap()
}

fn error(signal: Signal, text: &str) -> String {
    to_protobuf(signal, text.as_bytes())
        .unwrap_err()
        .to_string()
}

fn span(members: &str) -> String {
    format!(
        r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{
        "traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174",{members}}}]}}]}}]}}"#
    )
}

#[test]
fn a_span_with_every_kind_of_member() {
    let text = span(
        r#""name":"GET","kind":2,"startTimeUnixNano":"1544712660000000000",
        "endTimeUnixNano":1544712661000000000,"parentSpanId":null,"unknown":{"a":[1,{"b":null}]},
        "flags":257,"status":{"code":2,"message":"no"},"events":null,
        "links":[{"traceId":"00","spanId":""}],
        "attributes":[
          {"key":"s","value":{"stringValue":""}},
          {"key":"i","value":{"intValue":"-9223372036854775808"}},
          {"key":"j","value":{"intValue":7}},
          {"key":"d","value":{"doubleValue":"NaN"}},
          {"key":"e","value":{"doubleValue":"-Infinity"}},
          {"key":"f","value":{"doubleValue":1e3}},
          {"key":"b","value":{"boolValue":false}},
          {"key":"y","value":{"bytesValue":"AQL/"}},
          {"key":"a","value":{"arrayValue":{"values":[{"intValue":1},{},null]}}},
          {"key":"k","value":{"kvlistValue":{"values":[{"key":"x","value":{"boolValue":true}}]}}},
          {"key":"n","value":null}]"#,
    );
    let rows = read(Signal::Traces, &text);
    let span = &rows.spans[0];
    assert_eq!(
        span.trace_id.to_string(),
        "5b8efff798038103d269b633813fc60c"
    );
    assert_eq!(span.parent_span_id, None);
    assert_eq!((span.kind, span.flags, span.status_code), (2, 257, 2));
    assert_eq!(span.start_unix_nano, 1_544_712_660_000_000_000);
    assert_eq!(span.end_unix_nano, 1_544_712_661_000_000_000);
    assert_eq!(span.links[0].trace_id, [0]);
    let value = |key| model::value::last(&span.attributes, key).unwrap();
    assert_eq!(value("s"), &Value::Str(String::new()));
    assert_eq!(value("i"), &Value::Int(i64::MIN));
    assert_eq!(value("j"), &Value::Int(7));
    assert!(matches!(value("d"), Value::Double(d) if d.is_nan()));
    assert_eq!(value("e"), &Value::Double(f64::NEG_INFINITY));
    assert_eq!(value("f"), &Value::Double(1000.0));
    assert_eq!(value("b"), &Value::Bool(false));
    assert_eq!(value("y"), &Value::Bytes(vec![1, 2, 255]));
    assert_eq!(
        value("a"),
        &Value::Array(vec![Value::Int(1), Value::Empty, Value::Empty])
    );
    assert_eq!(value("n"), &Value::Empty);
}

#[test]
fn errors_name_the_path_and_the_place() {
    let message = error(Signal::Traces, &span(r#""kind":"SPAN_KIND_SERVER""#));
    assert!(
        message.contains("$.resourceSpans[0].scopeSpans[0].spans[0].kind: enums are"),
        "{message}"
    );
    assert!(message.contains("line 2"), "{message}");
    let message = error(Signal::Traces, &span(r#""traceId":"5b8e-"#));
    assert!(
        message.contains("EOF") || message.contains("expected"),
        "{message}"
    );
    let message = error(Signal::Traces, &span(r#""traceId":"zz""#));
    assert!(
        message.contains("spans[0].traceId: \"zz\" is not hex"),
        "{message}"
    );
    let message = error(Signal::Traces, &span(r#""name":5"#));
    assert!(
        message.contains("spans[0].name: expected a string"),
        "{message}"
    );
    let message = error(Signal::Traces, &span(r#""attributes":{}"#));
    assert!(message.contains("attributes: expected a list"), "{message}");
    let message = error(Signal::Traces, &span(r#""flags":-1"#));
    assert!(
        message.contains("flags: -1 is not an integer from 0"),
        "{message}"
    );
    assert!(error(Signal::Logs, "[]").contains("an object"));
    assert!(error(Signal::Logs, "{} x").contains("trailing"));
    assert!(error(Signal::Logs, "").contains("EOF"));
    let deep = format!("{{\"resourceLogs\":{}", "[".repeat(100_000));
    assert!(!error(Signal::Logs, &deep).is_empty());
}

#[test]
fn empty_and_null_requests() {
    for text in [
        "{}",
        "null",
        r#"{"resourceLogs":null}"#,
        r#"{"resourceLogs":[]}"#,
    ] {
        assert!(read(Signal::Logs, text).logs.is_empty());
    }
}

#[test]
fn metrics_and_what_we_emit_read_back() {
    let text = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[
      {"name":"h","histogram":{"aggregationTemporality":2,"dataPoints":[
        {"timeUnixNano":"5","count":"3","sum":0,"bucketCounts":["1",2],"explicitBounds":["1.5"]}]}},
      {"name":"e","exponentialHistogram":{"aggregationTemporality":1,"dataPoints":[
        {"timeUnixNano":"5","count":4,"scale":-3,"zeroCount":"1",
         "positive":{"offset":-2,"bucketCounts":["0","3"]}}]}},
      {"name":"g","gauge":{"dataPoints":[{"timeUnixNano":"5","asInt":"0"},
        {"timeUnixNano":"6","asDouble":0,"exemplars":[{"asDouble":"Infinity","traceId":"0A"}]}]}},
      {"name":"s","summary":{"dataPoints":[{"timeUnixNano":"5","count":"2","sum":3,
        "quantileValues":[{"quantile":0.5,"value":1}]}]}}]}]}]}"#;
    let rows = read(Signal::Metrics, text);
    assert!(rows.rejected.is_empty());
    let values: Vec<&PointValue> = rows.points.iter().map(|(_, point)| &point.value).collect();
    assert!(
        matches!(values[0], PointValue::Histogram(h) if h.sum == Some(0.0)
        && h.bucket_counts == [1, 2] && h.explicit_bounds == [1.5])
    );
    assert!(
        matches!(values[1], PointValue::Exponential(e) if e.scale == -3
        && e.positive.as_ref().is_some_and(|b| b.offset == -2 && b.bucket_counts == [0, 3]))
    );
    assert_eq!(
        (values[2], values[3]),
        (&PointValue::Int(0), &PointValue::Double(0.0))
    );
    assert!(matches!(values[4], PointValue::Summary(s) if s.quantiles == [(0.5, 1.0)]));
    // What is emitted for a point is read back as the same point.
    let members = [
        "histogram",
        "exponentialHistogram",
        "gauge",
        "gauge",
        "summary",
    ];
    for ((series, point), member) in rows.points.iter().zip(members) {
        let json = emit::data_point_json(series, point);
        let text = format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"x","{member}":
            {{"aggregationTemporality":2,"dataPoints":[{json}]}}}}]}}]}}]}}"#
        );
        assert_eq!(&read(Signal::Metrics, &text).points[0].1, point, "{text}");
    }
}

#[test]
fn what_grows_in_protobuf_ends_at_the_limit() {
    let counts = ["0"; 10_000].join(",");
    let text = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"h","histogram":
        {{"dataPoints":[{{"bucketCounts":[{counts}]}}]}}}}]}}]}}]}}"#
    );
    let convert =
        |limit, room: &mut Room| super::to_protobuf(Signal::Metrics, text.as_bytes(), limit, room);
    let whole = convert(usize::MAX, &mut Room::unlimited()).unwrap();
    assert!(
        whole.len() > 4 * text.len(),
        "{} {}",
        whole.len(),
        text.len()
    );
    let exact = convert(whole.len(), &mut Room::unlimited());
    assert_eq!(exact.unwrap(), whole);
    for limit in [whole.len() - 1, text.len()] {
        let over = convert(limit, &mut Room::unlimited());
        assert_eq!(over, Err(JsonError::TooLarge(limit)));
    }
    let budget = Arc::new(Budget::new(50_000));
    let refused = convert(usize::MAX, &mut budget.room(usize::MAX));
    assert_eq!(refused, Err(JsonError::NoRoom(NoRoom::Now(50_000))));
    assert_eq!(budget.used(), 0);
}
