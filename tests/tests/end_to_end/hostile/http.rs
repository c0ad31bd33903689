//! Hostile OTLP/HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use fastrand::Rng;
use futures::{StreamExt, stream};
use tests::Http;

use super::{Bombs, REQUESTS, assert_healthy, assert_nothing_left_behind, random, truncated};
use crate::up;

const SIGNALS: [&str; 3] = ["traces", "logs", "metrics"];

/// One request and the statuses that it may get.
struct Attack {
    path: String,
    content_type: Option<&'static str>,
    encoding: Option<&'static str>,
    body: Vec<u8>,
    expect: &'static [u16],
}

impl Attack {
    fn new(signal: &str, content_type: &'static str, body: Vec<u8>) -> Self {
        let path = format!("/v1/{signal}");
        Self {
            path,
            content_type: Some(content_type),
            encoding: None,
            body,
            expect: &[400],
        }
    }
}

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Too large, or no room now for four such at once.
const INFLATED: &[u16] = &[413, 429, 503];

fn wrong_json(rng: &mut Rng) -> Vec<u8> {
    let bodies = [
        r#"{"resourceSpans": 7, "resourceLogs": 7, "resourceMetrics": 7}"#,
        r#"{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": {}}]}]}], "resourceLogs": "x", "resourceMetrics": {}}"#,
        r#"{"resourceSpans": [[]], "resourceLogs": [[]], "resourceMetrics": [[]]}"#,
        r#"[1, 2"#,
        "{",
        "\"text\"",
        "nonsense",
        "{\"resourceSpans\": [}",
    ];
    bodies[rng.usize(..bodies.len())].as_bytes().to_vec()
}

fn attack(rng: &mut Rng, bombs: &Bombs) -> Attack {
    let signal = SIGNALS[rng.usize(..3)];
    match rng.u32(..100) {
        0..30 => Attack::new(signal, PROTOBUF, random(rng)),
        30..55 => Attack::new(signal, PROTOBUF, truncated(rng)),
        55..75 => Attack::new(signal, JSON, wrong_json(rng)),
        75..80 => {
            let deep = format!("{}{}", "{\"a\":[".repeat(20_000), "]}".repeat(20_000));
            // Unknown members may be passed over or refused, but not followed down the stack.
            Attack {
                expect: &[200, 400],
                ..Attack::new(signal, JSON, deep.into_bytes())
            }
        }
        80..84 => Attack {
            content_type: [Some("text/plain"), None][rng.usize(..2)],
            expect: &[415],
            ..Attack::new(signal, JSON, b"{}".to_vec())
        },
        84..88 => Attack {
            encoding: Some("br"),
            expect: &[400, 415],
            ..Attack::new(signal, JSON, b"{}".to_vec())
        },
        88..92 => Attack {
            encoding: Some("gzip"),
            ..Attack::new(signal, PROTOBUF, random(rng))
        },
        92..95 => Attack {
            path: "/v1/nothing".to_owned(),
            expect: &[404],
            ..Attack::new(signal, JSON, b"{}".to_vec())
        },
        95..98 => Attack {
            encoding: Some("gzip"),
            expect: INFLATED,
            ..Attack::new(signal, PROTOBUF, bombs.gzip.clone())
        },
        _ => Attack {
            encoding: Some("zstd"),
            expect: INFLATED,
            ..Attack::new(signal, PROTOBUF, bombs.zstd.clone())
        },
    }
}

async fn send(otlp: &Http, number: usize, attack: Attack) {
    let mut request = otlp.request("POST", &attack.path);
    if let Some(content_type) = attack.content_type {
        request = request.header("content-type", content_type);
    }
    if let Some(encoding) = attack.encoding {
        request = request.header("content-encoding", encoding);
    }
    let described = format!(
        "{number}: {} {:?} {:?} {} bytes, {:02x?}",
        attack.path,
        attack.content_type,
        attack.encoding,
        attack.body.len(),
        &attack.body[..attack.body.len().min(24)]
    );
    let answer = match request.body(attack.body).send().await {
        Ok(answer) => answer,
        Err(error) => panic!("{described}: {error:?}"),
    };
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    assert!(
        attack.expect.contains(&status),
        "{described}: {status} {body:?}"
    );
    assert!(!body.is_empty(), "{described}: {status} without a reason");
}

/// A body of 100 MB, with its length or in chunks; the process may close before it read all.
fn send_large(address: &str, chunked: bool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
        .set_write_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let length = if chunked {
        "transfer-encoding: chunked"
    } else {
        "content-length: 100000000"
    };
    let head = format!(
        "POST /v1/logs HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\n{length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let part = vec![b'x'; 1_000_000];
    for _ in 0..100 {
        let framed = chunked.then(|| format!("{:x}\r\n", part.len()));
        let written = framed
            .map_or(Ok(()), |size| stream.write_all(size.as_bytes()))
            .and_then(|()| stream.write_all(&part))
            .and_then(|()| {
                if chunked {
                    stream.write_all(b"\r\n")
                } else {
                    Ok(())
                }
            });
        if written.is_err() {
            break;
        }
    }
    let mut answer = [0; 64];
    // A reset after the refusal may hide the answer; anything but a 2xx is a refusal.
    let read = stream.read(&mut answer).unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_hostile_requests_change_nothing() {
    let server = up().start();
    assert_healthy(&server, 1).await;

    // Slow bodies hold their connections all the while.
    let slow: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address("otlp_http")).unwrap();
            let head = format!("POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {PROTOBUF}\r\ncontent-length: 50000000\r\n\r\nab");
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();

    let (otlp, bombs, mut rng) = (server.otlp(), Bombs::new(), Rng::with_seed(1));
    let attacks: Vec<Attack> = (0..REQUESTS).map(|_| attack(&mut rng, &bombs)).collect();
    let sends = attacks
        .into_iter()
        .enumerate()
        .map(|(number, attack)| send(&otlp, number, attack));
    stream::iter(sends)
        .buffer_unordered(4)
        .collect::<Vec<()>>()
        .await;
    assert_healthy(&server, 2).await;

    for chunked in [false, true] {
        let address = server.address("otlp_http");
        let answer = tokio::task::spawn_blocking(move || send_large(&address, chunked))
            .await
            .unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    // The slow ones still hold on; they keep nobody from working.
    assert_healthy(&server, 3).await;
    drop(slow);

    assert_nothing_left_behind(&server, 3).await;
}
