//! One request to a target: within its time, its size, and the memory that all scrapes share.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use config::{HttpAccess, HttpHeaders, ScrapeSettings};
use model::room::{Budget, NoRoom, Room};
use otlp::inflate::{Encoding, Inflate, InflateError};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue,
};
use reqwest::{Client, RequestBuilder, Response, StatusCode};

use super::oauth2::Tokens;
use super::protobuf::ProtobufError;
use super::protocols::{self, Format};
use super::target::Target;
use super::text::TextError;

/// A secret in a file is no longer.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Why a scrape failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    /// No answer came.
    #[error("no answer: {0}")]
    Connect(String),
    /// It took too long.
    #[error("no answer within the time that it has")]
    Timeout,
    /// It came, but reading it took too long.
    #[error("the answer could not be read within {} s", .0.as_secs())]
    ReadTimeout(Duration),
    /// The agent stops, or the target is gone.
    #[error("the target is scraped no more")]
    Stopped,
    /// The target says that it failed.
    #[error("status {0}")]
    Status(u16),
    /// The answer is over a limit.
    #[error("{0}")]
    TooLarge(String),
    /// The answer does not read.
    #[error("the answer does not read: {0}")]
    Malformed(String),
    /// Other scrapes hold the memory that all may take.
    #[error(transparent)]
    Memory(#[from] NoRoom),
    /// The credentials cannot be read.
    #[error("credentials: {0}")]
    Credentials(String),
}

impl ScrapeError {
    /// The reason as a counter's label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            ScrapeError::Connect(_) => "connect",
            ScrapeError::Timeout | ScrapeError::ReadTimeout(_) => "timeout",
            ScrapeError::Stopped => "stopped",
            ScrapeError::Status(_) => "status",
            ScrapeError::TooLarge(_) => "too_large",
            ScrapeError::Malformed(_) => "malformed",
            ScrapeError::Memory(_) => "memory",
            ScrapeError::Credentials(_) => "credentials",
        }
    }
}

impl From<TextError> for ScrapeError {
    fn from(error: TextError) -> Self {
        ScrapeError::Malformed(error.to_string())
    }
}

impl From<ProtobufError> for ScrapeError {
    fn from(error: ProtobufError) -> Self {
        ScrapeError::Malformed(error.to_string())
    }
}

impl From<InflateError> for ScrapeError {
    fn from(error: InflateError) -> Self {
        match error {
            InflateError::TooLarge(limit) => {
                ScrapeError::TooLarge(format!("the answer has more than {limit} bytes"))
            }
            InflateError::Corrupt { .. } => ScrapeError::Malformed(error.to_string()),
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// As it came, unpacked.
    pub(super) body: Vec<u8>,
    /// How it is read.
    pub(super) format: Format,
    /// What it takes of the memory of all scrapes, until dropped.
    pub(super) _room: Room,
}

/// How a target is asked.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    /// Sends the request.
    pub(super) client: Client,
    /// The URL with the name of the target's certificate, and what the target is called itself.
    pub(super) named: Option<(String, String)>,
    /// Where the request needs a token.
    pub(super) tokens: Option<&'a Tokens>,
}

/// Asks a target; the time limit is the caller's.
pub(super) async fn fetch(
    asked: &Asked<'_>,
    settings: &ScrapeSettings,
    target: &Target,
    budget: &Arc<Budget>,
) -> Result<Answer, ScrapeError> {
    let request = match &asked.named {
        None => asked.client.get(&target.url),
        Some((url, host)) => asked.client.get(url).header(HOST, host),
    };
    let request = request.header(ACCEPT, protocols::accept(settings)).header(
        "x-prometheus-scrape-timeout-seconds",
        target.timeout.as_secs_f64().to_string(),
    );
    let request = if settings.enable_compression {
        request.header(ACCEPT_ENCODING, "gzip")
    } else {
        request
    };
    let access = settings.access();
    let request = further(request, access.http_headers).await?;
    let token = match asked.tokens {
        Some(tokens) => Some(tokens.header().await?),
        None => None,
    };
    let request = match &token {
        Some(token) => request.header(AUTHORIZATION, sensitive(token)?),
        None => authorized(request, &access).await?,
    };
    let response = request.send().await.map_err(connect)?;
    // As for Prometheus: others that are no errors, such as 204, have no samples to tell.
    if response.status() != StatusCode::OK {
        if let (StatusCode::UNAUTHORIZED, Some(tokens), Some(token)) =
            (response.status(), asked.tokens, &token)
        {
            tokens.forget(token).await;
        }
        return Err(ScrapeError::Status(response.status().as_u16()));
    }
    let limit = usize::try_from(settings.body_size_limit.0).unwrap_or(usize::MAX);
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let format =
        protocols::format(header(CONTENT_TYPE), settings).map_err(ScrapeError::Malformed)?;
    let encoding = header(CONTENT_ENCODING).unwrap_or_default();
    let encoding = Encoding::from_name(encoding).ok_or_else(|| {
        ScrapeError::Malformed(format!("the answer is compressed by `{encoding}`"))
    })?;
    let mut room = budget.room(usize::MAX);
    let body = body(response, Inflate::new(encoding, limit), &mut room).await?;
    Ok(Answer {
        body,
        format,
        _room: room,
    })
}

async fn body(
    mut response: Response,
    mut inflate: Inflate,
    room: &mut Room,
) -> Result<Vec<u8>, ScrapeError> {
    while let Some(chunk) = response.chunk().await.map_err(connect)? {
        inflate.push(&chunk)?;
        room.resize(inflate.memory())?;
    }
    let bytes = inflate.finish()?;
    room.resize(bytes.len())?;
    Ok(bytes)
}

#[allow(clippy::needless_pass_by_value)]
fn connect(error: reqwest::Error) -> ScrapeError {
    if error.is_timeout() {
        return ScrapeError::Timeout;
    }
    // The library's own message names the URL, which is in the log line already.
    let mut source: &dyn std::error::Error = &error;
    while let Some(next) = source.source() {
        source = next;
    }
    ScrapeError::Connect(source.to_string())
}

/// Adds the credentials that are no token of a token server.
pub(super) async fn authorized(
    request: RequestBuilder,
    access: &HttpAccess<'_>,
) -> Result<RequestBuilder, ScrapeError> {
    if let Some(auth) = access.basic_auth {
        let password = match (&auth.password, &auth.password_file) {
            (_, Some(file)) => Some(secret(&file.0).await?),
            (Some(text), None) => Some(text.0.clone()),
            (None, None) => None,
        };
        return Ok(request.basic_auth(&auth.username, password));
    }
    let Some(auth) = access.authorization else {
        return Ok(request);
    };
    let credentials = match (&auth.credentials, &auth.credentials_file) {
        (_, Some(file)) => secret(&file.0).await?,
        (Some(text), None) => text.0.clone(),
        (None, None) => String::new(),
    };
    let value = format!("{} {credentials}", auth.r#type);
    Ok(request.header(AUTHORIZATION, sensitive(&value)?))
}

/// Adds headers of the configuration.
pub(super) async fn further(
    mut request: RequestBuilder,
    headers: &HttpHeaders,
) -> Result<RequestBuilder, ScrapeError> {
    for (name, values) in &headers.0 {
        for text in values.values.iter().chain(&values.secrets) {
            request = request.header(name, sensitive(&text.0)?);
        }
        for file in &values.files {
            request = request.header(name, sensitive(&secret(&file.0).await?)?);
        }
    }
    Ok(request)
}

/// The value of a header that no log shows.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, ScrapeError> {
    let mut value = HeaderValue::from_str(text.trim())
        .map_err(|_| ScrapeError::Credentials("they cannot be in a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a file says, without the end of its line.
pub(super) async fn secret(path: &Path) -> Result<String, ScrapeError> {
    let named =
        |error: std::io::Error| ScrapeError::Credentials(format!("{}: {error}", path.display()));
    let length = tokio::fs::metadata(path).await.map_err(named)?.len();
    if length > SECRET_BYTES_MAX {
        let problem = format!("{} is too long", path.display());
        return Err(ScrapeError::Credentials(problem));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(named)?;
    Ok(text.trim().to_owned())
}
