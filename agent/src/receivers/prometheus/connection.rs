//! How requests to the targets of a job are sent: TLS, proxy, redirects.

use std::path::Path;

use config::{FilePath, HttpAccess, Text, TlsSettings, TlsVersion, Url};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Identity, NoProxy, Proxy, redirect, tls};

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 10;
/// A file of certificates is no longer.
const PEM_BYTES_MAX: u64 = 4 << 20;

/// Whether a job asks for nothing that others do not: such jobs share a client.
pub(super) fn is_plain(access: &HttpAccess<'_>) -> bool {
    access.tls_config.is_none()
        && access.proxy_url.is_none()
        && !access.proxy_from_environment
        && access.follow_redirects
        && access.enable_http2
}

/// What sends the requests of a job. The error says what is wrong with its settings.
pub(super) fn client(access: Option<&HttpAccess<'_>>) -> Result<Client, String> {
    builder(access)?.build().map_err(|error| told(&error))
}

/// What sends other requests than those to targets.
pub(super) fn other_client(
    tls: Option<&TlsSettings>,
    proxy: Option<&Url>,
) -> Result<Client, String> {
    let mut builder = builder(None)?;
    if let Some(url) = proxy {
        builder = builder.proxy(through(url)?);
    }
    if let Some(tls) = tls {
        builder = secured(builder, tls)?;
    }
    builder.build().map_err(|error| told(&error))
}

fn through(url: &Url) -> Result<Proxy, String> {
    Proxy::all(&url.0).map_err(|error| format!("proxy_url: {error}"))
}

/// The proxy of requests, with what is left out and what it is told.
fn proxy(url: &Url, access: &HttpAccess<'_>) -> Result<Proxy, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in &access.proxy_connect_header.0 {
        let wrong = || format!("proxy_connect_header: `{name}` cannot be a header");
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        for value in values {
            let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.append(header.clone(), value);
        }
    }
    let mut proxy = through(url)?.no_proxy(access.no_proxy.and_then(NoProxy::from_string));
    if !headers.is_empty() {
        proxy = proxy.headers(headers);
    }
    Ok(proxy)
}

/// What a client is made of.
pub(super) fn builder(access: Option<&HttpAccess<'_>>) -> Result<ClientBuilder, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
        // The limit on what is unpacked is ours.
        .gzip(false)
        .redirect(redirect::Policy::limited(REDIRECTS_MAX))
        .pool_max_idle_per_host(1);
    if !access.is_some_and(|access| access.proxy_from_environment) {
        // Targets are on this network; what the environment says is for others.
        builder = builder.no_proxy();
    }
    if let Some(access) = access {
        if !access.follow_redirects {
            builder = builder.redirect(redirect::Policy::none());
        }
        if !access.enable_http2 {
            builder = builder.http1_only();
        }
        if let Some(url) = access.proxy_url {
            builder = builder.proxy(proxy(url, access)?);
        }
        if let Some(tls) = access.tls_config {
            builder = secured(builder, tls)?;
        }
    }
    Ok(builder)
}

fn secured(mut builder: ClientBuilder, settings: &TlsSettings) -> Result<ClientBuilder, String> {
    if let Some(pem) = pem(settings.ca.as_ref(), settings.ca_file.as_ref())? {
        let wrong = |error: reqwest::Error| format!("tls_config: ca: {}", told(&error));
        let certificates = Certificate::from_pem_bundle(&pem).map_err(wrong)?;
        if certificates.is_empty() {
            return Err("tls_config: ca: there is no certificate in it".to_owned());
        }
        builder = builder.tls_certs_only(certificates);
    }
    let certificate = pem(settings.cert.as_ref(), settings.cert_file.as_ref())?;
    let key = pem(settings.key.as_ref(), settings.key_file.as_ref())?;
    if let (Some(mut both), Some(key)) = (certificate, key) {
        both.push(b'\n');
        both.extend(key);
        let wrong = |error: reqwest::Error| format!("tls_config: cert and key: {}", told(&error));
        builder = builder.identity(Identity::from_pem(&both).map_err(wrong)?);
    }
    if settings.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    Ok(match settings.min_version {
        Some(TlsVersion::Tls12) => builder.tls_version_min(tls::Version::TLS_1_2),
        Some(TlsVersion::Tls13) => builder.tls_version_min(tls::Version::TLS_1_3),
        None => builder,
    })
}

/// What is in the configuration or in the file that it names.
fn pem(text: Option<&Text>, file: Option<&FilePath>) -> Result<Option<Vec<u8>>, String> {
    match (text, file) {
        (Some(text), _) => Ok(Some(text.0.clone().into_bytes())),
        (None, Some(file)) => read(&file.0).map(Some),
        (None, None) => Ok(None),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let named = |error: std::io::Error| format!("tls_config: {}: {error}", path.display());
    let length = std::fs::metadata(path).map_err(named)?.len();
    if length > PEM_BYTES_MAX {
        return Err(format!("tls_config: {} is too long", path.display()));
    }
    std::fs::read(path).map_err(named)
}

/// The innermost reason: those around it say only that something failed.
pub(super) fn told(error: &reqwest::Error) -> String {
    let mut source: &dyn std::error::Error = error;
    while let Some(next) = source.source() {
        source = next;
    }
    source.to_string()
}

#[cfg(test)]
mod tests;
