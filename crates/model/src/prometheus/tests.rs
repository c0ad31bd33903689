use super::*;

#[test]
fn names_follow_the_default_strategy() {
    let cases = [
        (
            "http.server.request.duration",
            "s",
            MetricKind::Histogram,
            "http_server_request_duration_seconds",
        ),
        (
            "queue.depth",
            "{message}",
            MetricKind::UpDown,
            "queue_depth",
        ),
        ("queue.depth", "{message}", MetricKind::Gauge, "queue_depth"),
        ("pool.used", "1", MetricKind::Gauge, "pool_used_ratio"),
        ("pool.used", "1", MetricKind::UpDown, "pool_used"),
        (
            "jobs.total.done",
            "",
            MetricKind::Counter,
            "jobs_done_total",
        ),
        (
            "net.io",
            "By/s",
            MetricKind::Gauge,
            "net_io_bytes_per_second",
        ),
        (
            "requests_per_second",
            "1/s",
            MetricKind::Gauge,
            "requests_per_second",
        ),
        ("0day", "", MetricKind::Gauge, "_0day"),
        ("a:b", "", MetricKind::Gauge, "a:b"),
        ("日本", "", MetricKind::Gauge, ""),
    ];
    for (name, unit, kind, want) in cases {
        assert_eq!(
            metric_name(name, unit, kind),
            want,
            "{name} {unit} {kind:?}"
        );
    }
}

#[test]
fn bounds_are_written_without_exponents() {
    let cases = [
        (0.005, "0.005"),
        (5.0, "5"),
        (1e21, "1000000000000000000000"),
    ];
    for (bound, want) in cases {
        assert_eq!(bound_label(bound), want);
    }
    assert_eq!(bound_label(f64::INFINITY), "+Inf");
}

#[test]
fn label_names_are_escaped() {
    let cases = [
        ("http.method", "http_method"),
        ("a-b c", "a_b_c"),
        ("a..b", "a__b"),
        ("0a", "key_0a"),
        ("_private", "key_private"),
        ("__reserved", "__reserved"),
        ("ünï", "key_n_"),
        ("_", "_"),
        ("..", ""),
        ("", ""),
    ];
    for (name, want) in cases {
        assert_eq!(label_name(name), want, "{name}");
    }
}

#[test]
fn labels_join_collisions_and_take_the_identity_from_the_resource() {
    let resource = [
        ("service.name", "cart".to_owned()),
        ("service.namespace", "shop".to_owned()),
        ("service.instance.id", "i-1".to_owned()),
        ("host.name", "h".to_owned()),
    ];
    let scope = Scope {
        name: "lib",
        version: "1.2",
        attributes: vec![("k.x", "v".into())],
        ..Scope::default()
    };
    let point = [
        ("a_b", "second".to_owned()),
        ("a.b", "first".to_owned()),
        ("job", "overwritten".to_owned()),
        ("empty", String::new()),
    ];
    let got = Naming::default().labels(resource.clone(), &scope, point);
    let want = [
        ("a_b", "first;second"),
        ("instance", "i-1"),
        ("job", "shop/cart"),
        ("otel_scope_k_x", "v"),
        ("otel_scope_name", "lib"),
        ("otel_scope_version", "1.2"),
    ];
    let want: Vec<(String, String)> = want
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    assert_eq!(got, want);

    let info = Naming::default().target_info(resource).unwrap();
    let want = [
        ("host_name", "h"),
        ("instance", "i-1"),
        ("job", "shop/cart"),
    ];
    let want: Vec<(String, String)> = want
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect();
    assert_eq!(info, want);
    assert_eq!(
        Naming::default().target_info([("service.name", "x".to_owned())]),
        None
    );
    assert_eq!(
        Naming::default().target_info([("host.name", "x".to_owned())]),
        None
    );
}

#[test]
fn published_names_match() {
    let Some(path) = testkit::testdata("otlp/metric_names.json") else {
        return;
    };
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(!rows.is_empty());
    let mut wrong = Vec::new();
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap();
        let strategy = match (
            row["utf8"].as_bool().unwrap(),
            row["suffixes"].as_bool().unwrap(),
        ) {
            (false, true) => Strategy::UnderscoreEscapingWithSuffixes,
            (false, false) => Strategy::UnderscoreEscapingWithoutSuffixes,
            (true, true) => Strategy::NoUtf8EscapingWithSuffixes,
            (true, false) => Strategy::NoTranslation,
        };
        let kind = match text("type") {
            "MetricTypeGauge" => MetricKind::Gauge,
            "MetricTypeMonotonicCounter" => MetricKind::Counter,
            "MetricTypeNonMonotonicCounter" => MetricKind::UpDown,
            "MetricTypeHistogram" => MetricKind::Histogram,
            "MetricTypeExponentialHistogram" => MetricKind::ExpHistogram,
            "MetricTypeSummary" => MetricKind::Summary,
            _ => MetricKind::Unknown,
        };
        let name = strategy.metric_name(text("namespace"), text("name"), text("unit"), kind);
        let unit = unit_name(text("unit"));
        if name != text("want_name") || unit != text("want_unit") {
            wrong.push(format!(
                "{}: got {name:?} {unit:?}, want {row}",
                text("case")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
