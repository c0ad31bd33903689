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
