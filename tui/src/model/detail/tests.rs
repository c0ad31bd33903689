use super::*;
use serde_json::json;

fn item<'a>(detail: &'a Detail, label: &str) -> &'a Item {
    detail
        .items
        .iter()
        .find(|item| item.label == label)
        .unwrap()
}

#[test]
fn a_span_shows_all_and_leads_on() {
    let span = SpanView {
        trace_id: "t".to_owned(),
        span_id: "s".to_owned(),
        start_time_unix_nano: 1_000,
        attributes: vec![
            json!({"key": "http.request.header.X-Request-ID", "value": {"stringValue": "r 1"}}),
            json!({"key": "list", "value": {"arrayValue": {"values": [{"intValue": "1"}, {"boolValue": true}]}}}),
        ],
        events: vec![json!({"timeUnixNano": "3500", "name": "exception"})],
        links: vec![json!({"traceId": "t2", "spanId": "s2"})],
        dropped_links_count: 3,
        resource: json!({"attributes": [{"key": "host", "value": {"stringValue": "h\u{7}"}}]}),
        ..SpanView::default()
    };
    let detail = Detail::of_span(&span, &Zone::utc());
    let request = item(&detail, "http.request.header.X-Request-ID");
    assert_eq!(request.jump, Some(Jump::Story("r 1".to_owned())));
    assert_eq!(item(&detail, "list").text, "[1, true]");
    assert_eq!(item(&detail, "+2.50µs").text, "exception");
    assert_eq!(
        item(&detail, "trace").jump,
        Some(Jump::Trace("t2".into(), Some("s2".into())))
    );
    assert_eq!(
        item(&detail, "dropped").text,
        "3 more, by the service itself"
    );
    assert_eq!(item(&detail, "host").text, "h␇");
    let logs = "(trace_id:t span_id:s) OR (correlation:\"r 1\" -trace_id:*)";
    assert_eq!(
        item(&detail, "logs").jump,
        Some(Jump::Logs(logs.to_owned()))
    );
}

#[test]
fn a_pane_is_bounded() {
    let many: serde_json::Map<String, Json> = (0..ITEMS_MAX + 10)
        .map(|n| (format!("k{n}"), json!("v")))
        .collect();
    let log = LogView {
        attributes: Json::Object(many),
        ..LogView::default()
    };
    let detail = Detail::of_log(&log, &Zone::utc());
    assert_eq!(detail.items.len(), ITEMS_MAX + 1);
    assert_eq!(detail.items[ITEMS_MAX].label, "cut");
}

#[test]
fn a_corrected_clock_is_named() {
    let mut log = LogView {
        time_unix_nano: 5_000_000_000,
        clock_adjust_nano: -3_000_000_000,
        ..LogView::default()
    };
    let clock = |detail: &Detail| {
        let item = detail.items.iter().find(|item| item.label == "clock");
        item.map(|item| item.text.clone())
    };
    let named = "corrected by 3.00s earlier, to 1970-01-01T00:00:02Z".to_owned();
    assert_eq!(clock(&Detail::of_log(&log, &Zone::utc())), Some(named));
    log.clock_adjust_nano = 0;
    assert_eq!(clock(&Detail::of_log(&log, &Zone::utc())), None);
}

#[test]
fn a_long_value_is_shown_in_pieces_and_copied_whole() {
    let trace: String = (0..40).map(|n| format!("  at frame {n}\n")).collect();
    let log = LogView {
        body: json!(trace),
        ..LogView::default()
    };
    let detail = Detail::of_log(&log, &Zone::utc());
    let pieces: Vec<Piece> = detail.items.iter().map(|item| item.piece).collect();
    assert_eq!(pieces[..2], [Piece::First, Piece::Later]);
    assert_eq!(
        pieces
            .iter()
            .filter(|piece| **piece != Piece::Whole)
            .count(),
        8
    );
    for index in [0, 3, 7] {
        assert_eq!(detail.value(index).as_deref(), Some(&*trace));
    }
    assert_eq!(detail.value(8).as_deref(), Some("1970-01-01T00:00:00Z"));
    assert_eq!(detail.value(99), None);
}
