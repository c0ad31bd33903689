use super::*;

const NOW: u64 = 1_767_323_100_000_000_000;
const T: u64 = 1_767_323_045_000_000_000;
const TRACE: &str = "5b8efff798038103d269b633813fc60c";
const SPAN: &str = "eee19b7ec3c1b174";

fn auto(line: &str) -> Log {
    parse(line.to_owned(), Format::Auto, NOW)
}

fn attribute<'a>(log: &'a Log, key: &str) -> Option<&'a Value> {
    model::value::last(&log.attributes, key)
}

#[test]
fn json_members_find_their_fields() {
    let log = auto(&format!(
        r#"{{"ts":"2026-01-02T03:04:05Z","level":"warn","msg":"card declined","trace_id":"{TRACE}","span_id":"{SPAN}","user":{{"id":42,"tags":["a",null,1.5]}},"ok":true}}"#
    ));
    assert_eq!(log.time_unix_nano, T);
    assert_eq!(
        (log.severity_text.as_str(), log.severity_number),
        ("warn", 13)
    );
    assert_eq!(log.body, Value::from("card declined"));
    assert_eq!(log.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(log.span_id.unwrap().to_string(), SPAN);
    assert_eq!(log.attributes.len(), 2);
    let Some(Value::KvList(user)) = attribute(&log, "user") else {
        panic!("{log:?}");
    };
    assert_eq!(user[0], KeyValue::new("id", 42i64));
    assert_eq!(
        user[1].value,
        Value::Array(vec!["a".into(), Value::Empty, Value::Double(1.5)])
    );
}

#[test]
fn what_does_not_read_stays_an_attribute_and_no_id_is_made_up() {
    let line = r#"{"time":"later","level":"odd","trace_id":"4711","pid":7}"#;
    let log = auto(line);
    assert_eq!(
        (log.time_unix_nano, log.severity_number, log.trace_id),
        (0, 0, None)
    );
    assert_eq!(log.observed_unix_nano, NOW);
    assert_eq!(
        log.body,
        Value::from(line),
        "without a message the line is the body"
    );
    assert_eq!(attribute(&log, "trace_id"), Some(&Value::from("4711")));
    assert_eq!(attribute(&log, "time"), Some(&Value::from("later")));
    assert_eq!(log.attributes.len(), 4);
}

#[test]
fn numbers_tell_time_and_level() {
    let log = auto(r#"{"time":1767323045000,"level":50,"msg":"x"}"#);
    assert_eq!((log.time_unix_nano, log.severity_number), (T, 17));
    let log = auto(r#"{"ts":1767323045.5,"severity":"ERROR","message":"x"}"#);
    assert_eq!(
        (log.time_unix_nano, log.severity_number),
        (T + 500_000_000, 17)
    );
}

#[test]
fn logfmt_pairs_find_their_fields() {
    let log = auto(&format!(
        r#"time=2026-01-02T03:04:05Z level=error msg="no \"money\" left" traceID={TRACE} user=42 empty="#
    ));
    assert_eq!((log.time_unix_nano, log.severity_number), (T, 17));
    assert_eq!(log.body, Value::from("no \"money\" left"));
    assert_eq!(log.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(
        log.attributes,
        [KeyValue::new("user", "42"), KeyValue::new("empty", "")]
    );
    let sentence = "x=1 and then y=2 happened";
    assert_eq!(auto(sentence).body, Value::from(sentence));
    assert!(auto(sentence).attributes.is_empty());
    let log = parse("GET /a status=500 msg=hi".to_owned(), Format::Logfmt, NOW);
    assert_eq!(log.body, Value::from("GET /a status=500 msg=hi"));
    assert_eq!(attribute(&log, "status"), Some(&Value::from("500")));
}

#[test]
fn plain_text_yields_time_level_and_trace_context() {
    let line = format!("2026-01-02 03:04:05,000 ERROR [trace_id={TRACE} span_id={SPAN}] pay: no");
    let log = auto(&line);
    assert_eq!((log.time_unix_nano, log.severity_number), (T, 17));
    assert_eq!(log.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(log.span_id.unwrap().to_string(), SPAN);
    assert_eq!(log.body, Value::from(line));
    let log = auto(&format!("in Traceparent: 00-{TRACE}-{SPAN}-01, out"));
    assert_eq!(log.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(log.flags, 1);
    let log = auto(&format!(
        r#"{{"msg":"x","traceparent":"00-{TRACE}-{SPAN}-00"}}"#
    ));
    assert_eq!(log.span_id.unwrap().to_string(), SPAN);
    for odd in [
        "{",
        "{\"a\":",
        "trace_id=zz",
        "traceparent: 00-é",
        "=",
        "a=\"",
        "é=\"\\",
    ] {
        assert_eq!(auto(odd).trace_id, None, "{odd}");
    }
    let plain = parse("{\"msg\":\"x\"}".to_owned(), Format::Plain, NOW);
    assert_eq!(plain.body, Value::from("{\"msg\":\"x\"}"));
}

#[test]
fn b3_is_a_trace_context_in_every_form() {
    for line in [
        format!("GET /pay b3: {TRACE}-{SPAN}-1 done"),
        format!("b3={TRACE}-{SPAN}-d-05e3ac9a4f6e3b90"),
        format!("X-B3-TraceId: {TRACE}, X-B3-SpanId: {SPAN}, X-B3-Sampled: 1"),
        format!(r#"{{"msg":"x","b3":"{TRACE}-{SPAN}-1"}}"#),
        format!(r#"{{"msg":"x","X-B3-SpanId":"{SPAN}","X-B3-TraceId":"{TRACE}"}}"#),
        format!("level=info b3={TRACE}-{SPAN}-0 msg=x"),
        format!("level=info x-b3-traceid={TRACE} x-b3-spanid={SPAN} msg=x"),
    ] {
        let log = auto(&line);
        let ids = (
            log.trace_id.map(|id| id.to_string()),
            log.span_id.map(|id| id.to_string()),
        );
        assert_eq!(
            ids,
            (Some(TRACE.to_owned()), Some(SPAN.to_owned())),
            "{line}"
        );
    }
    let log = auto(&format!(r#"{{"msg":"x","b3":"{TRACE}-{SPAN}-1"}}"#));
    assert_eq!((log.flags, log.attributes.len()), (1, 0));
    // What the record has no place for stays.
    let whole = format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90");
    let log = auto(&format!(r#"{{"msg":"x","b3":"{whole}"}}"#));
    assert_eq!(attribute(&log, "b3"), Some(&Value::from(whole)));
    // 64 bits are no trace id of OTLP, and nothing is no id at all.
    for line in [
        "b3: 463ac35c9f6413ad-a2fb4a1d1a96d312-1",
        "b3=0",
        "b3: 00000000000000000000000000000000-eee19b7ec3c1b174-1",
        r#"{"msg":"x","b3":"0"}"#,
        "X-B3-TraceId: 463ac35c9f6413ad",
    ] {
        assert_eq!(auto(line).trace_id, None, "{line}");
    }
    let other = format!("sub3: {TRACE}-{SPAN}-1");
    assert_eq!(auto(&other).trace_id, None);
    // An id under its own key comes first.
    let log = auto(&format!(
        r#"{{"msg":"x","b3":"{0}-{SPAN}-1","trace_id":"{TRACE}"}}"#,
        "1".repeat(32)
    ));
    assert_eq!(log.trace_id.unwrap().to_string(), TRACE);
}

#[test]
fn a_number_of_64_bits_keeps_its_digits() {
    let line = r#"{"message":"x","trace":14932853049850238273,"count":-5,"ratio":0.5}"#;
    let log = auto(line);
    let of = |key: &str| attribute(&log, key).cloned();
    let digits = "14932853049850238273".to_owned();
    assert_eq!(of("trace"), Some(Value::Str(digits)));
    assert_eq!(of("count"), Some(Value::Int(-5)));
    assert_eq!(of("ratio"), Some(Value::Double(0.5)));
}
