//! What Prometheus' API says of the service itself, and of queries without data.

use super::*;
use crate::http::About;
use crate::testing::Fault;

async fn server() -> Server {
    serve(&[&Memory::new("a")], |options| {
        options.about = About {
            external_url: "http://here:4400".to_owned(),
            data_dir: "/data".to_owned(),
            rule_files: vec!["a \"b\".yml".to_owned()],
            rule_interval: Duration::from_secs(90),
            retention: Some(Duration::from_hours(15 * 24)),
            ..About::default()
        };
    })
    .await
}

#[tokio::test]
async fn the_service_says_what_it_runs_with() {
    let server = server().await;
    let data = async |name: &str| {
        let (status, body) = server.get(&format!("/prometheus/api/v1/{name}")).await;
        assert_eq!(
            (status, &body["status"]),
            (200, &"success".into()),
            "{body}"
        );
        body["data"].clone()
    };
    assert!(
        data("status/buildinfo").await["version"]
            .as_str()
            .unwrap()
            .starts_with("3.")
    );
    let info = data("status/runtimeinfo").await;
    assert_eq!(info["startTime"], "1970-01-01T00:16:40.000Z");
    assert_eq!(
        (&info["CWD"], &info["storageRetention"]),
        (&"/data".into(), &"15d".into())
    );
    let flags = data("status/flags").await;
    assert_eq!(
        (&flags["query.timeout"], &flags["query.lookback-delta"]),
        (&"2m".into(), &"5m".into())
    );
    assert_eq!(
        data("status/config").await["yaml"],
        "global:\n  evaluation_interval: 1m30s\nrule_files:\n- \"a \\\"b\\\".yml\"\n"
    );
    assert_eq!(
        data("targets").await["activeTargets"],
        serde_json::json!([])
    );
    assert!(data("status/buildinfo").await.get("features").is_none());
    let features = data("features").await;
    assert_eq!(features["promql_functions"]["rate"], true);
    assert_eq!(features["promql"]["fill"], true);
    assert_eq!(data("targets/metadata").await, serde_json::json!([]));
    assert_eq!(
        data("targets?state=bogus").await["activeTargets"],
        serde_json::json!([])
    );
    assert_eq!(
        data("scrape_pools").await["scrapePools"],
        serde_json::json!([])
    );
    assert_eq!(
        data("alertmanagers").await["activeAlertmanagers"],
        serde_json::json!([])
    );
}

#[tokio::test]
async fn queries_are_formatted_and_parsed_without_data() {
    let server = server().await;
    let (_, body) = server
        .get("/prometheus/api/v1/format_query?query=sum%20by(a)(%20x)")
        .await;
    assert_eq!(body["data"], "sum by (a) (x)");
    let form = server
        .client
        .post(format!("{}/prometheus/api/v1/parse_query", server.base))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("query=rate(x%5B5m%5D)");
    let body: Json = form.send().await.unwrap().json().await.unwrap();
    assert_eq!(body["data"]["func"]["name"], "rate");
    assert_eq!(body["data"]["args"][0]["range"], 300_000);
    for path in ["format_query?query=sum(", "parse_query?query="] {
        let (status, body) = server.get(&format!("/prometheus/api/v1/{path}")).await;
        assert_eq!(
            (status, &body["errorType"]),
            (400, &"bad_data".into()),
            "{path}: {body}"
        );
    }
}

#[tokio::test]
async fn long_forms_are_read_and_endless_ones_are_refused() {
    let server = server().await;
    let post = async |body: String| {
        let request = server
            .client
            .post(format!("{}/prometheus/api/v1/query", server.base))
            .header("content-type", "application/x-www-form-urlencoded");
        let response = request.body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Json>().await.unwrap())
    };
    // Longer than an address may be.
    let (status, body) = post(format!("query=1&ignored={}", "x".repeat(200_000))).await;
    assert_eq!(
        (status, &body["data"]["result"][1]),
        (200, &"1".into()),
        "{body}"
    );
    let (status, body) = post(format!("query=1&ignored={}", "x".repeat(3_000_000))).await;
    assert_eq!(
        (status, &body["errorType"]),
        (400, &"bad_data".into()),
        "{body}"
    );
}

#[tokio::test]
async fn statistics_are_given_to_who_asks() {
    let server = server().await;
    let (_, body) = server
        .get("/prometheus/api/v1/query?query=1&stats=all")
        .await;
    let stats = &body["data"]["stats"];
    assert_eq!(stats["samples"]["totalQueryableSamples"], 0, "{body}");
    assert_eq!(
        stats["samples"]["totalQueryableSamplesPerStep"],
        serde_json::json!([[1000.0, 0]]),
        "{body}"
    );
    assert!(
        stats["timings"]["execTotalTime"].as_f64().unwrap() > 0.0,
        "{body}"
    );
    assert_eq!(body["data"]["resultType"], "scalar", "{body}");
    let (_, body) = server
        .get("/prometheus/api/v1/query?query=1&stats=some")
        .await;
    let samples = &body["data"]["stats"]["samples"];
    assert!(samples["peakSamples"].is_u64(), "{body}");
    assert!(
        samples.get("totalQueryableSamplesPerStep").is_none(),
        "{body}"
    );
    let (_, body) = server.get("/prometheus/api/v1/query?query=1").await;
    assert!(body["data"].get("stats").is_none(), "{body}");
}

#[tokio::test]
async fn a_query_without_time_and_a_label_that_is_no_text_are_refused_in_json() {
    let server = server().await;
    for path in [
        "query?query=1&timeout=0",
        "query?query=1&timeout=-5s",
        "label/a%ff/values",
    ] {
        let (status, body) = server.get(&format!("/prometheus/api/v1/{path}")).await;
        let expected = (400, &"bad_data".into());
        assert_eq!((status, &body["errorType"]), expected, "{path}: {body}");
    }
    let (status, _) = server
        .get("/prometheus/api/v1/query?query=1&timeout=")
        .await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn refusals_of_parameters_are_those_of_prometheus() {
    let server = server().await;
    for (path, problem) in [
        (
            "query?query=",
            "invalid parameter \"query\": unknown position: parse error: no expression found in input",
        ),
        (
            "series?match[]={}",
            "invalid parameter \"match[]\": match[] must contain at least one non-empty matcher",
        ),
        (
            "series?match[]=up[5m]",
            "invalid parameter \"match[]\": 1:3: parse error: unexpected \"[\"",
        ),
        (
            "series?match[]=",
            "invalid parameter \"match[]\": unknown position: parse error: unexpected end of input",
        ),
        (
            "query?query=up&limit=abc",
            "invalid parameter \"limit\": strconv.Atoi: parsing \"abc\": invalid syntax",
        ),
        (
            "query?query=up&limit=-1",
            "invalid parameter \"limit\": limit must be non-negative",
        ),
        ("metadata?limit=x", "limit must be a number"),
        (
            "metadata?limit_per_metric=x",
            "limit_per_metric must be a number",
        ),
        ("status/tsdb?limit=0", "limit must be a positive number"),
        ("status/tsdb?limit=x", "limit must be a positive number"),
    ] {
        let (status, body) = server.get(&format!("/prometheus/api/v1/{path}")).await;
        assert_eq!((status, &body["error"]), (400, &problem.into()), "{path}");
    }
}

#[tokio::test]
async fn a_request_can_only_shorten_the_time_that_a_query_has() {
    let hangs = Memory::new("a");
    *hangs.fault.lock() = Fault::Hangs;
    for (most, asked) in [("1h", "20ms"), ("20ms", "1h"), ("20ms", "")] {
        let most = promql::format::parse_duration(most).unwrap().unsigned_abs();
        let server = serve(&[&hangs], |options| {
            options.promql_timeout = Duration::from_millis(most);
        })
        .await;
        let path = format!("/prometheus/api/v1/query?query=up&timeout={asked}");
        let (status, body) = server.get(&path).await;
        let expected = (503, &"timeout".into());
        assert_eq!((status, &body["errorType"]), expected, "{asked}: {body}");
    }
}

#[tokio::test]
async fn what_clients_read_of_a_prometheus_is_there() {
    let count = "throughline_storage_wal_malformed_records_total";
    let server = serve(&[&Memory::new("a")], |options| {
        options.about.host_name = "node-7".to_owned();
        let text =
            format!("# TYPE {count} counter\n{count} 2\n{count}{{a=\"b\"}} 3\n{count}_x 9\n");
        options.metrics.push(Arc::new(move || text.clone()));
    })
    .await;
    let data = async |path: &str| {
        let (status, body) = server.get(&format!("/prometheus/api/v1/{path}")).await;
        assert_eq!(status, 200, "{path}: {body}");
        body["data"].clone()
    };
    let info = data("status/runtimeinfo").await;
    let seen = (&info["hostname"], &info["corruptionCount"], &info["GOGC"]);
    assert_eq!(seen, (&"node-7".into(), &5.into(), &"".into()));
    assert!(info["GOMEMLIMIT"].is_i64(), "{info}");
    let head = &data("status/tsdb").await["headStats"];
    assert_eq!(head["chunkCount"], head["numSeries"]);
    let times = (&head["minTime"], &head["maxTime"]);
    assert_eq!(times, (&0.into(), &1_000_000.into()), "the day, until now");
    let replay = serde_json::json!({"min": 0, "max": 0, "current": 0});
    assert_eq!(data("status/walreplay").await, replay);
    assert_eq!(data("notifications").await, serde_json::json!([]));
}

#[tokio::test]
async fn health_pages_of_prometheus_are_there() {
    let server = server().await;
    for (page, status) in [("healthy", 200), ("ready", 200), ("lively", 404)] {
        let url = format!("{}/prometheus/-/{page}", server.base);
        let response = server.client.get(url).send().await.unwrap();
        assert_eq!(response.status(), status, "{page}");
    }
}

/// What Prometheus refuses unless flags allow it is refused with its words and codes.
#[tokio::test]
async fn quitting_and_admin_apis_are_refused_as_by_prometheus() {
    let server = server().await;
    let post = |path: &str| {
        server
            .client
            .post(format!("{}/prometheus{path}", server.base))
            .send()
    };
    let response = post("/-/quit").await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
    let text = response.text().await.unwrap();
    assert!(text.starts_with("Lifecycle API is not enabled."), "{text}");
    let (status, body) = server.get("/prometheus/-/quit").await;
    assert_eq!((status, &body["errorType"]), (405, &"bad_data".into()));
    for what in ["snapshot", "delete_series?match[]=x", "clean_tombstones"] {
        let response = post(&format!("/api/v1/admin/tsdb/{what}")).await.unwrap();
        assert_eq!(response.status().as_u16(), 500, "{what}");
        let body: Json = response.json().await.unwrap();
        assert_eq!(body["errorType"], "unavailable");
        assert!(
            body["error"]
                .as_str()
                .unwrap()
                .starts_with("admin APIs disabled")
        );
    }
    let ready = server
        .client
        .get(format!("{}/prometheus/-/ready", server.base))
        .send()
        .await;
    assert_eq!(
        ready.unwrap().text().await.unwrap(),
        "Prometheus Server is Ready.\n"
    );
}

/// Remote read: what was asked for comes back, and what is no request is told so in plain text.
#[tokio::test]
async fn remote_read_answers_with_samples() {
    let server = server().await;
    let ask = |body: Vec<u8>| {
        let url = format!("{}/prometheus/api/v1/read", server.base);
        server
            .client
            .post(url)
            .header("content-encoding", "snappy")
            .body(body)
            .send()
    };
    let response = ask(b"nonsense".to_vec()).await.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    assert!(response.text().await.unwrap().contains("snappy"));
    // One query from 0 to 1 s for `__name__="up"`, and the kinds of answers that Prometheus takes.
    let matcher = [&b"\x1a\x0e\x12\x08__name__\x1a\x02up"[..]].concat();
    let query = [&b"\x08\x00\x10\xe8\x07"[..], &matcher].concat();
    let mut request = vec![0x0a, u8::try_from(query.len()).unwrap()];
    request.extend(query);
    request.extend(b"\x10\x01\x10\x00");
    let body = snap::raw::Encoder::new().compress_vec(&request).unwrap();
    let response = ask(body).await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-protobuf");
    assert_eq!(response.headers()["content-encoding"], "snappy");
    let body = response.bytes().await.unwrap();
    let answer = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    // One result, and no series in it.
    assert_eq!(answer, b"\x0a\x00");
}
