//! Tokens by OAuth 2.0: client credentials (RFC 6749, 4.4), asked for when they are needed and kept
//! until they run out or a target refuses one.

use std::time::{Duration, Instant};

use config::OAuth2;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;

use super::connection;
use super::fetch::{ScrapeError, secret};
use super::target::encoded;

/// An answer with a token is no longer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A token is not used in the last part of its life: it has to reach the target before it ends.
const SPARE: Duration = Duration::from_secs(10);

/// The tokens of a job.
#[derive(Debug)]
pub(super) struct Tokens {
    settings: OAuth2,
    client: Client,
    /// Whoever asks for one holds it, so that others wait instead of asking, too.
    present: tokio::sync::Mutex<Option<Token>>,
}

#[derive(Debug, Clone)]
struct Token {
    /// As the header `Authorization` has it.
    header: String,
    until: Option<Instant>,
}

/// What the server answers.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Tokens {
    /// The error says what is wrong with the settings.
    pub(super) fn new(settings: OAuth2) -> Result<Self, String> {
        let tls = settings.tls_config.as_ref();
        let client = connection::other_client(tls, settings.proxy_url.as_ref())
            .map_err(|problem| format!("oauth2: {problem}"))?;
        Ok(Self {
            settings,
            client,
            present: tokio::sync::Mutex::new(None),
        })
    }

    /// The value of the header `Authorization`.
    pub(super) async fn header(&self) -> Result<String, ScrapeError> {
        let mut present = self.present.lock().await;
        let live = |token: &&Token| token.until.is_none_or(|until| Instant::now() < until);
        if let Some(token) = present.as_ref().filter(live) {
            return Ok(token.header.clone());
        }
        let token = self.ask().await?;
        let header = token.header.clone();
        *present = Some(token);
        Ok(header)
    }

    /// Lets go of a token that a target refused.
    pub(super) async fn forget(&self, header: &str) {
        let mut present = self.present.lock().await;
        if present.as_ref().is_some_and(|token| token.header == header) {
            *present = None;
        }
    }

    /// Asks with the credentials in the header, and where the server does not take that, in the body.
    async fn ask(&self) -> Result<Token, ScrapeError> {
        let settings = &self.settings;
        let password = match (&settings.client_secret, &settings.client_secret_file) {
            (_, Some(file)) => secret(&file.0).await?,
            (Some(text), None) => text.0.clone(),
            (None, None) => String::new(),
        };
        let form = self.form();
        let user = encoded(&settings.client_id);
        let in_header = self.request(form.clone());
        let in_header = in_header.basic_auth(user, Some(encoded(&password)));
        match send(in_header).await? {
            Ok(token) => return Ok(token),
            Err(StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) => {}
            Err(status) => return Err(refused(status)),
        }
        let credentials = [
            ("client_id", settings.client_id.as_str()),
            ("client_secret", password.as_str()),
        ];
        let in_body = self.request(with(form, credentials));
        send(in_body).await?.map_err(refused)
    }

    fn form(&self) -> String {
        let settings = &self.settings;
        let scope = settings.scopes.join(" ");
        let own = [("grant_type", "client_credentials"), ("scope", &scope)];
        let own = own.into_iter().filter(|(_, value)| !value.is_empty());
        let more = settings.endpoint_params.iter();
        let more = more.map(|(name, value)| (name.as_str(), value.as_str()));
        with(String::new(), own.chain(more))
    }

    fn request(&self, form: String) -> RequestBuilder {
        self.client
            .post(&self.settings.token_url.0)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form)
    }
}

/// Appends pairs to a form.
fn with<'a>(mut form: String, pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(&format!("{}={}", encoded(name), encoded(value)));
    }
    form
}

fn refused(status: StatusCode) -> ScrapeError {
    ScrapeError::Credentials(format!("oauth2: the token server says {status}"))
}

fn wrong(what: impl std::fmt::Display) -> ScrapeError {
    ScrapeError::Credentials(format!("oauth2: {what}"))
}

/// A token, or the status of the refusal.
async fn send(request: RequestBuilder) -> Result<Result<Token, StatusCode>, ScrapeError> {
    let failed = |error: reqwest::Error| wrong(connection::told(&error));
    let mut response = request.send().await.map_err(failed)?;
    if !response.status().is_success() {
        return Ok(Err(response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(wrong("the answer of the token server is too long"));
        }
        body.extend_from_slice(&chunk);
    }
    let granted: Granted = serde_json::from_slice(&body)
        .map_err(|_| wrong("the answer of the token server has no token"))?;
    let kind = match granted.token_type.as_str() {
        "" => "Bearer",
        kind if kind.eq_ignore_ascii_case("bearer") => "Bearer",
        kind => kind,
    };
    let life = granted.expires_in.filter(|seconds| *seconds > 0.0);
    // A life that is longer than can be said never ends.
    let life = life.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let until = life.and_then(|life| Instant::now().checked_add(life.saturating_sub(SPARE)));
    Ok(Ok(Token {
        header: format!("{kind} {}", granted.access_token),
        until,
    }))
}

#[cfg(test)]
mod tests;
