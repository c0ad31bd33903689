//! A server on the loopback that answers when and how the test says.

use std::sync::Arc;

use api::{Client, TracesParams};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver};
use tokio::sync::{Notify, oneshot};

use super::Runner;
use crate::message::{Answer, Effect, Message, Request, Slot, SlotKind, TailMessage};

/// A request that waits for its answer; its client may go away.
struct Waiting {
    line: String,
    socket: TcpStream,
}

impl Waiting {
    async fn answer(mut self, status: &str, kind: &str, body: &str) {
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        self.socket.write_all(head.as_bytes()).await.unwrap();
        self.socket.write_all(body.as_bytes()).await.unwrap();
        self.socket.shutdown().await.unwrap();
    }

    /// Returns when the client has closed the connection.
    async fn gone(mut self) {
        let mut byte = [0];
        assert!(matches!(self.socket.read(&mut byte).await, Ok(0) | Err(_)));
    }
}

async fn server() -> (Client, Receiver<Waiting>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&listener.local_addr().unwrap().to_string()).unwrap();
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                        return;
                    }
                    request.push(byte[0]);
                }
                let text = String::from_utf8(request).unwrap();
                let line = text.lines().next().unwrap().to_owned();
                let _test_over = sender.send(Waiting { line, socket }).await;
            });
        }
    });
    (client, receiver)
}

fn fetch(entry: u64, generation: u64, q: &str) -> Effect {
    let params = TracesParams {
        q: q.to_owned(),
        ..TracesParams::default()
    };
    Effect::Fetch {
        slot: Slot {
            entry,
            kind: SlotKind::Main,
        },
        generation,
        request: Request::Traces(params),
    }
}

fn found(message: Message) -> (u64, usize) {
    match message {
        Message::Answer {
            generation, answer, ..
        } => match *answer.unwrap() {
            Answer::Traces(traces, ..) => (generation, traces.len()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

const ONE: &str = r#"{"traces":[{"trace_id":"a"}]}"#;
const JSON: &str = "application/json";

#[tokio::test]
async fn the_latest_request_of_a_slot_wins_and_the_older_is_aborted() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(8);
    let mut runner = Runner::new(client, sender);
    runner.run(fetch(1, 1, "slow"));
    let slow = requests.recv().await.unwrap();
    runner.run(fetch(1, 2, "quick"));
    let quick = requests.recv().await.unwrap();
    assert!(quick.line.contains("q=quick"));
    slow.gone().await;
    quick.answer("200 OK", JSON, ONE).await;
    assert_eq!(found(messages.recv().await.unwrap()), (2, 1));
    drop(runner);
    assert!(messages.recv().await.is_none(), "nothing else arrives");
}

#[tokio::test]
async fn slots_answer_in_any_order() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(8);
    let mut runner = Runner::new(client, sender);
    runner.run(fetch(1, 1, "first"));
    let first = requests.recv().await.unwrap();
    runner.run(fetch(2, 2, "second"));
    let second = requests.recv().await.unwrap();
    second.answer("200 OK", JSON, ONE).await;
    assert_eq!(found(messages.recv().await.unwrap()), (2, 1));
    first.answer("200 OK", JSON, r#"{"traces":[]}"#).await;
    assert_eq!(found(messages.recv().await.unwrap()), (1, 0));
}

#[tokio::test]
async fn failures_come_back_in_words() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(8);
    let mut runner = Runner::new(client, sender);
    let error = r#"{"error":{"kind":"invalid_query","message":"no such field","start":2,"hint":"try service"}}"#;
    let cases = [
        (
            "500 Internal Server Error",
            "boom",
            "http status 500: boom",
            None,
        ),
        ("400 Bad Request", error, "no such field", Some((2, 2))),
        ("200 OK", "[]", "invalid answer from /api/v1/traces: ", None),
    ];
    for (generation, (status, body, text, at)) in cases.into_iter().enumerate() {
        runner.run(fetch(1, generation as u64, "x"));
        requests
            .recv()
            .await
            .unwrap()
            .answer(status, JSON, body)
            .await;
        let Some(Message::Answer {
            answer: Err(failure),
            ..
        }) = messages.recv().await
        else {
            panic!("no failure")
        };
        assert!(failure.message.starts_with(text), "{failure:?}");
        assert_eq!(failure.at, at);
    }
}

#[tokio::test]
async fn leaving_a_screen_aborts_its_requests_and_its_tail() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(8);
    let mut runner = Runner::new(client, sender);
    runner.run(fetch(1, 1, "x"));
    let request = requests.recv().await.unwrap();
    runner.run(Effect::Tail {
        entry: 1,
        generation: 2,
        query: String::new(),
    });
    let tail = requests.recv().await.unwrap();
    runner.run(Effect::Abort(1));
    request.gone().await;
    tail.gone().await;
    drop(runner);
    assert!(messages.recv().await.is_none());
}

#[tokio::test]
async fn a_tail_opens_delivers_and_says_why_it_ended() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(8);
    let mut runner = Runner::new(client, sender);
    runner.run(Effect::Tail {
        entry: 1,
        generation: 7,
        query: "a".to_owned(),
    });
    let tail = requests.recv().await.unwrap();
    assert_eq!(tail.line, "GET /api/v1/logs/tail?q=a HTTP/1.1");
    let body = "event: logs\ndata: {\"sequence\":3,\"dropped\":2,\"logs\":[{\"body\":\"x\"}]}\n\n\
                event: error\ndata: {\"error\":{\"message\":\"shutting down\"}}\n\n";
    tail.answer("200 OK", "text/event-stream", body).await;
    let mut events = Vec::new();
    for _ in 0..3 {
        let Some(Message::Tail {
            generation: 7,
            event,
            ..
        }) = messages.recv().await
        else {
            panic!("no tail message")
        };
        events.push(event);
    }
    assert!(matches!(events[0], TailMessage::Opened));
    assert!(matches!(&events[1], TailMessage::Lines(lines, counts)
        if lines.len() == 1 && counts.dropped == 2));
    assert!(matches!(&events[2], TailMessage::Ended(failure)
        if failure.message == "shutting down"));
}

#[tokio::test]
async fn a_tail_that_breaks_is_opened_again() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(8);
    let mut runner = Runner::new(client, sender);
    runner.run(Effect::Tail {
        entry: 1,
        generation: 7,
        query: "a".to_owned(),
    });
    let away = r#"{"error":{"kind":"unavailable","message":"shutting down"}}"#;
    let error = format!("event: error\ndata: {away}\n\n");
    let logs = "event: logs\ndata: {\"logs\":[{\"body\":\"x\"}]}\n\n";
    let stream = "text/event-stream";
    let tails = [
        ("200 OK", stream, &*error),
        ("503 Service Unavailable", JSON, away),
        ("200 OK", stream, logs),
        ("400 Bad Request", JSON, r#"{"error":{"message":"no"}}"#),
    ];
    let mut told = Vec::new();
    for (status, kind, body) in tails {
        let tail = requests.recv().await.unwrap();
        tail.answer(status, kind, body).await;
        loop {
            let Some(Message::Tail { event, .. }) = messages.recv().await else {
                panic!("no tail message")
            };
            let (word, over) = match &event {
                TailMessage::Opened => ("opened", false),
                TailMessage::Lines(..) => ("lines", false),
                TailMessage::Broken(failure) if failure.away => ("broken", true),
                TailMessage::Broken(_) => ("not away", true),
                TailMessage::Ended(_) => ("ended", true),
            };
            told.push(word);
            if over {
                break;
            }
        }
    }
    let expected = [
        "opened", "broken", "broken", "opened", "lines", "broken", "ended",
    ];
    assert_eq!(told, expected);
    assert!(
        requests.try_recv().is_err(),
        "a refused tail is not asked for again"
    );
}

#[tokio::test]
async fn a_screen_that_cannot_keep_up_makes_the_tail_wait() {
    let (client, mut requests) = server().await;
    let (sender, mut messages) = mpsc::channel(1);
    let mut runner = Runner::new(client, sender);
    runner.run(Effect::Tail {
        entry: 1,
        generation: 1,
        query: String::new(),
    });
    let event = "event: logs\ndata: {\"logs\":[{}]}\n\n".repeat(50);
    let written = Arc::new(Notify::new());
    let (done, finished) = oneshot::channel();
    let tail = requests.recv().await.unwrap();
    let signal = Arc::clone(&written);
    tokio::spawn(async move {
        tail.answer("200 OK", "text/event-stream", &event).await;
        signal.notify_one();
        let _test_over = done.send(());
    });
    written.notified().await;
    finished.await.unwrap();
    let mut received = 0;
    while let Some(Message::Tail { event, .. }) = messages.recv().await {
        received += 1;
        if matches!(event, TailMessage::Broken(_)) {
            break;
        }
    }
    assert_eq!(
        received, 52,
        "opened, 50 events and the end: none is lost by waiting"
    );
}
