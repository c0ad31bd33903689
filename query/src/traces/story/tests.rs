use super::*;
use crate::traces::fake::{Fake, log, resource, span, span_id, trace};
use model::SpanKind::{Client, Consumer, Producer, Server};
use model::metric::{
    DataPoint, Exemplar, ExemplarValue, Metric, MetricKind, PointValue, Series, Temporality,
};
use model::{Link, Scope};
use std::sync::Arc;
use storage::message::SeriesPoints;

struct Firing;

impl ActiveAlerts for Firing {
    fn active(&self, services: &BTreeSet<String>, range: TimeRange) -> Vec<AlertView> {
        assert_eq!(range, TimeRange { start: 0, end: 601 });
        let names = services.iter().cloned().collect::<Vec<_>>().join(",");
        vec![AlertView {
            name: names,
            ..AlertView::default()
        }]
    }
}

fn rows() -> Fake {
    let mut mail = span((2, 1, 0), "mail", Consumer, (500, 600));
    mail.links.push(Link {
        trace_id: trace(1).0.into(),
        span_id: span_id(2).0.into(),
        ..Link::default()
    });
    let mut root = span((1, 1, 0), "shop", Server, (0, 100));
    root.correlation = vec![("request_id".into(), "r1".into())];
    let exemplar = |n: u8| Exemplar {
        time_unix_nano: 70,
        value: ExemplarValue::Double(0.5),
        span_id: span_id(1).0.into(),
        trace_id: trace(n).0.into(),
        ..Exemplar::default()
    };
    let point = DataPoint {
        start_unix_nano: 0,
        time_unix_nano: 80,
        flags: 0,
        value: PointValue::Double(1.0),
        exemplars: vec![exemplar(1), exemplar(9), exemplar(1)],
    };
    let metric = Metric {
        name: "latency".into(),
        description: String::new(),
        unit: "s".into(),
        kind: MetricKind::Histogram,
        temporality: Temporality::Cumulative,
        monotonic: false,
        metadata: Vec::new(),
    };
    let series = Series {
        resource: resource("shop"),
        scope: Arc::new(Scope::default()),
        metric: Arc::new(metric),
        attributes: Vec::new(),
    };
    Fake {
        spans: vec![
            root,
            span((1, 2, 1), "shop", Producer, (50, 60)),
            span((1, 3, 1), "shop", Client, (10, 40)),
            mail,
        ],
        logs: vec![log("stock", 20, "reserved", &[("request_id", "r1")])],
        series: vec![SeriesPoints {
            series,
            points: vec![point],
        }],
        ..Fake::default()
    }
}

#[tokio::test]
async fn a_story_is_one_tree_with_its_evidence() {
    let rows = rows();
    let context = Context {
        rows: &rows,
        alerts: &Firing,
    };
    let story = tell(context, "r1", TimeRange::ALL, Bounds::default())
        .await
        .unwrap()
        .unwrap();
    let tree: Vec<String> = story
        .spans
        .iter()
        .map(|span| {
            format!(
                "{} {} {} {}",
                span.depth, span.service, span.name, span.confidence
            )
        })
        .collect();
    assert_eq!(
        tree,
        [
            "0 shop op1 1",
            "1 shop op3 1",
            "2 stock op3 0.8",
            "1 shop op2 1",
            "2 mail op1 1"
        ]
    );
    assert!(story.spans[2].inferred);
    assert_eq!(story.spans[1].children, [story.spans[2].span_id.clone()]);
    assert_eq!(story.logs.len(), 1);
    assert_eq!(story.exemplars.len(), 1, "{:?}", story.exemplars);
    assert_eq!(story.alerts[0].name, "mail,shop,stock");
    let inferred = story
        .joins
        .iter()
        .find(|join| join.to == story.spans[2].span_id)
        .unwrap();
    assert!(
        inferred.reason.contains("confidence 0.8"),
        "{}",
        inferred.reason
    );
}

#[tokio::test]
async fn an_unknown_id_has_no_story() {
    let rows = rows();
    let context = Context {
        rows: &rows,
        alerts: &NoAlerts,
    };
    let story = tell(context, "nobody", TimeRange::ALL, Bounds::default())
        .await
        .unwrap();
    assert!(story.is_none());
}

#[tokio::test]
async fn rows_stand_by_corrected_times_and_show_what_was_sent() {
    let clock = |offset_nano| {
        Some(model::ClockOffset {
            offset_nano,
            error_nano: 5,
        })
    };
    let mut rows = rows();
    for span in &mut rows.spans {
        if span.resource.service() == "mail" {
            (span.start_unix_nano, span.end_unix_nano) = (5_500, 5_600);
            span.clock = clock(-5_000);
        }
    }
    let second = log("stock", 24, "second", &[("request_id", "r1")]);
    let mut first = log("stock", 1_022, "first", &[("request_id", "r1")]);
    first.clock = clock(-1_000);
    rows.logs.extend([second, first]);
    let context = Context {
        rows: &rows,
        alerts: &Firing,
    };
    let told = tell(context, "r1", TimeRange::ALL, Bounds::default()).await;
    let story = told.unwrap().unwrap();
    let mail = story.spans.last().unwrap();
    assert_eq!(mail.start_time_unix_nano, 5_500);
    assert_eq!(mail.clock_adjust_nano, -5_000);
    let logs: Vec<_> = story
        .logs
        .iter()
        .map(|log| (log.time_unix_nano, log.clock_adjust_nano))
        .collect();
    assert_eq!(logs, [(20, 0), (1_022, -1_000), (24, 0)]);
}

#[tokio::test]
async fn of_a_span_that_was_sent_again_the_version_is_shown_that_ended_last() {
    let root = |end| {
        let mut root = span((1, 1, 0), "shop", Server, (0, end));
        root.correlation = vec![("request_id".into(), "r1".into())];
        root
    };
    let call = |end| span((1, 2, 1), "shop", Client, (5, end));
    for spans in [
        vec![root(10), root(50), call(8), call(40)],
        vec![call(40), call(8), root(50), root(10)],
    ] {
        let rows = Fake {
            spans,
            logs: vec![log("stock", 7, "reserved", &[("request_id", "r1")])],
            ..Fake::default()
        };
        let forest = crate::traces::trace::load(&rows, trace(1), TimeRange::ALL, Bounds::default());
        let forest = forest.await.unwrap();
        let shown = forest.spans.iter().map(|placed| &placed.span);
        let shown: Vec<_> = shown
            .map(|span| (span.inferred, span.span.end_unix_nano, span.confidence))
            .collect();
        // Two versions of a call are one call, so nothing else can have been meant.
        assert_eq!(shown, [(false, 50, 1.0), (false, 40, 1.0), (true, 7, 0.8)]);
    }
}

#[tokio::test]
async fn spans_without_an_id_that_begin_together_are_all_shown() {
    let nameless = |name: &str| {
        let mut span = span((1, 1, 0), "shop", Server, (0, 10));
        span.span_id = model::SpanId::default();
        span.name = name.to_owned();
        span
    };
    let rows = Fake {
        spans: vec![nameless("a"), nameless("b"), nameless("b")],
        ..Fake::default()
    };
    let forest = crate::traces::trace::load(&rows, trace(1), TimeRange::ALL, Bounds::default());
    let forest = forest.await.unwrap();
    let names = forest.spans.iter().map(|placed| &placed.span.span.name);
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}
