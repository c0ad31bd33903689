use model::prometheus::{self, Strategy};
use model::value::last;
use otlp::rows::Rows;
use testkit::remote_write::{WriteRequest, block, one};

use super::*;

/// A request with one counter `http.requests` in seconds of an attribute `a.b`.
fn request(metadata: Option<(&str, &str)>) -> Vec<u8> {
    request_of("", metadata)
}

/// The same, of a scope.
fn request_of(scope: &str, metadata: Option<(&str, &str)>) -> Vec<u8> {
    use std::sync::Arc;

    use model::metric::{MetricKind, PointValue, Series, Temporality};
    use model::{DataPoint, Metric, Scope};
    let metadata = metadata.map(|(key, value)| KeyValue::new(key, value));
    let series = Series {
        resource: Arc::default(),
        scope: Arc::new(Scope {
            name: scope.to_owned(),
            ..Scope::default()
        }),
        metric: Arc::new(Metric {
            name: "http.requests".to_owned(),
            description: String::new(),
            unit: "s".to_owned(),
            kind: MetricKind::Sum,
            temporality: Temporality::Cumulative,
            monotonic: true,
            metadata: metadata.into_iter().collect(),
        }),
        attributes: vec![KeyValue::new("a.b", "1")],
    };
    let point = DataPoint {
        start_unix_nano: 1,
        time_unix_nano: 2,
        flags: 0,
        value: PointValue::Int(1),
        exemplars: Vec::new(),
    };
    otlp::encode::metrics([(&series, [&point])])
}

fn decoded(decoder: &Decoder, format: Format, request: &[u8]) -> model::metric::Series {
    let mut rows = Rows::default();
    decoder
        .decode(format, Signal::Metrics, request, &mut rows)
        .unwrap();
    assert_eq!(rows.points.len(), 1);
    rows.points.remove(0).0
}

#[test]
fn metrics_are_marked_with_how_they_are_named() {
    let sent = Decoder::new(Naming {
        strategy: Strategy::NoTranslation,
        ..Naming::default()
    });
    let request = request(None);
    let names = |decoder: &Decoder| {
        let series = decoded(decoder, Format::Otlp, &request);
        let labels = prometheus::base_labels(&series);
        (prometheus::base_name(&series), labels[0].0.clone())
    };
    let pair = |name: &str, label: &str| (name.to_owned(), label.to_owned());
    assert_eq!(names(&sent), pair("http.requests", "a.b"));
    let usual = pair("http_requests_seconds_total", "a_b");
    assert_eq!(names(&Decoder::default()), usual);
    // The default way needs no mark, so that nothing of what is stored changes.
    assert_eq!(names(&Decoder::new(Naming::default())), usual);
    let series = decoded(&Decoder::default(), Format::Otlp, &request);
    assert_eq!(series.metric.metadata, []);
}

#[test]
fn what_says_how_it_is_named_stays_so() {
    let decoder = Decoder::new(Naming {
        strategy: Strategy::NoTranslation,
        ..Naming::default()
    });
    let fixed = Naming::fixed();
    let request = request(Some((&fixed.key, fixed.value.as_str().unwrap())));
    let series = decoded(&decoder, Format::Otlp, &request);
    assert_eq!(
        prometheus::base_name(&series),
        "http_requests_seconds_total"
    );
}

#[test]
fn what_comes_by_a_protocol_of_prometheus_has_its_own_names() {
    let decoder = Decoder::new(Naming {
        strategy: Strategy::UnderscoreEscapingWithoutSuffixes,
        ..Naming::default()
    });
    let request = request(Some((TYPE_KEY, "counter")));
    let series = decoded(&decoder, Format::Otlp, &request);
    assert_eq!(prometheus::base_name(&series), "http.requests");
    assert_eq!(last(&series.metric.metadata, NAMING_KEY), None);
    let written = block(&WriteRequest {
        timeseries: vec![one(&[("__name__", "a.b")], 1, 1.0)],
        metadata: vec![],
    });
    let series = decoded(&decoder, Format::RemoteWrite1, &written);
    assert_eq!(prometheus::base_name(&series), "a.b");
    assert_eq!(last(&series.metric.metadata, NAMING_KEY), None);
}

#[test]
fn what_others_turned_into_otlp_has_its_names() {
    let request = request_of("github.com/receiver", Some((TYPE_KEY, "counter")));
    let names = |naming: Naming| {
        let series = decoded(&Decoder::new(naming), Format::Otlp, &request);
        let metadata = series.metric.metadata.iter();
        assert_eq!(metadata.filter(|pair| pair.key == NAMING_KEY).count(), 1);
        let labels = prometheus::base_labels(&series);
        (prometheus::base_name(&series), labels[0].0.clone())
    };
    let pair = |name: &str, label: &str| (name.to_owned(), label.to_owned());
    let usual = pair("http_requests_seconds_total", "a_b");
    assert_eq!(names(Naming::default()), usual);
    let sent = Naming {
        strategy: Strategy::NoTranslation,
        ..Naming::default()
    };
    assert_eq!(names(sent), pair("http.requests", "a.b"));
}
