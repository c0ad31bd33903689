//! The rules of OTLP/HTTP over real sockets.

use super::*;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

struct Answer {
    status: u16,
    headers: ::http::HeaderMap,
    body: Vec<u8>,
}

async fn post(server: &Running, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let mut request = http1().post(server.url("/v1/logs")).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    answer(request).await
}

async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer {
        status,
        headers,
        body: response.bytes().await.unwrap().to_vec(),
    }
}

fn status(answer: &Answer) -> RpcStatus {
    RpcStatus::from_protobuf(&answer.body).unwrap()
}

#[tokio::test]
async fn success_is_an_empty_message_in_the_requests_encoding() {
    let server = Running::start(Fake::default(), small()).await;
    let answer = post(&server, &[("content-type", PROTOBUF)], logs()).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b""[..]));
    assert_eq!(answer.headers["content-type"], PROTOBUF);
    assert!(answer.headers.contains_key(stamp::RECEIVED));
    assert!(answer.headers.contains_key(stamp::REPLIED));
    let typed = [("content-type", "Application/JSON; charset=utf-8")];
    let answer = post(&server, &typed, b"{\"resourceLogs\":[]}".to_vec()).await;
    assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    assert_eq!(answer.headers["content-type"], JSON);
    assert_eq!(server.fake.last().transport, Transport::HttpJson);
    for encoding in ["identity", "gzip", "zstd"] {
        for (kind, said) in [(PROTOBUF, ""), (JSON, "{}")] {
            let headers = [("content-type", kind), ("content-encoding", encoding)];
            let answer = post(&server, &headers, Vec::new()).await;
            assert_eq!(answer.status, 200, "nothing at all as {kind} in {encoding}");
            assert_eq!(answer.body, said.as_bytes(), "{kind} in {encoding}");
            assert!(
                server.fake.last().request.is_empty(),
                "{kind} in {encoding}"
            );
        }
    }
    // What is not empty has to be JSON, and so has what comes out of it.
    for (encoding, body) in [("identity", b" ".to_vec()), ("gzip", gzip(b" "))] {
        let headers = [("content-type", JSON), ("content-encoding", encoding)];
        assert_eq!(
            post(&server, &headers, body).await.status,
            400,
            "{encoding}"
        );
    }
    let headers = [("content-type", JSON), ("content-encoding", "gzip")];
    assert_eq!(post(&server, &headers, gzip(b"")).await.status, 200);
}

#[tokio::test]
async fn partial_success_carries_the_count_and_the_reason() {
    let verdict = Verdict::Accepted {
        rejected: 3,
        message: "3 bad rows".to_owned(),
    };
    let server = Running::start(Fake::saying(verdict), small()).await;
    let answer = post(&server, &[("content-type", PROTOBUF)], logs()).await;
    let partial = PartialSuccess::from_protobuf(&answer.body).unwrap();
    assert_eq!(
        (answer.status, partial.rejected, &partial.message[..]),
        (200, 3, "3 bad rows")
    );
    let answer = post(&server, &[("content-type", JSON)], b"{}".to_vec()).await;
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"3 bad rows"}}"#
    );
    let requests = server
        .receiver
        .counters()
        .requests(Signal::Logs, Outcome::Partial);
    assert_eq!(requests, 2);
}

#[tokio::test]
async fn long_messages_are_shortened() {
    let verdict = Verdict::Accepted {
        rejected: 0,
        message: "é".repeat(100_000),
    };
    let limits = ServerLimits {
        response_bytes: 8000,
        ..small()
    };
    let server = Running::start(Fake::saying(verdict), limits).await;
    let answer = post(&server, &[("content-type", JSON)], b"{}".to_vec()).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() < 8000 && answer.body.ends_with(b" (shortened)\"}}"));
}

#[tokio::test]
async fn refusals_are_a_status_in_the_requests_encoding() {
    let retry = Duration::from_millis(2500);
    let cases = [
        (Verdict::Malformed("bad".into()), 400, 3, None),
        (Verdict::TooLarge("big".into()), 413, 8, None),
        (Verdict::Unauthenticated("who".into()), 401, 16, None),
        (
            Verdict::Overloaded {
                retry_after: retry,
                reason: "busy".into(),
            },
            429,
            14,
            Some("3"),
        ),
        (
            Verdict::Unavailable {
                retry_after: Duration::ZERO,
                reason: "down".into(),
            },
            503,
            14,
            Some("1"),
        ),
    ];
    for (verdict, http, code, retry_after) in cases {
        let server = Running::start(Fake::saying(verdict), small()).await;
        let answer = post(&server, &[("content-type", PROTOBUF)], logs()).await;
        assert_eq!((answer.status, status(&answer).code), (http, code));
        assert!(!status(&answer).message.is_empty());
        let header = answer
            .headers
            .get("retry-after")
            .map(|value| value.to_str().unwrap());
        assert_eq!(header, retry_after);
        let answer = post(&server, &[("content-type", JSON)], b"{}".to_vec()).await;
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(
            (answer.status, json["code"].as_i64()),
            (http, Some(code.into()))
        );
        assert_eq!(answer.headers["content-type"], JSON);
    }
}

#[tokio::test]
async fn wrong_paths_methods_and_types() {
    let server = Running::start(Fake::default(), small()).await;
    let client = http1();
    let missing = answer(client.post(server.url("/v1/profiles")).body("x")).await;
    assert_eq!((missing.status, status(&missing).code), (404, 5));
    let get = client
        .get(server.url("/v1/traces"))
        .header("content-type", JSON);
    let get = answer(get).await;
    assert_eq!(
        (get.status, get.headers["allow"].to_str().unwrap()),
        (405, "POST")
    );
    let json: serde_json::Value = serde_json::from_slice(&get.body).unwrap();
    assert_eq!(json["code"], 12);
    for headers in [
        &[][..],
        &[("content-type", "text/plain")][..],
        &[("content-type", PROTOBUF), ("content-encoding", "deflate")],
        &[
            ("content-type", PROTOBUF),
            ("content-encoding", "gzip, gzip"),
        ],
    ] {
        let answer = post(&server, headers, logs()).await;
        assert_eq!(
            (answer.status, status(&answer).code),
            (415, 3),
            "{headers:?}"
        );
        assert_eq!(answer.headers["accept-encoding"], "identity, gzip, zstd");
    }
    let malformed = post(
        &server,
        &[("content-type", JSON)],
        b"{\"resourceLogs\":3}".to_vec(),
    )
    .await;
    let text = String::from_utf8(malformed.body).unwrap();
    assert_eq!(malformed.status, 400);
    assert!(text.contains("$.resourceLogs: expected a list"), "{text}");
    let stamped = [
        ("content-type", PROTOBUF),
        ("throughline-agent", "a"),
        ("throughline-epoch", "x"),
    ];
    let answer = post(&server, &stamped, logs()).await;
    assert_eq!((answer.status, status(&answer).code), (400, 3));
    let clocks: [(&[(&str, &str)], &str); 3] = [
        (&[("throughline-clock-offset-nano", "5")], "must come with"),
        (&[("throughline-clock-error-nano", "5")], "must come with"),
        (
            &[
                ("throughline-clock-offset-nano", "-5"),
                ("throughline-clock-error-nano", "-5"),
            ],
            "must be a number from 0",
        ),
    ];
    for (clock, reason) in clocks {
        let mut headers = vec![
            ("content-type", PROTOBUF),
            ("throughline-agent", "a"),
            ("throughline-epoch", "1"),
            ("throughline-sequence", "1"),
        ];
        headers.extend(clock);
        let answer = post(&server, &headers, logs()).await;
        let refusal = status(&answer);
        assert_eq!((answer.status, refusal.code), (400, 3));
        assert!(refusal.message.contains(reason), "{}", refusal.message);
    }
    assert!(server.fake.exports.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bodies_over_the_limit_and_bombs_are_413() {
    let server = Running::start(Fake::default(), small()).await;
    let zeros = vec![0u8; 32 << 20];
    let typed = ("content-type", PROTOBUF);
    for (encoding, body) in [
        ("identity", vec![0; (64 << 10) + 1]),
        ("identity", vec![0; 4 << 20]),
        ("gzip", gzip(&zeros)),
        ("zstd", zstd::encode_all(&zeros[..], 1).unwrap()),
    ] {
        let headers = [typed, ("content-encoding", encoding)];
        let answer = post(&server, &headers, body).await;
        assert_eq!(
            (answer.status, status(&answer).code),
            (413, 8),
            "{encoding}"
        );
        assert_eq!(answer.headers.get("retry-after"), None);
    }
    let exact = post(&server, &[typed], vec![0; 64 << 10]).await;
    assert_eq!(exact.status, 200);
    let broken = [typed, ("content-encoding", "gzip")];
    assert_eq!(post(&server, &broken, logs()).await.status, 400);
    assert_eq!(server.receiver.in_flight_bytes(), 0);
}

#[tokio::test]
async fn answers_are_gzipped_where_asked() {
    let verdict = Verdict::Accepted {
        rejected: 1,
        message: "m".repeat(500),
    };
    let server = Running::start(Fake::saying(verdict), small()).await;
    let typed = ("content-type", JSON);
    let asked = post(
        &server,
        &[typed, ("accept-encoding", "br, gzip;q=0.5")],
        b"{}".to_vec(),
    )
    .await;
    assert_eq!(asked.headers["content-encoding"], "gzip");
    assert!(
        String::from_utf8(gunzip(&asked.body))
            .unwrap()
            .contains("\"1\"")
    );
    let refused = post(
        &server,
        &[typed, ("accept-encoding", "gzip;q=0")],
        b"{}".to_vec(),
    )
    .await;
    assert_eq!(refused.headers.get("content-encoding"), None);
}

#[tokio::test]
async fn http2_and_keep_alive() {
    let server = Running::start(Fake::default(), small()).await;
    let request = http2()
        .post(server.url("/v1/metrics"))
        .header("content-type", PROTOBUF);
    let response = request.body(Vec::new()).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, ::http::Version::HTTP_2)
    );

    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    for _ in 0..3 {
        // A chunked body, in two writes.
        let head = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
                    Content-Type: application/json\r\n\r\n1\r\n{\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(b"1\r\n}\r\n0\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let mut length = 0;
        while !answer[..length].ends_with(b"{}") {
            let read = stream.read(&mut answer[length..]).await.unwrap();
            assert!(read > 0);
            length += read;
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_slow_body_is_refused_and_counted() {
    let limits = ServerLimits {
        body_timeout: Duration::from_millis(50),
        ..small()
    };
    let server = Running::start(Fake::default(), limits).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let head = "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\
                Content-Type: application/json\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("retry-after: 1"),
        "{text}"
    );
    assert_eq!(
        server
            .receiver
            .counters()
            .requests(Signal::Logs, Outcome::SlowBody),
        1
    );
}
