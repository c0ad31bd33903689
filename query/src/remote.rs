//! Reads a collector elsewhere: the caller's half of `throughline.internal.v1.Reader/Execute`.
//!
//! A call sends one message, the postcard bytes of `(Request, Limits)`, and reads a stream of
//! messages, each the postcard bytes of `Result<Reply, ReadError>`. Dropping the stream ends the
//! call, and with it the collector's work. The connection is made when it is first needed and
//! again whenever it broke.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::uri::PathAndQuery;
use otlp::raw::BytesCodec;
use storage::message::{Limits, Reply, Request};
use storage::read::{Read, ReadError, Replies};
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

const METHOD: &str = "/throughline.internal.v1.Reader/Execute";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// When a collector that is asked sends nothing, it is asked whether it lives; one that works on
/// a long answer says so, one that hangs does not.
const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(2),
    answer: Duration::from_secs(4),
};
/// Beyond the request's own time limit, which the collector keeps: only a collector that hangs
/// takes longer.
const GRACE: Duration = Duration::from_secs(2);
/// Replies come in parts of a few MiB, but a single row may be as large as a request.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// A collector's address that is no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("collector address {address:?}: {reason}")]
pub struct AddressError {
    /// The address given.
    pub address: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A connection that cannot serve a further call says so within this time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long the end of a stream is awaited after the last reply.
const END_TIMEOUT: Duration = Duration::from_millis(200);

/// How long a collector may say nothing at all while it is asked.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// After so much silence it is asked whether it lives...
    silence: Duration,
    /// ...and has so long to say that it does.
    answer: Duration,
}

/// A reader over a collector's store.
#[derive(Debug, Clone)]
pub struct RemoteReader {
    name: String,
    channel: Channel,
    grace: Duration,
}

impl RemoteReader {
    /// A reader of the collector at `address`, a URL or `host:port`; it is named by that. Must be
    /// called within a tokio runtime; nothing is connected yet.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        Self::with_patience(address, PATIENCE)
    }

    fn with_patience(address: &str, patience: Patience) -> Result<Self, AddressError> {
        let url = if address.contains("://") {
            address.to_owned()
        } else {
            format!("http://{address}")
        };
        let wrong = |reason: String| AddressError {
            address: address.to_owned(),
            reason,
        };
        let endpoint = Endpoint::from_shared(url).map_err(|error| wrong(error.to_string()))?;
        if endpoint.uri().scheme_str() != Some("http") || endpoint.uri().host().is_none() {
            return Err(wrong("expected host:port or http://host:port".to_owned()));
        }
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(patience.silence)
            .keep_alive_timeout(patience.answer);
        Ok(Self {
            name: address.to_owned(),
            channel: endpoint.connect_lazy(),
            grace: GRACE,
        })
    }
}

impl Read for RemoteReader {
    fn name(&self) -> &str {
        &self.name
    }

    fn execute(&self, request: Request, limits: Limits) -> Replies {
        let deadline = match request {
            // A tail goes on until it is dropped.
            Request::Tail { .. } => None,
            _ => Some(Instant::now() + Duration::from_millis(limits.timeout_ms) + self.grace),
        };
        let name = self.name.clone();
        let message = postcard::to_stdvec(&(request, limits));
        let channel = self.channel.clone();
        let state = State {
            name,
            deadline,
            call: Call::Ready(channel, message),
        };
        stream::unfold(state, State::next).boxed()
    }
}

struct State {
    name: String,
    deadline: Option<Instant>,
    call: Call,
}

enum Call {
    Ready(Channel, postcard::Result<Vec<u8>>),
    Running(Box<Streaming<Bytes>>),
    Done,
}

impl State {
    /// The next reply. After `End` or an error there is none.
    async fn next(mut self) -> Option<(Result<Reply, ReadError>, Self)> {
        let next = step(std::mem::replace(&mut self.call, Call::Done));
        let stepped = match self.deadline {
            None => next.await,
            Some(deadline) => tokio::time::timeout_at(deadline, next)
                .await
                .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))),
        };
        match stepped {
            Ok((None, Call::Done)) => None,
            Ok((None, _)) => {
                let reason = format!("collector {} broke off its answer", self.name);
                Some((Err(ReadError::Unavailable(reason)), self))
            }
            Ok((Some(reply), call)) => {
                if !matches!(reply, Ok(Reply::End(_)) | Err(_)) {
                    self.call = call;
                }
                Some((reply, self))
            }
            Err(status) => Some((Err(self.error(&status)), self)),
        }
    }

    fn error(&self, status: &Status) -> ReadError {
        match status.code() {
            tonic::Code::InvalidArgument => {
                return ReadError::Invalid(status.message().to_owned());
            }
            // What the collector says of a request that is longer than it takes.
            tonic::Code::OutOfRange => {
                let reason = status.message();
                let message = format!(
                    "the query is too long for collector {}: {reason}",
                    self.name
                );
                return ReadError::Invalid(message);
            }
            _ => {}
        }
        let reason = match root(status) {
            Some(root) => format!("{}: {root}", status.message()),
            None => status.message().to_owned(),
        };
        ReadError::Unavailable(format!("collector {}: {reason}", self.name))
    }
}

/// What lies at the bottom of an error, in its own words.
fn root(status: &Status) -> Option<String> {
    let mut source = std::error::Error::source(status)?;
    while let Some(deeper) = source.source() {
        source = deeper;
    }
    Some(source.to_string()).filter(|root| root != status.message())
}

/// Starts the call if it is not running, and reads one message.
async fn step(call: Call) -> Result<(Option<Result<Reply, ReadError>>, Call), Status> {
    match call {
        Call::Done => Ok((None, Call::Done)),
        Call::Running(replies) => read(replies).await,
        Call::Ready(channel, message) => {
            let message = message.map_err(|error| Status::internal(error.to_string()))?;
            let message = Bytes::from(message);
            let begun = Instant::now();
            match start(channel.clone(), message.clone()).await {
                // Nothing was read yet, and asking changes nothing. One that fell silent has had
                // its time.
                Err(status) if is_connection_lost(&status) && begun.elapsed() < AT_ONCE => {
                    start(channel, message).await
                }
                other => other,
            }
        }
    }
}

/// Whether the connection ended, not the call: one that has served for long may have used up
/// what HTTP/2 grants it, and another call on it had the error.
fn is_connection_lost(status: &Status) -> bool {
    std::error::Error::source(status).is_some()
}

/// Starts the call and reads its first message.
async fn start(
    channel: Channel,
    message: Bytes,
) -> Result<(Option<Result<Reply, ReadError>>, Call), Status> {
    let mut grpc = Grpc::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let ready = grpc.ready().await;
    ready.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = PathAndQuery::from_static(METHOD);
    let request = tonic::Request::new(message);
    let answer = grpc.server_streaming(request, path, BytesCodec).await?;
    read(Box::new(answer.into_inner())).await
}

/// Reads one message.
async fn read(
    mut replies: Box<Streaming<Bytes>>,
) -> Result<(Option<Result<Reply, ReadError>>, Call), Status> {
    let Some(message) = replies.message().await? else {
        return Ok((None, Call::Running(replies)));
    };
    let reply: Result<Reply, ReadError> = postcard::from_bytes(&message)
        .map_err(|error| Status::internal(format!("malformed reply: {error}")))?;
    if matches!(reply, Ok(Reply::End(_)) | Err(_)) {
        // The stream's own end follows. Dropped before it, the stream is reset, and a connection
        // takes no more than a thousand such resets in its life. What the end says changes
        // nothing: the answer is whole.
        let _end = tokio::time::timeout(END_TIMEOUT, replies.message()).await;
    }
    Ok((Some(reply), Call::Running(replies)))
}

#[cfg(test)]
mod tests;
