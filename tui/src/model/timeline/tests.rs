use api::{LogView, SpanView, StatusView};
use serde_json::json;

use super::{NONE, RowDetail, RowKind, Timeline, TimelineView, build};

fn span(id: &str, parent: &str, start: u64, end: u64) -> SpanView {
    SpanView {
        trace_id: "t1".to_owned(),
        span_id: id.to_owned(),
        parent_span_id: parent.to_owned(),
        name: format!("op-{id}"),
        service: "shop".to_owned(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        confidence: 1.0,
        resource: json!({"attributes": []}),
        ..SpanView::default()
    }
}

fn failed(mut span: SpanView) -> SpanView {
    span.status = StatusView {
        code: 2,
        message: "no".to_owned(),
    };
    span
}

fn log(span_id: &str, time: u64, body: &str) -> LogView {
    LogView {
        trace_id: "t1".to_owned(),
        span_id: span_id.to_owned(),
        time_unix_nano: time,
        service: "shop".to_owned(),
        body: json!(body),
        ..LogView::default()
    }
}

fn outline(timeline: &Timeline) -> Vec<String> {
    timeline
        .rows()
        .iter()
        .map(|row| {
            format!(
                "{}{}",
                " ".repeat(row.depth.into()),
                timeline.name(row.name)
            )
        })
        .collect()
}

#[test]
fn children_follow_their_parent_by_start_whatever_the_order_sent() {
    let spans = [
        span("d", "b", 30, 35),
        span("c", "a", 20, 25),
        span("a", "", 0, 100),
        span("b", "a", 10, 40),
    ];
    let logs = [
        log("b", 32, "hello"),
        log("", 5, "early"),
        log("zz", 50, "of a lost span"),
    ];
    let timeline = build(&spans, &logs);
    assert_eq!(
        outline(&timeline),
        [
            "op-a",
            " early",
            " op-b",
            "  op-d",
            "  hello",
            " op-c",
            " of a lost span"
        ]
    );
    assert_eq!(timeline.rows()[0].subtree, 7);
    assert_eq!((timeline.start, timeline.end), (0, 100));
}

#[test]
fn a_missing_parent_is_a_row_as_wide_as_its_children() {
    let timeline = build(&[span("b", "gone", 10, 20), span("c", "gone", 15, 40)], &[]);
    assert_eq!(
        outline(&timeline),
        ["parent gone was not found", " op-b", " op-c"]
    );
    let row = timeline.rows()[0];
    assert_eq!(
        (row.kind, row.start, row.duration),
        (RowKind::Missing, 10, 30)
    );
    let detail = timeline.detail(0).unwrap();
    assert_eq!(
        detail,
        RowDetail::Missing {
            span_id: "gone".to_owned(),
            trace_id: "t1".to_owned()
        }
    );
}

#[test]
fn cycles_and_self_parents_are_all_drawn_once() {
    let spans = [
        span("a", "b", 0, 1),
        span("b", "a", 1, 2),
        span("c", "c", 2, 3),
        span("d", "b", 3, 4),
    ];
    let timeline = build(&spans, &[]);
    assert_eq!(outline(&timeline), ["op-c", "op-a", " op-b", "  op-d"]);
}

#[test]
fn a_linked_trace_hangs_under_the_span_it_links_to() {
    let mut consumer = span("x", "", 50, 60);
    consumer.trace_id = "t2".to_owned();
    consumer.links = vec![json!({"traceId": "t1", "spanId": "a"})];
    let timeline = build(&[consumer, span("a", "", 0, 10)], &[]);
    assert_eq!(outline(&timeline), ["op-a", " op-x"]);
    assert!(timeline.rows()[1].linked);
}

#[test]
fn logs_of_an_untraced_service_hang_under_its_inferred_span() {
    let mut inferred = span("i", "a", 10, 20);
    inferred.inferred = true;
    inferred.confidence = 0.8;
    inferred.service = "legacy".to_owned();
    let mut line = log("", 15, "done");
    line.service = "legacy".to_owned();
    line.trace_id = String::new();
    let timeline = build(&[span("a", "", 0, 100), inferred], &[line]);
    assert_eq!(outline(&timeline), ["op-a", " op-i", "  done"]);
    assert_eq!(timeline.rows()[1].confidence, 80);
    assert_eq!(
        (timeline.spans, timeline.inferred, timeline.logs),
        (2, 1, 1)
    );
}

#[test]
fn details_are_what_was_sent() {
    // Every member is named, so that a new one cannot be forgotten.
    let sent = SpanView {
        trace_id: "t1".to_owned(),
        span_id: "a".to_owned(),
        parent_span_id: "p".to_owned(),
        trace_state: "vendor=1".to_owned(),
        flags: 1,
        name: "op".to_owned(),
        kind: 3,
        start_time_unix_nano: u64::MAX - 1,
        end_time_unix_nano: u64::MAX,
        attributes: vec![json!({"key": "a", "value": {"intValue": "1"}})],
        dropped_attributes_count: 1,
        events: vec![json!({"name": "e"})],
        dropped_events_count: 2,
        links: vec![json!({"traceId": "x"})],
        dropped_links_count: 3,
        status: StatusView {
            code: 2,
            message: "no".to_owned(),
        },
        service: "shop".to_owned(),
        resource: json!({"attributes": []}),
        scope: json!({"name": "s"}),
        correlation: json!({"order": "o7"}),
        children: Vec::new(),
        depth: 4,
        inferred: true,
        confidence: 0.5,
        clock_adjust_nano: -7,
    };
    let timeline = build(std::slice::from_ref(&sent), &[log("a", 1, "x\u{1b}y")]);
    let rows = timeline.rows();
    let place = |kind| rows.iter().position(|row| row.kind == kind).unwrap();
    let detail = timeline.detail(place(RowKind::Inferred) as u32);
    assert_eq!(detail, Some(RowDetail::Span(Box::new(sent))));
    let place = place(RowKind::Log);
    assert_eq!(timeline.name(rows[place].name), "x␛y");
    let Some(RowDetail::Log(record)) = timeline.detail(place as u32) else {
        panic!("no log")
    };
    assert_eq!(record.body, json!("x\u{1b}y"));
    assert_eq!(timeline.detail(3), None);
}

#[test]
fn rows_lie_where_corrected_clocks_put_them() {
    let late = SpanView {
        clock_adjust_nano: 1_000,
        ..span("b", "a", 10, 40)
    };
    let line = LogView {
        clock_adjust_nano: -500,
        ..log("b", 1_520, "x")
    };
    let timeline = build(&[span("a", "", 1_000, 1_100), late], &[line]);
    let places: Vec<(u64, u64)> = timeline
        .rows()
        .iter()
        .map(|row| (row.start, row.duration))
        .collect();
    assert_eq!(places, [(1_000, 100), (1_010, 30), (1_020, 0)]);
}

#[test]
fn folding_hides_and_errors_unfold() {
    let spans = [
        span("a", "", 0, 100),
        span("b", "a", 10, 40),
        failed(span("c", "b", 20, 30)),
        span("d", "a", 50, 60),
        failed(span("e", "d", 51, 52)),
    ];
    let mut view = TimelineView::new(build(&spans, &[]));
    assert_eq!(view.timeline.rows()[0].errors, 2);
    view.fold_all(true);
    assert_eq!(view.visible(), [0, 1, 3]);
    let error = view.timeline.error_from(0, true).unwrap();
    view.reveal(error);
    assert_eq!(view.visible(), [0, 1, 2, 3]);
    assert_eq!(view.marked(), Some(2));
    assert_eq!(view.timeline.error_from(2, true), Some(4));
    assert_eq!(view.timeline.error_from(4, true), None);
    assert_eq!(view.timeline.error_from(4, false), Some(2));
    view.go_to_parent();
    view.fold(true);
    assert_eq!(view.visible(), [0, 1, 3]);
    view.fold_all(false);
    assert_eq!(view.visible().len(), 5);
    assert_eq!(view.marked(), Some(1));
}

#[test]
fn search_wraps_around_and_ignores_case() {
    let timeline = build(
        &[
            span("a", "", 0, 9),
            span("B", "a", 1, 2),
            span("c", "a", 3, 4),
        ],
        &[],
    );
    assert_eq!(timeline.search_from(0, "OP-b", true), Some(1));
    assert_eq!(timeline.search_from(1, "op-b", true), Some(1));
    assert_eq!(timeline.search_from(0, "op-", false), Some(2));
    assert_eq!(timeline.search_from(0, "nothing", true), None);
    assert_eq!(timeline.search_from(0, "", true), None);
}

#[test]
fn an_empty_timeline_has_nothing_to_mark() {
    let mut view = TimelineView::new(build(&[], &[]));
    view.fold(true);
    view.go_to_parent();
    view.fold_all(true);
    view.reveal(NONE);
    assert_eq!(view.marked(), None);
}
