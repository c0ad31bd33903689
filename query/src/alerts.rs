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
mod supervise;
pub mod template;
pub mod unit_test;

use std::collections::BTreeMap;

use api::Completeness;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use promql::engine::SampleValue;

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
    pub value: SampleValue,
}

/// What the queries of one evaluation of a group looked at, and what their answers lack.
#[derive(Debug, Default)]
pub struct Account(Mutex<Completeness>);

impl Account {
    /// Adds what the answer to one query says of itself.
    pub fn add(&self, completeness: Completeness) {
        self.0.lock().join(completeness);
    }

    /// All of it.
    pub fn into_completeness(self) -> Completeness {
        self.0.into_inner()
    }
}

/// Evaluates PromQL at one instant.
pub trait Evaluate: Send + Sync {
    /// The samples of the expression at this time, which may be before 1970; a scalar is one sample
    /// without labels. The error is one sentence. Also of a query that fails the account says what it looked at.
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        at_unix_nano: i64,
        account: &'a Account,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>>;
}

/// A sample to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// All labels, `__name__` included.
    pub labels: Labels,
    /// The value, or the marker that ends the series.
    pub value: SampleValue,
    /// When; before 1970 in tests of rules alone.
    pub unix_nano: i64,
}

/// Stores what rules yield: recorded series, `ALERTS` and `ALERTS_FOR_STATE`.
pub trait Sink: Send + Sync {
    /// Stores the samples; once it returns, queries see them. The error is one sentence.
    fn write(&self, samples: Vec<Written>) -> BoxFuture<'_, Result<(), String>>;
}
