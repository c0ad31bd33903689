//! What one receiver was told and has yet to be told.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;

use rustc_hash::{FxBuildHasher, FxHashSet};
use serde::{Deserialize, Serialize};

use super::Notice;
use super::waits::Waits;
use crate::alerts::Labels;

/// There is no room for another alert, which is said once of each.
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
    #[serde(with = "listed")]
    alerts: BTreeMap<Labels, Told>,
    /// Hashes of the labels of those that there was no room for. They are as few as the alerts that
    /// rules have.
    #[serde(skip)]
    left_out: FxHashSet<u64>,
}

/// A group of alerts that has to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// The labels that all of its alerts share by grouping.
    pub group_labels: Labels,
    /// Its alerts by labels: all that fire, and those that ended since the last time.
    pub alerts: Vec<Told>,
}

/// When a receiver is looked at, and by what rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    /// Unix nanoseconds.
    pub now: u64,
    /// The monotonic clock's.
    pub monotonic: u64,
    /// After how long a group that still fires is told again.
    pub repeat: u64,
    /// Labels that make up a group.
    pub group_by: &'a [String],
}

/// What there is to do for a receiver.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// This group has to be told.
    Tell(Due),
    /// Nothing, for so many nanoseconds.
    Wait(u64),
}

/// The labels of a group.
type Key<'a> = Vec<(&'a str, &'a str)>;

impl Book {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn waiting(&self) -> usize {
        self.alerts.values().filter(|alert| !alert.is_told).count()
    }

    /// Takes in an alert; true where the receiver has to be told.
    pub(super) fn take(
        &mut self,
        notice: &Notice,
        send_resolved: bool,
        tracked_max: usize,
    ) -> Result<bool, Full> {
        let resolved = notice.ends_at != 0;
        let Some(alert) = self.alerts.get_mut(&notice.labels) else {
            return self.take_unknown(notice, resolved, tracked_max);
        };
        if resolved && !send_resolved {
            self.alerts.remove(&notice.labels);
            return Ok(true);
        }
        // Two rules may have alerts of the same labels: the one that began last counts.
        let returned = alert.starts_at < notice.starts_at && !resolved;
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

    fn take_unknown(
        &mut self,
        notice: &Notice,
        resolved: bool,
        tracked_max: usize,
    ) -> Result<bool, Full> {
        if resolved {
            // An alert whose end was told already, or that ended before this receiver was
            // configured, is not news.
            self.left_out.remove(&hash(&notice.labels));
            return Ok(false);
        }
        if self.alerts.len() >= tracked_max {
            let is_new = self.left_out.insert(hash(&notice.labels));
            return if is_new { Err(Full) } else { Ok(false) };
        }
        self.left_out.remove(&hash(&notice.labels));
        self.alerts.insert(notice.labels.clone(), fresh(notice));
        Ok(true)
    }

    /// Ends the alerts that are none of those that fire, and says how many these are.
    pub(super) fn reconcile(
        &mut self,
        firing: &HashSet<&Labels>,
        now: u64,
        send_resolved: bool,
    ) -> usize {
        if !self.left_out.is_empty() {
            let firing: FxHashSet<u64> = firing.iter().map(|labels| hash(labels)).collect();
            self.left_out.retain(|hash| firing.contains(hash));
        }
        let mut ended = 0;
        self.alerts.retain(|labels, alert| {
            if alert.ends_at != 0 || firing.contains(labels) {
                return true;
            }
            ended += 1;
            alert.ends_at = now;
            alert.is_told = false;
            send_resolved
        });
        ended
    }

    /// What has to be told now, if anything. Of several groups it is the one whose turn came first,
    /// so that those that a receiver does not take keep none of the others waiting.
    pub(super) fn next(&self, look: Look<'_>, waits: &mut Waits) -> Next {
        let mut groups: BTreeMap<Key<'_>, Vec<&Told>> = BTreeMap::new();
        for alert in self.alerts.values() {
            let names = look.group_by.iter();
            let key = names.filter_map(|name| Some((&**name, &**alert.labels.get(name)?)));
            groups.entry(key.collect()).or_default().push(alert);
        }
        waits.keep(|group| {
            let key: Key<'_> = group.iter().map(|(k, v)| (&**k, &**v)).collect();
            groups.contains_key(&key)
        });
        let mut wait = u64::MAX;
        let mut first: Option<(u64, Labels, Vec<&Told>)> = None;
        for (key, alerts) in groups {
            let told = alerts.iter().map(|alert| alert.told_at);
            // A time in the future is of a clock that was set back since.
            let told_at = told.max().unwrap_or(0).min(look.now);
            let again = told_at.saturating_add(look.repeat);
            if alerts.iter().all(|alert| alert.is_told) && again > look.now {
                wait = wait.min(again - look.now);
                continue;
            }
            let owned = key.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
            let labels: Labels = owned.collect();
            let retry_at = waits.until(&labels);
            if retry_at > look.monotonic {
                wait = wait.min(retry_at - look.monotonic);
            } else if first.as_ref().is_none_or(|first| retry_at < first.0) {
                first = Some((retry_at, labels, alerts));
            }
        }
        match first {
            Some((_, group_labels, alerts)) => Next::Tell(Due {
                group_labels,
                alerts: alerts.into_iter().cloned().collect(),
            }),
            None => Next::Wait(wait),
        }
    }

    /// Notes that a group was told. What changed meanwhile stays to be told.
    pub(super) fn told(&mut self, due: &Due, now: u64) {
        for told in &due.alerts {
            let Some(alert) = self.alerts.get_mut(&told.labels) else {
                continue;
            };
            if (alert.starts_at, alert.ends_at) != (told.starts_at, told.ends_at) {
                continue;
            }
            alert.is_told = true;
            alert.told_at = now;
            if alert.ends_at != 0 {
                self.alerts.remove(&told.labels);
            }
        }
    }
}

fn hash(labels: &Labels) -> u64 {
    FxBuildHasher.hash_one(labels)
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

/// A map of alerts as a list, which JSON can write.
mod listed {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Labels, Told};

    pub(super) fn serialize<S: Serializer>(
        alerts: &BTreeMap<Labels, Told>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(alerts.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Labels, Told>, D::Error> {
        let list = Vec::<Told>::deserialize(deserializer)?;
        let by_labels = list.into_iter().map(|told| (told.labels.clone(), told));
        Ok(by_labels.collect())
    }
}
