use super::*;

/// Thirty records over ten seconds, three at each second.
fn thirty(memories: &[&Arc<Memory>]) {
    for n in 0..30u64 {
        let memory = memories[usize::try_from(n).unwrap() % memories.len()];
        let severity = if n % 5 == 0 { 17 } else { 9 };
        let service = if n % 2 == 0 { "even" } else { "odd" };
        memory.logs.lock().push(log(
            service,
            100 + n / 3,
            severity,
            &format!("line number{n}"),
        ));
    }
}

async fn bodies(server: &Server, query: &[(&str, &str)]) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    for _ in 0..100 {
        let mut query = query.to_vec();
        query.push(("cursor", &cursor));
        let answer = server.ok("logs", &query).await;
        all.extend(texts(&answer["logs"], "body"));
        match answer["cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => return all,
        }
    }
    panic!("the pages do not end");
}

#[tokio::test]
async fn pages_hold_every_record_once_also_among_equal_times() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    thirty(&[&one, &two]);
    let server = serve(&[&one, &two], |_| {}).await;
    let whole = bodies(&server, &[("limit", "100")]).await;
    assert_eq!(whole.len(), 30);
    for limit in ["1", "2", "4", "7", "30"] {
        assert_eq!(bodies(&server, &[("limit", limit)]).await, whole, "{limit}");
    }
    let oldest = bodies(&server, &[("limit", "4"), ("order", "oldest")]).await;
    let mut sorted = oldest.clone();
    sorted.sort();
    let mut expected = whole.clone();
    expected.sort();
    assert_eq!(sorted, expected);
    assert!(oldest[0].ends_with(['0', '1', '2']), "{oldest:?}");
    // A page boundary does not move when the store returns equal times in another order.
    one.logs.lock().reverse();
    assert_eq!(bodies(&server, &[("limit", "2")]).await, whole);
}

#[tokio::test]
async fn records_that_two_collectors_hold_are_given_as_often_as_they_are_held() {
    let (one, two) = (Memory::new("b"), Memory::new("a"));
    // A service that fails over sends what was not acknowledged again, to the other collector.
    for (memory, copies) in [(&one, 5), (&two, 7)] {
        for _ in 0..copies {
            for body in ["first", "second", "third"] {
                memory.logs.lock().push(log("shop", 100, 9, body));
            }
        }
    }
    let server = serve(&[&one, &two], |_| {}).await;
    for order in ["newest", "oldest"] {
        let whole = bodies(&server, &[("limit", "100"), ("order", order)]).await;
        assert_eq!(whole.len(), 36);
        for limit in ["1", "2", "5", "7", "36"] {
            let paged = bodies(&server, &[("limit", limit), ("order", order)]).await;
            assert_eq!(paged, whole, "{limit}");
        }
        for body in ["first", "second", "third"] {
            assert_eq!(whole.iter().filter(|other| *other == body).count(), 12);
        }
    }
}

#[tokio::test]
async fn records_are_shown_with_what_they_carry() {
    let memory = Memory::new("a");
    thirty(&[&memory]);
    let server = serve(&[&memory], |_| {}).await;
    let answer = server
        .ok("logs", &[("q", "number29"), ("start", "109000000000")])
        .await;
    let record = &answer["logs"][0];
    assert_eq!(record["body"], "line number29");
    assert_eq!(
        (&record["service"], &record["time_unix_nano"]),
        (&Json::from("odd"), &Json::from(109 * S))
    );
    assert_eq!(record["attributes"], serde_json::json!({"user.id": 1}));
    assert_eq!(record["resource"]["host.name"], "h1");
    assert_eq!(answer["cursor"], Json::Null);
}

#[tokio::test]
async fn histograms_choose_their_step_and_group() {
    let memory = Memory::new("a");
    thirty(&[&memory]);
    let server = serve(&[&memory], |_| {}).await;
    let answer = server.ok("logs/histogram", &[]).await;
    assert_eq!(answer["step_nano"], 500_000_000);
    assert_eq!(answer["total"], 30);
    assert_eq!(answer["series"][0]["buckets"].as_array().unwrap().len(), 10);

    let query = [
        ("by", "service,level"),
        ("step", "5s"),
        ("q", "level:error OR service:odd"),
    ];
    let answer = server.ok("logs/histogram", &query).await;
    assert_eq!(answer["by"], serde_json::json!(["service", "level"]));
    let keys: Vec<String> = answer["series"]
        .as_array()
        .unwrap()
        .iter()
        .map(|series| series["key"].to_string())
        .collect();
    assert_eq!(
        keys,
        [
            r#"["odd","info"]"#,
            r#"["even","error"]"#,
            r#"["odd","error"]"#
        ]
    );
    assert_eq!(
        answer["series"][0]["buckets"],
        serde_json::json!([[100 * S, 6], [105 * S, 6]])
    );

    let query = [("start", "0"), ("end", "now"), ("step", "5s")];
    assert_eq!(server.ok("logs/histogram", &query).await["total"], 30);
    let empty = server.ok("logs/histogram", &[("q", "nothing")]).await;
    assert_eq!(
        (&empty["total"], &empty["series"]),
        (&Json::from(0), &serde_json::json!([]))
    );
}

#[tokio::test]
async fn a_total_is_of_all_groups_also_of_those_left_out() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    thirty(&[&one]);
    let server = serve(&[&one], |_| {}).await;
    let query = [("by", "level"), ("step", "5s"), ("limit", "1")];
    let answer = server.ok("logs/histogram", &query).await;
    assert_eq!(answer["series"][0]["total"], 24);
    assert_eq!(
        (&answer["total"], &answer["other"]),
        (&30.into(), &6.into())
    );
    let query = [("by", "level"), ("step", "5s")];
    let answer = server.ok("logs/histogram", &query).await;
    assert_eq!(
        (&answer["total"], &answer["other"]),
        (&30.into(), &0.into())
    );
    assert_eq!(answer["cut"], serde_json::json!([]));

    // Of two sources each leaves out another one.
    thirty(&[&two]);
    two.logs.lock().retain(|log| log.severity_number == 17);
    let server = serve(&[&one, &two], |_| {}).await;
    let query = [("by", "level"), ("step", "5s"), ("limit", "1")];
    let answer = server.ok("logs/histogram", &query).await;
    assert_eq!(answer["series"][0]["total"], 24);
    assert_eq!(
        (&answer["total"], &answer["other"]),
        (&36.into(), &12.into())
    );
    let cuts = answer["cut"].as_array().unwrap();
    assert!(
        cuts.iter().any(|cut| cut["hint"]
            == "1 more, of at most 6 rows each, are left out; raise the limit or add conditions"),
        "{cuts:?}"
    );
    assert!(cuts.iter().any(|cut| {
        let hint = cut["hint"].as_str().unwrap();
        hint.starts_with("each source leaves out")
    }));
}

/// What several sources send of groups is held to the same bound as rows.
#[tokio::test]
async fn groups_of_several_sources_are_bounded() {
    let memories = [Memory::new("a"), Memory::new("b")];
    for (at, memory) in (0..).zip(&memories) {
        let body = |n: u64| format!("{at}-{n}-{}", "x".repeat(600));
        let logs = (0..60).map(|n| log("shop", 100 + n, 9, &body(n)));
        memory.logs.lock().extend(logs);
    }
    let small = |options: &mut Options| options.answer_bytes = 64 << 10;
    let server = serve(&[&memories[0]], small).await;
    let path = "/api/v1/logs/histogram?by=body&step=1h&limit=1000";
    let (status, body) = server.get(path).await;
    assert_eq!((status, &body["total"]), (200, &Json::from(60)), "{body}");
    let server = serve(&[&memories[0], &memories[1]], small).await;
    let (status, body) = server.get(path).await;
    assert_eq!(
        (status, &body["error"]["kind"]),
        (422, &Json::from("too_large"))
    );
}

#[tokio::test]
async fn fields_values_and_completion() {
    let memory = Memory::new("a");
    thirty(&[&memory]);
    let server = serve(&[&memory], |_| {}).await;
    let answer = server.ok("fields", &[("signal", "logs")]).await;
    assert_eq!(
        answer["fields"],
        serde_json::json!([
            {"name": "attr.user.id", "kind": "string", "count": 30},
            {"name": "resource.host.name", "kind": "string", "count": 30},
            {"name": "resource.service.name", "kind": "string", "count": 30},
        ])
    );
    let answer = server
        .ok("fields/user.id/values", &[("q", "service:even")])
        .await;
    assert_eq!(answer["values"][0]["count"], 6);
    let answer = server.ok("fields/service/values", &[("prefix", "o")]).await;
    assert_eq!(
        answer["values"],
        serde_json::json!([{"value": "odd", "count": 15}])
    );
    let answer = server.ok("fields/service/values", &[("limit", "1")]).await;
    assert_eq!(answer["values"].as_array().unwrap().len(), 1);

    let answer = server
        .ok("search/complete", &[("q", "level:error us")])
        .await;
    assert_eq!(
        (&answer["context"], &answer["start"]),
        (&Json::from("field"), &Json::from(12))
    );
    assert_eq!(texts(&answer["suggestions"], "text"), ["user.id"]);
    let answer = server.ok("search/complete", &[("q", "attr.")]).await;
    assert_eq!(texts(&answer["suggestions"], "text"), ["attr.user.id"]);
    let query = [("q", "s"), ("signal", "traces")];
    let answer = server.ok("search/complete", &query).await;
    let offered = texts(&answer["suggestions"], "text");
    assert!(offered.contains(&"status".to_owned()), "{offered:?}");
    assert!(!offered.contains(&"severity".to_owned()), "{offered:?}");
    let answer = server
        .ok("search/complete", &[("q", "service:e x"), ("cursor", "9")])
        .await;
    assert_eq!(
        (&answer["context"], &answer["field"]),
        (&Json::from("value"), &Json::from("service"))
    );
    assert_eq!(texts(&answer["suggestions"], "text"), ["even"]);
    let answer = server.ok("search/complete", &[("q", "level:w")]).await;
    assert_eq!(texts(&answer["suggestions"], "text"), ["warn"]);
    let answer = server.ok("search/highlight", &[("q", "level:eror")]).await;
    assert_eq!(answer["error"]["hint"], "did you mean error?");
    assert_eq!(answer["tokens"][0]["class"], "field");
}
