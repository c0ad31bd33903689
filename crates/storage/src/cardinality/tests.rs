use std::sync::Arc;

use model::metric::{MetricKind, Temporality};
use model::{KeyValue, Metric, Resource};

use super::*;

fn series(name: &str, labels: &[(&str, &str)]) -> Series {
    let attributes = labels
        .iter()
        .map(|(key, value)| KeyValue::new(*key, *value));
    Series {
        resource: Arc::new(Resource {
            attributes: vec![KeyValue::new("service.name", "shop")],
            ..Resource::default()
        }),
        scope: Arc::default(),
        metric: Arc::new(Metric {
            name: name.to_owned(),
            description: String::new(),
            unit: String::new(),
            kind: MetricKind::Gauge,
            temporality: Temporality::None,
            monotonic: false,
            metadata: Vec::new(),
        }),
        attributes: attributes.collect(),
    }
}

fn ask(label: Option<&str>, by_samples: bool, listed: usize) -> CardinalityOf {
    CardinalityOf {
        matchers: Vec::new(),
        label: label.map(str::to_owned),
        by_samples,
        series: usize::MAX,
        listed,
    }
}

fn counter() -> Counter {
    let mut counter = Counter::default();
    counter.add(&series("a", &[("user", "1"), ("zone", "x")]), 5);
    counter.add(&series("a", &[("user", "2"), ("zone", "x")]), 5);
    counter.add(&series("b", &[("zone", "y")]), 100);
    counter.add(&series("", &[]), 1);
    counter
}

fn told(list: &[ValueWeight]) -> Vec<String> {
    let one = |one: &ValueWeight| {
        let Weight { series, samples } = one.weight;
        format!("{}={} {series} {samples}", one.label, one.value)
    };
    list.iter().map(one).collect()
}

#[test]
fn metrics_labels_and_values_are_counted_by_series_and_by_samples() {
    let found = counter().finish(&ask(None, false, 10));
    assert_eq!(
        (found.all.series, found.all.samples, found.pairs),
        (3, 110, 7)
    );
    assert_eq!(
        told(&found.metrics),
        ["__name__=a 2 10", "__name__=b 1 100"]
    );
    assert_eq!(
        told(&found.values),
        [
            "job=shop 3 110",
            "zone=x 2 10",
            "zone=y 1 100",
            "user=1 1 5",
            "user=2 1 5"
        ]
    );
    let labels: Vec<_> = found
        .labels
        .iter()
        .map(|label| (label.label.as_str(), label.values, label.bytes))
        .collect();
    assert_eq!(
        labels,
        [
            ("__name__", 2, 3),
            ("user", 2, 2),
            ("zone", 2, 3),
            ("job", 1, 12)
        ]
    );
    let found = counter().finish(&ask(Some("zone"), true, 10));
    assert_eq!(
        told(&found.metrics),
        ["__name__=b 1 100", "__name__=a 2 10"]
    );
    assert_eq!(told(&found.values), ["zone=y 1 100", "zone=x 2 10"]);
}

#[test]
fn answers_of_several_sources_become_one_of_the_length_asked_for() {
    let ask = ask(None, false, 1);
    let parts = vec![counter().finish(&ask), counter().finish(&ask)];
    let found = merge(parts, &ask);
    assert_eq!((found.all.series, found.all.samples), (6, 220));
    assert_eq!(told(&found.metrics), ["__name__=a 4 20"]);
    assert_eq!(told(&found.values), ["job=shop 6 220"]);
    assert_eq!(found.labels.len(), 1);
    assert_eq!(
        (found.labels[0].values, found.labels[0].weight.series),
        (2, 6)
    );
}
