//! Which addresses the name of another process stands for.

use std::net::SocketAddr;
use std::time::Duration;

use config::Endpoint;

/// A name that takes longer to look up is taken for one that means nothing yet.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Every address of the host; nothing where its name means nothing, which may change.
pub(super) async fn look_up(endpoint: &Endpoint) -> Option<Vec<SocketAddr>> {
    let host = endpoint.host.trim_matches(['[', ']']);
    let lookup = tokio::net::lookup_host((host, endpoint.port));
    match tokio::time::timeout(TIMEOUT, lookup).await {
        Ok(Ok(found)) => Some(found.collect()),
        _ => None,
    }
}
