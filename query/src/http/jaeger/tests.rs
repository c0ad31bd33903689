use super::search::{Search, trace_id};
use super::*;
use crate::traces::assemble::TraceSpan;
use crate::traces::fake::{resource, span, span_id, trace as trace_of};
use model::{Event, KeyValue, Link, Resource, Scope, Span, Value};
use std::sync::Arc;

fn tag<'a>(tags: &'a Json_, key: &str) -> &'a Json_ {
    tags.as_array()
        .unwrap()
        .iter()
        .find(|tag| tag["key"] == key)
        .unwrap()
}

/// What is written of these spans.
fn converted(id: TraceId, spans: Vec<(&TraceSpan, Vec<String>)>) -> Json_ {
    let mut written = Vec::new();
    convert::convert(id, spans, &mut written).unwrap();
    serde_json::from_slice(&written).unwrap()
}

#[test]
fn a_span_is_shown_as_jaeger_shows_it() {
    let mut sent = span(
        (1, 2, 1),
        "shop",
        SpanKind::Client,
        (1_234_567_890, 1_234_999_000),
    );
    sent.scope = Arc::new(Scope {
        name: "lib".into(),
        version: "1".into(),
        ..Scope::default()
    });
    sent.attributes = vec![
        KeyValue::new("big", i64::MAX),
        KeyValue::new("small", 7i64),
        KeyValue::new("ratio", 0.5),
        KeyValue::new("blob", Value::Bytes(vec![0, 0, 0x30, 0x39])),
        KeyValue::new("list", Value::Array(vec!["a".into(), 1i64.into()])),
    ];
    sent.status_code = 2;
    sent.status_message = "boom".into();
    sent.trace_state = "k=v".into();
    sent.events = vec![Event {
        time_unix_nano: 1_234_600_000,
        name: "retry".into(),
        attributes: vec![KeyValue::new("n", 1i64)],
        ..Event::default()
    }];
    sent.links = vec![Link {
        trace_id: trace_of(9).0.into(),
        span_id: span_id(9).0.into(),
        ..Link::default()
    }];
    let sent = TraceSpan::from(sent);
    let shown = converted(trace_of(1), vec![(&sent, vec!["w".into()])]);
    let span = &shown["spans"][0];
    assert_eq!(span["startTime"], 1_234_567);
    assert_eq!(span["duration"], 431);
    assert_eq!(span["references"][0]["refType"], "CHILD_OF");
    assert_eq!(span["references"][1]["refType"], "FOLLOWS_FROM");
    assert_eq!(span["references"][1]["traceID"], trace_of(9).to_string());
    assert_eq!(span["warnings"], json!(["w"]));
    assert_eq!(
        span["logs"][0]["fields"][0],
        json!({"key": "event", "type": "string", "value": "retry"})
    );
    let tags = &span["tags"];
    assert_eq!(tags[0]["key"], "otel.scope.name");
    assert_eq!(tag(tags, "big")["value"], "9223372036854775807");
    assert_eq!(tag(tags, "small")["value"], 7);
    assert_eq!(tag(tags, "ratio")["type"], "float64");
    assert_eq!(
        tag(tags, "blob"),
        &json!({"key": "blob", "type": "binary", "value": "AAAwOQ=="})
    );
    assert_eq!(tag(tags, "list")["value"], "[\"a\",1]");
    assert_eq!(tag(tags, "span.kind")["value"], "client");
    assert_eq!(
        tag(tags, "error"),
        &json!({"key": "error", "type": "bool", "value": true})
    );
    assert_eq!(tag(tags, "otel.status_code")["value"], "ERROR");
    assert_eq!(tag(tags, "otel.status_description")["value"], "boom");
    assert_eq!(tag(tags, "w3c.tracestate")["value"], "k=v");
    assert_eq!(
        shown["processes"],
        json!({"p1": {"serviceName": "shop", "tags": []}})
    );
}

#[test]
fn equal_resources_are_one_process() {
    let one = TraceSpan::from(span((1, 1, 0), "shop", SpanKind::Server, (0, 1)));
    let same = TraceSpan::from(span((1, 2, 1), "shop", SpanKind::Server, (0, 1)));
    let mut nameless = span((1, 3, 1), "x", SpanKind::Server, (0, 1));
    nameless.resource = Arc::new(Resource::default());
    let nameless = TraceSpan::from(nameless);
    let all = vec![(&one, vec![]), (&same, vec![]), (&nameless, vec![])];
    let shown = converted(trace_of(1), all);
    assert_eq!(shown["spans"][1]["processID"], "p1");
    assert_eq!(
        shown["processes"]["p2"]["serviceName"],
        "OTLPResourceNoServiceName"
    );
}

#[test]
fn published_pairs_convert_exactly() {
    let Some(folder) = testkit::testdata("jaeger") else {
        return;
    };
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let (input, output) = (read("otlp2jaeger-in.json"), read("otlp2jaeger-out.json"));
    let input: Json_ = serde_json::from_slice(&input).unwrap();
    let want: Json_ = serde_json::from_slice(&output).unwrap();
    let scope_spans = &input["resourceSpans"][0]["scopeSpans"][0];
    let scope = Scope {
        name: scope_spans["scope"]["name"].as_str().unwrap().into(),
        ..Scope::default()
    };
    let text = |json: &Json_| json.as_str().unwrap().to_owned();
    let spans: Vec<TraceSpan> = scope_spans["spans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|json| {
            let attributes = json["attributes"].as_array().unwrap();
            TraceSpan::from(Span {
                resource: resource("telemetrygen"),
                scope: Arc::new(scope.clone()),
                trace_id: text(&json["traceId"]).parse().unwrap(),
                span_id: text(&json["spanId"]).parse().unwrap(),
                parent_span_id: text(&json["parentSpanId"]).parse().ok(),
                name: text(&json["name"]),
                kind: 2,
                start_unix_nano: text(&json["startTimeUnixNano"]).parse().unwrap(),
                end_unix_nano: text(&json["endTimeUnixNano"]).parse().unwrap(),
                attributes: attributes
                    .iter()
                    .map(|kv| KeyValue::new(text(&kv["key"]), text(&kv["value"]["stringValue"])))
                    .collect(),
                ..Span::default()
            })
        })
        .collect();
    let listed: Vec<_> = spans.iter().map(|span| (span, Vec::new())).collect();
    let got = structured(vec![converted(spans[0].span.trace_id, listed)], 0);
    assert_eq!(got, want);
}

#[test]
fn ids_may_be_short() {
    let id = trace_id("227").unwrap();
    assert_eq!(convert::trace_id(id), "0000000000000227");
    assert_eq!(convert::trace_id(trace_of(1)), trace_of(1).to_string());
    for wrong in ["", "0", "xyz", "123456789012345678901234567890123"] {
        assert!(trace_id(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn searches_are_read() {
    let parse = |query: &str| {
        let uri: Uri = format!("/jaeger/api/traces?{query}").parse().unwrap();
        Search::parse(&search::pairs(&uri).unwrap(), 10_000_000_000_000)
    };
    let search = parse(
        "service=shop&operation=buy&minDuration=1.5ms&limit=3&start=5&end=7\
         &tags=%7B%22http.status_code%22%3A%22500%22%7D&tag=error:true",
    )
    .unwrap();
    assert_eq!(search.limit, 3);
    assert_eq!(
        search.range,
        TimeRange {
            start: 5_000,
            end: 8_000
        }
    );
    let Filter::And(parts) = &search.filter else {
        panic!("{:?}", search.filter)
    };
    assert_eq!(parts.len(), 5);
    assert_eq!(
        parse("service=a&lookback=1h").unwrap().range.start,
        10_000_000_000_000 - 3_600_000_000_000
    );
    assert!(parse("service=a&tags=a%3Db%20c%3D%22d%20e%22").is_ok());
    for wrong in [
        "",
        "service=a&limit=x",
        "service=a&limit=0",
        "service=a&minDuration=5",
        "service=a&minDuration=5s&maxDuration=1s",
        "service=a&tags=%7B",
        "service=a&tags=%7B%22a%22",
        "service=a&tag=x",
        "service=a&start=9&end=1",
        "traceID=zz",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(parse("traceID=1&traceID=2").unwrap().ids.len(), 2);
}

#[test]
fn corrected_spans_say_so() {
    let mut late = span((1, 2, 0), "bank", SpanKind::Server, (1_000_000, 2_000_000));
    late.events = vec![Event {
        time_unix_nano: 1_500_000,
        ..Event::default()
    }];
    late.clock = Some(model::ClockOffset {
        offset_nano: 3_000_000_000,
        error_nano: 9,
    });
    let forest = crate::traces::assemble::assemble(
        vec![late.into()],
        crate::traces::assemble::Links::Ignore,
    );
    let mut shown = Vec::new();
    convert::trace(trace_of(1), &forest, &mut shown).unwrap();
    let shown: Json_ = serde_json::from_slice(&shown).unwrap();
    let span = &shown["spans"][0];
    assert_eq!(span["startTime"], 3_001_000);
    assert_eq!(span["duration"], 1_000);
    assert_eq!(span["logs"][0]["timestamp"], 3_001_500);
    assert_eq!(
        span["warnings"],
        json!(["times corrected by 3s to later: the sender's clock was off by that much"])
    );
}
