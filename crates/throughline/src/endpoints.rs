//! Where a process listens.

use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

/// Addresses in use; those that a role lacks are left out.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Endpoints {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_grpc: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal: Option<SocketAddr>,
}

impl Endpoints {
    /// Says in the log that the process is ready.
    pub(crate) fn log(&self, dir: &Path) {
        let shown = |address: &Option<SocketAddr>| {
            address.map_or_else(|| "none".to_owned(), |address| address.to_string())
        };
        tracing::info!(
            otlp_grpc = shown(&self.otlp_grpc),
            otlp_http = shown(&self.otlp_http),
            query = shown(&self.query),
            internal = shown(&self.internal),
            data_dir = %dir.display(),
            "ready"
        );
    }
}
