use std::collections::VecDeque;
use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::sse::{SseEvent, SseParser};
use super::{
    Client, ClientError, CompleteParams, HistogramParams, LogsParams, Range, TraceOrder,
    TracesParams, ValuesParams,
};

/// Answers one connection with fixed bytes and returns the request's first line.
async fn serve_once(answer: Vec<u8>) -> (Client, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|window| window == b"\r\n\r\n") {
            let read = socket.read(&mut buffer).await.unwrap();
            assert_ne!(read, 0, "the request is incomplete");
            request.extend_from_slice(&buffer[..read]);
        }
        socket.write_all(&answer).await.unwrap();
        socket.shutdown().await.unwrap();
        String::from_utf8(request)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    });
    (Client::new(&url).unwrap(), task)
}

fn http(status: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn ok(body: &str) -> Vec<u8> {
    http("200 OK", "application/json", body)
}

#[tokio::test]
async fn sends_every_parameter_that_is_set_and_no_other() {
    let (client, request) = serve_once(ok(r#"{"traces":[],"cursor":"next"}"#)).await;
    let params = TracesParams {
        q: "service:a b&c \"é\"".to_owned(),
        range: Range {
            start: Some("now-15m".to_owned()),
            end: None,
        },
        limit: Some(20),
        order: TraceOrder::Slowest,
        cursor: None,
    };
    let answer = client.traces(&params).await.unwrap();
    assert_eq!(answer.cursor.as_deref(), Some("next"));
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/traces?q=service%3Aa+b%26c+%22%C3%A9%22&start=now-15m&limit=20&order=slowest HTTP/1.1"
    );
}

#[tokio::test]
async fn escapes_ids_in_the_path() {
    let (client, request) = serve_once(ok("{}")).await;
    client
        .story("order/7?x#y z", &Range::default())
        .await
        .unwrap();
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/story/order%2F7%3Fx%23y%20z HTTP/1.1"
    );
}

#[tokio::test]
async fn reaches_the_other_endpoints() {
    let (client, request) = serve_once(ok("{}")).await;
    let params = HistogramParams {
        step: Some("1m".to_owned()),
        by: Some("level".to_owned()),
        ..Default::default()
    };
    client.logs_histogram(&params).await.unwrap();
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/logs/histogram?step=1m&by=level HTTP/1.1"
    );

    let (client, request) = serve_once(ok("{}")).await;
    let params = ValuesParams {
        prefix: Some("ch".to_owned()),
        ..Default::default()
    };
    client.field_values("service", &params).await.unwrap();
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/fields/service/values?prefix=ch HTTP/1.1"
    );

    let (client, request) = serve_once(ok("{}")).await;
    let params = CompleteParams {
        q: "serv".to_owned(),
        cursor: Some(4),
        ..CompleteParams::default()
    };
    client.complete(&params).await.unwrap();
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/search/complete?q=serv&cursor=4 HTTP/1.1"
    );

    let (client, request) = serve_once(ok("{}")).await;
    client.promql("up", None).await.unwrap();
    assert_eq!(
        request.await.unwrap(),
        "GET /prometheus/api/v1/query?query=up HTTP/1.1"
    );
}

#[tokio::test]
async fn keeps_a_base_path() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("{}/obs/", listener.local_addr().unwrap())).unwrap();
    let url = client.url(&["api", "v1", "alerts"], &[]).unwrap();
    assert_eq!(url.path(), "/obs/api/v1/alerts");
}

#[tokio::test]
async fn keeps_the_servers_error() {
    let body = r#"{"error":{"kind":"invalid_query","message":"unknown field","start":3,"end":7,"hint":"did you mean service"}}"#;
    let (client, _request) = serve_once(http("400 Bad Request", "application/json", body)).await;
    let error = client.logs(&LogsParams::default()).await.unwrap_err();
    let ClientError::Api {
        status: 400,
        error: api,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((api.start, api.end), (Some(3), Some(7)));
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("did you mean service"));
}

#[tokio::test]
async fn reports_a_foreign_error_by_its_status() {
    let (client, _request) = serve_once(http(
        "502 Bad Gateway",
        "text/html",
        "<h1>bad\u{1b}[31m gateway</h1>",
    ))
    .await;
    let error = client.alerts().await.unwrap_err();
    assert_eq!(
        error,
        ClientError::Status {
            status: 502,
            body: "<h1>bad [31m gateway</h1>".to_owned()
        }
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn reports_bad_json_as_such() {
    let (client, _request) = serve_once(ok(r#"{"traces": 7}"#)).await;
    let error = client.traces(&TracesParams::default()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::InvalidAnswer { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn reports_a_cut_answer() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"traces\"".to_vec();
    let (client, _request) = serve_once(answer).await;
    let error = client.traces(&TracesParams::default()).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Interrupted { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn refuses_an_answer_beyond_the_limit() {
    let (client, _request) = serve_once(ok(&format!("\"{}\"", "x".repeat(5000)))).await;
    let client = client.with_response_limit(1000);
    assert_eq!(
        client.alerts().await.unwrap_err(),
        ClientError::TooLarge { limit_bytes: 1000 }
    );
}

#[tokio::test]
async fn tells_unreachable_from_slow() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let slow = Client::new(&url)
        .unwrap()
        .with_timeout(Duration::from_millis(20));
    assert!(matches!(
        slow.alerts().await,
        Err(ClientError::Timeout { .. })
    ));
    drop(listener);
    let gone = Client::new(&url).unwrap();
    let error = gone.alerts().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn refuses_urls_that_cannot_be_a_base() {
    for url in ["ftp://host", "http://", "http://host/?a=b", "http://ho st"] {
        assert!(
            matches!(Client::new(url), Err(ClientError::InvalidUrl { .. })),
            "{url}"
        );
    }
    assert_eq!(
        Client::new(" localhost:4400 ").unwrap().base_url(),
        "http://localhost:4400"
    );
}

#[tokio::test]
async fn tails_until_the_server_ends() {
    let body = concat!(
        ": hello\n\n",
        "event: logs\ndata: {\"sequence\":2,\"dropped\":1,\r\ndata: \"logs\":[{\"service\":\"a\"}]}\n\n",
        "event: ping\ndata: {}\n\n",
        "event: error\ndata: {\"error\":{\"kind\":\"overloaded\",\"message\":\"too many tails\"}}\n\n",
        "event: logs\ndata: {\"sequence\":9}\n\n",
    );
    let (client, request) = serve_once(http("200 OK", "text/event-stream", body)).await;
    let mut tail = client.tail("level:error").await.unwrap();
    let first = tail.next().await.unwrap().unwrap();
    assert_eq!((first.sequence, first.dropped, first.logs.len()), (2, 1, 1));
    assert!(matches!(
        tail.next().await,
        Some(Err(ClientError::Api { .. }))
    ));
    assert!(tail.next().await.is_none(), "nothing follows an error");
    assert_eq!(
        request.await.unwrap(),
        "GET /api/v1/logs/tail?q=level%3Aerror HTTP/1.1"
    );
}

#[tokio::test]
async fn refuses_a_tail_that_is_no_event_stream() {
    let (client, _request) = serve_once(ok("{}")).await;
    assert!(matches!(
        client.tail("").await,
        Err(ClientError::InvalidAnswer { .. })
    ));
}

#[test]
fn events_do_not_depend_on_how_they_are_cut_into_chunks() {
    let stream = b":c\r\nevent: logs\rdata:  a\r\ndata\r\ndata:b\r\n\r\ndata: x\n\nevent: none\n\n";
    let expected = vec![
        SseEvent {
            name: "logs".to_owned(),
            data: b" a\n\nb".to_vec(),
        },
        SseEvent {
            name: "message".to_owned(),
            data: b"x".to_vec(),
        },
    ];
    for size in 1..=stream.len() {
        let mut parser = SseParser::new(100);
        let mut events = VecDeque::new();
        for chunk in stream.chunks(size) {
            parser.feed(chunk, &mut events).unwrap();
        }
        assert_eq!(Vec::from(events), expected, "chunks of {size}");
    }
}

#[test]
fn lines_and_events_are_bounded() {
    let mut events = VecDeque::new();
    let too_long = SseParser::new(10).feed(b"data: 0123456789", &mut events);
    assert!(matches!(
        too_long,
        Err(ClientError::TooLarge { limit_bytes: 10 })
    ));
    let mut parser = SseParser::new(10);
    let too_many = parser.feed(b"data:1234\ndata:5678\ndata:9\n", &mut events);
    assert!(matches!(
        too_many,
        Err(ClientError::TooLarge { limit_bytes: 10 })
    ));
}
