//! The envelopes that container runtimes put around each line.
//!
//! CRI: `2019-05-07T18:57:52.904275089+00:00 stdout F text`, where `P` marks a part of a longer
//! line. docker's json-file: `{"log":"text\n","stream":"stdout","time":"..."}`, where a text
//! without line end is a part. Long lines are cut by the runtime at 16 KiB.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::timestamp;

/// Which runtime's envelope. Parts of one do not continue parts of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Runtime {
    Cri,
    Docker,
}

/// Where the process wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr]
            .into_iter()
            .find(|stream| stream.name() == name)
    }
}

/// One line without its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unwrapped<'a> {
    pub(super) runtime: Runtime,
    pub(super) stream: Stream,
    /// More of this line follows.
    pub(super) partial: bool,
    /// 0 where the time does not read.
    pub(super) time_unix_nano: u64,
    pub(super) text: Cow<'a, str>,
}

/// Takes a CRI envelope off.
pub(super) fn cri(line: &str) -> Option<Unwrapped<'_>> {
    let (time, rest) = line.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    let stream = Stream::from_name(stream)?;
    let (tags, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let tag = tags.split(':').next()?;
    if !matches!(tag, "P" | "F") {
        return None;
    }
    Some(Unwrapped {
        runtime: Runtime::Cri,
        stream,
        partial: tag == "P",
        time_unix_nano: timestamp::rfc3339(time)?,
        text: Cow::Borrowed(text),
    })
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Cow<'a, str>,
}

/// Takes a docker envelope off. `log` and `stream` must be there: other JSON has `log` too.
/// `strict` is false where the config says that the file is docker's, and `log` is enough.
pub(super) fn docker(line: &str, strict: bool) -> Option<Unwrapped<'_>> {
    if !line.starts_with('{') || !line.contains("\"log\"") {
        return None;
    }
    let parsed: DockerLine<'_> = serde_json::from_str(line).ok()?;
    let stream = Stream::from_name(&parsed.stream);
    if strict && (stream.is_none() || parsed.time.is_empty()) {
        return None;
    }
    let mut text = parsed.log;
    let whole = text.ends_with('\n');
    if whole {
        text = match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.trim_end_matches(['\n', '\r'])),
            Cow::Owned(text) => Cow::Owned(text.trim_end_matches(['\n', '\r']).to_owned()),
        };
    }
    Some(Unwrapped {
        runtime: Runtime::Docker,
        stream: stream.unwrap_or(Stream::Stdout),
        partial: !whole,
        time_unix_nano: timestamp::rfc3339(&parsed.time).unwrap_or(0),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelopes_come_off() {
        let line = "2019-05-07T18:57:50.904275087+00:00 stderr P:x part of ";
        let found = cri(line).unwrap();
        assert_eq!(found.text, "part of ");
        assert_eq!((found.stream, found.partial), (Stream::Stderr, true));
        assert_eq!(found.time_unix_nano, 1_557_255_470_904_275_087);
        assert_eq!(cri("2019-05-07T18:57:50Z stdout F").unwrap().text, "");
        assert_eq!(cri("2019-05-07T18:57:50Z stdout X text"), None);
        assert_eq!(cri("once upon a time"), None);

        let line = r#"{"log":"a \"b\"\n","stream":"stdout","time":"2021-02-01T16:45:03.01231Z"}"#;
        let found = docker(line, true).unwrap();
        assert_eq!((found.text.as_ref(), found.partial), ("a \"b\"", false));
        assert!(
            docker(r#"{"log":"a","stream":"stdout","time":"x"}"#, true)
                .unwrap()
                .partial
        );
        assert_eq!(docker(r#"{"log":"a","level":"info"}"#, true), None);
        assert!(docker(r#"{"log":"a\n"}"#, false).is_some());
        assert_eq!(docker("{\"log\":", true), None);
    }
}
