use super::super::tests::settings;
use super::*;

#[test]
fn what_is_asked_for_is_what_prometheus_asks_for() {
    let cases = [
        (
            "honor_labels: false",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        ),
        (
            "metric_name_validation_scheme: legacy\nscrape_protocols: [PrometheusText1.0.0]",
            "text/plain;version=1.0.0;escaping=underscores;q=0.6,*/*;q=0.5",
        ),
        (
            "scrape_protocols: [PrometheusText0.0.4, OpenMetricsText1.0.0]\n\
             metric_name_escaping_scheme: values\nscrape_native_histograms: true",
            "text/plain;version=0.0.4;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=values;q=0.5,*/*;q=0.4",
        ),
    ];
    for (lines, header) in cases {
        assert_eq!(accept(&settings(lines)), header, "{lines}");
    }
    let native = accept(&settings("scrape_native_histograms: true"));
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                    encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;";
    assert!(native.starts_with(protobuf), "{native}");
    assert!(
        native.ends_with("version=0.0.4;q=0.2,*/*;q=0.1"),
        "{native}"
    );
}

#[test]
fn answers_are_read_as_what_they_say_they_are() {
    let plain = settings("honor_labels: false");
    let protobuf = "application/vnd.google.protobuf; proto=\"io.prometheus.client.MetricFamily\"; \
                    Encoding=delimited";
    for (content_type, expected) in [
        (None, Format::Text),
        (Some("text/html"), Format::Text),
        (Some("Text/Plain; version=0.0.4"), Format::Text),
        (Some("application/OpenMetrics-text; x"), Format::OpenMetrics),
        (Some(protobuf), Format::Protobuf),
        (Some("application/vnd.google.protobuf"), Format::Protobuf),
    ] {
        assert_eq!(
            format(content_type, &plain),
            Ok(expected),
            "{content_type:?}"
        );
    }
    let fallback = settings("fallback_scrape_protocol: OpenMetricsText0.0.1");
    assert_eq!(format(None, &fallback), Ok(Format::OpenMetrics));
    assert_eq!(format(Some("text/plain"), &fallback), Ok(Format::Text));
    let fallback = settings("fallback_scrape_protocol: PrometheusProto");
    assert_eq!(format(Some("x/y"), &fallback), Ok(Format::Protobuf));
    for wrong in ["proto=other.Message", "encoding=compact-text"] {
        let content_type = format!("application/vnd.google.protobuf;{wrong}");
        let error = format(Some(&content_type), &plain).unwrap_err();
        assert!(
            error.contains("delimited") || error.contains("MetricFamily"),
            "{error}"
        );
    }
}
