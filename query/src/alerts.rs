//! Alerting and recording rules: evaluated on their interval, remembered across restarts, and
//! told to webhooks.
//!
//! [`state`] is the state machine of one rule, free of I/O; [`group`] evaluates a group's rules
//! in order; [`manager`] runs the groups, keeps their state on disk and answers the API;
//! [`template`] expands labels and annotations; [`notifier`] tells receivers. What they need of
//! the rest comes through two traits: [`Evaluate`] runs PromQL, [`Sink`] stores series.

pub mod bind;
pub mod group;
pub mod manager;
pub mod notifier;
pub mod rule;
pub mod state;
pub mod stop;
pub mod store;
pub mod template;

use std::collections::BTreeMap;

use futures::future::BoxFuture;

pub use manager::{AlertsOptions, Manager};
pub use rule::{Group, Rule, RuleKind};

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// One element of an instant query's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels, `__name__` included where it has one.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// Evaluates PromQL at one instant.
pub trait Evaluate: Send + Sync {
    /// The samples of the expression at this time; a scalar is one sample without labels. The
    /// error is one sentence.
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        at_unix_nano: u64,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>>;
}

/// A sample to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// All labels, `__name__` included.
    pub labels: Labels,
    /// The value; none marks the series as stale.
    pub value: Option<f64>,
    /// When.
    pub unix_nano: u64,
}

/// Stores what rules yield: recorded series, `ALERTS` and `ALERTS_FOR_STATE`.
pub trait Sink: Send + Sync {
    /// Stores the samples; once it returns, queries see them. The error is one sentence.
    fn write(&self, samples: Vec<Written>) -> BoxFuture<'_, Result<(), String>>;
}
