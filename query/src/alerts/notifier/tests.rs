use super::*;
use crate::alerts::stop::stop;
use axum::extract::State as With;
use std::collections::VecDeque;
use tokio::sync::mpsc;

type Statuses = Arc<Mutex<VecDeque<u16>>>;

/// A webhook receiver that answers with these status codes, then 200.
async fn receiver(statuses: &[u16]) -> (String, mpsc::UnboundedReceiver<Message>) {
    let (sender, received) = mpsc::unbounded_channel();
    let statuses: Statuses = Arc::new(Mutex::new(statuses.iter().copied().collect()));
    let handler = |With((statuses, sender)): With<(Statuses, mpsc::UnboundedSender<Message>)>,
                   axum::Json(message): axum::Json<Message>| async move {
        let status = statuses.lock().pop_front().unwrap_or(200);
        sender.send(message).unwrap();
        http::StatusCode::from_u16(status).unwrap()
    };
    let app = axum::Router::new()
        .route("/hook", axum::routing::post(handler))
        .with_state((statuses, sender));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, received)
}

fn notice(name: &str, instance: &str, starts_at: u64, ends_at: u64) -> Notice {
    let pairs = [("alertname", name), ("instance", instance)];
    Notice {
        labels: pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        annotations: [("summary".to_owned(), "it is down".to_owned())].into(),
        starts_at,
        ends_at,
        generator_url: "http://here/q".into(),
    }
}

fn options(url: &str) -> NotifierOptions {
    NotifierOptions {
        webhooks: vec![Webhook {
            url: url.to_owned(),
            send_resolved: true,
            timeout: Duration::from_secs(5),
        }],
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(4),
        external_url: "http://here".into(),
        ..NotifierOptions::default()
    }
}

fn open(options: NotifierOptions, dir: &std::path::Path) -> Arc<Notifier> {
    let env = Env::real();
    let file = StateFile::new(env.clone(), dir, "notifications.json").unwrap();
    Arc::new(Notifier::open(env, options, file).unwrap())
}

fn counts(notifier: &Notifier) -> (u64, u64, u64) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &notifier.counters;
    (
        count(&counters.sent),
        count(&counters.retried),
        count(&counters.refused),
    )
}

const START: u64 = 1_700_000_000_000_000_000;

#[tokio::test]
async fn a_group_is_told_in_the_webhook_format() {
    let (url, mut received) = receiver(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    let notifier = open(options(&url), dir.path());
    let (stopper, stop) = stop();
    let task = tokio::spawn(
        notifier
            .clone()
            .deliver(0, HttpSender::new().unwrap(), stop),
    );
    notifier
        .take(&[notice("Down", "a", START, 0), notice("Down", "b", START, 0)])
        .await;
    let message = received.recv().await.unwrap();
    let json = serde_json::to_value(&message).unwrap();
    assert_eq!(json["version"], "4");
    assert_eq!(json["status"], "firing");
    assert_eq!(json["groupKey"], "{}:{alertname=\"Down\"}");
    assert_eq!(
        json["groupLabels"],
        serde_json::json!({"alertname": "Down"})
    );
    assert_eq!(
        json["commonLabels"],
        serde_json::json!({"alertname": "Down"})
    );
    assert_eq!(
        json["commonAnnotations"],
        serde_json::json!({"summary": "it is down"})
    );
    assert_eq!(json["externalURL"], "http://here");
    assert_eq!(json["truncatedAlerts"], 0);
    assert_eq!(json["alerts"][1]["labels"]["instance"], "b");
    assert_eq!(json["alerts"][0]["startsAt"], "2023-11-14T22:13:20.000Z");
    assert_eq!(json["alerts"][0]["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(json["alerts"][0]["generatorURL"], "http://here/q");
    assert_eq!(json["alerts"][0]["fingerprint"].as_str().unwrap().len(), 16);

    // The same alerts again are no news; the end of one is.
    notifier
        .take(&[notice("Down", "a", START, 0), notice("Down", "b", START, 0)])
        .await;
    notifier
        .take(&[notice("Down", "a", START, START + 5)])
        .await;
    let message = received.recv().await.unwrap();
    let states: Vec<_> = message
        .alerts
        .iter()
        .map(|alert| alert.status.as_str())
        .collect();
    assert_eq!(
        (message.status.as_str(), states),
        ("firing", vec!["resolved", "firing"])
    );
    notifier
        .take(&[notice("Down", "b", START, START + 9)])
        .await;
    let message = received.recv().await.unwrap();
    assert_eq!(
        (message.status.as_str(), message.alerts.len()),
        ("resolved", 1)
    );
    stopper.ask();
    task.await.unwrap();
    assert!(received.try_recv().is_err());
}

#[tokio::test]
async fn failures_are_repeated_and_refusals_are_not() {
    let (url, mut received) = receiver(&[503, 429, 200, 400]).await;
    let dir = tempfile::tempdir().unwrap();
    let notifier = open(options(&url), dir.path());
    let (stopper, stop) = stop();
    let task = tokio::spawn(
        notifier
            .clone()
            .deliver(0, HttpSender::new().unwrap(), stop),
    );
    notifier.take(&[notice("A", "a", START, 0)]).await;
    for _ in 0..3 {
        assert_eq!(
            received.recv().await.unwrap().group_labels["alertname"],
            "A"
        );
    }
    notifier.take(&[notice("B", "a", START, 0)]).await;
    assert_eq!(
        received.recv().await.unwrap().group_labels["alertname"],
        "B"
    );
    notifier.take(&[notice("C", "a", START, 0)]).await;
    assert_eq!(
        received.recv().await.unwrap().group_labels["alertname"],
        "C"
    );
    stopper.ask();
    task.await.unwrap();
    assert!(
        received.try_recv().is_err(),
        "a refused message is not repeated"
    );
    let (_, retried, refused) = counts(&notifier);
    assert_eq!((retried, refused), (2, 1));
}

#[tokio::test]
async fn a_restart_neither_loses_nor_repeats() {
    let (url, mut received) = receiver(&[]).await;
    let dir = tempfile::tempdir().unwrap();
    // Nobody delivers: the program ends before it can.
    open(options(&url), dir.path())
        .take(&[notice("A", "a", START, 0)])
        .await;

    let notifier = open(options(&url), dir.path());
    assert_eq!(notifier.waiting(), 1);
    let (stopper, asked) = stop();
    let task = tokio::spawn(
        notifier
            .clone()
            .deliver(0, HttpSender::new().unwrap(), asked),
    );
    assert_eq!(received.recv().await.unwrap().alerts.len(), 1);
    // The delivery is noted after the answer: wait for the next round to know that it was.
    notifier.take(&[notice("B", "a", START, 0)]).await;
    received.recv().await.unwrap();
    stopper.ask();
    task.await.unwrap();

    let notifier = open(options(&url), dir.path());
    notifier.take(&[notice("A", "a", START, 0)]).await;
    let (due, _) = notifier.books.lock()[0].due(
        notifier.env.clock.unix_nanos(),
        nanos(notifier.options.repeat_interval),
        &notifier.options.group_by,
    );
    assert!(
        due.is_none_or(|due| due.group_labels["alertname"] == "B"),
        "A was told before"
    );
}

#[test]
fn a_group_that_fires_on_is_told_again() {
    let mut book = Book::new("u");
    let by = ["alertname".to_owned()];
    assert_eq!(book.take(&notice("A", "a", START, 0), true, 10), Ok(true));
    let (due, _) = book.due(START, 100, &by);
    book.told(&due.unwrap(), START);
    assert_eq!(book.due(START + 50, 100, &by), (None, START + 100));
    assert!(book.due(START + 100, 100, &by).0.is_some());
    // An alert that ended and came back between two looks is news.
    assert_eq!(
        book.take(&notice("A", "a", START + 60, 0), true, 10),
        Ok(true)
    );
    assert!(book.due(START + 61, 100, &by).0.is_some());
}

#[test]
fn memory_is_bounded_and_unknown_ends_are_no_news() {
    let mut book = Book::new("u");
    assert_eq!(
        book.take(&notice("A", "a", START, START + 1), true, 1),
        Ok(false)
    );
    assert_eq!(book.take(&notice("A", "a", START, 0), true, 1), Ok(true));
    assert_eq!(
        book.take(&notice("A", "b", START, 0), true, 1),
        Err(book::Full)
    );
    assert_eq!(
        book.take(&notice("A", "a", START, START + 1), false, 1),
        Ok(true)
    );
    assert_eq!(
        book.waiting(),
        0,
        "an end that is not to be told is forgotten"
    );
}

#[test]
fn messages_carry_the_external_labels_that_alerts_lack() {
    let mut book = Book::new("http://there");
    for instance in ["a", "b"] {
        let mut one = notice("Down", instance, START, 0);
        if instance == "b" {
            one.labels.insert("region".into(), "south".into());
        }
        book.take(&one, true, 10).unwrap();
    }
    let external = [("region", "north"), ("cluster", "one")];
    let options = NotifierOptions {
        external_labels: external.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..options("http://there")
    };
    let due = book.due(START, 1, &options.group_by).0.unwrap();
    let message = message(&due, &options);
    let regions: Vec<&str> = message
        .alerts
        .iter()
        .map(|alert| alert.labels["region"].as_str())
        .collect();
    assert_eq!(regions, ["north", "south"], "a rule's label wins");
    assert_eq!(message.common_labels["cluster"], "one");
    assert!(!message.common_labels.contains_key("region"));
    let first = &message.alerts[0];
    assert_eq!(first.fingerprint, payload::fingerprint(&first.labels));
}
