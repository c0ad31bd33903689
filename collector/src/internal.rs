//! Serves the store's reader to query nodes: one gRPC method that streams replies.
//!
//! `throughline.internal.v1.Reader/Execute` takes one message, the postcard bytes of
//! `(Request, Limits)`, and streams messages, each the postcard bytes of
//! `Result<Reply, ReadError>`. A caller cancels by ending the call. Replies too large for one
//! message come in parts. Postcard names no fields: both sides must be of one version, which the
//! `v1` in the method's path stands for.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use otlp::raw::BytesCodec;
use otlp::server::{ConnectionLimits, Handler, listen};
use storage::filter::DEPTH_MAX;
use storage::message::{Cardinality, CountGroup, Counts, Limits, Reply, Request, SeriesPoints};
use storage::read::{Read, ReadError};
use tokio::net::TcpListener;
use tonic::server::{Grpc, ServerStreamingService};
use tonic::{Response, Status};

use crate::admin::Admin;

/// The method's path.
pub const METHOD: &str = "/throughline.internal.v1.Reader/Execute";
/// The longest request: filters with long lists of ids, and the selectors of a form, which may have
/// 2 MiB.
const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Replies are cut into parts of about this size.
const REPLY_BYTES: usize = 4 << 20;
/// Requests up to this size are decoded in place.
const SMALL_REQUEST: usize = 200;
/// What decoding takes of the stack at most: 8 KiB a level of a filter.
const DECODING_STACK: usize = (DEPTH_MAX + 1) * (8 << 10);

/// Serves `reader`, and `admin` to who may ask it, until `shutdown`.
pub async fn serve(
    reader: Arc<dyn Read>,
    admin: Option<Arc<Admin>>,
    listener: TcpListener,
    limits: ConnectionLimits,
    shutdown: impl Future<Output = ()> + Send,
) {
    let handler: Handler = Arc::new(move |request| {
        let execute = Execute {
            reader: Arc::clone(&reader),
        };
        let admin = admin.clone();
        Box::pin(async move {
            if let Some(admin) = admin.filter(|_| Admin::has(request.uri().path())) {
                return admin.answer(request).await;
            }
            if request.uri().path() != METHOD {
                let reason = format!("there is no method {}", request.uri().path());
                return Status::unimplemented(reason).into_http();
            }
            let mut grpc = Grpc::new(BytesCodec).max_decoding_message_size(REQUEST_BYTES_MAX);
            grpc.server_streaming(execute, request).await.map(Body::new)
        })
    });
    listen(listener, handler, limits, shutdown).await;
}

struct Execute {
    reader: Arc<dyn Read>,
}

impl ServerStreamingService<Bytes> for Execute {
    type Response = Bytes;
    type ResponseStream = BoxStream<'static, Result<Bytes, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let reader = Arc::clone(&self.reader);
        Box::pin(async move {
            let (request, limits) = decode(request.into_inner()).await?;
            let replies = reader.execute(request, limits);
            let messages = replies.flat_map(|reply| stream::iter(messages(reply)));
            Ok(Response::new(messages.boxed()))
        })
    }
}

/// Decodes a request. A filter is a tree, which a long request may nest deep: such are decoded on
/// a thread whose stack is large enough for that.
async fn decode(bytes: Bytes) -> Result<(Request, Limits), Status> {
    if bytes.len() <= SMALL_REQUEST {
        return decode_here(&bytes);
    }
    let (answer, answered) = tokio::sync::oneshot::channel();
    let work = move || drop(answer.send(decode_here(&bytes)));
    let thread = std::thread::Builder::new().stack_size(DECODING_STACK);
    let spawned = thread.spawn(work);
    spawned.map_err(|error| Status::unavailable(format!("cannot start a thread: {error}")))?;
    answered
        .await
        .map_err(|_| Status::internal("decoding stopped"))?
}

fn decode_here(bytes: &[u8]) -> Result<(Request, Limits), Status> {
    let invalid = |reason: String| Status::invalid_argument(format!("malformed request: {reason}"));
    let (request, rest) = postcard::take_from_bytes(bytes).map_err(|error| match error {
        // The format keeps no message of what it is told; a filter that is too deep is all there is.
        postcard::Error::SerdeDeCustom => invalid(format!("filter nests deeper than {DEPTH_MAX}")),
        error => invalid(error.to_string()),
    })?;
    if !rest.is_empty() {
        return Err(invalid("bytes after its end".to_owned()));
    }
    Ok(request)
}

/// A reply as messages of limited size.
fn messages(reply: Result<Reply, ReadError>) -> Vec<Result<Bytes, Status>> {
    let mut out = Vec::new();
    put_messages(reply, &mut out);
    out
}

fn put_messages(reply: Result<Reply, ReadError>, out: &mut Vec<Result<Bytes, Status>>) {
    let bytes = match postcard::to_stdvec(&reply) {
        Ok(bytes) => bytes,
        Err(error) => return out.push(Err(Status::internal(format!("cannot encode: {error}")))),
    };
    if bytes.len() > REPLY_BYTES
        && let Ok(reply) = reply
        && let Some((first, second)) = halves(reply)
    {
        put_messages(Ok(first), out);
        put_messages(Ok(second), out);
        return;
    }
    out.push(Ok(Bytes::from(bytes)));
}

/// Cuts a reply's list in two; one row, or a kind without rows, cannot be cut.
fn halves(reply: Reply) -> Option<(Reply, Reply)> {
    fn cut<T>(mut list: Vec<T>, wrap: fn(Vec<T>) -> Reply) -> Option<(Reply, Reply)> {
        let second = (list.len() > 1).then(|| list.split_off(list.len() / 2))?;
        Some((wrap(list), wrap(second)))
    }
    match reply {
        Reply::Spans(list) => cut(list, Reply::Spans),
        Reply::Logs(list) => cut(list, Reply::Logs),
        Reply::Counts(counts) => {
            let (first, second) = halves_of(counts)?;
            Some((Reply::Counts(first), Reply::Counts(second)))
        }
        Reply::Durations(list) => cut(list, Reply::Durations),
        Reply::Traces(list) => cut(list, Reply::Traces),
        Reply::Fields(list) => cut(list, Reply::Fields),
        Reply::Values(list) => cut(list, Reply::Values),
        Reply::Series(mut list) if list.len() == 1 && list[0].points.len() > 1 => {
            // A series may come in several parts.
            let mut first = list.remove(0);
            let points = first.points.split_off(first.points.len() / 2);
            let second = SeriesPoints {
                series: first.series.clone(),
                points,
            };
            Some((Reply::Series(vec![first]), Reply::Series(vec![second])))
        }
        Reply::Series(list) => cut(list, Reply::Series),
        Reply::Samples(list) => cut(list, Reply::Samples),
        Reply::Labels(list) => cut(list, Reply::Labels),
        Reply::Metrics(list) => cut(list, Reply::Metrics),
        Reply::Cardinality(mut all) => {
            // Parts are added up: the second one has nothing but the rest of the lists.
            let rest = Cardinality {
                metrics: second_half(&mut all.metrics),
                labels: second_half(&mut all.labels),
                values: second_half(&mut all.values),
                ..Cardinality::default()
            };
            let is_empty = rest == Cardinality::default();
            (!is_empty).then(|| (Reply::Cardinality(all), Reply::Cardinality(rest.into())))
        }
        Reply::Tail(_) | Reply::Status(_) | Reply::End(_) => None,
    }
}

/// Counts in two parts, which are added up again: a group may come in both.
fn halves_of(mut counts: Counts) -> Option<(Counts, Counts)> {
    let groups = match &mut counts.groups[..] {
        [group] if group.buckets.len() > 1 => vec![CountGroup {
            key: group.key.clone(),
            buckets: second_half(&mut group.buckets),
        }],
        [] | [_] => return None,
        _ => second_half(&mut counts.groups),
    };
    Some((counts, Counts { groups, other: 0 }))
}

fn second_half<T>(list: &mut Vec<T>) -> Vec<T> {
    list.split_off(list.len().div_ceil(2))
}

#[cfg(test)]
mod tests;
