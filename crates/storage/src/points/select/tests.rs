//! Selection over terms against looking at every series.

use std::sync::Arc;

use model::metric::{Metric, MetricKind, Series, Temporality};
use model::{KeyValue, Resource, Scope, Signal, prometheus};

use super::*;
use crate::points::head::PointHead;
use crate::points::index::{IndexBuilder, SeriesIndex};
use crate::series_view::own_names;
use crate::testing::chunk;

/// Series of several services, kinds and labels.
fn all_series() -> Vec<Series> {
    let mut all = Vec::new();
    for service in ["shop", "cart", ""] {
        let mut attributes = vec![KeyValue::new("host.name", format!("host-{service}"))];
        if !service.is_empty() {
            attributes.push(KeyValue::new("service.name", service));
        }
        let resource = Arc::new(Resource {
            attributes,
            ..Resource::default()
        });
        for (name, kind) in [
            ("requests", MetricKind::Sum),
            ("latency", MetricKind::Histogram),
            ("size", MetricKind::Summary),
            ("load.level", MetricKind::Gauge),
            ("日本", MetricKind::Gauge),
        ] {
            for zone in ["", "a", "b|c", "b.d"] {
                let attributes = match zone {
                    "" => Vec::new(),
                    zone => vec![KeyValue::new("zone", zone)],
                };
                all.push(Series {
                    resource: Arc::clone(&resource),
                    scope: Arc::new(Scope::default()),
                    metric: Arc::new(Metric {
                        name: name.to_owned(),
                        description: String::new(),
                        unit: String::new(),
                        kind,
                        temporality: Temporality::Cumulative,
                        monotonic: true,
                        metadata: Vec::new(),
                    }),
                    attributes,
                });
            }
        }
    }
    all
}

fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher {
        name: name.to_owned(),
        op,
        value: value.to_owned(),
    }
}

fn matches(matchers: &[Matcher], labels: &[(String, String)]) -> bool {
    matchers.iter().all(|matcher| {
        let value = labels.iter().find(|(name, _)| *name == matcher.name);
        let value = value.map_or("", |(_, value)| value.as_str());
        let regex = || {
            Regex::new(&format!("^(?s:{})$", matcher.value))
                .unwrap()
                .is_match(value)
        };
        match matcher.op {
            MatchOp::Equal => value == matcher.value,
            MatchOp::NotEqual => value != matcher.value,
            MatchOp::Regex => regex(),
            MatchOp::NotRegex => !regex(),
        }
    })
}

/// Label sets of all Prometheus series of a series, bounds left out.
fn views(series: &Series) -> Vec<Vec<(String, String)>> {
    let named = |labels: &[(String, String)], name: &str| {
        let mut labels = labels.to_vec();
        labels.push((NAME_LABEL.to_owned(), name.to_owned()));
        labels
    };
    let own = prometheus::base_labels(series);
    let names = own_names(series);
    let mut views: Vec<_> = names.iter().map(|name| named(&own, name)).collect();
    if names.is_empty() {
        views.push(own.clone());
    }
    // With every attribute of the resource that a query may promote, or without it.
    let resource = prometheus::resource_labels(series);
    let promotable = resource
        .into_iter()
        .filter(|(name, _)| own.iter().all(|(n, _)| n != name));
    for label in promotable {
        let with = |view: &Vec<_>| [view.clone(), vec![label.clone()]].concat();
        let more: Vec<_> = views.iter().map(with).collect();
        views.extend(more);
    }
    views.extend(prometheus::target_info(series));
    views
}

#[test]
fn selection_agrees_with_looking_at_every_series() {
    let all = all_series();
    let point = model::DataPoint {
        start_unix_nano: 0,
        time_unix_nano: 1,
        flags: 0,
        value: model::metric::PointValue::Int(1),
        exemplars: Vec::new(),
    };
    let rows: Vec<_> = all
        .iter()
        .map(|series| (series.clone(), point.clone()))
        .collect();
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, &rows));
    let ordered = head.ordered();
    let mut builder = IndexBuilder::default();
    ordered.iter().for_each(|(entry, _)| builder.add(entry));
    let count = ordered.len() as u32;
    let index =
        SeriesIndex::open(builder.finish(&[0..count / 2, count / 2..count]).into()).unwrap();
    let names = [NAME_LABEL, "job", "zone", "host_name", "absent", "instance"];
    let values = [
        "",
        "shop",
        "requests_total",
        "latency",
        "latency_bucket",
        "size",
        "size_sum",
        "load_level",
        TARGET_INFO,
        "a",
        "b|c",
        "b.d",
        "host-shop",
        "load_.*",
        ".*",
        ".+",
        "a|b.d",
        "l.*",
        "sho?p",
        "(requests|latency)_.*",
        "host-.*",
        "b\\|c",
    ];
    let ops = [
        MatchOp::Equal,
        MatchOp::NotEqual,
        MatchOp::Regex,
        MatchOp::NotRegex,
    ];
    let mut random = fastrand::Rng::with_seed(12);
    for round in 0..3_000 {
        let matchers: Vec<Matcher> = (0..random.usize(..4))
            .map(|_| {
                let pick = |list: &[&'static str], at: usize| list[at % list.len()];
                let (name, value) = (random.usize(..), random.usize(..));
                matcher(
                    pick(&names, name),
                    ops[random.usize(..4)],
                    pick(&values, value),
                )
            })
            .collect();
        let selector = Selector::new(&matchers).unwrap();
        let expected: Vec<u32> = (0..)
            .zip(&ordered)
            .filter(|(_, (entry, _))| {
                views(&entry.series())
                    .iter()
                    .any(|labels| matches(&matchers, labels))
            })
            .map(|(at, _)| at)
            .collect();
        let found: Vec<u32> = selector.series(&index).iter().collect();
        let names: std::collections::BTreeSet<&String> =
            matchers.iter().map(|matcher| &matcher.name).collect();
        if names.len() == matchers.len() {
            assert_eq!(found, expected, "{round}: {matchers:?}");
        } else {
            // Conditions on one label may be met by the series and by what is promoted.
            let missing = expected.iter().any(|at| found.binary_search(at).is_err());
            assert!(!missing, "{round}: {matchers:?}");
        }
        let mut in_head: Vec<u128> = Vec::new();
        let selected = head.selected(&selector, &|| true);
        head.read(
            &selected,
            model::TimeRange::ALL,
            (false, |_| false),
            |entry, _| {
                in_head.push(entry.id);
                Ok::<(), ()>(())
            },
        )
        .unwrap();
        assert_eq!(in_head.len(), found.len(), "{round}: {matchers:?}");
    }
}

#[test]
fn values_and_names_are_those_of_selected_series() {
    let rows: Vec<_> = all_series()
        .into_iter()
        .map(|series| {
            let point = model::DataPoint {
                start_unix_nano: 0,
                time_unix_nano: 1,
                flags: 0,
                value: model::metric::PointValue::Int(1),
                exemplars: Vec::new(),
            };
            (series, point)
        })
        .collect();
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, &rows));
    let ask = |matchers: &[Matcher], label: Option<&str>| {
        let selector = Selector::new(matchers).unwrap();
        let mut found = Vec::new();
        head.terms(|terms| match label {
            Some(label) => selector.values(terms, label, &mut |text| found.push(text.to_owned())),
            None => selector.names(terms, &mut |text| found.push(text.to_owned())),
        });
        found.sort();
        found.dedup();
        found
    };
    assert_eq!(ask(&[], Some("job")), ["cart", "shop"]);
    assert_eq!(
        ask(&[], Some(NAME_LABEL)),
        [
            "latency_bucket",
            "latency_count",
            "latency_sum",
            "load_level",
            "requests_total",
            "size",
            "size_count",
            "size_sum",
            TARGET_INFO,
        ]
    );
    let latency = [matcher(NAME_LABEL, MatchOp::Regex, "latency_.*")];
    let names = ["latency_bucket", "latency_count", "latency_sum"];
    assert_eq!(ask(&latency, Some(NAME_LABEL)), names);
    assert_eq!(ask(&latency, None), [NAME_LABEL, "job", "le", "zone"]);
    assert_eq!(ask(&latency, Some("host_name")), [""; 0]);
    let info = [matcher(NAME_LABEL, MatchOp::Equal, TARGET_INFO)];
    assert_eq!(ask(&info, Some("host_name")), ["host-cart", "host-shop"]);
    assert_eq!(ask(&info, None), [NAME_LABEL, "host_name", "job"]);
}

/// A point each of series of one metric with these zones.
fn zoned(zones: std::ops::Range<usize>) -> crate::chunk::Chunk {
    let series = all_series().swap_remove(0);
    let row = |zone: usize| {
        let mut series = series.clone();
        series.attributes = vec![KeyValue::new("zone", format!("zone-{zone:05}"))];
        let point = model::DataPoint {
            start_unix_nano: 0,
            time_unix_nano: 1,
            flags: 0,
            value: model::metric::PointValue::Int(1),
            exemplars: Vec::new(),
        };
        (series, point)
    };
    chunk(Signal::Metrics, &zones.map(row).collect::<Vec<_>>())
}

#[test]
fn series_come_while_terms_are_looked_at() {
    const FIRST: usize = 20_000;
    let head = PointHead::default();
    head.append(&zoned(0..FIRST));
    let (mut values, mut newer) = (0, 0);
    head.terms(|terms| {
        let zones = key(LABEL, "zone", Some(""));
        terms.scan(&zones, &mut |_, series| {
            if values % 4_000 == 0 {
                newer += 1;
                head.append(&zoned(FIRST + newer..FIRST + newer + 1));
            }
            values += 1;
            assert_eq!(series().iter().count(), 1);
            true
        });
        let all = terms.find(&key(HAS_LABEL, "zone", None));
        assert_eq!(all, Set::all(u32::try_from(FIRST).unwrap()));
        assert_eq!(terms.count() as usize, FIRST);
    });
    assert_eq!((values, newer), (FIRST, 5));
    let count = head.terms(|terms| terms.count());
    assert_eq!(count as usize, FIRST + newer);
}

#[test]
fn no_more_terms_are_looked_at_than_are_wanted() {
    let head = PointHead::default();
    head.append(&zoned(0..20_000));
    let pattern = [matcher("zone", MatchOp::Regex, "zone-.*[0-9]")];
    let selector = Selector::new(&pattern).unwrap();
    let looks = std::cell::Cell::new(0);
    let wanted = || {
        looks.set(looks.get() + 1);
        looks.get() < 3
    };
    let mut values = 0;
    head.terms(|terms| {
        let all = Selector::new(&[]).unwrap();
        let terms = WhileWanted::new(terms, &wanted);
        all.values(&terms, "zone", &mut |_| values += 1);
        assert!((2_000..4_000).contains(&values), "{values}");
        assert!(selector.series(&terms).is_empty());
    });
    assert_eq!(looks.get(), 3);
    assert_eq!(head.selected(&selector, &|| true).len(), 20_000);
}

#[test]
fn patterns_as_queries_send_them_are_looked_for_by_what_they_begin_with() {
    for (pattern, prefix) in [
        ("^(?s:api-.*)$", "api-"),
        ("api-.*", "api-"),
        ("^(?s:api)$", "api"),
        ("^(?s:ab?)$", "a"),
        ("^(?s:a|b)$", ""),
        ("^(?s:(?i)api)$", ""),
        ("^(?s:)$", ""),
        ("^api$", ""),
    ] {
        assert_eq!(literal_prefix(pattern), prefix, "{pattern}");
    }
}
