use std::sync::Arc;

use axum::body::Body;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use model::Tenant;
use otlp::server::{ConnectionLimits, Handler, listen};
use storage::message::Summary;
use tokio::net::TcpListener;
use tonic::Response;
use tonic::server::{Grpc as Server, ServerStreamingService};

use super::*;

type Sent = Vec<Result<Reply, ReadError>>;

/// Sends what a test says, and then ends or hangs.
#[derive(Clone)]
struct Fake {
    replies: Sent,
    hangs: bool,
}

impl ServerStreamingService<Bytes> for Fake {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let decoded: (Request, Limits) = postcard::from_bytes(request.get_ref()).unwrap();
        assert!(matches!(decoded.0, Request::Status { .. }));
        let fake = self.clone();
        Box::pin(async move {
            let messages: Vec<_> = fake
                .replies
                .iter()
                .map(|reply| Ok(Bytes::from(postcard::to_stdvec(reply).unwrap())))
                .collect();
            let sent = stream::iter(messages);
            let all = if fake.hangs {
                sent.chain(stream::pending()).boxed()
            } else {
                sent.boxed()
            };
            Ok(Response::new(all))
        })
    }
}

async fn serve(replies: Sent, hangs: bool) -> RemoteReader {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let fake = Fake { replies, hangs };
    let handler: Handler = Arc::new(move |request| {
        let fake = fake.clone();
        Box::pin(async move {
            assert_eq!(request.uri().path(), METHOD);
            Server::new(BytesCodec)
                .server_streaming(fake, request)
                .await
                .map(Body::new)
        })
    });
    tokio::spawn(listen(
        listener,
        handler,
        ConnectionLimits::default(),
        std::future::pending(),
    ));
    RemoteReader::new(&address).unwrap()
}

async fn ask(reader: &RemoteReader, timeout_ms: u64) -> Sent {
    let limits = Limits {
        timeout_ms,
        ..Limits::default()
    };
    reader
        .execute(
            Request::Status {
                tenant: Tenant::default(),
            },
            limits,
        )
        .collect()
        .await
}

/// More than a thousand streams that are dropped before their end end their connection.
#[tokio::test]
async fn a_connection_takes_any_number_of_calls() {
    let sent = vec![Ok(Reply::End(Summary::default()))];
    let reader = serve(sent.clone(), false).await;
    let calls = stream::iter(0..3_000).map(|_| ask(&reader, 10_000));
    let answers: Vec<Sent> = calls.buffer_unordered(16).collect().await;
    assert!(answers.iter().all(|answer| *answer == sent));
}

#[tokio::test]
async fn replies_come_as_they_were_sent() {
    let sent = vec![
        Ok(Reply::Logs(Vec::new())),
        Ok(Reply::End(Summary::default())),
    ];
    let reader = serve(sent.clone(), true).await;
    assert_eq!(ask(&reader, 1000).await, sent);
    let error = vec![Err(ReadError::Invalid("bad pattern".to_owned()))];
    let reader = serve(error.clone(), false).await;
    assert_eq!(ask(&reader, 1000).await, error);
}

/// One that takes requests of no length.
#[tokio::test]
async fn a_request_that_is_too_long_is_a_wrong_one_and_no_collector_that_is_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let handler: Handler = Arc::new(move |request| {
        Box::pin(async move {
            let fake = Fake {
                replies: Vec::new(),
                hangs: false,
            };
            let mut server = Server::new(BytesCodec).max_decoding_message_size(1);
            server.server_streaming(fake, request).await.map(Body::new)
        })
    });
    let limits = ConnectionLimits::default();
    tokio::spawn(listen(listener, handler, limits, std::future::pending()));
    let replies = ask(&RemoteReader::new(&address).unwrap(), 1000).await;
    assert!(
        matches!(&replies[..], [Err(ReadError::Invalid(text))] if text.contains("too long")),
        "{replies:?}"
    );
}

#[tokio::test]
async fn an_answer_without_an_end_is_an_error() {
    let reader = serve(vec![Ok(Reply::Logs(Vec::new()))], false).await;
    let replies = ask(&reader, 1000).await;
    assert_eq!(replies.len(), 2);
    assert!(matches!(&replies[1], Err(ReadError::Unavailable(text)) if text.contains("broke off")));
}

#[tokio::test]
async fn a_collector_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let replies = ask(&RemoteReader::new(&address).unwrap(), 1000).await;
    assert!(matches!(&replies[..], [Err(ReadError::Unavailable(text))] if text.contains(&address)));
    for address in ["", "https://x:1", "a b"] {
        assert!(RemoteReader::new(address).is_err(), "{address}");
    }
}

/// One whose process is stopped: the system takes connections for it, and nobody reads them.
#[tokio::test]
async fn a_collector_that_falls_silent_is_not_waited_for_to_the_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let patience = Patience {
        silence: Duration::from_millis(20),
        answer: Duration::from_millis(50),
    };
    let reader = RemoteReader::with_patience(&address, patience).unwrap();
    let hour = 3_600_000;
    let replies = tokio::time::timeout(Duration::from_secs(60), ask(&reader, hour)).await;
    let replies = replies.expect("an answer long before the time limit");
    assert!(
        matches!(
            &replies[..],
            [Err(ReadError::Unavailable(text))]
                if text.contains(&address) && text.ends_with("operation timed out")
        ),
        "{replies:?}"
    );
}

#[tokio::test]
async fn a_collector_that_works_for_long_is_waited_for() {
    let reader = serve(vec![Ok(Reply::Logs(Vec::new()))], true).await;
    let patience = Patience {
        silence: Duration::from_millis(10),
        answer: Duration::from_secs(1),
    };
    let mut reader = RemoteReader::with_patience(&reader.name, patience).unwrap();
    reader.grace = Duration::ZERO;
    // It says again and again that it lives, until the time limit.
    let replies = ask(&reader, 1_500).await;
    assert!(
        matches!(&replies[1], Err(ReadError::Unavailable(text)) if text.contains("in time")),
        "{replies:?}"
    );
}

#[tokio::test]
async fn a_collector_that_hangs_is_given_up() {
    let mut reader = serve(vec![Ok(Reply::Logs(Vec::new()))], true).await;
    reader.grace = Duration::from_millis(50);
    let replies = ask(&reader, 50).await;
    assert_eq!(replies.len(), 2);
    assert!(matches!(&replies[1], Err(ReadError::Unavailable(text)) if text.contains("in time")));
}
