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

/// As rules hand alerts over.
async fn take(notifier: &Notifier, notices: &[Notice]) {
    if notifier.note(notices) {
        notifier.settle().await;
    }
}

/// What is to be told at a time, where nothing has failed.
fn due(book: &Book, now: u64, repeat: u64) -> Next {
    let look = Look {
        now,
        monotonic: 0,
        repeat,
        group_by: &["alertname".to_owned()],
    };
    book.next(look, &mut Waits::default())
}

fn told(next: Next) -> Due {
    match next {
        Next::Tell(due) => due,
        Next::Wait(wait) => panic!("nothing for {wait} ns"),
    }
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
    take(
        &notifier,
        &[notice("Down", "a", START, 0), notice("Down", "b", START, 0)],
    )
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
    take(
        &notifier,
        &[notice("Down", "a", START, 0), notice("Down", "b", START, 0)],
    )
    .await;
    take(&notifier, &[notice("Down", "a", START, START + 5)]).await;
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
    take(&notifier, &[notice("Down", "b", START, START + 9)]).await;
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
    take(&notifier, &[notice("A", "a", START, 0)]).await;
    for _ in 0..3 {
        assert_eq!(
            received.recv().await.unwrap().group_labels["alertname"],
            "A"
        );
    }
    take(&notifier, &[notice("B", "a", START, 0)]).await;
    assert_eq!(
        received.recv().await.unwrap().group_labels["alertname"],
        "B"
    );
    take(&notifier, &[notice("C", "a", START, 0)]).await;
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
    let notifier = open(options(&url), dir.path());
    take(&notifier, &[notice("A", "a", START, 0)]).await;
    drop(notifier);

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
    take(&notifier, &[notice("B", "a", START, 0)]).await;
    received.recv().await.unwrap();
    stopper.ask();
    task.await.unwrap();

    let notifier = open(options(&url), dir.path());
    take(&notifier, &[notice("A", "a", START, 0)]).await;
    let now = notifier.env.clock.unix_nanos();
    let repeat = nanos(notifier.options.repeat_interval);
    match due(&notifier.books.lock()[0], now, repeat) {
        Next::Tell(due) => assert_eq!(due.group_labels["alertname"], "B", "A was told before"),
        Next::Wait(_) => {}
    }
}

#[test]
fn a_group_that_fires_on_is_told_again() {
    let mut book = Book::new("u");
    assert_eq!(book.take(&notice("A", "a", START, 0), true, 10), Ok(true));
    let group = told(due(&book, START, 100));
    book.told(&group, START);
    assert_eq!(due(&book, START + 50, 100), Next::Wait(50));
    told(due(&book, START + 100, 100));
    // A clock that was set back puts the next time off by no more than the interval.
    assert_eq!(due(&book, START - 1000, 100), Next::Wait(100));
    // An alert that ended and came back between two looks is news.
    assert_eq!(
        book.take(&notice("A", "a", START + 60, 0), true, 10),
        Ok(true)
    );
    told(due(&book, START + 61, 100));
    // Another rule has an alert of the same labels since longer: that is none.
    assert_eq!(book.take(&notice("A", "a", START, 0), true, 10), Ok(false));
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
    let again = book.take(&notice("A", "b", START, 0), true, 1);
    assert_eq!(again, Ok(false), "it is counted once");
    assert_eq!(
        book.take(&notice("A", "a", START, START + 1), false, 1),
        Ok(true)
    );
    assert_eq!(
        book.waiting(),
        0,
        "an end that is not to be told is forgotten"
    );
    // The one that was left out has room now; later it is another one that has none.
    assert_eq!(book.take(&notice("A", "b", START, 0), true, 1), Ok(true));
    let third = notice("A", "c", START, 0);
    assert_eq!(book.take(&third, true, 1), Err(book::Full));
    let ended = notice("A", "c", START, START + 1);
    assert_eq!(book.take(&ended, true, 1), Ok(false));
    assert_eq!(book.take(&third, true, 1), Err(book::Full));
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
    let message = message(&told(due(&book, START, 1)), &options);
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

#[tokio::test]
async fn a_message_that_is_never_taken_keeps_no_other_waiting() {
    // The first group fails for as long as it waits an hour; the others are told meanwhile.
    let (url, mut received) = receiver(&[500]).await;
    let dir = tempfile::tempdir().unwrap();
    let options = NotifierOptions {
        backoff_min: Duration::from_secs(3600),
        backoff_max: Duration::from_secs(3600),
        ..options(&url)
    };
    let notifier = open(options, dir.path());
    let names = ["A", "B", "C"];
    take(&notifier, &names.map(|name| notice(name, "a", START, 0))).await;
    let (stopper, stop) = stop();
    let task = tokio::spawn(
        notifier
            .clone()
            .deliver(0, HttpSender::new().unwrap(), stop),
    );
    for name in names {
        let message = tokio::time::timeout(Duration::from_secs(30), received.recv()).await;
        let message = message.expect("the next group has its turn").unwrap();
        assert_eq!(message.group_labels["alertname"], name);
    }
    stopper.ask();
    task.await.unwrap();
    assert_eq!(counts(&notifier).1, 1);
}

#[test]
fn a_receiver_that_takes_nothing_is_left_alone() {
    let mut book = Book::new("u");
    for name in ["A", "B"] {
        book.take(&notice(name, "a", START, 0), true, 10).unwrap();
    }
    let mut waits = Waits::default();
    let by = ["alertname".to_owned()];
    let next = |book: &Book, monotonic, waits: &mut Waits| match book
        .next(look_at(monotonic, &by), waits)
    {
        Next::Tell(due) => Ok(due.group_labels),
        Next::Wait(wait) => Err(wait),
    };
    let group = |name: &str| Labels::from([("alertname".to_owned(), name.to_owned())]);
    let wait = |failures| Duration::from_nanos(100 * u64::from(failures));
    waits.failed(&group("A"), true, 0, wait);
    assert_eq!(next(&book, 50, &mut waits), Err(50));
    waits.failed(&group("A"), true, 100, wait);
    assert_eq!(next(&book, 150, &mut waits), Err(150), "longer each time");
    // It answers: what fails is the group.
    waits.failed(&group("A"), false, 300, wait);
    assert_eq!(next(&book, 301, &mut waits), Ok(group("B")));
    waits.failed(&group("B"), false, 301, wait);
    assert_eq!(next(&book, 350, &mut waits), Err(50));
    assert_eq!(
        next(&book, 500, &mut waits),
        Ok(group("A")),
        "each in its turn"
    );
    waits.failed(&group("A"), false, 500, wait);
    assert_eq!(next(&book, 500, &mut waits), Ok(group("B")));
    waits.answered(&group("B"));
    assert_eq!(waits.until(&group("B")), 0);
    // What is no group any more is not remembered.
    let _any = book.reconcile(&HashSet::new(), START, false);
    assert!(book.next(look_at(700, &by), &mut waits) == Next::Wait(u64::MAX));
    assert_eq!(waits.until(&group("A")), 0);
}

fn look_at(monotonic: u64, group_by: &[String]) -> Look<'_> {
    Look {
        now: START,
        monotonic,
        repeat: 1_000,
        group_by,
    }
}

#[test]
fn what_no_rule_says_to_fire_is_over() {
    let mut book = Book::new("u");
    for instance in ["a", "b"] {
        let one = notice("A", instance, START, 0);
        book.take(&one, true, 2).unwrap();
    }
    let left_out = notice("A", "c", START, 0);
    assert_eq!(book.take(&left_out, true, 2), Err(book::Full));
    let group = told(due(&book, START, 100));
    book.told(&group, START);
    let fires = notice("A", "a", START, 0).labels;
    let firing = HashSet::from([&fires]);
    assert_eq!(book.reconcile(&firing, START + 7, true), 1);
    assert_eq!(book.reconcile(&firing, START + 8, true), 0, "it ended once");
    let ends: Vec<u64> = told(due(&book, START + 8, 100))
        .alerts
        .iter()
        .map(|told| told.ends_at)
        .collect();
    assert_eq!(ends, [0, START + 7]);
    assert_eq!(
        book.take(&left_out, true, 2),
        Err(book::Full),
        "one that is over and comes again counts again"
    );
}

#[test]
fn a_log_names_the_place_of_a_receiver_and_not_its_secrets() {
    for (url, place) in [
        ("https://hooks.example/T0/s3cret", "https://hooks.example"),
        (
            "http://user:s3cret@[::1]:9093/x?token=s3cret#s3cret",
            "http://[::1]:9093",
        ),
        ("s3cret", "an address that cannot be read"),
    ] {
        assert_eq!(send::place(url), place);
    }
}

#[tokio::test]
async fn reasons_say_what_failed_and_not_where() {
    let sender = HttpSender::new().unwrap();
    let mut book = Book::new("u");
    book.take(&notice("A", "a", START, 0), true, 1).unwrap();
    let options = options("http://127.0.0.1:1/s3cret");
    let message = message(&told(due(&book, START, 1)), &options);
    let Delivery::Later { reason, whole, .. } = sender.send(&options.webhooks[0], &message).await
    else {
        panic!("nobody listens there");
    };
    assert!(whole);
    assert!(!reason.contains("s3cret"), "{reason}");
    assert!(reason.to_lowercase().contains("refused"), "{reason}");
}
