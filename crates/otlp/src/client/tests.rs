use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use http::{Request, Response};
use tokio::net::TcpListener;

use super::*;
use crate::response::RpcStatus;
use crate::server::{ConnectionLimits, Handler, listen};

/// Serves what `answer` makes and returns the address.
async fn serve(answer: impl Fn(Request<Body>) -> Response<Body> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    let handler: Handler = Arc::new(move |request| {
        let answer = Arc::clone(&answer);
        Box::pin(async move { answer(request) })
    });
    tokio::spawn(listen(
        listener,
        handler,
        ConnectionLimits::default(),
        std::future::pending(),
    ));
    address
}

async fn send(address: &str, protocol: Protocol) -> Outcome {
    let client = Client::new(
        address,
        protocol,
        Encoding::Identity,
        ClientLimits::default(),
    );
    client
        .unwrap()
        .send(Signal::Logs, Bytes::from_static(b"x"), None)
        .await
}

async fn http_answer(status: u16, headers: &'static [(&str, &str)], body: Vec<u8>) -> Outcome {
    let address = serve(move |_| {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Body::from(body.clone())).unwrap()
    })
    .await;
    send(&address, Protocol::HttpProtobuf).await
}

#[tokio::test]
async fn http_retries_four_codes_alone() {
    for status in [429, 502, 503, 504] {
        let outcome = http_answer(status, &[], Vec::new()).await;
        assert!(
            matches!(outcome, Outcome::Retryable { after: None, .. }),
            "{status} {outcome:?}"
        );
    }
    for status in [302, 400, 401, 404, 408, 500, 501] {
        let outcome = http_answer(status, &[], Vec::new()).await;
        assert!(
            matches!(outcome, Outcome::Permanent { .. }),
            "{status} {outcome:?}"
        );
    }
    assert!(matches!(
        http_answer(413, &[], Vec::new()).await,
        Outcome::TooLarge { .. }
    ));
    let status = RpcStatus {
        code: 3,
        message: "bad".to_owned(),
        retry_after: None,
    };
    let outcome = http_answer(400, &[], status.to_protobuf()).await;
    let Outcome::Permanent { reason } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(reason.ends_with("bad"), "{reason}");
}

#[tokio::test]
async fn retry_after_in_both_forms() {
    let outcome = http_answer(503, &[("retry-after", "7")], Vec::new()).await;
    assert!(matches!(outcome, Outcome::Retryable { after: Some(d), .. } if d.as_secs() == 7));
    let never = http_answer(503, &[("retry-after", "18446744073709551615")], Vec::new()).await;
    assert!(matches!(never, Outcome::Retryable { after: Some(d), .. } if d.as_secs() == 300));
    let past = http_answer(
        429,
        &[("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")],
        Vec::new(),
    );
    let past = past.await;
    assert!(
        matches!(
            past,
            Outcome::Retryable {
                after: Some(Duration::ZERO),
                ..
            }
        ),
        "{past:?}"
    );
    let address = serve(|_| {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        Response::builder()
            .status(503)
            .header("retry-after", date)
            .body(Body::empty())
            .unwrap()
    })
    .await;
    let Outcome::Retryable {
        after: Some(after), ..
    } = send(&address, Protocol::HttpProtobuf).await
    else {
        panic!("expected a delay");
    };
    assert!((90..=100).contains(&after.as_secs()), "{after:?}");
}

async fn grpc_answer(status: RpcStatus, with_details: bool) -> Outcome {
    let address = serve(move |_| {
        let details = if with_details {
            status.to_protobuf()
        } else {
            Vec::new()
        };
        let code = tonic::Code::from_i32(status.code);
        let message = status.message.clone();
        tonic::Status::with_details(code, message, Bytes::from(details)).into_http()
    })
    .await;
    send(&address, Protocol::Grpc).await
}

#[tokio::test]
async fn grpc_codes_follow_the_table() {
    for code in 1..=16 {
        let status = RpcStatus {
            code,
            message: "é%".to_owned(),
            retry_after: None,
        };
        let outcome = grpc_answer(status, false).await;
        let matches = match code {
            1 | 4 | 10 | 11 | 14 | 15 => matches!(outcome, Outcome::Retryable { after: None, .. }),
            8 => matches!(outcome, Outcome::TooLarge { .. }),
            _ => matches!(outcome, Outcome::Permanent { .. }),
        };
        assert!(matches, "{code} {outcome:?}");
        assert!(format!("{outcome:?}").contains("é%"), "{outcome:?}");
    }
    let delay = Duration::from_millis(1250);
    let never = Duration::from_secs(i64::MAX.cast_unsigned());
    for (code, asked, delay) in [
        (8, delay, delay),
        (14, delay, delay),
        (14, never, Duration::from_secs(300)),
    ] {
        let retry_after = Some(asked);
        let status = RpcStatus {
            code,
            message: "later".to_owned(),
            retry_after,
        };
        let outcome = grpc_answer(status, true).await;
        assert!(matches!(outcome, Outcome::Retryable { after: Some(d), .. } if d == delay));
    }
}

#[tokio::test]
async fn a_proxy_that_answers_for_grpc() {
    for (status, retryable) in [(503, true), (200, true), (400, false)] {
        let address = serve(move |_| {
            Response::builder()
                .status(status)
                .body(Body::empty())
                .unwrap()
        })
        .await;
        let outcome = send(&address, Protocol::Grpc).await;
        assert_eq!(
            matches!(outcome, Outcome::Retryable { .. }),
            retryable,
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn large_and_strange_successes_are_successes() {
    let outcome = http_answer(200, &[], vec![0xff; 5 << 20]).await;
    assert!(matches!(&outcome, Outcome::Success { message, .. } if message.contains("more than")));
    let outcome = http_answer(200, &[], b"thanks".to_vec()).await;
    assert!(
        matches!(&outcome, Outcome::Success { rejected: 0, .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn no_connection_may_be_retried_and_a_user_agent_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let outcome = send(&address, protocol).await;
        assert!(
            matches!(outcome, Outcome::Retryable { after: None, .. }),
            "{outcome:?}"
        );
    }
    let address = serve(|request| {
        let agent = request.headers()["user-agent"].to_str().unwrap().to_owned();
        let status = if agent.starts_with("throughline/") {
            200
        } else {
            400
        };
        Response::builder()
            .status(status)
            .body(Body::empty())
            .unwrap()
    })
    .await;
    assert!(matches!(
        send(&address, Protocol::HttpProtobuf).await,
        Outcome::Success { .. }
    ));
}

#[test]
fn endpoints_are_checked() {
    let new = |endpoint| {
        Client::new(
            endpoint,
            Protocol::Grpc,
            Encoding::Zstd,
            ClientLimits::default(),
        )
    };
    assert!(new("localhost:4317").is_ok() && new("https://example.com/base/").is_ok());
    for endpoint in ["ftp://x", "http://", "http://x?y", ""] {
        assert!(
            matches!(new(endpoint), Err(ClientError::Endpoint { .. })),
            "{endpoint}"
        );
    }
}
