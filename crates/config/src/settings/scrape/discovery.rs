//! Where targets are found that the configuration does not list itself.

use std::time::Duration;

use super::connection::{self, HttpAccess, OAuth2, ProxyHeaders, TlsSettings};
use super::{Authorization, BasicAuth, HttpHeaders};
use crate::section::{Context, Key, Value, section};
use crate::values::{PathPattern, Url};
use crate::yaml::Node;

section! {
    /// Files that list targets.
    pub struct FileDiscovery {
        /// Files in YAML or JSON, with wildcards in the last part.
        files: Vec<PathPattern> = required;
        /// How often they are read even if nothing seems to have changed.
        refresh_interval: Duration = "5m", "1s" to "1d";
    }

    /// A server that lists targets as JSON, as Prometheus' HTTP service discovery has it.
    pub struct HttpDiscoverySettings {
        /// Where the list is.
        url: Url = required;
        /// How often it is asked for.
        refresh_interval: Duration = "1m", "1s" to "1d";
        /// User and password for every request.
        basic_auth: Option<BasicAuth> = "null";
        /// The `Authorization` header of every request.
        authorization: Option<Authorization> = "null";
        /// A token of a token server in every request.
        oauth2: Option<OAuth2> = "null";
        /// TLS with the server.
        tls_config: Option<TlsSettings> = "null";
        /// The proxy that requests go through.
        proxy_url: Option<Url> = "null";
        /// Hosts, domains and networks that are asked without the proxy, with commas between them.
        no_proxy: Option<String> = "null";
        /// Take proxies from the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`).
        proxy_from_environment: bool = "false";
        /// Headers for the proxy when it is asked to connect.
        proxy_connect_header: ProxyHeaders = "{}";
        /// Further headers of every request.
        http_headers: HttpHeaders = "{}";
        /// Follow redirects, ten of them at most.
        follow_redirects: bool = "true";
        /// Speak HTTP/2 with a server that offers it over TLS.
        enable_http2: bool = "true";
    }
}

impl HttpDiscoverySettings {
    /// How the server is asked.
    pub fn access(&self) -> HttpAccess<'_> {
        HttpAccess {
            basic_auth: self.basic_auth.as_ref(),
            authorization: self.authorization.as_ref(),
            oauth2: self.oauth2.as_ref(),
            tls_config: self.tls_config.as_ref(),
            proxy_url: self.proxy_url.as_ref(),
            no_proxy: self.no_proxy.as_deref(),
            proxy_from_environment: self.proxy_from_environment,
            proxy_connect_header: &self.proxy_connect_header,
            http_headers: &self.http_headers,
            follow_redirects: self.follow_redirects,
            enable_http2: self.enable_http2,
        }
    }
}

/// A server that lists targets, checked.
#[derive(Clone, Debug)]
pub struct HttpDiscovery(pub HttpDiscoverySettings);

impl Value for HttpDiscovery {
    const KIND: &'static str = HttpDiscoverySettings::KIND;
    const IS_SECTION: bool = true;

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let settings = HttpDiscoverySettings::read(node, cx)?;
        let access = settings.access();
        let sound = connection::check(&access, &access.ways(), node, cx);
        sound.then_some(Self(settings))
    }

    fn keys(prefix: &str, out: &mut Vec<Key>) {
        HttpDiscoverySettings::keys(prefix, out);
    }
}
