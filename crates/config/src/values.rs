//! The types that a key may have.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Tenant;
use regex::Regex;

use crate::ConfigError;
use crate::section::{Context, Key, Value};
use crate::units::{ByteSize, parse_duration};
use crate::yaml::{Node, Place};

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        match node.as_text() {
            Some("true" | "True" | "TRUE") => Some(true),
            Some("false" | "False" | "FALSE") => Some(false),
            other => {
                let hint = match other {
                    Some("yes" | "on" | "1") => Some("write true".to_owned()),
                    Some("no" | "off" | "0") => Some("write false".to_owned()),
                    _ => None,
                };
                cx.expected(node, Self::KIND, hint);
                None
            }
        }
    }
}

impl Value for u64 {
    const KIND: &'static str = "a whole number";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let number = node
            .as_text()
            .and_then(|text| text.replace('_', "").parse().ok());
        if number.is_none() {
            cx.expected(node, Self::KIND, None);
        }
        number
    }

    fn is_less(&self, other: &Self) -> bool {
        self < other
    }
}

impl Value for usize {
    const KIND: &'static str = "a whole number";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let number = u64::read(node, cx)?;
        usize::try_from(number).ok()
    }

    fn is_less(&self, other: &Self) -> bool {
        self < other
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = node.as_text().filter(|text| !text.trim().is_empty());
        if text.is_none() {
            cx.expected(node, Self::KIND, None);
        }
        text.map(str::to_owned)
    }
}

impl Value for Tenant {
    const KIND: &'static str = "a tenant's name";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let tenant = node.as_text().and_then(Tenant::new);
        if tenant.is_none() {
            let hint = "1 to 64 of a-z A-Z 0-9 _ -".to_owned();
            cx.expected(node, Self::KIND, Some(hint));
        }
        tenant
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        String::read(node, cx).map(PathBuf::from)
    }
}

impl Value for Duration {
    const KIND: &'static str = "a duration";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Some(text) = node.as_text() else {
            cx.expected(node, Self::KIND, Some("as in 30s, 5m or 1h30m".to_owned()));
            return None;
        };
        parse_duration(text)
            .map_err(|reason| {
                let hint = "write it as in 500ms, 30s, 5m, 1h30m or 7d".to_owned();
                cx.error(node, format!("expected a duration: {reason}"), Some(hint));
            })
            .ok()
    }

    fn is_less(&self, other: &Self) -> bool {
        self < other
    }
}

impl Value for ByteSize {
    const KIND: &'static str = "a size in bytes";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let hint = || Some("write it as in 64MiB, 10GB or 4096".to_owned());
        let Some(text) = node.as_text() else {
            cx.expected(node, Self::KIND, hint());
            return None;
        };
        ByteSize::parse(text)
            .map_err(|reason| {
                cx.error(node, format!("expected a size in bytes: {reason}"), hint());
            })
            .ok()
    }

    fn is_less(&self, other: &Self) -> bool {
        self < other
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "an address to listen on";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = node.as_text().unwrap_or_default();
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse(),
            None => text.parse(),
        };
        if address.is_err() {
            let hint = match text
                .strip_prefix([':', '*'])
                .map(|rest| rest.trim_matches(':'))
            {
                Some(port) => format!("write 0.0.0.0:{port} to listen on every interface"),
                None => "write IP:PORT as in 127.0.0.1:4317; port 0 lets the system choose".into(),
            };
            cx.expected(node, Self::KIND, Some(hint));
        }
        address.ok()
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const IS_SECTION: bool = T::IS_SECTION;

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        if node.is_null() {
            return Some(None);
        }
        T::read(node, cx).map(Some)
    }

    fn keys(prefix: &str, out: &mut Vec<Key>) {
        T::keys(prefix, out);
    }

    fn is_less(&self, other: &Self) -> bool {
        matches!((self, other), (Some(own), Some(other)) if own.is_less(other))
    }
}

impl<T: Value> Value for Vec<T> {
    const KIND: &'static str = "a list";

    fn kind() -> String {
        if T::IS_SECTION {
            Self::KIND.to_owned()
        } else {
            format!("a list; each is {}", T::KIND)
        }
    }

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let crate::yaml::Content::List(items) = &node.content else {
            let hint = node.as_text().map(|text| format!("write [{text}]"));
            cx.expected(node, Self::KIND, hint);
            return None;
        };
        // Every element is read even if one fails, to report all mistakes.
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, cx)).collect();
        read.into_iter().collect()
    }

    fn keys(prefix: &str, out: &mut Vec<Key>) {
        T::keys(&format!("{prefix}[]"), out);
    }
}

impl Value for BTreeMap<String, String> {
    const KIND: &'static str = "a map of text to text";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Some(entries) = node.as_map() else {
            cx.expected(node, Self::KIND, None);
            return None;
        };
        let mut map = BTreeMap::new();
        let mut complete = true;
        for (key, value) in entries {
            match (key.as_text(), value.as_text()) {
                (Some(key), Some(value)) => {
                    map.insert(key.to_owned(), value.to_owned());
                }
                _ => {
                    cx.expected(value, "text", None);
                    complete = false;
                }
            }
        }
        complete.then_some(map)
    }
}

/// A regular expression.
#[derive(Clone, Debug)]
pub struct Pattern(pub Regex);

fn read_regex(node: &Node, cx: &mut Context<'_>) -> Option<Regex> {
    let text = String::read(node, cx)?;
    compile(node, &text, cx)
}

pub(crate) fn compile(node: &Node, text: &str, cx: &mut Context<'_>) -> Option<Regex> {
    let compiled = regex::RegexBuilder::new(text).size_limit(1 << 20).build();
    compiled
        .map_err(|error| {
            let text = error.to_string();
            // The library draws a picture over several lines; its last line is the reason.
            let reason = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            cx.error(node, format!("invalid regular expression: {reason}"), None);
        })
        .ok()
}

impl Value for Pattern {
    const KIND: &'static str = "a regular expression";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        read_regex(node, cx).map(Pattern)
    }
}

/// A regular expression whose only group captures an id.
#[derive(Clone, Debug)]
pub struct CapturePattern {
    /// The name of the group, or `pattern`: what the value is called when it is found.
    pub key: String,
    pub regex: Regex,
}

impl Value for CapturePattern {
    const KIND: &'static str = "a regular expression with one capture group";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let regex = read_regex(node, cx)?;
        let groups = regex.captures_len() - 1;
        if groups != 1 {
            let message = format!("expected {}, found {groups} groups", Self::KIND);
            let hint = r"as in 'order=(?<order_id>\w+)'; (?:...) groups without capturing";
            cx.error(node, message, Some(hint.to_owned()));
            return None;
        }
        let key = regex
            .capture_names()
            .flatten()
            .next()
            .unwrap_or("pattern")
            .to_owned();
        Some(Self { key, regex })
    }
}

/// A file name with wildcards; relative ones start at the folder of the configuration file.
#[derive(Clone, Debug)]
pub struct PathPattern {
    /// The pattern, with the folder that it starts at.
    pub text: String,
    /// Where it is written, for errors that show up later.
    file: String,
    place: Place,
}

impl PathPattern {
    pub(crate) fn has_wildcards(&self) -> bool {
        self.text.contains(['*', '?', '['])
    }

    /// An error about it, at the place where it is written.
    pub(crate) fn error(&self, message: String) -> ConfigError {
        ConfigError {
            line: self.place.line,
            column: self.place.column,
            ..ConfigError::whole(&self.file, message)
        }
    }
}

impl Value for PathPattern {
    const KIND: &'static str = "a path, with or without wildcards";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = String::read(node, cx)?;
        if let Err(error) = glob::Pattern::new(&text) {
            let message = format!("invalid wildcard in `{text}`: {}", error.msg);
            cx.error(node, message, None);
            return None;
        }
        let text = if Path::new(&text).is_absolute() || cx.base_dir.as_os_str().is_empty() {
            text
        } else {
            // Wildcard characters in the folder's own name stand for themselves.
            let base = glob::Pattern::escape(&cx.base_dir.to_string_lossy());
            format!("{}/{text}", base.trim_end_matches('/'))
        };
        Some(Self {
            text,
            file: node.file.to_string(),
            place: node.place,
        })
    }
}

fn split_scheme(text: &str) -> (Option<bool>, &str) {
    if let Some(rest) = text.strip_prefix("https://") {
        (Some(true), rest)
    } else if let Some(rest) = text.strip_prefix("http://") {
        (Some(false), rest)
    } else {
        (None, text)
    }
}

/// Splits `host:port`; the host may be an IPv6 address in brackets.
fn split_authority(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (text, None),
    };
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let good = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            !host.is_empty() && host.chars().all(allowed)
        }
    };
    good.then_some((host, port))
}

/// Another process to talk to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub tls: bool,
    /// Name or address; IPv6 in brackets.
    pub host: String,
    pub port: u16,
}

impl Endpoint {
    /// `http://host:port` or `https://host:port`.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    /// Reads `host:port` with or without a scheme.
    pub fn parse(text: &str) -> Option<Self> {
        let (tls, rest) = split_scheme(text);
        let (host, port) = split_authority(rest.trim_end_matches('/'))?;
        let port = port.or(tls.map(|tls| if tls { 443 } else { 80 }))?;
        (port > 0).then(|| Self {
            tls: tls.unwrap_or(false),
            host: host.to_owned(),
            port,
        })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url())
    }
}

impl Value for Endpoint {
    const KIND: &'static str = "the address of another process";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let endpoint = node.as_text().and_then(Self::parse);
        if endpoint.is_none() {
            let hint = "write HOST:PORT, http://HOST:PORT or https://HOST:PORT";
            cx.expected(node, Self::KIND, Some(hint.to_owned()));
        }
        endpoint
    }
}

/// An HTTP URL to post to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url(pub String);

impl Value for Url {
    const KIND: &'static str = "an http or https URL";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let text = node.as_text().unwrap_or_default();
        let (scheme, rest) = split_scheme(text);
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest[..end]
            .rsplit_once('@')
            .map_or(&rest[..end], |(_, host)| host);
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if scheme.is_some() && plain && split_authority(authority).is_some() {
            return Some(Self(text.to_owned()));
        }
        cx.expected(
            node,
            Self::KIND,
            Some("as in https://example.com/hook".to_owned()),
        );
        None
    }
}
