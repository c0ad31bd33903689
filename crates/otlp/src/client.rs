//! Sends exports over OTLP/gRPC or OTLP/HTTP and says what became of them.
//!
//! A [`Client`] keeps its connections and may be asked to send many exports at once. It sends
//! each once: when and how often to try again is its owner's business, and [`Outcome`] tells
//! what the OTLP specification allows.

mod classify;
mod response;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use model::Signal;
use reqwest::redirect::Policy;

use crate::inflate::Encoding;
use crate::stamp::StampHeaders;

pub use classify::Outcome;

/// Which protocol a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP in protobuf.
    HttpProtobuf,
}

/// What a client allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Time for one export, from the first byte sent to the last one received.
    pub timeout: Duration,
    /// Time to connect.
    pub connect_timeout: Duration,
    /// Bytes of one response, also decompressed; more are not read.
    pub response_bytes: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            response_bytes: 4 << 20,
        }
    }
}

/// The client cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is not an http or https URL.
    #[error("endpoint {endpoint:?} is not an http or https URL: {reason}")]
    Endpoint {
        /// The endpoint given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
    /// TLS or the connection pool could not be set up.
    #[error("cannot set up the client: {0}")]
    Setup(#[from] reqwest::Error),
}

/// Shorter than the server keeps an idle connection, so that the client closes first.
const POOL_IDLE: Duration = Duration::from_secs(60);
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("throughline/", env!("CARGO_PKG_VERSION"));
/// Bodies longer than this are compressed on a thread of their own.
const BLOCKING_BYTES: usize = 256 << 10;

/// Sends exports to one endpoint. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    protocol: Protocol,
    compression: Encoding,
    limits: ClientLimits,
}

impl Client {
    /// A client for `endpoint`: a URL, or `host:port` for one without TLS. Nothing is connected
    /// yet.
    pub fn new(
        endpoint: &str,
        protocol: Protocol,
        compression: Encoding,
        limits: ClientLimits,
    ) -> Result<Self, ClientError> {
        let wrong = |reason: &str| ClientError::Endpoint {
            endpoint: endpoint.to_owned(),
            reason: reason.to_owned(),
        };
        let base = if endpoint.contains("://") {
            endpoint.trim_end_matches('/').to_owned()
        } else {
            format!("http://{}", endpoint.trim_end_matches('/'))
        };
        let url = reqwest::Url::parse(&base).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong("the scheme must be http or https"));
        }
        if !url.has_host() || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it must have a host, and neither query nor fragment"));
        }
        // An error means that the process has chosen its provider already.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .timeout(limits.timeout)
            .connect_timeout(limits.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .redirect(Policy::none())
            .no_gzip()
            .no_proxy();
        if protocol == Protocol::Grpc {
            http = http.http2_prior_knowledge();
        }
        Ok(Self {
            http: http.build()?,
            base,
            protocol,
            compression,
            limits,
        })
    }

    /// Sends one export request in protobuf.
    pub async fn send(
        &self,
        signal: Signal,
        request: Bytes,
        stamp: Option<&StampHeaders>,
    ) -> Outcome {
        let body = match self.body(request).await {
            Ok(body) => body,
            Err(error) => {
                return Outcome::Retryable {
                    after: None,
                    reason: format!("cannot compress: {error}"),
                };
            }
        };
        let mut builder = match self.protocol {
            Protocol::Grpc => {
                let url = format!("{}{}", self.base, grpc_path(signal));
                let builder = self.http.post(url).header("te", "trailers");
                let builder = builder.header(CONTENT_TYPE, "application/grpc");
                match self.compression {
                    Encoding::Identity => builder,
                    other => builder.header("grpc-encoding", other.name()),
                }
            }
            Protocol::HttpProtobuf => {
                let builder = self.http.post(format!("{}/v1/{signal}", self.base));
                let builder = builder.header(CONTENT_TYPE, "application/x-protobuf");
                match self.compression {
                    Encoding::Identity => builder,
                    other => builder.header(CONTENT_ENCODING, other.name()),
                }
            }
        };
        for (name, value) in stamp.into_iter().flat_map(StampHeaders::headers) {
            builder = builder.header(name, value);
        }
        self.answer(builder.body(body)).await
    }

    /// Posts what is no OTLP export to a path of the endpoint; what the statuses say of sending it
    /// again is the same.
    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Outcome {
        let mut builder = self.http.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        self.answer(builder.body(body)).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Outcome {
        match request.send().await {
            Err(error) => classify::unsent(&error),
            Ok(answer) => {
                let answer = response::read(answer.into(), self.limits.response_bytes).await;
                match (answer, self.protocol) {
                    (Err(failed), _) => failed,
                    (Ok(answer), Protocol::Grpc) => classify::grpc(&answer),
                    (Ok(answer), Protocol::HttpProtobuf) => classify::http(&answer),
                }
            }
        }
    }

    /// The request as it goes over the wire: compressed, and framed for gRPC.
    async fn body(&self, request: Bytes) -> std::io::Result<Bytes> {
        let encoding = self.compression;
        let compressed = if encoding == Encoding::Identity {
            request
        } else if request.len() > BLOCKING_BYTES {
            let job = tokio::task::spawn_blocking(move || compress(encoding, &request));
            job.await.map_err(std::io::Error::other)??
        } else {
            compress(encoding, &request)?
        };
        if self.protocol == Protocol::HttpProtobuf {
            return Ok(compressed);
        }
        let length = u32::try_from(compressed.len()).map_err(std::io::Error::other)?;
        let mut framed = BytesMut::with_capacity(compressed.len() + 5);
        framed.put_u8(u8::from(encoding != Encoding::Identity));
        framed.put_u32(length);
        framed.put_slice(&compressed);
        Ok(framed.freeze())
    }
}

fn compress(encoding: Encoding, request: &[u8]) -> std::io::Result<Bytes> {
    use std::io::Write;
    let bytes = match encoding {
        Encoding::Identity => request.to_vec(),
        Encoding::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(request)?;
            encoder.finish()?
        }
        Encoding::Zstd => zstd::bulk::compress(request, 1)?,
    };
    Ok(Bytes::from(bytes))
}

fn grpc_path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

#[cfg(test)]
mod tests;
