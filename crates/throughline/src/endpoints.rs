//! `endpoints.json` in the data folder: where a process listens, written once it is ready.

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

const NAME: &str = "endpoints.json";

impl Endpoints {
    /// Removes what an earlier run left, so that nobody takes it for this one's.
    pub(crate) fn clear(dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        match std::fs::remove_file(dir.join(NAME)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Logs the addresses and writes the file by rename. That there is no room for it is no reason
    /// not to serve.
    pub(crate) fn publish(&self, dir: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self).map_err(std::io::Error::other)?;
        let temporary = dir.join(format!("{NAME}.tmp"));
        let written = std::fs::write(&temporary, text)
            .and_then(|()| std::fs::rename(&temporary, dir.join(NAME)));
        match written {
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                tracing::error!(%error, "{NAME} is not written");
            }
            other => other?,
        }
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
        Ok(())
    }
}
