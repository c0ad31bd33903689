use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use model::{LogRecord, Tenant};
use storage::filter::Filter;
use storage::message::Summary;
use storage::read::Replies;
use tonic::client::Grpc as GrpcClient;
use tonic::transport::{Channel, Endpoint};

use super::*;

/// Replies with what the test asks for through the tenant's name.
struct Fake {
    live: Arc<AtomicUsize>,
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Read for Fake {
    fn name(&self) -> &str {
        "fake"
    }

    fn execute(&self, request: Request, limits: Limits) -> Replies {
        let Request::Status { tenant } = request else {
            return stream::once(async { Ok(Reply::End(Summary::default())) }).boxed();
        };
        assert_eq!(limits, Limits::default());
        match tenant.as_str() {
            "large" => {
                let record = LogRecord {
                    body: "x".repeat(1 << 20).into(),
                    ..LogRecord::default()
                };
                let replies = [
                    Reply::Logs(vec![record; 20]),
                    Reply::End(Summary::default()),
                ];
                stream::iter(replies.map(Ok)).boxed()
            }
            "endless" => {
                self.live.fetch_add(1, Ordering::SeqCst);
                let live = Live(Arc::clone(&self.live));
                let endless = stream::repeat(Ok(Reply::Logs(Vec::new())));
                endless
                    .inspect(move |_| assert!(live.0.load(Ordering::SeqCst) > 0))
                    .boxed()
            }
            _ => {
                let error = ReadError::Invalid("no such tenant".to_owned());
                async move { Err(error) }.into_stream().boxed()
            }
        }
    }
}

async fn start() -> (Channel, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let live = Arc::new(AtomicUsize::new(0));
    let reader = Arc::new(Fake {
        live: Arc::clone(&live),
    });
    let limits = ConnectionLimits::default();
    tokio::spawn(serve(
        reader,
        None,
        listener,
        limits,
        std::future::pending(),
    ));
    (
        Endpoint::from_shared(url).unwrap().connect().await.unwrap(),
        live,
    )
}

async fn call(channel: &Channel, bytes: Vec<u8>) -> Result<tonic::Streaming<Bytes>, Status> {
    let mut grpc = GrpcClient::new(channel.clone()).max_decoding_message_size(64 << 20);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(METHOD);
    let request = tonic::Request::new(Bytes::from(bytes));
    Ok(grpc
        .server_streaming(request, path, BytesCodec)
        .await?
        .into_inner())
}

fn status(tenant: &str) -> Vec<u8> {
    let tenant = Tenant::new(tenant).unwrap();
    postcard::to_stdvec(&(Request::Status { tenant }, Limits::default())).unwrap()
}

fn decoded(bytes: &Bytes) -> Result<Reply, ReadError> {
    postcard::from_bytes(bytes).unwrap()
}

#[tokio::test]
async fn large_replies_come_in_parts_and_errors_as_they_are() {
    let (channel, _) = start().await;
    let mut replies = call(&channel, status("large")).await.unwrap();
    let mut rows = 0;
    let mut ended = false;
    while let Some(message) = replies.message().await.unwrap() {
        assert!(message.len() <= REPLY_BYTES);
        match decoded(&message).unwrap() {
            Reply::Logs(logs) => rows += logs.len(),
            Reply::End(_) => ended = true,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((rows, ended), (20, true));
    let mut replies = call(&channel, status("other")).await.unwrap();
    let message = replies.message().await.unwrap().unwrap();
    assert_eq!(
        decoded(&message),
        Err(ReadError::Invalid("no such tenant".to_owned()))
    );
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_work() {
    let (channel, live) = start().await;
    let mut replies = call(&channel, status("endless")).await.unwrap();
    assert!(replies.message().await.unwrap().is_some());
    assert_eq!(live.load(Ordering::SeqCst), 1);
    drop(replies);
    while live.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let (channel, _) = start().await;
    let mut deep = Filter::All;
    for _ in 0..1_000 {
        deep = Filter::Not(Box::new(deep));
    }
    let selection = storage::message::Selection {
        tenant: Tenant::default(),
        signal: model::Signal::Logs,
        filter: Filter::All,
        range: model::TimeRange::ALL,
    };
    let fields = |filter| {
        let selection = storage::message::Selection {
            filter,
            ..selection.clone()
        };
        postcard::to_stdvec(&(Request::Fields { selection }, Limits::default())).unwrap()
    };
    let error = call(&channel, fields(deep)).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::InvalidArgument);
    assert!(error.message().contains("deeper"), "{error}");
    let mut allowed = Filter::All;
    for _ in 0..DEPTH_MAX {
        allowed = Filter::And(vec![allowed]);
    }
    for _ in 0..2 {
        assert!(call(&channel, fields(allowed.clone())).await.is_ok());
    }
    // As many as a request may hold: the depth counts on its way down, not how many there are.
    let wide = Filter::Or(vec![Filter::Not(Box::new(Filter::All)); 400_000]);
    assert!(call(&channel, fields(wide)).await.is_ok());
    for bytes in [Vec::new(), vec![0xff; 100], vec![3; 250_000]] {
        let error = call(&channel, bytes).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::InvalidArgument);
    }
    let large = call(&channel, vec![0; REQUEST_BYTES_MAX + 1]).await;
    assert_eq!(large.unwrap_err().code(), tonic::Code::OutOfRange);
    let mut grpc = GrpcClient::new(channel);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/no.Such/Method");
    let unknown = grpc
        .unary(tonic::Request::new(Bytes::new()), path, BytesCodec)
        .await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::Unimplemented);
}
