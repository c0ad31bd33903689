//! Requests that are small on the wire and large in memory: lists whose members have nothing in them,
//! and lists whose members all differ.

use tests::{Http, Server, Setup};

use super::assert_healthy;
use crate::{PROGRAM, up};

const MIB: usize = 1 << 20;
/// How long each request is.
const BODY_BYTES: usize = 12 * MIB;
/// What a process may use at most: far less than the worst of the requests would take if they were
/// decoded to their end, far more than one may (three times `limits.request_bytes`).
const MEMORY_BYTES: u64 = 448 << 20;

/// A request, and the path that it goes to.
struct Body {
    name: &'static str,
    signal: &'static str,
    bytes: Vec<u8>,
    json: bool,
}

/// A length-delimited field.
fn field(number: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = message.len();
    while length >= 0x80 {
        out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend(message);
    out
}

/// A message within fields, of which the first is the outermost.
fn within(fields: &[u8], message: Vec<u8>) -> Vec<u8> {
    let wrapped = fields.iter().rev();
    wrapped.fold(message, |inner, number| field(*number, &inner))
}

/// So many members that the list has about [`BODY_BYTES`]; each is told its number.
fn list(mut member: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0.. {
        out.extend(member(number));
        if out.len() > BODY_BYTES {
            break;
        }
    }
    out
}

/// The same member over and over.
fn same(member: &[u8]) -> Vec<u8> {
    member.repeat(BODY_BYTES / member.len())
}

/// Five letters that differ with the number.
fn word(number: u32) -> Vec<u8> {
    let letter = |shift: u32| b'@' + u8::try_from(number >> shift & 0x1f).unwrap();
    (0..5).map(|place| letter(place * 5)).collect()
}

/// A scope with a record in it: what has none is not looked at.
fn row() -> Vec<u8> {
    within(&[2, 2], Vec::new())
}

fn protobuf() -> Vec<Body> {
    let empty = |name, signal, fields: &[u8], number: u8| Body {
        name,
        signal,
        bytes: within(fields, same(&[number << 3 | 2, 0])),
        json: false,
    };
    let made = |name, signal, bytes| Body {
        name,
        signal,
        bytes,
        json: false,
    };
    // An attribute whose value is an array of arrays of nothing.
    let nested = within(&[2, 5], same(&within(&[1, 5], [10, 0].repeat(20))));
    let point = |number| {
        let mut point = vec![3 << 3 | 1, 1, 0, 0, 0, 0, 0, 0, 0];
        point.extend(field(7, &field(1, &word(number))));
        field(1, &point)
    };
    let metric = [field(1, b"m"), field(5, &list(point))].concat();
    vec![
        empty("log records", "logs", &[1, 2], 2),
        empty("attributes", "logs", &[1, 2, 2], 6),
        empty("resource attributes", "traces", &[1, 1], 1),
        empty("entities", "metrics", &[1, 1], 3),
        empty("scope attributes", "traces", &[1, 2, 1], 3),
        empty("events", "traces", &[1, 2, 2], 11),
        empty("attributes of an event", "traces", &[1, 2, 2, 11], 3),
        empty("links", "traces", &[1, 2, 2], 13),
        empty("metadata", "metrics", &[1, 2, 2], 12),
        empty("exemplars", "metrics", &[1, 2, 2, 5, 1], 5),
        empty("quantiles", "metrics", &[1, 2, 2, 11, 1], 6),
        made(
            "counts",
            "metrics",
            within(&[1, 2, 2, 10, 1, 8, 2], same(&[1])),
        ),
        made(
            "nested values",
            "logs",
            field(1, &[within(&[1, 1], nested), row()].concat()),
        ),
        made(
            "keys",
            "logs",
            within(&[1, 2, 2], list(|n| field(6, &field(1, &word(n))))),
        ),
        made(
            "resources",
            "logs",
            list(|n| field(1, &[within(&[1, 1, 1], word(n)), row()].concat())),
        ),
        made(
            "scopes",
            "logs",
            field(
                1,
                &list(|n| {
                    let record = within(&[2], Vec::new());
                    field(2, &[within(&[1, 1], word(n)), record].concat())
                }),
            ),
        ),
        made("series", "metrics", within(&[1, 2, 2], metric)),
    ]
}

fn json() -> Vec<Body> {
    let body = |name, signal, open: &str, member: &str, close: &str| {
        let mut text = open.to_owned();
        text.push_str(&member.repeat(BODY_BYTES / member.len()));
        text.pop();
        text.push_str(close);
        Body {
            name,
            signal,
            bytes: text.into_bytes(),
            json: true,
        }
    };
    let metrics = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","#;
    let point =
        |kind: &str, list: &str| format!(r#"{metrics}"{kind}":{{"dataPoints":[{{"{list}":["#);
    let spans =
        |list: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"{list}":["#);
    vec![
        body(
            "records in JSON",
            "logs",
            r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#,
            "{},",
            "]}]}]}",
        ),
        body(
            "events in JSON",
            "traces",
            &spans("events"),
            "{},",
            "]}]}]}]}",
        ),
        body(
            "attributes in JSON",
            "traces",
            &spans("attributes"),
            "{},",
            "]}]}]}]}",
        ),
        body(
            "exemplars in JSON",
            "metrics",
            &point("gauge", "exemplars"),
            "{},",
            "]}]}}]}]}]}",
        ),
        // Four times as long in protobuf.
        body(
            "counts in JSON",
            "metrics",
            &point("histogram", "bucketCounts"),
            "0,",
            "]}]}}]}]}]}",
        ),
    ]
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The status of one request over HTTP, and its reason.
async fn over_http(http: &Http, body: &Body) -> (u16, String) {
    let kind = if body.json {
        "application/json"
    } else {
        "application/x-protobuf"
    };
    let request = http
        .request("POST", &format!("/v1/{}", body.signal))
        .header("content-type", kind)
        .header("content-encoding", "gzip")
        .body(gzip(&body.bytes));
    let answer = request.send().await.unwrap();
    let (status, retry) = (
        answer.status().as_u16(),
        answer.headers().contains_key("retry-after"),
    );
    let reason = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
    assert!(!retry || status != 413, "{}: {status} {reason}", body.name);
    (status, reason)
}

fn assert_bounded(server: &Server, body: &Body) {
    let peak = server.memory_bytes("VmHWM");
    let mib = peak >> 20;
    assert!(peak < MEMORY_BYTES, "{}: {mib} MiB at the peak", body.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_swells_in_memory_is_refused_before_it_does() {
    let server = up()
        .config("agent: {host: {enabled: false}}\nlimits: {request_bytes: 16MiB}\n")
        .start();
    assert_healthy(&server, 1).await;
    let http = server.otlp();
    let mut refused = 0;
    for body in protobuf().iter().chain(&json()) {
        let (status, reason) = over_http(&http, body).await;
        assert_eq!(status, 413, "{}: {reason}", body.name);
        assert!(reason.contains("bytes"), "{}: {reason}", body.name);
        assert_bounded(&server, body);
        refused += 1;
    }
    for body in protobuf().iter().step_by(3) {
        let (code, message, details) = super::grpc::export(
            &server.address("otlp_grpc"),
            body.signal,
            &gzip(&body.bytes),
        )
        .await;
        assert_eq!(
            code,
            super::grpc::RESOURCE_EXHAUSTED,
            "{}: {message}",
            body.name
        );
        assert!(!details.contains("RetryInfo"), "{}: {details}", body.name);
        assert_bounded(&server, body);
        refused += 1;
    }
    assert_healthy(&server, 2).await;
    super::assert_nothing_left_behind(&server, 2).await;
    let (_, page) = server.query().get_any("/metrics", &[]).await;
    let counted = page.as_str().unwrap().lines().filter_map(|line| {
        let line = line.strip_prefix("throughline_receiver_requests_total{")?;
        let (labels, count) = line.split_once("} ")?;
        labels
            .contains("too_large")
            .then(|| count.parse::<u64>().unwrap())
    });
    assert_eq!(counted.sum::<u64>(), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_does_not_decode_what_swells_either() {
    // Nobody listens there: what is taken stays in the queue.
    let agent = Setup::new(PROGRAM, "agent")
        .config("agent: {host: {enabled: false}}\nlimits: {request_bytes: 16MiB}\n")
        .arg("--collector")
        .arg("127.0.0.1:1")
        .start();
    let http = agent.otlp();
    // Rows are not kept here, so only what one row takes can be too much.
    let many_in_one = ["events", "exemplars", "attributes"];
    let bodies = protobuf().into_iter().chain(json());
    for body in &bodies.collect::<Vec<_>>() {
        let (status, reason) = over_http(&http, body).await;
        let expected: &[u16] = if many_in_one.contains(&body.name) {
            &[413]
        } else {
            &[200, 413]
        };
        assert!(
            expected.contains(&status),
            "{}: {status} {reason}",
            body.name
        );
        assert_bounded(&agent, body);
    }
    let address = agent.address("otlp_grpc");
    for body in protobuf().iter().filter(|body| body.name == "exemplars") {
        let (code, message, details) =
            super::grpc::export(&address, body.signal, &gzip(&body.bytes)).await;
        assert_eq!(code, super::grpc::RESOURCE_EXHAUSTED, "{message}");
        assert!(!details.contains("RetryInfo"), "{details}");
        assert_bounded(&agent, body);
    }
    assert_eq!(http.get_any("/healthz", &[]).await.0, 200);
}
