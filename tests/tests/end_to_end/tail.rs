//! The live tail: records as they are acknowledged, numbered, with what was dropped.

use futures::StreamExt;
use serde_json::Value;
use tests::Setup;
use tests::otlp_json::{log, logs, now};

use crate::{PROGRAM, up};

/// Reads server-sent events until one is a `logs` event.
async fn next_event(
    stream: &mut (impl StreamExt<Item = reqwest::Result<impl AsRef<[u8]>>> + Unpin),
    text: &mut String,
) -> Value {
    loop {
        if let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .collect();
            assert!(!event.contains("event: error"), "{event}");
            if !data.is_empty() {
                return serde_json::from_str(&data.join("\n")).unwrap();
            }
            continue;
        }
        let chunk = stream.next().await.expect("the tail goes on").unwrap();
        text.push_str(std::str::from_utf8(chunk.as_ref()).unwrap());
    }
}

#[tokio::test]
async fn a_tail_sends_what_matches_as_it_is_acknowledged() {
    let server = up().start();
    let otlp = server.otlp();
    let request = server
        .query()
        .request("GET", "/api/v1/logs/tail")
        .query(&[("q", "service:shop paid")]);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut stream = answer.bytes_stream();
    let mut text = String::new();
    // The first comment says that the tail has begun.
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }

    let mut last = 0;
    for number in 1..=20 {
        let bodies = [
            format!("order {number} paid"),
            format!("order {number} looked at"),
        ];
        let records = bodies.map(|body| log(now(), &body, &[]));
        otlp.export("logs", &logs("shop", &records)).await;
        otlp.export("logs", &logs("other", &[log(now(), "paid elsewhere", &[])]))
            .await;
        let event = next_event(&mut stream, &mut text).await;
        assert_eq!(event["dropped"], 0, "{event}");
        let sequence = event["sequence"].as_u64().unwrap();
        assert_eq!(sequence, last + 1, "{event}");
        last = sequence;
        assert_eq!(event["logs"].as_array().unwrap().len(), 1, "{event}");
        assert_eq!(event["logs"][0]["body"], format!("order {number} paid"));
    }
}

#[tokio::test]
async fn a_tail_returns_to_a_collector_that_came_back_and_says_what_it_missed() {
    let first = Setup::new(PROGRAM, "collector").start();
    let setup = Setup::new(PROGRAM, "collector");
    let second = setup.start();
    let internal = second.address("internal");
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(first.address("internal"))
        .arg("--collector")
        .arg(&internal)
        .start();
    let request = query.query().request("GET", "/api/v1/logs/tail");
    let mut stream = request.send().await.unwrap().bytes_stream();
    let mut text = String::new();
    let send = async |server: &tests::Server, body: &str| {
        let records = [log(now(), body, &[])];
        server.otlp().export("logs", &logs("shop", &records)).await;
    };
    // The first comment says that both collectors are heard.
    while !text.contains("\n\n") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    send(&second, "at first").await;
    let event = next_event(&mut stream, &mut text).await;
    assert_eq!(
        (&event["sequence"], &event["lost"]),
        (&1.into(), &serde_json::json!([]))
    );

    second.kill();
    let event = next_event(&mut stream, &mut text).await;
    assert_eq!(event["lost"], serde_json::json!([internal]), "{event}");
    send(&first, "while one is away").await;
    let event = next_event(&mut stream, &mut text).await;
    assert_eq!(event["logs"][0]["body"], "while one is away", "{event}");
    let before = event["sequence"].as_u64().unwrap();

    let second = setup.listen("internal", &internal).start();
    let event = next_event(&mut stream, &mut text).await;
    assert_eq!(event["lost"], serde_json::json!([]), "{event}");
    let gap = &event["gaps"][0];
    assert_eq!(gap["source"], internal.as_str(), "{event}");
    assert!(
        gap["from_unix_nano"].as_u64() < gap["until_unix_nano"].as_u64(),
        "{event}"
    );
    send(&second, "it is back").await;
    let event = next_event(&mut stream, &mut text).await;
    assert_eq!(event["logs"][0]["body"], "it is back", "{event}");
    assert_eq!(event["sequence"], before + 1, "{event}");
}
