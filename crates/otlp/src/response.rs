//! The small messages that answer an export: `Export*ServiceResponse` and `google.rpc.Status`.

use std::time::Duration;

use model::Signal;
use model::row::DecodeError;
use model::wire::{Field, Reader};
use serde_json::{Map, Value as Json, json};

use crate::proto::{int32, message, text, varint};

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// What an answer to an accepted export says beyond success. All three signals encode it alike.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartialSuccess {
    /// Rows refused for good.
    pub rejected: u64,
    /// Why, or a warning; empty for none.
    pub message: String,
}

impl PartialSuccess {
    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.rejected == 0 && self.message.is_empty()
    }

    /// The response in protobuf: empty where there is nothing to say.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.is_empty() {
            message(&mut out, 1, |out| {
                varint(out, 1, self.rejected);
                text(out, 2, &self.message);
            });
        }
        out
    }

    /// The response in OTLP JSON.
    pub fn to_json(&self, signal: Signal) -> Json {
        if self.is_empty() {
            return json!({});
        }
        let mut partial = Map::new();
        if self.rejected != 0 {
            let name = match signal {
                Signal::Traces => "rejectedSpans",
                Signal::Logs => "rejectedLogRecords",
                Signal::Metrics => "rejectedDataPoints",
            };
            partial.insert(name.to_owned(), Json::from(self.rejected.to_string()));
        }
        if !self.message.is_empty() {
            partial.insert("errorMessage".to_owned(), Json::from(self.message.as_str()));
        }
        json!({ "partialSuccess": partial })
    }

    /// Reads a response in protobuf.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut partial = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.next()? {
            if number != 1 {
                continue;
            }
            let mut inner = reader.nested(field.bytes(&reader)?);
            while let Some((number, field)) = inner.next()? {
                match number {
                    1 => partial.rejected = field.varint(&inner)?,
                    2 => field.text(&inner)?.clone_into(&mut partial.message),
                    _ => {}
                }
            }
        }
        Ok(partial)
    }
}

/// A `google.rpc.Status` with at most a `RetryInfo`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RpcStatus {
    /// A gRPC code.
    pub code: i32,
    /// What went wrong.
    pub message: String,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl RpcStatus {
    /// The status in protobuf.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        int32(&mut out, 1, self.code);
        text(&mut out, 2, &self.message);
        if let Some(delay) = self.retry_after {
            message(&mut out, 3, |out| {
                text(out, 1, RETRY_INFO_TYPE);
                message(out, 2, |out| {
                    message(out, 1, |out| {
                        varint(out, 1, delay.as_secs());
                        varint(out, 2, u64::from(delay.subsec_nanos()));
                    });
                });
            });
        }
        out
    }

    /// The status in JSON.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        object.insert("code".to_owned(), self.code.into());
        object.insert("message".to_owned(), self.message.as_str().into());
        if let Some(delay) = self.retry_after {
            let delay = format!("{}.{:09}s", delay.as_secs(), delay.subsec_nanos());
            let details = json!([{"@type": RETRY_INFO_TYPE, "retryDelay": delay}]);
            object.insert("details".to_owned(), details);
        }
        Json::Object(object)
    }

    /// Reads a status in protobuf. Details of other types are skipped.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut status = Self::default();
        let mut reader = Reader::new(bytes);
        while let Some((number, field)) = reader.next()? {
            match number {
                #[allow(clippy::cast_possible_truncation)]
                1 => status.code = field.varint(&reader)? as i32,
                2 => field.text(&reader)?.clone_into(&mut status.message),
                3 => {
                    let detail = retry_info(&reader, field)?;
                    status.retry_after = status.retry_after.or(detail);
                }
                _ => {}
            }
        }
        Ok(status)
    }
}

fn retry_info<'a>(parent: &Reader<'a>, field: Field<'a>) -> Result<Option<Duration>, DecodeError> {
    let mut any = parent.nested(field.bytes(parent)?);
    let (mut kind, mut value) = ("", &[][..]);
    while let Some((number, field)) = any.next()? {
        match number {
            1 => kind = field.text(&any)?,
            2 => value = field.bytes(&any)?,
            _ => {}
        }
    }
    if !kind.ends_with("google.rpc.RetryInfo") {
        return Ok(None);
    }
    let mut delay = Duration::ZERO;
    let mut info = any.nested(value);
    while let Some((number, field)) = info.next()? {
        if number != 1 {
            continue;
        }
        let mut duration = info.nested(field.bytes(&info)?);
        while let Some((number, field)) = duration.next()? {
            let part = i64::from_ne_bytes(field.varint(&duration)?.to_ne_bytes());
            // A negative delay means at once.
            let part = u64::try_from(part).unwrap_or(0);
            delay = delay.saturating_add(match number {
                1 => Duration::from_secs(part),
                2 => Duration::from_nanos(part),
                _ => Duration::ZERO,
            });
        }
    }
    Ok(Some(delay))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let status = RpcStatus {
            code: 14,
            message: "busy".to_owned(),
            retry_after: Some(Duration::from_millis(1500)),
        };
        assert_eq!(
            RpcStatus::from_protobuf(&status.to_protobuf()).unwrap(),
            status
        );
        assert_eq!(status.to_json()["details"][0]["retryDelay"], "1.500000000s");
        let partial = PartialSuccess {
            rejected: 3,
            message: "bad".to_owned(),
        };
        assert_eq!(
            PartialSuccess::from_protobuf(&partial.to_protobuf()).unwrap(),
            partial
        );
        assert_eq!(
            partial.to_json(Signal::Logs).to_string(),
            r#"{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"bad"}}"#
        );
        assert!(PartialSuccess::default().to_protobuf().is_empty());
    }
}
