//! How targets are connected to, and what of Prometheus' own configuration is not there.

use std::collections::BTreeMap;

use super::{Authorization, BasicAuth, FilePath, HttpHeaders, Params, ScrapeSettings, Text};
use crate::section::{Context, Value, choice, section};
use crate::values::Url;
use crate::yaml::{Content, Node};

section! {
    /// TLS. Files are read again when they change.
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
        /// The name that the certificate of a target has to have, in place of that in its address.
        server_name: Option<String> = "null";
        /// Take any certificate that a target shows.
        insecure_skip_verify: bool = "false";
        /// The oldest version that is spoken.
        min_version: Option<TlsVersion> = "null";
    }

    /// A token for every request, by the client's own credentials.
    pub struct OAuth2 {
        /// Who the agent is to the token server.
        client_id: String = required;
        /// Its secret.
        client_secret: Option<Text> = "null";
        /// A file that holds the secret, read before each request for a token.
        client_secret_file: Option<FilePath> = "null";
        /// What the token should be good for.
        scopes: Vec<String> = "[]";
        /// Where tokens are given.
        token_url: Url = required;
        /// Further parameters of requests for a token.
        endpoint_params: BTreeMap<String, String> = "{}";
        /// TLS with the token server.
        tls_config: Option<TlsSettings> = "null";
        /// The proxy that requests for a token go through.
        proxy_url: Option<Url> = "null";
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
const UNSUPPORTED: [(&str, &str); 3] = [
    (
        "keep_dropped_targets",
        "remove it: dropped targets are not kept",
    ),
    (
        "scrape_classic_histograms",
        "it is `always_scrape_classic_histograms` since Prometheus 3",
    ),
    (
        "scrape_failure_log_file",
        "remove it: the agent's log says when a target fails",
    ),
];
/// Service discoveries that are there.
const DISCOVERIES: [&str; 2] = ["file_sd_configs", "http_sd_configs"];
/// How the keys of service discovery end.
const DISCOVERY: &str = "_sd_configs";

/// The job without what is not done here, which is told as a mistake.
pub(super) fn supported(node: &Node, cx: &mut Context<'_>) -> Node {
    let mut node = node.clone();
    if let Content::Map(entries) = &mut node.content {
        entries.retain(|(key, _)| {
            let name = key.as_text().unwrap_or_default();
            let hint = if name.ends_with(DISCOVERY) && !DISCOVERIES.contains(&name) {
                Some("list the targets in files for `file_sd_configs`, which are read again when they change, or serve them for `http_sd_configs`")
            } else {
                let known = UNSUPPORTED.iter().find(|(known, _)| *known == name);
                known.map(|(_, hint)| *hint)
            };
            if let Some(hint) = hint {
                let message = format!("`{name}` of Prometheus is not supported");
                cx.error(key, message, Some(hint.to_owned()));
            }
            hint.is_none()
        });
    }
    node
}

/// Headers for a proxy, each with its values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyHeaders(pub BTreeMap<String, Vec<String>>);

impl Value for ProxyHeaders {
    const KIND: &'static str = "a map of headers to lists of their values";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        Params::read(node, cx).map(|Params(headers)| Self(headers))
    }
}

/// How requests of one kind are sent, from whichever section says it.
#[derive(Clone, Copy, Debug)]
pub struct HttpAccess<'a> {
    /// User and password.
    pub basic_auth: Option<&'a BasicAuth>,
    /// The `Authorization` header.
    pub authorization: Option<&'a Authorization>,
    /// A token of a token server.
    pub oauth2: Option<&'a OAuth2>,
    /// TLS.
    pub tls_config: Option<&'a TlsSettings>,
    /// The proxy.
    pub proxy_url: Option<&'a Url>,
    /// What is asked without the proxy.
    pub no_proxy: Option<&'a str>,
    /// Whether proxies are those of the environment.
    pub proxy_from_environment: bool,
    /// Headers for the proxy.
    pub proxy_connect_header: &'a ProxyHeaders,
    /// Further headers.
    pub http_headers: &'a HttpHeaders,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 is spoken.
    pub enable_http2: bool,
}

impl HttpAccess<'_> {
    /// The keys of all credentials that are given.
    pub(super) fn ways(&self) -> Vec<&'static str> {
        let ways = [
            ("basic_auth", self.basic_auth.is_some()),
            ("authorization", self.authorization.is_some()),
            ("oauth2", self.oauth2.is_some()),
        ];
        let given = ways.into_iter().filter(|(_, given)| *given);
        given.map(|(key, _)| key).collect()
    }
}

/// Makes a bearer token what it is short for, and complains about what contradicts.
pub(super) fn settle(settings: &mut ScrapeSettings, node: &Node, cx: &mut Context<'_>) -> bool {
    let token = (
        settings.bearer_token.take(),
        settings.bearer_token_file.take(),
    );
    let mut ways = settings.access().ways();
    ways.extend(token.0.is_some().then_some("bearer_token"));
    ways.extend(token.1.is_some().then_some("bearer_token_file"));
    if ways.len() == 1 && (token.0.is_some() || token.1.is_some()) {
        settings.authorization = Some(Authorization {
            r#type: "Bearer".to_owned(),
            credentials: token.0,
            credentials_file: token.1,
        });
    }
    check(&settings.access(), &ways, node, cx)
}

/// Complains about what contradicts; `ways` are the keys of the credentials that are given.
pub(super) fn check(
    access: &HttpAccess<'_>,
    ways: &[&'static str],
    node: &Node,
    cx: &mut Context<'_>,
) -> bool {
    let mut wrong: Vec<(&str, String)> = Vec::new();
    if let [first, second, ..] = ways {
        wrong.push((second, format!("both `{first}` and `{second}` are given")));
    }
    let mut both = |section: &'static str, first: (&str, bool), second: (&str, bool)| {
        if first.1 && second.1 {
            let message = format!("both `{}` and `{}` are given", first.0, second.0);
            wrong.push((section, message));
        }
    };
    if let Some(auth) = access.basic_auth {
        let file = auth.password_file.is_some();
        both(
            "basic_auth",
            ("password", auth.password.is_some()),
            ("password_file", file),
        );
    }
    if let Some(auth) = access.authorization {
        let file = auth.credentials_file.is_some();
        both(
            "authorization",
            ("credentials", auth.credentials.is_some()),
            ("credentials_file", file),
        );
    }
    if let Some(oauth2) = access.oauth2 {
        let file = oauth2.client_secret_file.is_some();
        both(
            "oauth2",
            ("client_secret", oauth2.client_secret.is_some()),
            ("client_secret_file", file),
        );
    }
    let own = access.tls_config.map(|tls| ("tls_config", tls));
    let of_tokens = access
        .oauth2
        .and_then(|oauth2| Some(("oauth2", oauth2.tls_config.as_ref()?)));
    for (section, tls) in own.into_iter().chain(of_tokens) {
        let ca_file = ("ca_file", tls.ca_file.is_some());
        both(section, ("ca", tls.ca.is_some()), ca_file);
        let cert_file = ("cert_file", tls.cert_file.is_some());
        both(section, ("cert", tls.cert.is_some()), cert_file);
        let key_file = ("key_file", tls.key_file.is_some());
        both(section, ("key", tls.key.is_some()), key_file);
    }
    wrong.extend(unpaired(access));
    wrong.extend(unsound_name(access));
    wrong.extend(unsound_proxy(access));
    for (key, message) in &wrong {
        cx.error(node.get(key).unwrap_or(node), message.clone(), None);
    }
    wrong.is_empty()
}

/// Certificates without keys, and keys without certificates.
fn unpaired(access: &HttpAccess<'_>) -> Option<(&'static str, String)> {
    let of_tokens = access.oauth2.and_then(|oauth2| oauth2.tls_config.as_ref());
    let sections = [("tls_config", access.tls_config), ("oauth2", of_tokens)];
    sections.into_iter().find_map(|(section, tls)| {
        let tls = tls?;
        let has_cert = tls.cert.is_some() || tls.cert_file.is_some();
        let has_key = tls.key.is_some() || tls.key_file.is_some();
        let message = "a certificate needs its key, and a key its certificate";
        (has_cert != has_key).then(|| (section, message.to_owned()))
    })
}

/// What is wrong with the name that certificates are to have.
fn unsound_name(access: &HttpAccess<'_>) -> Option<(&'static str, String)> {
    let of_tokens = access.oauth2.and_then(|oauth2| oauth2.tls_config.as_ref());
    if of_tokens.is_some_and(|tls| tls.server_name.is_some()) {
        let message = "`server_name` is for targets; name the token server as its certificate does";
        return Some(("oauth2", message.to_owned()));
    }
    let name = access.tls_config?.server_name.as_ref()?;
    let problem = if name.is_empty() || name.contains(['/', ':', ' ']) {
        "is no name"
    } else if name.parse::<std::net::IpAddr>().is_ok() {
        "is an address, and certificates are looked for by name"
    } else if access.proxy_url.is_some() || access.proxy_from_environment {
        "cannot be looked for through a proxy, which connects by the name itself"
    } else {
        return None;
    };
    Some(("tls_config", format!("`server_name` {name} {problem}")))
}

/// What is wrong with what is said of proxies.
fn unsound_proxy(access: &HttpAccess<'_>) -> Option<(&'static str, String)> {
    let given = access.proxy_url.is_some();
    let environment = access.proxy_from_environment;
    if environment && (given || access.no_proxy.is_some()) {
        let message = "proxies are taken from the environment, so none can be given here";
        return Some(("proxy_from_environment", message.to_owned()));
    }
    if !access.proxy_connect_header.0.is_empty() && !given {
        let message = "there is no `proxy_url` that these headers could be for";
        return Some(("proxy_connect_header", message.to_owned()));
    }
    let list = access.no_proxy?;
    if !given {
        let message = "there is no `proxy_url` that could be left out";
        return Some(("no_proxy", message.to_owned()));
    }
    let with_port = |entry: &&str| {
        let (host, port) = entry.rsplit_once(':').unwrap_or((entry, ""));
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        is_port && (!host.contains(':') || host.ends_with(']'))
    };
    let entry = list.split(',').map(str::trim).find(with_port)?;
    let message = format!("`{entry}` has a port; hosts are left out whatever their ports");
    Some(("no_proxy", message))
}
