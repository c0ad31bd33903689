//! Reading an answer within the limit.

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;

use super::Outcome;
use crate::inflate::{Encoding, Inflate};

/// An answer, read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) trailers: HeaderMap,
    /// The body, or why it was not read to its end.
    pub(super) body: Result<Vec<u8>, String>,
}

impl Answer {
    /// A header or trailer as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let value = self.trailers.get(name).or_else(|| self.headers.get(name));
        value.and_then(|value| value.to_str().ok())
    }
}

/// Reads an answer. One that breaks off is a failure that may be retried.
pub(super) async fn read(
    response: Response<reqwest::Body>,
    bytes_max: usize,
) -> Result<Answer, Outcome> {
    let (head, mut body) = response.into_parts();
    let mut trailers = HeaderMap::new();
    let encoding = head
        .headers
        .get(CONTENT_ENCODING)
        .map_or(Some(Encoding::Identity), |value| {
            value.to_str().ok().and_then(Encoding::from_name)
        });
    let mut inflate = match encoding {
        None => Err("response has an unknown Content-Encoding".to_owned()),
        Some(encoding) => Ok(Inflate::new(encoding, bytes_max)),
    };
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Outcome::Retryable {
            after: None,
            reason: format!("answer broke off: {error}"),
        })?;
        match frame.into_data() {
            Ok(data) => {
                let Ok(sink) = &mut inflate else {
                    break;
                };
                if let Err(error) = sink.push(&data) {
                    inflate = Err(error.to_string());
                }
            }
            Err(frame) => {
                if let Ok(more) = frame.into_trailers() {
                    trailers.extend(more);
                }
            }
        }
    }
    let body = inflate.and_then(|inflate| inflate.finish().map_err(|error| error.to_string()));
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        trailers,
        body,
    })
}
