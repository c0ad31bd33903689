use futures::StreamExt;

use super::*;
use crate::testing::Fault;

/// Reads whole events off a stream of server-sent events; comments are passed over.
struct Events<S> {
    stream: S,
    buffer: String,
}

impl<S: futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin> Events<S> {
    async fn next(&mut self) -> (String, Json) {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let event: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    event
                        .lines()
                        .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
                };
                if let (Some(name), Some(data)) = (field("event"), field("data")) {
                    return (name, serde_json::from_str(&data).unwrap());
                }
            }
            let bytes = self.stream.next().await.expect("the tail goes on").unwrap();
            self.buffer.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }
}

async fn open(
    server: &Server,
    query: &str,
) -> Events<impl futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin> {
    let request = server
        .client
        .get(format!("{}/api/v1/logs/tail", server.base))
        .query(&[("q", query)]);
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    Events {
        stream: Box::pin(response.bytes_stream()),
        buffer: String::new(),
    }
}

#[tokio::test]
async fn new_records_arrive_and_leaving_ends_the_work() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    let server = serve(&[&one, &two], |_| {}).await;
    let mut events = open(&server, "level:error").await;
    one.wait_for_open(1).await;
    two.wait_for_open(1).await;
    one.append(log("x", 1, 9, "passed over"));
    one.append(log("x", 2, 17, "first"));
    let (name, event) = events.next().await;
    assert_eq!(name, "logs");
    assert_eq!(
        (&event["sequence"], &event["dropped"]),
        (&Json::from(1), &Json::from(0))
    );
    assert_eq!(event["logs"][0]["body"], "first");
    two.append(log("x", 3, 17, "second"));
    let (_, event) = events.next().await;
    assert_eq!(
        (&event["sequence"], &event["logs"][0]["body"]),
        (&Json::from(2), &Json::from("second"))
    );
    drop(events);
    one.wait_for_open(0).await;
    two.wait_for_open(0).await;
}

#[tokio::test]
async fn a_tail_names_lost_sources_and_goes_on_when_they_are_back() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    *two.fault.lock() = Fault::Unavailable;
    let server = serve(&[&one, &two], |_| {}).await;
    let mut events = open(&server, "").await;
    let (_, event) = events.next().await;
    assert_eq!(event["lost"], serde_json::json!(["b"]));
    one.wait_for_open(1).await;
    one.append(log("x", 2, 17, "first"));
    let (_, event) = events.next().await;
    assert_eq!(
        (&event["lost"][0], &event["logs"][0]["body"]),
        (&Json::from("b"), &Json::from("first"))
    );

    // Also when it is the last one.
    one.end_tails();
    let (_, event) = events.next().await;
    assert_eq!(event["lost"], serde_json::json!(["b", "a"]));
    let (_, event) = events.next().await;
    let back = serde_json::json!([{"source": "a", "from_unix_nano": NOW, "until_unix_nano": NOW}]);
    assert_eq!(
        (&event["gaps"], &event["lost"]),
        (&back, &serde_json::json!(["b"]))
    );
    one.append(log("x", 3, 17, "second"));
    let (_, event) = events.next().await;
    assert_eq!(
        (
            &event["sequence"],
            &event["logs"][0]["body"],
            &event["gaps"]
        ),
        (&Json::from(2), &Json::from("second"), &Json::Null)
    );
}

#[tokio::test]
async fn wrong_queries_and_too_many_tails_are_refused() {
    let memory = Memory::new("a");
    let server = serve(&[&memory], |options| options.tails = 1).await;
    let (status, body) = server.get("/api/v1/logs/tail?q=level:eror").await;
    assert_eq!(
        (status, &body["error"]["kind"]),
        (400, &Json::from("invalid_query"))
    );
    let _events = open(&server, "").await;
    memory.wait_for_open(1).await;
    let (status, body) = server.get("/api/v1/logs/tail").await;
    assert_eq!(
        (status, &body["error"]["kind"]),
        (429, &Json::from("overloaded"))
    );
}
