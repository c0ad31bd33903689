//! Rules and the alerts that they raise.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Completeness;

/// Answer of `GET rules`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RulesAnswer {
    /// Groups in file order.
    pub groups: Vec<RuleGroupView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// A rule group.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleGroupView {
    /// Name.
    pub name: String,
    /// File.
    pub file: String,
    /// Seconds between evaluations.
    pub interval_seconds: f64,
    /// When last evaluated.
    pub last_evaluation_unix_nano: u64,
    /// How long that took.
    pub evaluation_nano: u64,
    /// Rules in order.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RuleView {
    /// Name of the alert or recorded series.
    pub name: String,
    /// `alerting` or `recording`.
    pub kind: String,
    /// Expression.
    pub query: String,
    /// Seconds before pending becomes firing.
    pub for_seconds: f64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations, not expanded.
    pub annotations: BTreeMap<String, String>,
    /// `ok`, `err` or `unknown`.
    pub health: String,
    /// The last error, or empty.
    pub last_error: String,
    /// `inactive`, `pending` or `firing`: the worst of its alerts.
    pub state: String,
    /// Its active alerts.
    pub alerts: Vec<AlertView>,
}

impl RuleView {
    /// Whether it records a series instead of alerting.
    pub fn is_recording(&self) -> bool {
        self.kind == "recording"
    }
}

/// Answer of `GET alerts`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertsAnswer {
    /// Active alerts: firing first, then pending, each by start.
    pub alerts: Vec<AlertView>,
    /// Completeness.
    #[serde(flatten)]
    pub completeness: Completeness,
}

/// An active alert.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertView {
    /// Alert name.
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
    /// All labels, `alertname` included.
    pub labels: BTreeMap<String, String>,
    /// Expanded annotations.
    pub annotations: BTreeMap<String, String>,
    /// Value of the expression.
    pub value: f64,
    /// Since when the condition holds.
    pub active_since_unix_nano: u64,
    /// Since when it fires; 0 while pending.
    pub firing_since_unix_nano: u64,
    /// Since when it fires on although its condition ended; 0 while that holds.
    pub keep_firing_since_unix_nano: u64,
    /// Expression.
    pub query: String,
}
