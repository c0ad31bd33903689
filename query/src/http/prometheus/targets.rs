//! What Prometheus scrapes and whom it alerts. This service does neither: agents scrape, and
//! webhooks are told. So the lists are there, and empty.

use serde_json::json;

use super::answer::{Answer, known};

/// `GET targets`
pub(crate) async fn targets() -> Answer {
    known(json!({
        "activeTargets": [],
        "droppedTargets": [],
        "droppedTargetCounts": {},
    }))
}

/// `GET scrape_pools`
pub(crate) async fn scrape_pools() -> Answer {
    known(json!({"scrapePools": []}))
}

/// `GET targets/metadata`
pub(crate) async fn targets_metadata() -> Answer {
    known(json!([]))
}

/// `GET alertmanagers`
pub(crate) async fn alertmanagers() -> Answer {
    known(json!({"activeAlertmanagers": [], "droppedAlertmanagers": []}))
}
