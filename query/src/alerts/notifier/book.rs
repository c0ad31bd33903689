//! What one receiver was told and has yet to be told.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::Notice;
use crate::alerts::Labels;

/// There is no room for another alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// One alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// All labels.
    pub labels: Labels,
    /// Annotations of the latest evaluation.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: u64,
    /// When it was resolved; 0 while it fires.
    pub ends_at: u64,
    /// Where its expression can be looked at.
    pub generator_url: String,
    /// When the receiver was last told; 0 before.
    pub told_at: u64,
    /// Whether the receiver was told of its present state.
    pub is_told: bool,
}

/// The alerts of one receiver.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Book {
    /// The receiver.
    pub url: String,
    alerts: Vec<Told>,
}

/// A group of alerts that has to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The labels that all of its alerts share by grouping.
    pub group_labels: Labels,
    /// Its alerts by labels: all that fire, and those that ended since the last time.
    pub alerts: Vec<Told>,
}

impl Book {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            alerts: Vec::new(),
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.alerts.iter().filter(|alert| !alert.is_told).count()
    }

    /// Takes in an alert; true where the receiver has to be told.
    pub(super) fn take(
        &mut self,
        notice: &Notice,
        send_resolved: bool,
        tracked_max: usize,
    ) -> Result<bool, Full> {
        let resolved = notice.ends_at != 0;
        let known = self
            .alerts
            .iter()
            .position(|alert| alert.labels == notice.labels);
        let Some(at) = known else {
            // An alert whose end was told already, or that ended before this receiver was
            // configured, is not news.
            if resolved {
                return Ok(false);
            }
            if self.alerts.len() >= tracked_max {
                return Err(Full);
            }
            self.alerts.push(fresh(notice));
            return Ok(true);
        };
        if resolved && !send_resolved {
            self.alerts.remove(at);
            return Ok(true);
        }
        let alert = &mut self.alerts[at];
        let returned = alert.starts_at != notice.starts_at && !resolved;
        let ended = resolved && alert.ends_at == 0;
        let again = !resolved && alert.ends_at != 0;
        alert.annotations.clone_from(&notice.annotations);
        alert.generator_url.clone_from(&notice.generator_url);
        if returned || ended || again {
            alert.starts_at = notice.starts_at;
            alert.ends_at = notice.ends_at;
            alert.is_told = false;
        }
        Ok(returned || ended || again)
    }

    /// Ends the alerts with these labels that still fire.
    pub(super) fn end(&mut self, labels: &[Labels], now: u64, send_resolved: bool) {
        let ended: HashSet<&Labels> = labels.iter().collect();
        self.alerts.retain_mut(|alert| {
            if alert.ends_at != 0 || !ended.contains(&alert.labels) {
                return true;
            }
            alert.ends_at = now;
            alert.is_told = false;
            send_resolved
        });
    }

    /// The group that has to be told now, if any; else when to look again.
    pub(super) fn due(&self, now: u64, repeat: u64, group_by: &[String]) -> (Option<Due>, u64) {
        let mut groups: BTreeMap<Labels, Vec<&Told>> = BTreeMap::new();
        for alert in &self.alerts {
            let key = group_by
                .iter()
                .filter_map(|name| Some((name.clone(), alert.labels.get(name)?.clone())))
                .collect();
            groups.entry(key).or_default().push(alert);
        }
        let mut next = u64::MAX;
        for (group_labels, alerts) in groups {
            let news = alerts.iter().any(|alert| !alert.is_told);
            let told_at = alerts.iter().map(|alert| alert.told_at).max().unwrap_or(0);
            let again = told_at.saturating_add(repeat);
            if news || again <= now {
                let mut alerts: Vec<Told> = alerts.into_iter().cloned().collect();
                alerts.sort_by(|a, b| a.labels.cmp(&b.labels));
                return (
                    Some(Due {
                        group_labels,
                        alerts,
                    }),
                    now,
                );
            }
            next = next.min(again);
        }
        (None, next)
    }

    /// Notes that a group was told. What changed meanwhile stays to be told.
    pub(super) fn told(&mut self, due: &Due, now: u64) {
        for told in &due.alerts {
            let known = self
                .alerts
                .iter_mut()
                .find(|alert| alert.labels == told.labels);
            if let Some(alert) = known
                && (alert.starts_at, alert.ends_at) == (told.starts_at, told.ends_at)
            {
                alert.is_told = true;
                alert.told_at = now;
            }
        }
        self.alerts
            .retain(|alert| alert.ends_at == 0 || !alert.is_told);
    }
}

fn fresh(notice: &Notice) -> Told {
    Told {
        labels: notice.labels.clone(),
        annotations: notice.annotations.clone(),
        starts_at: notice.starts_at,
        ends_at: notice.ends_at,
        generator_url: notice.generator_url.clone(),
        told_at: 0,
        is_told: false,
    }
}
