use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use model::stamp::WINDOW;
use otlp::rows::Rows;
use parking_lot::Mutex;
use testkit::{ManualClock, MemoryFiles};
use tokio::sync::Notify;

use super::*;
use crate::encode::{Log, put_envelope, put_log};
use crate::metrics::{DROPPED_ROWS, EXPORTED_ROWS, QUEUED_ROWS, RECEIVED_ROWS};
use crate::options::QueueOptions;

/// What the collector answers to a request.
type Script = Box<dyn FnMut(Signal, &Bytes, &Stamp) -> Outcome + Send>;

/// A collector that keeps what it was sent and answers by a script.
struct Fake {
    seen: Mutex<Vec<(Bytes, Stamp)>>,
    beats: Mutex<Vec<Stamp>>,
    script: Mutex<Script>,
    changed: Notify,
}

impl Fake {
    fn new(script: impl FnMut(Signal, &Bytes, &Stamp) -> Outcome + Send + 'static) -> Arc<Self> {
        Arc::new(Self {
            seen: Mutex::default(),
            beats: Mutex::default(),
            script: Mutex::new(Box::new(script)),
            changed: Notify::new(),
        })
    }

    /// Answers with these in turn, then accepts.
    fn answering(outcomes: Vec<Outcome>) -> Arc<Self> {
        let mut outcomes = VecDeque::from(outcomes);
        Self::new(move |_, _, _| outcomes.pop_front().unwrap_or_else(Outcome::accepted))
    }

    async fn until(&self, requests: usize) {
        self.until_seen(|seen| seen.len() >= requests).await;
    }

    /// Waits until what was sent is enough.
    async fn until_seen(&self, enough: impl Fn(&[(Bytes, Stamp)]) -> bool) {
        loop {
            let changed = self.changed.notified();
            if enough(&self.seen.lock()) {
                return;
            }
            changed.await;
        }
    }

    async fn until_beats(&self, beats: usize) {
        loop {
            let changed = self.changed.notified();
            if self.beats.lock().len() >= beats {
                return;
            }
            changed.await;
        }
    }

    fn sequences(&self) -> Vec<u64> {
        self.seen
            .lock()
            .iter()
            .map(|(_, stamp)| stamp.sequence)
            .collect()
    }
}

impl Destination for Fake {
    fn send(&self, signal: Signal, request: Bytes, stamp: Stamp) -> BoxFuture<'_, Outcome> {
        if request.is_empty() {
            self.beats.lock().push(stamp);
            self.changed.notify_waiters();
            return Box::pin(std::future::ready(Outcome::accepted()));
        }
        let outcome = (self.script.lock())(signal, &request, &stamp);
        self.seen.lock().push((request, stamp));
        self.changed.notify_waiters();
        Box::pin(std::future::ready(outcome))
    }
}

fn retryable(after: Option<Duration>) -> Outcome {
    Outcome::Retryable {
        after,
        reason: "away".to_owned(),
    }
}

struct Rig {
    env: Env,
    clock: Arc<ManualClock>,
    queue: Queue,
    metrics: Metrics,
    start: BTreeMap<String, (Position, HashSet<StampId>)>,
    stop: watch::Sender<Option<Instant>>,
}

const NAME: &str = "collector";

impl Rig {
    fn open(files: &MemoryFiles) -> Self {
        Self::open_for(files, &[NAME])
    }

    fn open_for(files: &MemoryFiles, destinations: &[&str]) -> Self {
        Self::open_over(Arc::new(files.clone()), destinations)
    }

    fn open_over(files: Arc<dyn env::Files>, destinations: &[&str]) -> Self {
        let names: Vec<String> = destinations.iter().map(ToString::to_string).collect();
        let (env, clock) = testkit::env(11, files);
        let metrics = Metrics::default();
        let (queue, mut restored) = Queue::open(
            &env,
            &PathBuf::from("/queue"),
            &QueueOptions::default(),
            &names,
            &Progress::default(),
            metrics.clone(),
        )
        .unwrap();
        let start = names.into_iter().map(|name| {
            let left_out = restored.left_out.remove(&name).unwrap();
            (name.clone(), (restored.exported[&name], left_out))
        });
        Self {
            env,
            clock,
            queue,
            metrics,
            start: start.collect(),
            stop: watch::channel(None).0,
        }
    }

    async fn append(&self, logs: &[&str]) {
        let mut rows = Vec::new();
        for text in logs {
            let log = Log {
                body: (*text).into(),
                ..Log::default()
            };
            put_log(&mut rows, &log);
        }
        let mut request = Vec::new();
        put_envelope(&mut request, &[], &[], &rows);
        let entry = Entry {
            signal: Signal::Logs,
            source: "test",
            rows: logs.len() as u64,
            read_unix_nano: u64::MAX,
            alone: false,
            request: Bytes::from(request),
        };
        self.queue.append(entry).await.unwrap();
    }

    fn run(&mut self, fake: &Arc<Fake>, options: ExportOptions) -> tokio::task::JoinHandle<Left> {
        self.run_to(NAME, fake, options)
    }

    fn run_to(
        &mut self,
        name: &str,
        fake: &Arc<Fake>,
        options: ExportOptions,
    ) -> tokio::task::JoinHandle<Left> {
        let (position, left_out) = self.start.remove(name).unwrap();
        let start = Start {
            name: name.to_owned(),
            destination: Arc::clone(fake) as Arc<dyn Destination>,
            position,
            left_out,
            sealed_clock: true,
        };
        let letters = DeadLetters::new(
            &self.env,
            &PathBuf::from("/queue"),
            1 << 20,
            self.metrics.clone(),
        );
        let exporter = Exporter::new(
            &self.env,
            start,
            self.queue.clone(),
            Progress::default(),
            options,
            Arc::new(letters),
        );
        tokio::spawn(exporter.run(self.stop.subscribe()))
    }

    /// Waits until so many rows were acknowledged.
    async fn exported(&self, rows: u64) {
        while self.metrics.total(EXPORTED_ROWS, &[]) < rows {
            tokio::task::yield_now().await;
        }
    }

    /// Drains and closes; checks that every row is accounted for.
    async fn finish(&self, exporter: tokio::task::JoinHandle<Left>, time: Duration) -> Left {
        self.finish_all([(NAME, exporter)], time).await[0]
    }

    async fn finish_all<const N: usize>(
        &self,
        exporters: [(&str, tokio::task::JoinHandle<Left>); N],
        time: Duration,
    ) -> [Left; N] {
        self.stop.send_replace(Some(Instant::now() + time));
        let mut left = [Left::default(); N];
        for (left, (name, exporter)) in left.iter_mut().zip(exporters) {
            *left = exporter.await.unwrap();
            let total = |metric| self.metrics.total(metric, &[("destination", name)]);
            assert_eq!(
                self.metrics.total(RECEIVED_ROWS, &[]) + total(crate::metrics::RESTORED_ROWS),
                total(EXPORTED_ROWS) + total(DROPPED_ROWS) + total(QUEUED_ROWS),
                "{name}"
            );
            assert_eq!(left.rows, total(QUEUED_ROWS), "{name}");
        }
        self.queue.close().await;
        left
    }
}

fn one_at_a_time() -> ExportOptions {
    ExportOptions {
        concurrency: 1,
        ..ExportOptions::default()
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn a_retry_sends_the_same_bytes_under_the_same_stamp() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::answering(vec![retryable(None); 3]);
    rig.append(&["a"]).await;
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(4).await;
    assert_eq!(rig.finish(exporter, MINUTE).await.rows, 0);
    let seen = fake.seen.lock();
    assert_eq!(seen.len(), 4);
    let same = |(request, stamp): &(Bytes, Stamp)| {
        let first = &seen[0];
        *request == first.0 && (stamp.epoch, stamp.sequence) == (first.1.epoch, first.1.sequence)
    };
    assert!(seen.iter().all(same));
    assert_eq!(rig.metrics.total(crate::metrics::RETRIES, &[]), 3);
}

#[tokio::test(start_paused = true)]
async fn a_restart_before_the_answer_sends_the_same_again() {
    let files = MemoryFiles::new();
    let first = {
        let mut rig = Rig::open(&files);
        rig.append(&["a", "b"]).await;
        let never = Fake::new(|_, _, _| retryable(None));
        let exporter = rig.run(&never, one_at_a_time());
        never.until(1).await;
        let left = rig.finish(exporter, Duration::from_millis(1)).await;
        assert_eq!(left.rows, 2);
        let seen = never.seen.lock();
        seen[0].clone()
    };
    let mut rig = Rig::open(&files);
    let fake = Fake::answering(Vec::new());
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(1).await;
    assert_eq!(rig.finish(exporter, MINUTE).await.rows, 0);
    let again = fake.seen.lock()[0].clone();
    assert_eq!(again.0, first.0);
    assert_eq!(
        (again.1.agent, again.1.epoch, again.1.sequence),
        (first.1.agent, first.1.epoch, first.1.sequence)
    );
    // What was acknowledged is not sent a third time.
    let mut rig = Rig::open(&files);
    let fake = Fake::answering(Vec::new());
    let exporter = rig.run(&fake, one_at_a_time());
    rig.append(&["c"]).await;
    fake.until(1).await;
    rig.finish(exporter, MINUTE).await;
    assert_eq!(fake.sequences(), [first.1.sequence + 1]);
}

#[tokio::test(start_paused = true)]
async fn a_day_long_outage_is_replayed_in_order() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let away_until = Instant::now() + Duration::from_secs(24 * 3600);
    let fake = Fake::new(move |_, _, _| {
        if Instant::now() < away_until {
            retryable(None)
        } else {
            Outcome::accepted()
        }
    });
    for n in 0..200 {
        rig.append(&[&n.to_string()]).await;
    }
    let exporter = rig.run(&fake, one_at_a_time());
    tokio::time::sleep_until(away_until).await;
    let failed = fake.seen.lock().len();
    // Probes come at most every half minute on average, and less than one a second ever.
    assert!(
        (1_000..40_000).contains(&failed),
        "{failed} requests during the outage"
    );
    fake.until(failed + 200).await;
    rig.finish(exporter, MINUTE).await;
    let accepted: Vec<u64> = fake.sequences().split_off(failed);
    let expected: Vec<u64> = (1..=200).collect();
    assert_eq!(accepted[..200], expected);
}

/// A store that hears nothing of an entry while others pass takes it for a repeat once they are far
/// ahead.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_far_ahead_of_an_entry_that_is_not_taken() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let stored = Arc::new(Mutex::new(BTreeSet::new()));
    let (store, mut refused) = (Arc::clone(&stored), 0);
    let fake = Fake::new(move |_, _, stamp| {
        if stamp.sequence == 1 && refused < 20 {
            refused += 1;
            return retryable(None);
        }
        let mut store = store.lock();
        let highest = store.last().copied().unwrap_or(0);
        // What is older than the window counts as stored.
        if highest < stamp.sequence + WINDOW {
            store.insert(stamp.sequence);
        }
        Outcome::accepted()
    });
    let entries = 2 * WINDOW;
    for n in 0..entries {
        rig.append(&[&n.to_string()]).await;
    }
    let exporter = rig.run(&fake, ExportOptions::default());
    fake.until(usize::try_from(entries).unwrap() + 20).await;
    rig.finish(exporter, MINUTE).await;
    let lost: Vec<u64> = (1..=entries)
        .filter(|sequence| !stored.lock().contains(sequence))
        .collect();
    assert!(lost.is_empty(), "{lost:?} were never stored");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_lets_one_request_through_at_a_time() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::new(|_, _, _| retryable(None));
    for n in 0..8 {
        rig.append(&[&n.to_string()]).await;
    }
    let options = ExportOptions {
        concurrency: 4,
        breaker_failures: 4,
        ..ExportOptions::default()
    };
    let exporter = rig.run(&fake, options);
    fake.until(12).await;
    let sequences = fake.sequences();
    assert_eq!(sequences[..4], [1, 2, 3, 4]);
    // While it is open, the probe is the oldest entry that is ready.
    assert!(
        sequences[4..]
            .iter()
            .all(|sequence| (1..=4).contains(sequence))
    );
    // A collector that is away does not hold up the shutdown.
    let before = Instant::now();
    let left = rig.finish(exporter, 10 * MINUTE).await;
    assert_eq!(left.rows, 8);
    assert!(before.elapsed() < MINUTE);
}

#[tokio::test(start_paused = true)]
async fn the_collector_gets_the_time_that_it_asks_for() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::answering(vec![retryable(Some(Duration::from_secs(17)))]);
    rig.append(&["a"]).await;
    let before = Instant::now();
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(2).await;
    let waited = before.elapsed();
    assert!((17..19).contains(&waited.as_secs()), "{waited:?}");
    rig.finish(exporter, MINUTE).await;
}

#[tokio::test(start_paused = true)]
async fn rejected_rows_are_counted_and_not_sent_again() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::answering(vec![Outcome::Success {
        rejected: 2,
        message: "2 x no".to_owned(),
        received_unix_nano: None,
        replied_unix_nano: None,
    }]);
    rig.append(&["a", "b", "c"]).await;
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(1).await;
    rig.finish(exporter, MINUTE).await;
    assert_eq!(fake.seen.lock().len(), 1);
    assert_eq!(
        rig.metrics.total(DROPPED_ROWS, &[("reason", "rejected")]),
        2
    );
    assert_eq!(rig.metrics.total(EXPORTED_ROWS, &[]), 1);
}

#[tokio::test(start_paused = true)]
async fn what_can_never_be_delivered_is_put_aside_and_the_rest_goes_on() {
    let files = MemoryFiles::new();
    let mut rig = Rig::open(&files);
    let fake = Fake::new(|_, _, stamp| match stamp.sequence {
        1 => Outcome::Permanent {
            reason: "poison".to_owned(),
        },
        _ => Outcome::accepted(),
    });
    rig.append(&["bad", "bad too"]).await;
    rig.append(&["good"]).await;
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(2).await;
    assert_eq!(rig.finish(exporter, MINUTE).await.rows, 0);
    assert_eq!(fake.sequences(), [1, 2]);
    assert_eq!(
        rig.metrics.total(DROPPED_ROWS, &[("reason", "permanent")]),
        2
    );
    let letters = rig
        .env
        .files
        .read(&PathBuf::from("/queue/dead-letter.jsonl"))
        .unwrap();
    let letter: serde_json::Value = serde_json::from_slice(&letters).unwrap();
    assert_eq!(letter["reason"], "poison");
    assert_eq!(letter["rows"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_split_and_a_row_that_is_too_large_is_put_aside() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::new(|_, request, _| {
        if request.len() > 300 {
            return Outcome::TooLarge {
                reason: "over 300 bytes".to_owned(),
            };
        }
        Outcome::accepted()
    });
    let texts: Vec<String> = (0..20).map(|n| format!("{n}-{}", "x".repeat(60))).collect();
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let giant = "g".repeat(1_000);
    texts.push(&giant);
    rig.append(&texts).await;
    let exporter = rig.run(&fake, one_at_a_time());
    let rows = |request: &Bytes| count_rows(Signal::Logs, request).unwrap();
    let accepted = |seen: &[(Bytes, Stamp)]| -> u64 {
        let small = seen.iter().filter(|(request, _)| request.len() <= 300);
        small.map(|(request, _)| rows(request)).sum()
    };
    let giant_alone = |(request, _): &(Bytes, Stamp)| request.len() > 300 && rows(request) == 1;
    fake.until_seen(|seen| accepted(seen) == 20 && seen.iter().any(giant_alone))
        .await;
    assert_eq!(rig.finish(exporter, MINUTE).await.rows, 0);
    assert_eq!(rig.metrics.total(EXPORTED_ROWS, &[]), 20);
    assert_eq!(
        rig.metrics.total(DROPPED_ROWS, &[("reason", "too_large")]),
        1
    );
    assert_eq!(accepted(&fake.seen.lock()), 20);
}

/// A collector that stores what is new to it and not longer than its limit. It answers only as many
/// requests as it is told; the answers to the rest are lost.
fn storing(limit: usize, answered: usize) -> (Arc<Fake>, Arc<Mutex<Vec<String>>>) {
    let stored: Arc<Mutex<Vec<String>>> = Arc::default();
    let (bodies, mut known, mut left) = (Arc::clone(&stored), BTreeSet::new(), answered);
    let fake = Fake::new(move |signal, request, stamp| {
        let answers = left > 0;
        left = left.saturating_sub(1);
        if request.len() > limit {
            return Outcome::TooLarge {
                reason: format!("over {limit} bytes"),
            };
        }
        if known.insert((stamp.epoch, stamp.sequence)) {
            let rows = Rows::decode(signal, request).unwrap();
            let texts = rows.logs.iter().map(|log| log.body.to_text());
            bodies.lock().extend(texts);
        }
        if answers {
            Outcome::accepted()
        } else {
            retryable(None)
        }
    });
    (fake, stored)
}

fn sorted(stored: &Mutex<Vec<String>>) -> Vec<String> {
    let mut texts = stored.lock().clone();
    texts.sort_unstable();
    texts
}

fn long_texts() -> Vec<String> {
    (0..8).map(|n| format!("{n}-{}", "x".repeat(60))).collect()
}

/// Waits until so many texts are stored and nothing waits any more.
async fn until_stored(rig: &Rig, stored: &Mutex<Vec<String>>, texts: usize) {
    while stored.lock().len() < texts || rig.metrics.total(QUEUED_ROWS, &[]) > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Pieces are for the collector that asked for them: another one took the entry whole, or splits it
/// on its own.
#[tokio::test(start_paused = true)]
async fn each_of_two_collectors_stores_an_entry_once_whichever_finds_it_too_large() {
    for limits in [[300, 10_000], [10_000, 300], [300, 300], [300, 600]] {
        let mut rig = Rig::open_for(&MemoryFiles::new(), &["a", "b"]);
        let texts = long_texts();
        rig.append(&texts.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        let [(one, at_one), (other, at_other)] = limits.map(|limit| storing(limit, usize::MAX));
        let exporters = [
            ("a", rig.run_to("a", &one, one_at_a_time())),
            ("b", rig.run_to("b", &other, one_at_a_time())),
        ];
        until_stored(&rig, &at_one, 8).await;
        until_stored(&rig, &at_other, 8).await;
        rig.finish_all(exporters, MINUTE).await;
        assert_eq!(sorted(&at_one), texts, "{limits:?}");
        assert_eq!(sorted(&at_other), texts, "{limits:?}");
    }
}

/// The answer to an entry is lost, another collector has it split, and the agent starts again: only
/// under its own stamp the entry is known as a repeat.
#[tokio::test(start_paused = true)]
async fn a_restart_sends_an_entry_whole_where_it_was_split_for_another_collector() {
    let files = MemoryFiles::new();
    let mut rig = Rig::open_for(&files, &["a", "b"]);
    let texts = long_texts();
    rig.append(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let (splits, at_splits) = storing(300, usize::MAX);
    let (whole, at_whole) = storing(10_000, 0);
    let exporters = [
        ("a", rig.run_to("a", &splits, one_at_a_time())),
        ("b", rig.run_to("b", &whole, one_at_a_time())),
    ];
    while at_splits.lock().len() < 8 || at_whole.lock().len() < 8 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let left = rig.finish_all(exporters, Duration::ZERO).await;
    assert_eq!(left[1].rows, 8);

    let mut rig = Rig::open_for(&files, &["a", "b"]);
    let seen = whole.seen.lock()[0].clone();
    let again = Fake::answering(Vec::new());
    let exporters = [
        ("a", rig.run_to("a", &splits, one_at_a_time())),
        ("b", rig.run_to("b", &again, one_at_a_time())),
    ];
    again.until(1).await;
    rig.append(&["last"]).await;
    again.until(2).await;
    rig.finish_all(exporters, MINUTE).await;
    let sent = again.seen.lock();
    assert_eq!((&sent[0].0, sent[0].1.sequence), (&seen.0, 1));
    assert_eq!(sent.len(), 2, "the last entry, and none of the pieces");
    assert_eq!(at_splits.lock().len(), 9);
}

#[tokio::test(start_paused = true)]
async fn the_clock_is_measured_and_completeness_follows_the_oldest_entry() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let now = rig.env.clock.unix_nanos();
    let fake = Fake::new(move |_, _, stamp| Outcome::Success {
        rejected: 0,
        message: String::new(),
        received_unix_nano: Some(stamp.sent_unix_nano + 5_000),
        replied_unix_nano: Some(stamp.sent_unix_nano + 5_000),
    });
    rig.append(&["a"]).await;
    rig.clock.advance(1_000);
    rig.append(&["b"]).await;
    rig.clock.advance(1_000);
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(2).await;
    rig.finish(exporter, MINUTE).await;
    let seen = fake.seen.lock();
    let stamps: Vec<&Stamp> = seen.iter().map(|(_, stamp)| stamp).collect();
    assert_eq!(stamps[0].clock, None);
    let offset = stamps[1].clock.unwrap();
    assert_eq!((offset.offset_nano, offset.error_nano), (5_000, 0));
    // With "b" still waiting, only what was read before "a" is complete.
    assert_eq!(stamps[0].complete_to_unix_nano, now);
    assert_eq!(stamps[1].complete_to_unix_nano, now + 2_000);
}

/// A collector whose clock is ahead by so much, until it is told otherwise.
fn ahead(nano: &Arc<AtomicU64>, mut fail: impl FnMut(u64) -> bool + Send + 'static) -> Arc<Fake> {
    let nano = Arc::clone(nano);
    Fake::new(move |_, _, stamp| {
        if fail(stamp.sequence) {
            return retryable(None);
        }
        let at = stamp.sent_unix_nano + nano.load(Ordering::SeqCst);
        Outcome::Success {
            rejected: 0,
            message: String::new(),
            received_unix_nano: Some(at),
            replied_unix_nano: Some(at),
        }
    })
}

/// What was read while a clock was off keeps that offset, although the clock is set before the
/// entry is sent and the agent is started again in between.
#[tokio::test(start_paused = true)]
async fn an_entry_keeps_the_offset_of_the_time_when_it_was_written() {
    let files = MemoryFiles::new();
    let mut rig = Rig::open(&files);
    let nano = Arc::new(AtomicU64::new(3_000_000_000));
    let fake = ahead(&nano, |sequence| sequence == 2);
    let exporter = rig.run(&fake, one_at_a_time());
    rig.append(&["a"]).await;
    rig.exported(1).await;
    rig.append(&["b"]).await;
    fake.until(2).await;
    rig.finish(exporter, Duration::ZERO).await;

    nano.store(0, Ordering::SeqCst);
    let mut rig = Rig::open(&files);
    let fake = ahead(&nano, |_| false);
    let exporter = rig.run(&fake, one_at_a_time());
    rig.exported(1).await;
    rig.append(&["c"]).await;
    rig.exported(2).await;
    rig.finish(exporter, MINUTE).await;
    let seen = fake.seen.lock();
    let offset = |sequence: u64| {
        let found = seen.iter().find(|(_, stamp)| stamp.sequence == sequence);
        found.unwrap().1.clock.unwrap().offset_nano
    };
    assert_eq!((offset(2), offset(3)), (3_000_000_000, 0));
}

/// A quiet agent is no lost one: it says every ten seconds that nothing is missing, says nothing of
/// the kind while something is, and says goodbye.
#[tokio::test(start_paused = true)]
async fn an_agent_without_news_sends_heartbeats_and_a_goodbye() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::answering(vec![retryable(None); 2]);
    let began = Instant::now();
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until_beats(1).await;
    rig.clock.advance(7);
    fake.until_beats(3).await;
    assert_eq!(began.elapsed(), Duration::from_secs(20));
    let beat = fake.beats.lock()[2].clone();
    assert_eq!(beat.complete_to_unix_nano, rig.env.clock.unix_nanos());
    assert_eq!((beat.epoch, beat.sequence), (0, 0));
    // An entry that the collector does not take yet is missing there.
    rig.append(&["a"]).await;
    fake.until(1).await;
    // While the queue's own thread wrote, the paused clock ran on, and with it the heartbeats.
    let before = fake.beats.lock().len();
    fake.until(2).await;
    assert_eq!(fake.beats.lock().len(), before);
    // It is waited for where the clock may run on; `exported` alone would hold it still.
    fake.until(3).await;
    rig.exported(1).await;
    rig.finish(exporter, MINUTE).await;
    let last = fake.beats.lock().last().unwrap().complete_to_unix_nano;
    assert_eq!(last, otlp::stamp::COMPLETE_FOR_EVER);
}

/// What stays in the queue is missing at the collector, so nobody may forget the agent.
#[tokio::test(start_paused = true)]
async fn an_agent_that_leaves_rows_behind_says_no_goodbye() {
    let mut rig = Rig::open(&MemoryFiles::new());
    let fake = Fake::new(|_, _, _| retryable(None));
    rig.append(&["a"]).await;
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(1).await;
    assert_eq!(rig.finish(exporter, Duration::from_secs(3)).await.rows, 1);
    assert!(fake.beats.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_disk_does_not_give_of_the_queue_holds_up_the_rest_for_a_minute() {
    let faults = testkit::FaultFiles::over(Arc::new(MemoryFiles::new()));
    let mut rig = Rig::open_over(Arc::new(faults.clone()), &[NAME]);
    let fake = Fake::answering(Vec::new());
    let long = |text: &str| text.repeat(10_000);
    for text in ["a", "b", "c"] {
        rig.append(&[&long(text)]).await;
    }
    // In the second one.
    faults.lose(".seg", 12_288..16_384);
    let begun = Instant::now();
    let exporter = rig.run(&fake, one_at_a_time());
    fake.until(2).await;
    assert!((MINUTE..2 * MINUTE).contains(&begun.elapsed()));
    let texts: Vec<String> = fake
        .seen
        .lock()
        .iter()
        .map(|(request, _)| {
            Rows::decode(Signal::Logs, request).unwrap().logs[0]
                .body
                .to_text()
        })
        .collect();
    assert!(texts == [long("a"), long("c")]);
    let lost = rig.metrics.total(metrics::QUEUE_CORRUPT_BYTES, &[]);
    assert!((10_000..10_500).contains(&lost), "{lost}");
    // What comes after is not held up.
    rig.append(&["d"]).await;
    fake.until(3).await;
    rig.stop.send_replace(Some(Instant::now()));
    exporter.await.unwrap();
}
