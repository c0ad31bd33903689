//! The rules of OTLP/gRPC over real sockets.

use http_body_util::BodyExt;

use super::*;

struct Answer {
    code: String,
    headers: ::http::HeaderMap,
    message: Vec<u8>,
}

impl Answer {
    fn details(&self) -> Option<RpcStatus> {
        use base64::Engine;
        let text = self.headers.get("grpc-status-details-bin")?;
        let bytes = base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(text.to_str().unwrap().trim_end_matches('='))
            .unwrap();
        Some(RpcStatus::from_protobuf(&bytes).unwrap())
    }
}

const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut body = vec![flag];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    body
}

async fn call(server: &Running, path: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let request = http2()
        .post(server.url(path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-encoding", encoding)
        .body(body);
    let response: ::http::Response<reqwest::Body> = request.send().await.unwrap().into();
    assert_eq!(response.status(), 200);
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let mut headers = head.headers;
    headers.extend(collected.trailers().cloned().unwrap_or_default());
    let code = headers["grpc-status"].to_str().unwrap().to_owned();
    Answer {
        code,
        headers,
        message: collected.to_bytes().to_vec(),
    }
}

#[tokio::test]
async fn success_and_partial_success() {
    let server = Running::start(Fake::default(), small()).await;
    let answer = call(&server, LOGS, "identity", framed(0, &logs())).await;
    assert_eq!(
        (&answer.code[..], &answer.message[..]),
        ("0", &[0u8; 5][..])
    );
    assert!(answer.headers.contains_key(stamp::RECEIVED));
    // A compressed stream may hold a message that is not.
    assert_eq!(
        call(&server, LOGS, "gzip", framed(0, &logs())).await.code,
        "0"
    );
    let verdict = Verdict::Accepted {
        rejected: 2,
        message: "two".to_owned(),
    };
    let server = Running::start(Fake::saying(verdict), small()).await;
    let answer = call(&server, LOGS, "gzip", framed(1, &gzip(&logs()))).await;
    let partial = PartialSuccess::from_protobuf(&answer.message[5..]).unwrap();
    assert_eq!((&answer.code[..], partial.rejected), ("0", 2));
}

#[tokio::test]
async fn failures_have_the_codes_that_exporters_expect() {
    let delay = Duration::from_millis(1500);
    let cases = [
        (Verdict::Malformed("bäd".into()), "3", None),
        (Verdict::TooLarge("big".into()), "8", None),
        (Verdict::Unauthenticated("who".into()), "16", None),
        (
            Verdict::Overloaded {
                retry_after: delay,
                reason: "busy".into(),
            },
            "14",
            Some(delay),
        ),
        (
            Verdict::Unavailable {
                retry_after: delay,
                reason: "down".into(),
            },
            "14",
            Some(delay),
        ),
    ];
    for (verdict, code, retry_after) in cases {
        let server = Running::start(Fake::saying(verdict), small()).await;
        let answer = call(&server, LOGS, "identity", framed(0, &logs())).await;
        let details = answer.details().unwrap();
        assert_eq!((&answer.code[..], details.retry_after), (code, retry_after));
        assert!(!details.message.is_empty());
    }
}

#[tokio::test]
async fn messages_over_the_limit_and_bombs_are_not_retryable() {
    let server = Running::start(Fake::default(), small()).await;
    let zeros = vec![0u8; 32 << 20];
    let cases = [
        ("identity", framed(0, &vec![0; (64 << 10) + 1])),
        ("gzip", framed(1, &gzip(&zeros))),
        ("zstd", framed(1, &zstd::encode_all(&zeros[..], 1).unwrap())),
    ];
    for (encoding, body) in cases {
        let answer = call(&server, LOGS, encoding, body).await;
        assert_eq!(answer.code, "8", "{encoding}");
        assert_eq!(answer.details().unwrap().retry_after, None);
    }
    assert_eq!(
        call(&server, LOGS, "identity", framed(0, &vec![0; 64 << 10]))
            .await
            .code,
        "0"
    );
    assert_eq!(server.receiver.in_flight_bytes(), 0);
}

#[tokio::test]
async fn broken_frames_are_malformed() {
    let server = Running::start(Fake::default(), small()).await;
    let mut two = framed(0, &logs());
    two.extend(framed(0, &logs()));
    let cases = [
        ("identity", Vec::new()),
        ("identity", vec![0, 0, 0]),
        ("identity", framed(0, &logs())[..8].to_vec()),
        ("identity", framed(1, &logs())),
        ("identity", framed(7, &logs())),
        ("gzip", framed(1, &logs())),
        ("identity", two),
    ];
    for (encoding, body) in cases {
        assert_eq!(call(&server, LOGS, encoding, body).await.code, "3");
    }
    let unknown = call(&server, LOGS, "deflate", framed(1, &logs())).await;
    assert_eq!(unknown.code, "12");
    assert_eq!(
        unknown.headers["grpc-accept-encoding"],
        "identity,gzip,zstd"
    );
    assert_eq!(
        call(&server, "/no.Service/Export", "identity", framed(0, &[]))
            .await
            .code,
        "12"
    );
}

#[tokio::test]
async fn health_is_served() {
    let server = Running::start(Fake::default(), small()).await;
    let answer = call(
        &server,
        "/grpc.health.v1.Health/Check",
        "identity",
        framed(0, &[]),
    )
    .await;
    assert_eq!(
        (&answer.code[..], &answer.message[5..]),
        ("0", &[8u8, 1][..])
    );
    let mut named = Vec::new();
    model::wire::put_bytes(&mut named, 1, grpc::LOGS_SERVICE.as_bytes());
    let answer = call(
        &server,
        "/grpc.health.v1.Health/Check",
        "identity",
        framed(0, &named),
    )
    .await;
    assert_eq!(&answer.message[5..], [8u8, 1]);
}
