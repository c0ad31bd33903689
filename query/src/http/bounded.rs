//! Bodies of bounded size: what would become too large is refused as soon as it does, before all
//! of it takes memory.

use std::io;

use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;

use crate::error::{ErrorKind, QueryError};
use crate::sources::too_large;

/// Makes a body on a thread that may block: many values take a while to be written, and to be let
/// go of.
pub(super) async fn written<T: Send + 'static>(
    write: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, QueryError> {
    let written = tokio::task::spawn_blocking(write).await;
    written.unwrap_or_else(|error| {
        tracing::error!(%error, "an answer could not be written");
        let message = "the answer could not be written; see the log";
        Err(QueryError::new(ErrorKind::Internal, message))
    })
}

/// A response of JSON that takes at most so many bytes.
pub(super) async fn json(
    value: impl Serialize + Send + 'static,
    most: u64,
) -> Result<Response, QueryError> {
    let body = written(move || encode(&value, most)).await?;
    Ok(response(body))
}

/// A response of JSON that is written already.
pub(super) fn response(body: impl Into<Bytes>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

fn encode(value: &impl Serialize, most: u64) -> Result<Vec<u8>, QueryError> {
    bytes(most, |body| Ok(serde_json::to_writer(body, value)?))
}

/// JSON that is written piece by piece, of at most so many bytes.
pub(super) fn bytes(
    most: u64,
    write: impl FnOnce(&mut Bounded) -> io::Result<()>,
) -> Result<Vec<u8>, QueryError> {
    let mut body = Bounded {
        bytes: Vec::new(),
        most: usize::try_from(most).unwrap_or(usize::MAX),
    };
    match write(&mut body) {
        Ok(()) => Ok(body.bytes),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(too_large(most)),
        Err(error) => {
            let message = format!("the answer cannot be written as JSON: {error}");
            Err(QueryError::new(ErrorKind::Internal, message))
        }
    }
}

/// Takes bytes up to a limit.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn writing_ends_where_a_body_becomes_too_large() {
        let written = Cell::new(0);
        /// A list of a million numbers that counts those that are written.
        struct List<'a>(&'a Cell<u32>);
        impl Serialize for List<'_> {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let numbers = (0..1_000_000).map(|_| {
                    self.0.set(self.0.get() + 1);
                    7
                });
                serializer.collect_seq(numbers)
            }
        }
        let error = encode(&List(&written), 1_000).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
        assert_eq!(written.get(), 501, "the one that is too much is the last");
        assert_eq!(&encode(&[1, 2], 5).unwrap()[..], b"[1,2]");
        assert!(encode(&[1, 2], 4).is_err());
    }
}
