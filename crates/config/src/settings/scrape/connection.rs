//! How targets are connected to, and what of Prometheus' own configuration is not there.

use super::{Authorization, FilePath, ScrapeSettings, Text};
use crate::section::{Context, choice, section};
use crate::yaml::{Content, Node};

section! {
    /// TLS with targets. Files are read when the agent starts.
    pub struct TlsSettings {
        /// Certificates in PEM by which targets are known, in place of those of the system.
        ca_file: Option<FilePath> = "null";
        /// The same in this file.
        ca: Option<Text> = "null";
        /// The agent's own certificate in PEM.
        cert_file: Option<FilePath> = "null";
        /// The same in this file.
        cert: Option<Text> = "null";
        /// Its key in PEM.
        key_file: Option<FilePath> = "null";
        /// The same in this file.
        key: Option<Text> = "null";
        /// Take any certificate that a target shows.
        insecure_skip_verify: bool = "false";
        /// The oldest version that is spoken.
        min_version: Option<TlsVersion> = "null";
    }
}

choice! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// 1.2.
        Tls12 = "TLS12",
        /// 1.3.
        Tls13 = "TLS13",
    }
}

/// Keys of Prometheus that mean something which is not done here, and what to do instead.
const UNSUPPORTED: [(&str, &str); 12] = [
    (
        "oauth2",
        "use `authorization` with a `credentials_file`, which is read before each scrape",
    ),
    ("http_headers", "use `authorization`, or `params`"),
    ("no_proxy", "leave `proxy_url` out where none is to be used"),
    ("proxy_from_environment", "write the proxy into `proxy_url`"),
    (
        "proxy_connect_header",
        "write the proxy's user and password into `proxy_url`",
    ),
    (
        "keep_dropped_targets",
        "remove it: dropped targets are not kept",
    ),
    (
        "scrape_classic_histograms",
        "it is `always_scrape_classic_histograms` since Prometheus 3",
    ),
    ("convert_classic_histograms_to_nhcb", AS_SENT),
    ("native_histogram_bucket_limit", AS_SENT),
    ("native_histogram_min_bucket_factor", AS_SENT),
    ("extra_scrape_metrics", "remove it"),
    (
        "scrape_failure_log_file",
        "remove it: the agent's log says when a target fails",
    ),
];
const AS_SENT: &str = "remove it: histograms are stored with the buckets that the target has";
/// How the keys of service discovery end.
const DISCOVERY: &str = "_sd_configs";

/// The job without what is not done here, which is told as a mistake.
pub(super) fn supported(node: &Node, cx: &mut Context<'_>) -> Node {
    let mut node = node.clone();
    if let Content::Map(entries) = &mut node.content {
        entries.retain_mut(|(key, value)| {
            let name = key.as_text().unwrap_or_default();
            let hint = if name.ends_with(DISCOVERY) && name != "file_sd_configs" {
                Some("list the targets in files for `file_sd_configs`: they are read again when they change")
            } else {
                let known = UNSUPPORTED.iter().find(|(known, _)| *known == name);
                known.map(|(_, hint)| *hint)
            };
            if name == "tls_config" {
                without_server_name(value, cx);
            }
            if let Some(hint) = hint {
                let message = format!("`{name}` of Prometheus is not supported");
                cx.error(key, message, Some(hint.to_owned()));
            }
            hint.is_none()
        });
    }
    node
}

fn without_server_name(tls: &mut Node, cx: &mut Context<'_>) {
    if let Content::Map(entries) = &mut tls.content {
        entries.retain(|(key, _)| {
            let found = key.as_text() == Some("server_name");
            if found {
                let message = "`server_name` of Prometheus is not supported".to_owned();
                let hint = "scrape the target by the name that its certificate has";
                cx.error(key, message, Some(hint.to_owned()));
            }
            !found
        });
    }
}

/// Complains about what contradicts, and makes a bearer token what it is short for.
pub(super) fn settle(settings: &mut ScrapeSettings, node: &Node, cx: &mut Context<'_>) -> bool {
    let token = (
        settings.bearer_token.take(),
        settings.bearer_token_file.take(),
    );
    let mut ways = Vec::new();
    ways.extend(settings.basic_auth.is_some().then_some("basic_auth"));
    ways.extend(settings.authorization.is_some().then_some("authorization"));
    ways.extend(token.0.is_some().then_some("bearer_token"));
    ways.extend(token.1.is_some().then_some("bearer_token_file"));
    let mut wrong: Vec<(&str, String)> = Vec::new();
    if let [first, second, ..] = ways[..] {
        wrong.push((second, format!("both `{first}` and `{second}` are given")));
    } else if token.0.is_some() || token.1.is_some() {
        settings.authorization = Some(Authorization {
            r#type: "Bearer".to_owned(),
            credentials: token.0,
            credentials_file: token.1,
        });
    }
    let mut both = |section: &'static str, first: (&str, bool), second: (&str, bool)| {
        if first.1 && second.1 {
            let message = format!("both `{}` and `{}` are given", first.0, second.0);
            wrong.push((section, message));
        }
    };
    if let Some(auth) = &settings.basic_auth {
        let file = auth.password_file.is_some();
        both(
            "basic_auth",
            ("password", auth.password.is_some()),
            ("password_file", file),
        );
    }
    if let Some(auth) = &settings.authorization {
        let file = auth.credentials_file.is_some();
        both(
            "authorization",
            ("credentials", auth.credentials.is_some()),
            ("credentials_file", file),
        );
    }
    if let Some(tls) = &settings.tls_config {
        let ca_file = ("ca_file", tls.ca_file.is_some());
        both("tls_config", ("ca", tls.ca.is_some()), ca_file);
        let cert_file = ("cert_file", tls.cert_file.is_some());
        both("tls_config", ("cert", tls.cert.is_some()), cert_file);
        let key_file = ("key_file", tls.key_file.is_some());
        both("tls_config", ("key", tls.key.is_some()), key_file);
        let has_cert = tls.cert.is_some() || tls.cert_file.is_some();
        if has_cert != (tls.key.is_some() || tls.key_file.is_some()) {
            let message = "a certificate needs its key, and a key its certificate";
            wrong.push(("tls_config", message.to_owned()));
        }
    }
    for (key, message) in &wrong {
        cx.error(node.get(key).unwrap_or(node), message.clone(), None);
    }
    wrong.is_empty()
}
