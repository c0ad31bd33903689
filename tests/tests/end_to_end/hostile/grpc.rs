//! Hostile OTLP/gRPC: broken messages over honest HTTP/2, and HTTP/2 that is itself broken.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fastrand::Rng;
use futures::{StreamExt, stream};
use reqwest::header::HeaderMap;

use super::{Bombs, REQUESTS, assert_healthy, assert_nothing_left_behind, random, truncated};
use crate::up;

const SERVICES: [(&str, &str); 3] = [
    ("trace", "TraceService"),
    ("logs", "LogsService"),
    ("metrics", "MetricsService"),
];

const INVALID_ARGUMENT: &str = "3";
pub(super) const RESOURCE_EXHAUSTED: &str = "8";
const UNIMPLEMENTED: &str = "12";
const UNAVAILABLE: &str = "14";
/// Too large, or no room now for four such at once.
const INFLATED: &[&str] = &[RESOURCE_EXHAUSTED, UNAVAILABLE];

/// Values nested so deep that following them by recursion would overflow the stack.
const DEPTH: usize = 20_000;

/// One request and the codes that it may get.
struct Attack {
    path: String,
    encoding: Option<&'static str>,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    expect: &'static [&'static str],
}

impl Attack {
    fn new(path: &str, body: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            encoding: None,
            headers: Vec::new(),
            body,
            expect: &[INVALID_ARGUMENT],
        }
    }

    fn encoded(self, encoding: &'static str, expect: &'static [&'static str]) -> Self {
        Self {
            encoding: Some(encoding),
            expect,
            ..self
        }
    }
}

/// A gRPC message behind its flag and length.
fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    lying(flag, length, message)
}

/// A gRPC message behind a length that need not be its own.
fn lying(flag: u8, length: u32, message: &[u8]) -> Vec<u8> {
    let mut body = vec![flag];
    body.extend(length.to_be_bytes());
    body.extend(message);
    body
}

/// A length-delimited protobuf field around what is there.
fn wrap(field: u8, message: &mut Vec<u8>) {
    // Built from the inside out, the head is written backwards.
    let mut head = vec![field << 3 | 2];
    let mut length = message.len();
    while length >= 0x80 {
        head.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    head.push(u8::try_from(length).unwrap());
    message.extend(head.iter().rev());
}

/// A log record whose body is an array in an array in an array.
fn deep() -> Vec<u8> {
    let mut reversed = Vec::new();
    for _ in 0..DEPTH {
        // `AnyValue.array_value` around `ArrayValue.values`.
        wrap(1, &mut reversed);
        wrap(5, &mut reversed);
    }
    // `LogRecord.body`, `ScopeLogs.log_records`, `ResourceLogs.scope_logs`, `resource_logs`.
    for field in [5, 2, 2, 1] {
        wrap(field, &mut reversed);
    }
    reversed.reverse();
    reversed
}

fn attack(rng: &mut Rng, bombs: &Bombs, deep: &[u8]) -> Attack {
    let (package, service) = SERVICES[rng.usize(..3)];
    let path = &format!("/opentelemetry.proto.collector.{package}.v1.{service}/Export");
    match rng.u32(..100) {
        0..15 => Attack::new(path, framed(0, &random(rng))),
        15..30 => Attack::new(path, framed(0, &truncated(rng))),
        // Neither flag nor length mean anything here.
        30..35 => Attack {
            expect: &[INVALID_ARGUMENT, RESOURCE_EXHAUSTED],
            ..Attack::new(path, random(rng))
        },
        // Longer than what follows, by little or by gigabytes; then shorter.
        35..40 => Attack::new(path, lying(0, rng.u32(100..50_000), b"\n")),
        40..45 => {
            let length = rng.u32(100 << 20..);
            Attack {
                expect: &[INVALID_ARGUMENT, RESOURCE_EXHAUSTED],
                ..Attack::new(path, lying(0, length, b"\n"))
            }
        }
        45..50 => Attack::new(path, lying(0, 3, &truncated(rng))),
        50..55 => Attack::new(path, framed(0, b"")[..rng.usize(..5)].to_vec()),
        // Said to be compressed where no encoding is named; a flag that does not exist.
        55..60 => Attack::new(path, framed(1, &random(rng))),
        60..65 => Attack::new(path, framed(rng.u8(2..), b"")),
        65..70 => Attack::new(path, framed(1, &random(rng))).encoded("gzip", &[INVALID_ARGUMENT]),
        70..75 => Attack::new(path, framed(1, &random(rng))).encoded("zstd", &[INVALID_ARGUMENT]),
        75..78 => Attack::new(path, framed(1, &bombs.gzip)).encoded("gzip", INFLATED),
        78..81 => Attack::new(path, framed(1, &bombs.zstd)).encoded("zstd", INFLATED),
        81..85 => Attack::new(path, framed(1, b"")).encoded("br", &[UNIMPLEMENTED]),
        85..90 => Attack {
            expect: &[UNIMPLEMENTED],
            ..Attack::new(
                "/opentelemetry.proto.collector.Nothing/Export",
                framed(0, b""),
            )
        },
        90..95 => Attack {
            headers: vec![("throughline-agent", "a"), ("throughline-epoch", "-1")],
            ..Attack::new(path, framed(0, b""))
        },
        _ => {
            let path = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
            Attack::new(path, framed(0, deep))
        }
    }
}

fn client() -> reqwest::Client {
    // Fails where it was done before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .timeout(Duration::from_secs(120))
        .no_proxy();
    client.build().unwrap()
}

/// A failure has its code in the header, since nothing else follows.
fn told(headers: &HeaderMap) -> (&str, &str) {
    let text = |name| {
        headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    };
    (text("grpc-status"), text("grpc-message"))
}

/// Exports one compressed message: the code, its message and the type of its details.
pub(super) async fn export(
    address: &str,
    signal: &str,
    gzipped: &[u8],
) -> (String, String, String) {
    use base64::Engine;
    let (package, service) = SERVICES[match signal {
        "traces" => 0,
        "logs" => 1,
        _ => 2,
    }];
    let path = format!("/opentelemetry.proto.collector.{package}.v1.{service}/Export");
    let request = client()
        .post(format!("http://{address}{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", "gzip");
    let answer = request.body(framed(1, gzipped)).send().await.unwrap();
    let (code, message) = told(answer.headers());
    let details = answer
        .headers()
        .get("grpc-status-details-bin")
        .map_or("", |value| value.to_str().unwrap());
    let details = base64::engine::general_purpose::STANDARD_NO_PAD
        .decode(details.trim_end_matches('='))
        .unwrap();
    let details = String::from_utf8_lossy(&details).into_owned();
    (code.to_owned(), message.to_owned(), details)
}

async fn send(client: &reqwest::Client, base: &str, number: usize, attack: Attack) {
    let mut request = client
        .post(format!("{base}{}", attack.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    if let Some(encoding) = attack.encoding {
        request = request.header("grpc-encoding", encoding);
    }
    for (name, value) in attack.headers {
        request = request.header(name, value);
    }
    let described = format!(
        "{number}: {} {:?} {} bytes, {:02x?}",
        attack.path,
        attack.encoding,
        attack.body.len(),
        &attack.body[..attack.body.len().min(24)]
    );
    let answer = match request.body(attack.body).send().await {
        Ok(answer) => answer,
        Err(error) => panic!("{described}: {error:?}"),
    };
    let (code, message) = told(answer.headers());
    assert!(
        attack.expect.contains(&code),
        "{described}: {code} {message}"
    );
    assert!(!message.is_empty(), "{described}: {code} without a reason");
}

/// A stream whose message never ends.
fn slow(client: &reqwest::Client, base: &str) -> tokio::task::JoinHandle<()> {
    let begun = stream::iter([Ok::<_, Infallible>(lying(0, 50_000_000, b"ab"))]);
    let request = client
        .post(format!(
            "{base}/opentelemetry.proto.collector.logs.v1.LogsService/Export"
        ))
        .header("content-type", "application/grpc")
        .body(reqwest::Body::wrap_stream(begun.chain(stream::pending())));
    tokio::spawn(async move {
        // Refused in the end, or cut off with the test.
        let _ = request.send().await;
    })
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A connection's beginning, then this frame so many times.
fn flood(times: u32, next: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend((0..times).flat_map(next));
    bytes
}

/// HTTP/2 that no client of good will speaks.
fn broken_connections(rng: &mut Rng) -> Vec<Vec<u8>> {
    let garbage: Vec<u8> = std::iter::repeat_with(|| rng.u8(..))
        .take(100_000)
        .collect();
    // `:method: POST`, `:scheme: http`, `:path: /` from the static table.
    let request = [0x83, 0x86, 0x84];
    let no_table_entry = [0xff; 64];
    let literal: Vec<u8> = {
        // A name and a value of 100 bytes each, not indexed.
        let mut literal = vec![0x00, 100];
        literal.extend([b'a'; 100]);
        literal.push(100);
        literal.extend([b'b'; 100]);
        literal
    };
    vec![
        garbage.clone(),
        [PREFACE, &garbage].concat(),
        // A frame of 16 MiB where 16 KiB are allowed.
        [PREFACE, &[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]].concat(),
        flood(1, |_| frame(DATA, 0, 1, b"without a request")),
        flood(1, |_| frame(HEADERS, 0x5, 1, &no_table_entry)),
        flood(1, |_| frame(HEADERS, 0x5, 2, &request)),
        flood(100_000, |_| frame(SETTINGS, 0, 0, &[])),
        flood(100_000, |_| frame(PING, 0, 0, &[0; 8])),
        // Opened and reset, as fast as it goes.
        flood(20_000, |n| {
            let mut bytes = frame(HEADERS, 0x5, 2 * n + 1, &request);
            bytes.extend(frame(RESET, 0, 2 * n + 1, &[0, 0, 0, 8]));
            bytes
        }),
        // More streams at once than allowed, none of which ends.
        flood(20_000, |n| frame(HEADERS, 0x4, 2 * n + 1, &request)),
        // Headers without end.
        flood(100_000, |n| match n {
            0 => frame(HEADERS, 0, 1, &request),
            _ => frame(CONTINUATION, 0, 1, &literal),
        }),
    ]
}

/// Sends what the peer will take; it may hang up at any time, and has to at the latest when
/// nothing more comes.
fn send_broken(address: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    let mut answers = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while matches!(answers.read(&mut buffer), Ok(1..)) {}
    });
    if stream.write_all(bytes).is_ok() {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    reader.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_grpc_requests_change_nothing() {
    let server = up().start();
    assert_healthy(&server, 1).await;
    let address = server.address("otlp_grpc");
    let (base, client) = (format!("http://{address}"), client());

    let held: Vec<_> = (0..50).map(|_| slow(&client, &base)).collect();
    let (bombs, deep, mut rng) = (Bombs::new(), deep(), Rng::with_seed(2));
    let attacks: Vec<Attack> = (0..REQUESTS)
        .map(|_| attack(&mut rng, &bombs, &deep))
        .collect();
    let sends = attacks
        .into_iter()
        .enumerate()
        .map(|(number, attack)| send(&client, &base, number, attack));
    stream::iter(sends)
        .buffer_unordered(4)
        .collect::<Vec<()>>()
        .await;
    assert_healthy(&server, 2).await;

    for (bytes, number) in broken_connections(&mut rng).into_iter().zip(3..) {
        let address = address.clone();
        tokio::task::spawn_blocking(move || send_broken(&address, &bytes))
            .await
            .unwrap();
        assert_healthy(&server, number).await;
    }
    let rounds = 2 + broken_connections(&mut rng).len();

    // One header of a megabyte: refused, or the connection is.
    let large = client
        .post(format!("{base}/x"))
        .header("content-type", "application/grpc")
        .header("x-large", "x".repeat(1 << 20));
    if let Ok(answer) = large.send().await {
        assert_eq!(answer.status(), 431);
    }
    assert_nothing_left_behind(&server, rounds).await;
    held.into_iter().for_each(|slow| slow.abort());
}
