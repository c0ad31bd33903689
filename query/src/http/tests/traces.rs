use super::*;

/// Ten traces, one every ten seconds from 100 s; trace n lasts n + 1 seconds and has n % 3
/// errors. Each has a child span that starts one second after its root.
fn ten(memory: &Memory) {
    let mut spans = memory.spans.lock();
    for n in 0..10u8 {
        let start = 100 + 10 * u64::from(n);
        spans.push(span(n + 1, 1, None, "front", start, u64::from(n) + 1));
        let mut child = span(n + 1, 2, Some(1), "back", start + 1, 0);
        child.status_code = if n % 3 > 0 { 2 } else { 0 };
        spans.push(child);
        if n % 3 > 1 {
            let mut other = span(n + 1, 3, Some(1), "back", start + 1, 0);
            other.status_code = 2;
            spans.push(other);
        }
    }
}

async fn pages(server: &Server, query: &[(&str, &str)]) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    for _ in 0..50 {
        let mut query = query.to_vec();
        query.push(("cursor", &cursor));
        let answer = server.ok("traces", &query).await;
        all.extend(texts(&answer["traces"], "trace_id"));
        match answer["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
    panic!("the pages do not end");
}

fn ids(numbers: impl IntoIterator<Item = u8>) -> Vec<String> {
    numbers
        .into_iter()
        .map(|number| trace_id(number).to_string())
        .collect()
}

#[tokio::test]
async fn traces_are_listed_newest_first_page_by_page() {
    let memory = Memory::new("a");
    ten(&memory);
    let server = serve(&[&memory], |_| {}).await;
    for limit in ["1", "3", "10", "100"] {
        let newest = pages(&server, &[("limit", limit)]).await;
        assert_eq!(newest, ids((1..=10).rev()), "{limit}");
        let slowest = pages(&server, &[("limit", limit), ("order", "slowest")]).await;
        assert_eq!(slowest, ids((1..=10).rev()), "{limit}");
        let errors = pages(&server, &[("limit", limit), ("order", "errors")]).await;
        assert_eq!(errors, ids([3, 6, 9, 2, 5, 8, 1, 4, 7, 10]), "{limit}");
    }
}

#[tokio::test]
async fn small_scans_and_several_sources_find_the_same_pages() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    ten(&one);
    ten(&two);
    let server = serve(&[&one, &two], |options| options.sizes.rows = 2).await;
    assert_eq!(pages(&server, &[("limit", "2")]).await, ids((1..=10).rev()));
    let answer = server
        .ok("traces", &[("q", "trace.errors:2 service:back")])
        .await;
    assert_eq!(texts(&answer["traces"], "trace_id"), ids([9, 6, 3]));
    assert_eq!(answer["traces"][0]["span_count"], 3);
}

#[tokio::test]
async fn a_span_that_was_sent_twice_is_one_span() {
    let memory = Memory::new("a");
    ten(&memory);
    ten(&memory);
    let server = serve(&[&memory], |_| {}).await;
    let answer = server
        .ok("traces", &[("q", "service:back"), ("limit", "2")])
        .await;
    assert_eq!(texts(&answer["traces"], "trace_id"), ids([10, 9]));
    assert_eq!(answer["traces"][1]["span_count"], 3);
    assert_eq!(answer["traces"][1]["error_count"], 2);
    let errors = pages(&server, &[("limit", "3"), ("order", "errors")]).await;
    assert_eq!(errors, ids([3, 6, 9, 2, 5, 8, 1, 4, 7, 10]));
}

#[tokio::test]
async fn a_span_that_one_source_holds_twice_hides_no_trace() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    let copy = span(1, 1, None, "front", 10, 1);
    one.spans.lock().extend([
        copy.clone(),
        copy,
        span(1, 2, Some(1), "back", 9, 1),
        span(2, 1, None, "front", 8, 1),
        span(3, 1, None, "front", 7, 1),
    ]);
    two.spans.lock().push(span(4, 1, None, "front", 5, 1));
    let server = serve(&[&one, &two], |options| options.sizes.rows = 3).await;
    assert_eq!(pages(&server, &[]).await, ids([1, 2, 3, 4]));
}

#[tokio::test]
async fn of_a_span_that_was_sent_again_the_version_counts_that_ended_last() {
    let early = span(1, 1, None, "front", 100, 1);
    let mut late = span(1, 1, None, "front", 100, 5);
    late.status_code = 2;
    let sent = [
        [vec![early.clone(), late.clone()], vec![]],
        [vec![late.clone(), early.clone()], vec![]],
        [vec![early.clone()], vec![late.clone()]],
        [vec![late], vec![early]],
    ];
    for [first, second] in sent {
        let (one, two) = (Memory::new("a"), Memory::new("b"));
        *one.spans.lock() = first;
        *two.spans.lock() = second;
        let server = serve(&[&one, &two], |_| {}).await;
        let answer = server.ok("traces", &[]).await;
        let trace = &answer["traces"][0];
        assert_eq!(
            trace["services"],
            serde_json::json!([{"name": "front", "spans": 1, "errors": 1}]),
            "{answer}"
        );
        assert_eq!(
            (&trace["span_count"], &trace["error_count"]),
            (&Json::from(1), &Json::from(1))
        );
        assert_eq!(trace["duration_nano"], 5 * S);
    }
}

#[tokio::test]
async fn the_slowest_traces_are_those_by_times_as_sent() {
    let memory = Memory::new("a");
    // Lasts ten seconds as it was sent, and a hundred by the clock of the collector.
    let mut apart = span(1, 1, None, "front", 100, 10);
    let inside = span(1, 2, Some(1), "back", 100, 10);
    apart.clock = Some(model::ClockOffset {
        offset_nano: 90_000_000_000,
        error_nano: 9,
    });
    memory.spans.lock().extend([apart, inside]);
    memory.spans.lock().push(span(2, 1, None, "front", 100, 20));
    memory.spans.lock().push(span(3, 1, None, "front", 100, 5));
    let server = serve(&[&memory], |_| {}).await;
    for limit in ["1", "2", "10"] {
        let query = [("order", "slowest"), ("limit", limit)];
        assert_eq!(pages(&server, &query).await, ids([2, 1, 3]), "{limit}");
    }
    let answer = server.ok("traces", &[("order", "slowest")]).await;
    assert_eq!(answer["traces"][1]["duration_nano"], 100 * S);
}

#[tokio::test]
async fn summaries_cover_the_whole_trace() {
    let memory = Memory::new("a");
    ten(&memory);
    let server = serve(&[&memory], |_| {}).await;
    let answer = server
        .ok(
            "traces",
            &[("q", "status:error service:back"), ("limit", "1")],
        )
        .await;
    let trace = &answer["traces"][0];
    assert_eq!(trace["trace_id"], trace_id(9).to_string());
    assert_eq!(trace["root_service"], "front");
    assert_eq!(trace["root_name"], "op-1");
    assert_eq!(trace["start_unix_nano"], 180 * S);
    assert_eq!(trace["duration_nano"], 9 * S);
    assert_eq!(
        (&trace["span_count"], &trace["error_count"]),
        (&Json::from(3), &Json::from(2))
    );
    assert_eq!(
        trace["services"][0],
        serde_json::json!({"name": "back", "spans": 2, "errors": 2})
    );
    assert!(answer["stats"]["rows"].as_u64().unwrap() > 0);
    assert_eq!(answer["cut"], serde_json::json!([]));
    assert_eq!(
        answer["complete_to"],
        serde_json::json!([{"source": "a", "kind": "collector", "unix_nano": 42, "state": "live"}])
    );
}

#[tokio::test]
async fn traces_whose_spans_are_too_many_to_read_are_listed_all_the_same() {
    let memory = Memory::new("a");
    ten(&memory);
    let whole = pages(&serve(&[&memory], |_| {}).await, &[("limit", "3")]).await;
    for order in ["newest", "slowest", "errors"] {
        let server = serve(&[&memory], |options| options.sizes.summary_spans = 1).await;
        let answer = server.ok("traces", &[("order", order)]).await;
        let traces = answer["traces"].as_array().unwrap();
        assert_eq!(traces.len(), 10, "{order}: {answer}");
        assert_eq!(answer["cut"][0]["limit"], "spans", "{answer}");
        let started = |trace: &Json| trace["start_unix_nano"].as_u64().unwrap() > 0;
        assert!(traces.iter().all(started), "{order}: {answer}");
    }
    let cut = serve(&[&memory], |options| options.sizes.summary_spans = 1).await;
    assert_eq!(pages(&cut, &[("limit", "3")]).await, whole);
}

#[tokio::test]
async fn ranges_are_half_open_and_hold_what_overlaps() {
    let memory = Memory::new("a");
    ten(&memory);
    let server = serve(&[&memory], |_| {}).await;
    let at = |start: &str, end: &str| {
        let query = [
            ("start".to_owned(), start.to_owned()),
            ("end".to_owned(), end.to_owned()),
        ];
        let server = &server;
        async move {
            let query: Vec<(&str, &str)> = query
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            pages(server, &[&query[..], &[("limit", "1")]].concat()).await
        }
    };
    // The first trace lasts from 100 s to 101 s, the last from 190 s to 200 s.
    assert_eq!(at("", "100000000000").await, ids([]));
    assert_eq!(at("", "100000000001").await, ids([1]));
    assert_eq!(at("195000000000", "").await, ids([10]));
    assert_eq!(at("1970-01-01T00:03:20Z", "").await, ids([10]));
    assert_eq!(at("200000000001", "").await, ids([]));
    assert_eq!(at("now-820s", "now-810s").await, ids([9]));
    assert_eq!(at("145000000000", "165000000000").await, ids([7, 6, 5]));
}

#[tokio::test]
async fn conditions_on_traces_look_further_until_the_page_is_full() {
    let memory = Memory::new("a");
    ten(&memory);
    let server = serve(&[&memory], |_| {}).await;
    let slow = pages(&server, &[("q", "trace.duration:<4s"), ("limit", "2")]).await;
    assert_eq!(slow, ids([3, 2, 1]));
    let mixed = pages(
        &server,
        &[("q", "status:error -trace.spans:3"), ("limit", "1")],
    )
    .await;
    assert_eq!(mixed, ids([8, 5, 2]));
}

#[tokio::test]
async fn services_and_operations_have_their_figures() {
    let memory = Memory::new("a");
    ten(&memory);
    memory.logs.lock().push(log("quiet", 5, 9, "only logs"));
    let server = serve(&[&memory], |_| {}).await;
    let answer = server.ok("services", &[]).await;
    assert_eq!(
        texts(&answer["services"], "name"),
        ["back", "front", "quiet"]
    );
    let front = &answer["services"][1];
    assert_eq!(
        (&front["spans"], &front["errors"]),
        (&Json::from(10), &Json::from(0))
    );
    assert_eq!(
        (&front["p50_nano"], &front["p99_nano"]),
        (&Json::from(5 * S), &Json::from(10 * S))
    );
    let rate = |service: &Json| service["rate"].as_f64().unwrap();
    // From the first span until now: nothing has come for 800 seconds.
    assert!((rate(front) - 10.0 / 900.0).abs() < 1e-9, "{front}");
    assert_eq!(answer["services"][0]["errors"], 9);
    assert_eq!(answer["services"][2]["logs"], 1);

    let answer = server
        .ok("services/back/operations", &[("start", "now-900s")])
        .await;
    assert_eq!(texts(&answer["operations"], "name"), ["op-2", "op-3"]);
    assert_eq!(answer["operations"][0]["kind"], "internal");
    assert_eq!(answer["operations"][0]["errors"], 6);
    assert!((rate(&answer["operations"][0]) - 10.0 / 900.0).abs() < 1e-9);
    let range = [("start", "100000000000"), ("end", "200000000000")];
    let answer = server.ok("services", &range).await;
    assert!(
        (rate(&answer["services"][1]) - 0.1).abs() < 1e-9,
        "{answer}"
    );
}

/// Traces whose spans lie apart: a root in `front`, and a child in `back` that begins so many
/// seconds after it. All last one second.
fn apart(memory: &Memory, traces: &[(u8, u64, u64)]) {
    let mut spans = memory.spans.lock();
    for (trace, start, later) in traces {
        spans.push(span(*trace, 1, None, "front", *start, 1));
        spans.push(span(*trace, 2, Some(1), "back", start + later, 1));
    }
}

#[tokio::test]
async fn a_trace_is_in_range_by_any_of_its_spans() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    // Ends before the range; reaches into it; around it; begins in it; inside; after it.
    let traces = [
        (1, 100, 50),
        (2, 150, 100),
        (3, 190, 200),
        (4, 250, 100),
        (5, 240, 10),
        (6, 400, 10),
    ];
    apart(&one, &traces);
    // The halves of a trace may lie in two collectors.
    let (front, back): (Vec<Span>, Vec<Span>) = one
        .spans
        .lock()
        .drain(..)
        .partition(|span| span.parent_span_id.is_none());
    *one.spans.lock() = front;
    *two.spans.lock() = back;
    let server = serve(&[&one, &two], |_| {}).await;
    let range = [("start", "200000000000"), ("end", "300000000000")];
    let found = async |q: &str, order: &str, more: &[(&str, &str)]| {
        let query = [&[("q", q), ("order", order)], &range[..], more].concat();
        pages(&server, &query).await
    };
    for limit in ["1", "2", "20"] {
        let limit = [("limit", limit)];
        // Matching spans inside come first, then those outside, each from the newest.
        assert_eq!(
            found("service:front", "newest", &limit).await,
            ids([4, 5, 2])
        );
        assert_eq!(
            found("service:back", "newest", &limit).await,
            ids([2, 5, 4])
        );
        assert_eq!(
            found("service:back", "slowest", &limit).await,
            ids([2, 4, 5])
        );
        assert_eq!(found("", "slowest", &limit).await, ids([2, 4, 5]));
        let long = found("service:front trace.duration:>50s", "newest", &limit);
        assert_eq!(long.await, ids([4, 2]));
    }
    let open = async |side: (&str, &str)| pages(&server, &[("q", "service:front"), side]).await;
    assert_eq!(open(range[0]).await, ids([6, 4, 5, 3, 2]));
    assert_eq!(open(range[1]).await, ids([4, 5, 3, 2, 1]));
}

#[tokio::test]
async fn a_trace_that_matches_too_far_outside_may_be_missing_and_that_is_said() {
    let memory = Memory::new("a");
    // One matches an hour and more before the range, one a little before it.
    apart(&memory, &[(1, 10_000, 10_050), (2, 18_000, 2_050)]);
    let server = serve(&[&memory], |_| {}).await;
    let range = [("start", "20000000000000"), ("end", "20100000000000")];
    for order in ["newest", "slowest"] {
        let query = [&[("q", "service:front"), ("order", order)], &range[..]].concat();
        *memory.cost_bytes.lock() = 0;
        let answer = server.ok("traces", &query).await;
        assert_eq!(answer["traces"].as_array().unwrap().len(), 2, "{answer}");
        assert_eq!(answer["cut"], serde_json::json!([]));

        // Looking through all times would cost more than is granted for it.
        *memory.cost_bytes.lock() = 64 << 20;
        let answer = server.ok("traces", &query).await;
        let found = texts(&answer["traces"], "trace_id");
        assert_eq!(found, [trace_id(2).to_string()]);
        assert_eq!(texts(&answer["cut"], "limit"), ["reach"], "{answer}");
        assert_eq!(answer["cut"][0]["value"], "1h");
    }
}

#[tokio::test]
async fn every_matching_trace_is_ranked() {
    let memory = Memory::new("a");
    // The slowest of 6,000 traces are the oldest.
    for n in 0..6_000u64 {
        let mut span = span(1, 1, None, "front", 10_000 + n, 6_000 - n);
        span.trace_id = TraceId(u128::from(n + 1).to_be_bytes());
        memory.spans.lock().push(span);
    }
    let server = serve(&[&memory], |_| {}).await;
    let query = [("order", "slowest"), ("limit", "3")];
    let answer = server.ok("traces", &query).await;
    let expected: Vec<String> = (1..=3u128)
        .map(|n| TraceId(n.to_be_bytes()).to_string())
        .collect();
    assert_eq!(texts(&answer["traces"], "trace_id"), expected);
    assert_eq!(answer["cut"], serde_json::json!([]));

    let few = |options: &mut Options| options.sizes.ranked_traces = 5_000;
    let server = serve(&[&memory], few).await;
    let answer = server.ok("traces", &query).await;
    assert_eq!(answer["cut"][0]["limit"], "traces");
    assert_eq!(answer["cut"][0]["value"], "5000");
}
