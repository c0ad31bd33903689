//! When targets were there: of the series that say so the times are enough.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::metric::{Histogram, MetricKind, PointValue, Series, Temporality};
use model::{DataPoint, KeyValue, Metric, Resource, Signal, Tenant, TimeRange};
use tempfile::tempdir;

use super::merge;
use crate::Store;
use crate::message::{MatchOp, Matcher, Reply, Request, Rollup, SeriesShare};
use crate::testing::*;

const MS: u64 = 1_000_000;
const SERIES: usize = 30;

/// A point of each of many series of a service.
fn scrape(service: &str, time_ms: u64) -> Vec<(Series, DataPoint)> {
    let resource = Arc::new(Resource {
        attributes: vec![
            KeyValue::new("service.name", service),
            KeyValue::new("zone", format!("zone of {service}")),
        ],
        ..Resource::default()
    });
    let one = |number: usize| {
        let kinds = [MetricKind::Gauge, MetricKind::Sum, MetricKind::Histogram];
        let kind = kinds[number % 3];
        let series = Series {
            resource: Arc::clone(&resource),
            scope: Arc::default(),
            metric: Arc::new(Metric {
                name: format!("metric_{number}"),
                description: String::new(),
                unit: String::new(),
                kind,
                temporality: [Temporality::Cumulative, Temporality::Delta][number % 2],
                monotonic: false,
                metadata: Vec::new(),
            }),
            attributes: Vec::new(),
        };
        let value = match kind {
            MetricKind::Histogram => PointValue::Histogram(Histogram::default()),
            _ => PointValue::Int(7),
        };
        let point = DataPoint {
            start_unix_nano: 0,
            time_unix_nano: time_ms * MS,
            flags: 0,
            value,
            exemplars: Vec::new(),
        };
        (series, point)
    };
    (0..SERIES).map(one).collect()
}

/// How many series came, and by their service the times of them.
async fn targets(store: &Store, since_ms: u64) -> (usize, BTreeMap<String, BTreeSet<i64>>) {
    let matcher = |name: &str, value: &str| Matcher {
        name: name.to_owned(),
        op: MatchOp::Equal,
        value: value.to_owned(),
    };
    let request = Request::Samples {
        tenant: Tenant::default(),
        range: TimeRange {
            start: since_ms * MS,
            end: 10_000 * MS,
        },
        deltas_since: 0,
        matchers: vec![matcher("__name__", "target_info")],
        rollup: Rollup::EVERYTHING,
        // Far fewer than there are.
        samples: 200,
        foreseen: 0,
        limit: 100,
        share: SeriesShare::ALL,
    };
    let (replies, _) = ask(store, request).await.unwrap();
    let (mut count, mut times) = (0, BTreeMap::<String, BTreeSet<i64>>::new());
    for reply in replies {
        let Reply::Samples(list) = reply else {
            panic!("{reply:?}");
        };
        for samples in list {
            count += 1;
            let service = samples.series.resource.attributes[0].value.as_str();
            times
                .entry(service.unwrap().to_owned())
                .or_default()
                .extend(&*samples.times_ms);
            assert!(samples.values.is_empty() && samples.points.is_empty());
            assert!(samples.histograms.is_none() && samples.deltas.is_none());
        }
    }
    (count, times)
}

#[tokio::test]
async fn of_series_that_say_when_a_target_was_there_the_times_are_read_once() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut expected = BTreeMap::<String, BTreeSet<i64>>::new();
    let mut scrapes = 0u64;
    for place in ["head", "head and file", "files", "merged"] {
        match place {
            "head" => {}
            "merged" => merge(&store).await,
            _ => store.flush().await,
        }
        for service in ["one", "two"] {
            for _ in 0..4 {
                scrapes += 1;
                write(&store, Signal::Metrics, &scrape(service, scrapes))
                    .await
                    .unwrap();
                let times = expected.entry(service.to_owned()).or_default();
                times.insert(i64::try_from(scrapes).unwrap());
            }
        }
        let (series, times) = targets(&store, 0).await;
        assert_eq!(times, expected, "{place}");
        // Of each service and place one, and a few where a place is in parts.
        assert!(series < SERIES, "{place}: {series}");
        let (_, later) = targets(&store, scrapes).await;
        assert_eq!(later.len(), 1, "{place}");
        assert_eq!(later["two"].len(), 1, "{place}");
    }
}
