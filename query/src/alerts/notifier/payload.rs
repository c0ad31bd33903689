//! Alertmanager's webhook message, version 4.

use serde::{Deserialize, Serialize};

use super::NotifierOptions;
use super::book::{Due, Told};
use crate::alerts::Labels;
use crate::fnv::Fnv;

/// The body of a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Always `4`.
    pub version: String,
    /// The same for every message about this group.
    pub group_key: String,
    /// How many alerts were left out of `alerts`.
    pub truncated_alerts: u64,
    /// `firing` while any alert fires, else `resolved`.
    pub status: String,
    /// Name of the receiver.
    pub receiver: String,
    /// Labels by which the alerts were grouped.
    pub group_labels: Labels,
    /// Labels that all alerts share.
    pub common_labels: Labels,
    /// Annotations that all alerts share.
    pub common_annotations: Labels,
    /// Where this service is reached.
    #[serde(rename = "externalURL")]
    pub external_url: String,
    /// The alerts.
    pub alerts: Vec<MessageAlert>,
}

/// One alert of a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageAlert {
    /// `firing` or `resolved`.
    pub status: String,
    /// All labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// RFC 3339.
    pub starts_at: String,
    /// RFC 3339; the year 1 while it fires.
    pub ends_at: String,
    /// Where its expression can be looked at.
    #[serde(rename = "generatorURL")]
    pub generator_url: String,
    /// Hash of the labels, hex.
    pub fingerprint: String,
}

/// Name of the receiver: Throughline's webhooks have none of their own.
const RECEIVER: &str = "webhook";

/// The message about a group.
pub fn message(due: &Due, options: &NotifierOptions) -> Message {
    let firing = due.alerts.iter().any(|alert| alert.ends_at == 0);
    let shown = match options.alerts_max {
        0 => due.alerts.len(),
        limit => due.alerts.len().min(limit),
    };
    let whole = |labels: &Labels| with(&options.external_labels, labels);
    let labels: Vec<Labels> = due.alerts.iter().map(|told| whole(&told.labels)).collect();
    let common_labels = common(&labels.iter().collect::<Vec<_>>());
    let annotations: Vec<&Labels> = due.alerts.iter().map(|alert| &alert.annotations).collect();
    Message {
        version: "4".into(),
        group_key: group_key(&due.group_labels),
        truncated_alerts: u64::try_from(due.alerts.len() - shown).unwrap_or(u64::MAX),
        status: status(firing).into(),
        receiver: RECEIVER.into(),
        group_labels: due.group_labels.clone(),
        common_labels,
        common_annotations: common(&annotations),
        external_url: options.external_url.clone(),
        alerts: due.alerts[..shown]
            .iter()
            .zip(labels)
            .map(|(told, labels)| alert(told, labels))
            .collect(),
    }
}

/// The labels, and those of `external` that they lack.
fn with(external: &Labels, labels: &Labels) -> Labels {
    let mut whole = external.clone();
    whole.extend(labels.clone());
    whole
}

fn status(firing: bool) -> &'static str {
    if firing { "firing" } else { "resolved" }
}

fn alert(told: &Told, labels: Labels) -> MessageAlert {
    MessageAlert {
        status: status(told.ends_at == 0).into(),
        annotations: told.annotations.clone(),
        starts_at: rfc3339(told.starts_at),
        ends_at: rfc3339(told.ends_at),
        generator_url: told.generator_url.clone(),
        fingerprint: fingerprint(&labels),
        labels,
    }
}

fn common(all: &[&Labels]) -> Labels {
    let Some((first, rest)) = all.split_first() else {
        return Labels::new();
    };
    let shared = |(key, value): &(&String, &String)| {
        rest.iter().all(|labels| labels.get(*key) == Some(*value))
    };
    first
        .iter()
        .filter(shared)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// `{}:{name="value", ...}`: the route (there is one) and the labels of the group.
fn group_key(labels: &Labels) -> String {
    let pairs: Vec<String> = labels
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    format!("{{}}:{{{}}}", pairs.join(", "))
}

/// RFC 3339 in UTC with milliseconds; 0 is Go's zero time.
pub(crate) fn rfc3339(unix_nano: u64) -> String {
    if unix_nano == 0 {
        return "0001-01-01T00:00:00Z".into();
    }
    let time = jiff::Timestamp::from_nanosecond(i128::from(unix_nano)).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// FNV-1a of the labels, as Prometheus makes a fingerprint.
pub(crate) fn fingerprint(labels: &Labels) -> String {
    let one = |hash: Fnv, (key, value): (&String, &String)| {
        let named = hash.with(key.as_bytes()).with(&[0xff]);
        named.with(value.as_bytes()).with(&[0xff])
    };
    format!("{:016x}", labels.iter().fold(Fnv::new(), one).finish())
}
