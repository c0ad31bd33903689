use std::sync::atomic::Ordering;

use super::*;
use crate::testing::Fault;

#[tokio::test]
async fn every_refusal_says_what_is_wrong() {
    let memory = Memory::new("a");
    let server = serve(&[&memory], |_| {}).await;
    let cases = [
        (
            "/api/v1/nothing",
            404,
            "not_found",
            "there is nothing at /api/v1/nothing",
        ),
        (
            "/api/v1/logs?limt=5",
            400,
            "invalid_parameter",
            "there is no parameter \"limt\" here",
        ),
        (
            "/api/v1/logs?limit=0",
            400,
            "invalid_parameter",
            "limit: 0 is not between 1 and 10000",
        ),
        (
            "/api/v1/logs?limit=x",
            400,
            "invalid_parameter",
            "limit: \"x\" is not a whole number",
        ),
        (
            "/api/v1/logs?q=a&q=b",
            400,
            "invalid_parameter",
            "q: given more than once",
        ),
        (
            "/api/v1/logs?start=soon",
            400,
            "invalid_parameter",
            "start: \"soon\" is not a time",
        ),
        (
            "/api/v1/logs?start=5&end=4",
            400,
            "invalid_parameter",
            "start is after end",
        ),
        (
            "/api/v1/logs?cursor=abc",
            400,
            "invalid_parameter",
            "the cursor is not one of this list",
        ),
        (
            "/api/v1/logs?order=new",
            400,
            "invalid_parameter",
            "order: \"new\" is not one of newest, oldest",
        ),
        (
            "/api/v1/logs?q=level:eror",
            400,
            "invalid_query",
            "level is never \"eror\"",
        ),
        (
            "/api/v1/logs?q=trace.duration:%3E1s",
            400,
            "invalid_query",
            "trace.duration holds for whole traces, not for a row",
        ),
        (
            "/api/v1/logs/histogram?step=0s",
            400,
            "invalid_parameter",
            "step: \"0s\" is not a length of time above zero with a unit",
        ),
        (
            "/api/v1/logs/histogram?step=15",
            400,
            "invalid_parameter",
            "step: \"15\" is not a length of time above zero with a unit",
        ),
        (
            "/api/v1/logs/histogram?start=0&end=now&step=1us",
            200,
            "",
            "",
        ),
        (
            "/api/v1/logs/histogram?start=1&end=now&step=1us",
            400,
            "invalid_parameter",
            "the step makes 999999999 buckets, more than 11000",
        ),
        (
            "/api/v1/fields/trace.duration/values",
            400,
            "invalid_parameter",
            "\"trace.duration\" is not the name of a field",
        ),
        (
            "/api/v1/fields?signal=smoke",
            400,
            "invalid_parameter",
            "signal: \"smoke\" is not one of logs, traces, metrics",
        ),
        (
            "/api/v1/services?q=x",
            400,
            "invalid_parameter",
            "there is no parameter \"q\" here",
        ),
        (
            "/api/v1/search/highlight",
            400,
            "invalid_parameter",
            "the parameter q is missing",
        ),
    ];
    for (path, status, kind, message) in cases {
        let (got, body) = server.get(path).await;
        assert_eq!(got, status, "{path}: {body}");
        if status != 200 {
            let error = &body["error"];
            assert_eq!(
                (error["kind"].as_str(), error["message"].as_str()),
                (Some(kind), Some(message)),
                "{path}"
            );
        }
    }
    let (_, body) = server.get("/api/v1/logs?limt=5").await;
    assert_eq!(body["error"]["hint"], "did you mean limit?");
    let (_, body) = server.get("/api/v1/log").await;
    assert_eq!(body["error"]["hint"], "did you mean /api/v1/logs?");
    let (_, body) = server.get("/api/v1/logs?q=%C3%A9%20level:eror").await;
    assert_eq!(
        (&body["error"]["start"], &body["error"]["end"]),
        (&Json::from(9), &Json::from(13))
    );

    let posted = server
        .client
        .post(format!("{}/api/v1/logs", server.base))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status().as_u16(), 405);
    let body: Json = posted.json().await.unwrap();
    assert_eq!(body["error"]["kind"], "method_not_allowed");
}

#[tokio::test]
async fn a_lost_source_is_named_and_the_others_answer() {
    let faults = [
        (Fault::Unavailable, "connection refused"),
        (Fault::BreaksOff, "the answer broke off"),
        (Fault::Hangs, "no answer in time"),
    ];
    for (fault, reason) in faults {
        let (good, bad) = (Memory::new("good"), Memory::new("bad"));
        good.logs.lock().push(log("a", 1, 9, "here"));
        *bad.fault.lock() = fault;
        let server = serve(&[&good, &bad], |options| options.limits.timeout_ms = 50).await;
        let answer = server.ok("logs", &[]).await;
        assert_eq!(texts(&answer["logs"], "body"), ["here"]);
        let cut = &answer["cut"][0];
        assert_eq!(
            (&cut["limit"], &cut["value"]),
            (&Json::from("source"), &Json::from("bad"))
        );
        assert!(cut["hint"].as_str().unwrap().contains(reason), "{cut}");
        let lost: Vec<&Json> = answer["complete_to"].as_array().unwrap().iter().collect();
        assert_eq!(lost[0]["state"], "live");
        assert_eq!(
            (&lost[1]["source"], &lost[1]["state"]),
            (&Json::from("bad"), &Json::from("lost"))
        );
    }
}

/// Asks a service, stories included, and returns the status and the body.
async fn ask(query: &Query, path: &str) -> (u16, String) {
    let mut stories = crate::http::trace::Stories::new(query.state().clone());
    stories.bounds.rows = 50_000;
    let router = query.router_with(crate::http::story::router(stories));
    let request = http::Request::get(path).body(axum::body::Body::empty());
    let response = tower::ServiceExt::oneshot(router, request.unwrap());
    let response = response.await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 64 << 20).await;
    let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
    (status, body)
}

#[tokio::test]
async fn what_many_others_carry_takes_no_trace_or_story_away() {
    let memory = Memory::new("a");
    let shared = vec![("tenant".to_owned(), "acme".to_owned())];
    let mut root = span(1, 1, None, "front", 10, 5);
    root.correlation = shared.clone();
    root.correlation.push(("request_id".into(), "r1".into()));
    memory.spans.lock().push(root);
    let mut own = log("stock", 12, 9, "reserved");
    own.correlation = vec![("request_id".into(), "r1".into())];
    memory.logs.lock().push(own);
    for n in 0..5_000u64 {
        let mut other = log("noise", 20 + n, 9, &"x".repeat(300));
        other.trace_id = Some(TraceId(u128::from(n % 200 + 1).to_be_bytes()));
        other.correlation = shared.clone();
        memory.logs.lock().push(other);
    }
    let mut options = Options::new(Arc::new(Fixed));
    // More than a thousand of the log records take, less than all of them do.
    options.answer_bytes = 2 << 20;
    let query = Query::new(Sources::new(vec![memory as Arc<dyn Read>]), options);
    let trace = trace_id(1).to_string();
    for (path, list) in [("traces", "spans"), ("story", "spans"), ("story", "logs")] {
        let (status, body) = ask(&query, &format!("/api/v1/{path}/{trace}")).await;
        let body: Json = serde_json::from_str(&body).unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        assert!(texts(&body[list], "service").contains(&"stock".to_owned()));
        assert_eq!(body["cut"][0]["limit"], "rows", "{path}: {body}");
        if path == "story" {
            assert_eq!(texts(&body["hubs"], "value"), ["acme"]);
        }
    }
}

#[tokio::test]
async fn where_the_limits_are_reached_there_is_an_answer_of_what_was_found() {
    let memory = Memory::new("a");
    for n in 1..=3u8 {
        let mut root = span(n, 1, None, "front", 10 + u64::from(n), 5);
        root.correlation = vec![("request_id".into(), format!("r{n}"))];
        memory.spans.lock().push(root);
        memory.spans.lock().push(span(n, 2, Some(1), "back", 2, 1));
    }
    memory.logs.lock().push(log("stock", 12, 9, "reserved"));
    let trace = trace_id(1).to_string();
    let paths = [
        "/api/v1/traces?q=service:front&start=5000000000".to_owned(),
        "/api/v1/traces?q=service:back&start=5000000000".to_owned(),
        "/api/v1/traces?q=service:front&order=slowest&start=5000000000".to_owned(),
        "/api/v1/traces?q=service:front&order=errors".to_owned(),
        "/api/v1/traces?q=servce:front".to_owned(),
        format!("/api/v1/traces/{trace}"),
        format!("/api/v1/story/{trace}"),
        format!("/api/v1/story/{}", "01".repeat(8)),
        "/jaeger/api/traces?service=front&start=5000000".to_owned(),
    ];
    for path in paths {
        let mut was_cut = 0;
        // Each request looks at three bytes.
        for scanned_bytes in 1..90 {
            let mut options = Options::new(Arc::new(Fixed));
            options.limits.scanned_bytes = scanned_bytes;
            let reader: Arc<dyn Read> = memory.clone();
            let query = Query::new(Sources::new(vec![reader]), options);
            let (status, body) = ask(&query, &path).await;
            assert_eq!(status, 200, "{path} {scanned_bytes}: {body}");
            was_cut += u64::from(body.contains("query limits"));
        }
        if !path.contains("servce") {
            assert!((1..89).contains(&was_cut), "{path}: {was_cut}");
        }
    }
}

#[tokio::test]
async fn calls_between_services_are_counted_whatever_their_spans_take() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    for n in 1..=100u8 {
        let call = span(n, 1, None, "front", 900, 5);
        let answer = span(n, 2, Some(1), "back", 901, 3);
        one.spans.lock().extend([call.clone(), answer]);
        // Both collectors have the span of the caller.
        two.spans.lock().push(call);
    }
    let mut options = Options::new(Arc::new(Fixed));
    // Far less than the spans take as they are read.
    options.answer_bytes = 4 << 10;
    let readers: Vec<Arc<dyn Read>> = vec![one, two];
    let query = Query::new(Sources::new(readers), options);
    let path = "/jaeger/api/dependencies?endTs=1000000&lookback=600000";
    let (status, body) = ask(&query, path).await;
    assert_eq!(status, 200, "{body}");
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["data"],
        serde_json::json!([{"parent": "front", "child": "back", "callCount": 100}])
    );
    assert_eq!(body["errors"], Json::Null);
}

#[tokio::test]
async fn traces_for_jaeger_end_where_they_become_too_large() {
    let memory = Memory::new("a");
    for n in 1..=100u8 {
        let mut span = span(n, 1, None, "front", 10, 5);
        span.attributes = vec![KeyValue::new("payload", "x".repeat(20_000))];
        memory.spans.lock().push(span);
    }
    let mut options = Options::new(Arc::new(Fixed));
    options.answer_bytes = 64 << 10;
    let query = Query::new(Sources::new(vec![memory.clone() as Arc<dyn Read>]), options);
    let search = "/jaeger/api/traces?service=front&limit=";
    let (status, body) = ask(&query, &format!("{search}3")).await;
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!((status, body["data"].as_array().unwrap().len()), (200, 3));
    assert_eq!(body["errors"], Json::Null);
    memory.requests.store(0, Ordering::SeqCst);
    let (status, body) = ask(&query, &format!("{search}100")).await;
    assert_eq!(status, 422, "{body}");
    // A few traces were loaded, with two requests each, and no more.
    let requests = memory.requests.load(Ordering::SeqCst);
    assert!(requests < 40, "{requests}");
}

/// Asks a service one of whose two sources hangs. Time stands still but for waiting.
async fn ask_beside_one_that_hangs(path: &str) -> (u16, String, Arc<Memory>) {
    let (good, hung) = (Memory::new("good"), Memory::new("hung"));
    good.spans.lock().push(span(1, 1, None, "front", 10, 1));
    good.logs.lock().push(log("front", 10, 9, "here"));
    *hung.fault.lock() = Fault::Hangs;
    let readers: Vec<Arc<dyn Read>> = vec![good, hung.clone()];
    let query = Query::new(Sources::new(readers), Options::new(Arc::new(Fixed)));
    let (status, body) = ask(&query, path).await;
    (status, body, hung)
}

#[tokio::test(start_paused = true)]
async fn a_service_is_ready_while_one_of_its_sources_hangs() {
    let (status, body, _) = ask_beside_one_that_hangs("/readyz").await;
    let body: Json = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &body["sources"]),
        (200, &serde_json::json!(["good"]))
    );
    assert_eq!(body["cut"][0]["value"], "hung");
    let (status, ..) = ask_beside_one_that_hangs("/prometheus/-/ready").await;
    assert_eq!(status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_hangs_is_waited_for_once_in_a_query() {
    let trace = trace_id(1).to_string();
    let paths = [
        "/api/v1/traces?q=service:front&start=5000000000".to_owned(),
        "/api/v1/traces?order=slowest&q=service:front".to_owned(),
        format!("/api/v1/traces/{trace}"),
        format!("/api/v1/story/{trace}"),
        format!("/jaeger/api/traces/{trace}"),
    ];
    for path in paths {
        let (status, body, hung) = ask_beside_one_that_hangs(&path).await;
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.contains("front") && body.contains("hung"), "{body}");
        // A trace's spans and log records are asked for at the same time.
        assert!(hung.requests.load(Ordering::SeqCst) <= 2, "{path}");
    }
}

#[tokio::test]
async fn without_any_source_there_is_an_error() {
    let bad = Memory::new("bad");
    *bad.fault.lock() = Fault::Unavailable;
    let server = serve(&[&bad], |_| {}).await;
    let (status, body) = server.get("/api/v1/logs").await;
    assert_eq!(status, 503);
    assert_eq!(
        body["error"]["message"],
        "no source of data answered: bad: connection refused"
    );
    let (status, _) = server.get("/readyz").await;
    assert_eq!(status, 503);
    let (status, body) = server.get("/prometheus/api/v1/query?query=up").await;
    assert_eq!(
        (status, &body["errorType"]),
        (503, &Json::from("unavailable"))
    );
}

#[tokio::test]
async fn too_many_queries_are_refused_and_those_that_go_away_make_room() {
    let slow = Memory::new("slow");
    *slow.fault.lock() = Fault::Hangs;
    let server = serve(&[&slow], |options| {
        options.concurrency = 1;
        options.queue = 0;
    })
    .await;
    let url = format!("{}/api/v1/logs", server.base);
    let first = tokio::spawn(server.client.get(&url).send());
    slow.wait_for_open(1).await;
    let second = server.client.get(&url).send().await.unwrap();
    assert_eq!(second.status().as_u16(), 429);
    assert_eq!(second.headers()["retry-after"], "1");
    let body: Json = second.json().await.unwrap();
    assert_eq!(body["error"]["kind"], "overloaded");
    // The client goes away, the source's work ends, and the place is free again.
    first.abort();
    slow.wait_for_open(0).await;
    *slow.fault.lock() = Fault::None;
    server.ok("logs", &[]).await;
    assert_eq!(slow.requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn rules_have_places_that_no_query_takes() {
    let slow = Memory::new("slow");
    *slow.fault.lock() = Fault::Hangs;
    let mut options = Options::new(Arc::new(Fixed));
    (options.concurrency, options.queue) = (1, 0);
    let reader: Arc<dyn Read> = slow.clone();
    let state = crate::http::State::new(Sources::new(vec![reader]), options);
    let _dashboards = state.begin().await.unwrap();
    assert!(state.begin().await.is_err(), "the only place is taken");
    let rules = crate::alerts::bind::OverSources(state);
    let account = crate::alerts::Account::default();
    let answer =
        crate::alerts::Evaluate::instant(&rules, "vector(1)", NOW.cast_signed(), &account).await;
    assert_eq!(answer.unwrap().len(), 1);
}

#[tokio::test]
async fn answers_are_compressed_and_the_service_counts() {
    let memory = Memory::new("a");
    for n in 0..50 {
        memory
            .logs
            .lock()
            .push(log("a", n, 9, "a line that repeats"));
    }
    let server = serve(&[&memory], |options| {
        options
            .metrics
            .push(Arc::new(|| "other_total 5\n".to_owned()));
    })
    .await;
    // A client that inflates by itself would take the header away.
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let request = plain.get(format!("{}/api/v1/logs", server.base));
    let response = request
        .header("accept-encoding", "gzip")
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let (status, _) = server.get("/api/v1/nothing").await;
    assert_eq!(status, 404);
    let text = server
        .client
        .get(format!("{}/metrics", server.base))
        .send()
        .await
        .unwrap();
    let text = text.text().await.unwrap();
    assert!(
        text.contains("throughline_query_requests_total{outcome=\"answered\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("throughline_query_requests_total{outcome=\"refused\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("other_total 5\n"), "{text}");
    let (status, body) = server.get("/readyz").await;
    assert_eq!((status, &body["sources"][0]), (200, &Json::from("a")));
    let (_, document) = server.get("/api/v1/openapi.json").await;
    assert_eq!(document["info"]["title"], "Throughline query API");
}

#[tokio::test]
async fn answers_that_are_too_large_are_refused_before_they_are_held() {
    let memory = Memory::new("a");
    for n in 0..100 {
        memory
            .logs
            .lock()
            .push(log("shop", n, 9, &"x".repeat(1_000)));
        memory
            .spans
            .lock()
            .push(span(1, 1, None, &"y".repeat(1_000), n, 1));
    }
    let small = |options: &mut Options| options.answer_bytes = 64 << 10;
    let server = serve(&[&memory], small).await;
    let (status, body) = server.get("/api/v1/logs?limit=100").await;
    let error = &body["error"];
    assert_eq!((status, &error["kind"]), (422, &Json::from("too_large")));
    assert_eq!(error["message"], "the answer takes more than 65536 bytes");
    let (status, body) = server.get("/api/v1/logs?limit=10").await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["logs"].as_array().unwrap().len(), 10);
    // Few rows may still make a long text: the body itself is measured, too.
    let path = "/prometheus/api/v1/query_range?query=vector(1)&start=0&end=10000&step=1";
    let (status, body) = server.get(path).await;
    assert_eq!(
        (status, &body["errorType"]),
        (422, &Json::from("execution"))
    );
}

#[tokio::test]
async fn a_field_of_other_rows_is_refused_where_it_stands() {
    let memory = Memory::new("a");
    let server = serve(&[&memory], |_| {}).await;
    for (path, place) in [
        ("/api/v1/logs?q=duration:%3E250ms", Some((0, 8))),
        ("/api/v1/logs/tail?q=x%20kind:server", Some((2, 6))),
        ("/api/v1/logs/histogram?q=status:error", Some((0, 6))),
        ("/api/v1/logs/histogram?by=status", None),
        ("/api/v1/traces?q=level:error", Some((0, 5))),
        ("/api/v1/fields?signal=traces&q=level:error", Some((0, 5))),
        ("/api/v1/fields/status/values?signal=logs", None),
    ] {
        let (status, body) = server.get(path).await;
        let error = &body["error"];
        assert_eq!(
            (status, &error["kind"]),
            (400, &Json::from("invalid_query")),
            "{path}"
        );
        let at = error["start"].as_u64().zip(error["end"].as_u64());
        assert_eq!(at, place, "{path}: {body}");
        assert!(
            error["message"].as_str().unwrap().contains("do not have"),
            "{body}"
        );
        assert!(error["hint"].as_str().unwrap().contains("attr."), "{body}");
    }
    let (_, body) = server
        .get("/api/v1/search/highlight?q=level:error&signal=traces")
        .await;
    assert_eq!(
        body["error"]["hint"]
            .as_str()
            .unwrap()
            .find("did you mean status?"),
        Some(0)
    );
}

#[tokio::test]
async fn an_empty_answer_names_the_fields_that_no_row_has() {
    let memory = Memory::new("a");
    let server = serve(&[&memory], |_| {}).await;
    let hints =
        async |path: &str, query: &[(&str, &str)]| server.ok(path, query).await["hints"].clone();
    // Where there is nothing at all, no name is at fault.
    assert_eq!(hints("logs", &[("q", "sevice:shop")]).await, Json::Null);
    memory.logs.lock().push(log("shop", 5, 9, "paid"));
    memory.spans.lock().push(span(1, 1, None, "shop", 5, 1));
    for (path, query, expected) in [
        (
            "logs",
            "sevice:shop",
            Some("the log records of the time range have no field sevice; did you mean service?"),
        ),
        (
            "logs",
            "user.idd:1 OR -user.id:*",
            Some("the log records of the time range have no field user.idd; did you mean user.id?"),
        ),
        (
            "logs",
            "attr.host.name:h1",
            Some(
                "the log records of the time range have no field attr.host.name; did you mean resource.host.name?",
            ),
        ),
        (
            "logs",
            "zebra:1",
            Some("the log records of the time range have no field zebra"),
        ),
        ("logs", "user.id:77", None),
        ("logs", "service:other \"no such word\"", None),
        // What is found needs no hint.
        ("logs", "paid OR sevice:shop", None),
        (
            "traces",
            "servce:shop trace.spans:>0",
            Some("the spans of the time range have no field servce; did you mean service?"),
        ),
        ("traces", "event.exception.typ:x", None),
    ] {
        let expected = expected.map_or(Json::Null, |text| serde_json::json!([text]));
        assert_eq!(hints(path, &[("q", query)]).await, expected, "{query}");
    }
    let later = [("q", "sevice:shop"), ("start", "now")];
    assert_eq!(hints("logs", &later).await, Json::Null);
    // Only the first of very many are looked at.
    let many: String = (0..30).map(|n| format!("zebra{n}:1 ")).collect();
    let found = hints("logs", &[("q", &many)]).await;
    assert_eq!(found.as_array().unwrap().len(), 10);
    // Nothing is claimed that costs too much to know.
    *memory.cost_bytes.lock() = 64 << 20;
    assert_eq!(hints("logs", &[("q", "sevice:shop")]).await, Json::Null);
}
