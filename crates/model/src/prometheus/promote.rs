//! Resource attributes that become labels of every series of the resource, by configuration.

use super::{Naming, is_verbatim};
use crate::metric::Series;

/// Which resource attributes become labels, beside `job` and `instance`. The others are in
/// `target_info` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promotion {
    /// These.
    Listed(Vec<String>),
    /// All but these.
    AllBut(Vec<String>),
}

impl Default for Promotion {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl Promotion {
    /// Whether no attribute becomes a label.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Listed(keys) if keys.is_empty())
    }

    fn takes(&self, key: &str) -> bool {
        match self {
            Self::Listed(keys) => keys.iter().any(|listed| listed == key),
            Self::AllBut(keys) => keys.iter().all(|ignored| ignored != key),
        }
    }

    /// Gives the series the attributes of its resource that become labels. Where it has an
    /// attribute that becomes the same label, that one stays.
    pub fn apply(&self, series: &mut Series) {
        if self.is_none() || is_verbatim(&series.metric) {
            return;
        }
        let naming = Naming::of(&series.metric);
        let own: Vec<String> = series
            .attributes
            .iter()
            .map(|kv| naming.label_name(&kv.key))
            .collect();
        let promoted = series.resource.attributes.iter().filter(|kv| {
            let label = naming.label_name(&kv.key);
            self.takes(&kv.key) && !own.contains(&label)
        });
        series.attributes.extend(promoted.cloned());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::metric::{Metric, MetricKind, Temporality};
    use crate::{KeyValue, Resource};

    #[test]
    fn listed_attributes_become_labels_and_own_ones_win() {
        let series = |metadata| Series {
            resource: Arc::new(Resource {
                attributes: vec![
                    KeyValue::new("service.name", "api"),
                    KeyValue::new("k8s.pod.name", "p-1"),
                    KeyValue::new("zone", "resource"),
                ],
                ..Resource::default()
            }),
            scope: Arc::default(),
            metric: Arc::new(Metric {
                name: "x".to_owned(),
                description: String::new(),
                unit: String::new(),
                kind: MetricKind::Gauge,
                temporality: Temporality::None,
                monotonic: false,
                metadata,
            }),
            attributes: vec![KeyValue::new("zone", "own")],
        };
        let labels = |promotion: &Promotion| {
            let mut series = series(vec![]);
            promotion.apply(&mut series);
            let labels = super::super::base_labels(&series);
            let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
            labels.join(" ")
        };
        assert_eq!(labels(&Promotion::default()), "job=api zone=own");
        let listed = Promotion::Listed(vec!["k8s.pod.name".to_owned(), "zone".to_owned()]);
        assert_eq!(labels(&listed), "job=api k8s_pod_name=p-1 zone=own");
        let all = Promotion::AllBut(vec!["k8s.pod.name".to_owned()]);
        assert_eq!(labels(&all), "job=api service_name=api zone=own");
        let theirs = series(vec![super::super::mark("gauge"), Naming::fixed()]);
        let mut promoted = theirs.clone();
        listed.apply(&mut promoted);
        assert_eq!(promoted.attributes.len(), 1 + theirs.attributes.len());
        let mut verbatim = series(vec![super::super::mark("gauge")]);
        listed.apply(&mut verbatim);
        assert_eq!(
            verbatim.attributes.len(),
            1,
            "Prometheus' own stay as they are"
        );
    }
}
