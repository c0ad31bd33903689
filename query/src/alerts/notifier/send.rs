//! Delivers a message over HTTP.

use std::time::Duration;

use super::{Message, Webhook};

/// How much of an error answer is shown.
const ANSWER_CHARS_MAX: usize = 200;
/// A receiver cannot ask for a longer pause.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver took it.
    Taken,
    /// The receiver will never take it.
    Refused(String),
    /// It may work later.
    Later {
        /// Why not now.
        reason: String,
        /// When, if the receiver said so.
        after: Option<Duration>,
        /// Whether any other message would fare the same.
        whole: bool,
    },
}

/// Sends messages.
#[derive(Debug, Clone)]
pub struct HttpSender {
    client: reqwest::Client,
}

impl HttpSender {
    /// A sender; the error says why TLS cannot be set up.
    pub fn new() -> Result<Self, String> {
        // The first caller in the process installs the provider; any later one finds it there.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            let _already = rustls::crypto::ring::default_provider()
                .install_default()
                .is_err();
        }
        let client = reqwest::Client::builder()
            // A redirect would turn the POST into a GET without its body.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client })
    }

    /// Delivers one message.
    pub async fn send(&self, webhook: &Webhook, message: &Message) -> Delivery {
        let request = self
            .client
            .post(&webhook.url)
            .timeout(webhook.timeout)
            .json(message);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                let (refused, whole) = (error.is_builder(), error.is_connect());
                let reason = with_causes(&error.without_url());
                if refused {
                    return Delivery::Refused(reason);
                }
                return Delivery::Later {
                    reason,
                    after: None,
                    whole,
                };
            }
        };
        let status = response.status();
        if status.is_success() {
            return Delivery::Taken;
        }
        let after = response
            .headers()
            .get(http::header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
        let answer = match response.chunk_text().await {
            text if text.is_empty() => status.to_string(),
            text => format!("{status}: {text}"),
        };
        if status.is_server_error() || status == http::StatusCode::TOO_MANY_REQUESTS {
            Delivery::Later {
                reason: answer,
                after,
                whole: status == http::StatusCode::TOO_MANY_REQUESTS,
            }
        } else {
            Delivery::Refused(answer)
        }
    }
}

/// Where an address leads, without what may be secret of it: the user, the path and the query.
pub(super) fn place(url: &str) -> String {
    let Ok(url) = reqwest::Url::parse(url) else {
        return "an address that cannot be read".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{host}{port}", url.scheme())
}

/// An error with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

trait ChunkText {
    /// The beginning of the body as text: an error page may be of any size.
    async fn chunk_text(self) -> String;
}

impl ChunkText for reqwest::Response {
    async fn chunk_text(mut self) -> String {
        match self.chunk().await {
            Ok(Some(bytes)) => String::from_utf8_lossy(&bytes)
                .chars()
                .take(ANSWER_CHARS_MAX)
                .collect(),
            _ => String::new(),
        }
    }
}
