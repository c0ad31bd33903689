use env::SeededRandom;
use model::{LogRecord, Signal, Tenant, TimeRange};
use storage::filter::Filter;
use testkit::ManualClock;
use tokio::time::timeout;

use super::*;
use crate::sources::Sources;
use crate::testing::{Fault, Memory};

const S: u64 = 1_000_000_000;

fn record(body: &str) -> LogRecord {
    LogRecord {
        time_unix_nano: S,
        body: body.into(),
        ..LogRecord::default()
    }
}

fn follow(memories: &[&Arc<Memory>], clock: &Arc<ManualClock>) -> Tailing {
    let readers = memories
        .iter()
        .map(|memory| Arc::clone(memory) as Arc<dyn Read>);
    let selection = Selection {
        tenant: Tenant::default(),
        signal: Signal::Logs,
        filter: Filter::All,
        range: TimeRange::ALL,
    };
    let waiting = Waiting {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        random: Arc::new(SeededRandom::new(7)),
    };
    Sources::new(readers.collect()).tail(&selection, 100, &waiting)
}

/// Sequence, dropped and bodies of new rows.
async fn rows(tail: &mut Tailing) -> (u64, u64, Vec<String>) {
    match tail.next().await {
        Some(TailPart::Rows(tail)) => {
            let bodies = tail
                .logs
                .iter()
                .map(|log| log.body.to_json().as_str().unwrap_or_default().to_owned())
                .collect();
            (tail.sequence, tail.dropped, bodies)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_comes_back_is_heard_again() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    let clock = Arc::new(ManualClock::new(100 * S));
    let mut tail = follow(&[&one, &two], &clock);
    assert_eq!(tail.next().await, Some(TailPart::Begun));
    two.append(record("first"));
    assert_eq!(rows(&mut tail).await, (1, 0, vec!["first".to_owned()]));

    clock.advance(30 * S);
    *two.fault.lock() = Fault::Unavailable;
    two.end_tails();
    let lost = TailPart::Lost {
        source: "b".to_owned(),
        reason: "the tail ended".to_owned(),
    };
    assert_eq!(tail.next().await, Some(lost));
    // The others go on, and nothing is said while it is asked in vain, ever less often.
    one.append(record("second"));
    assert_eq!(rows(&mut tail).await, (2, 0, vec!["second".to_owned()]));
    let before = two.requests.load(std::sync::atomic::Ordering::SeqCst);
    let minute = timeout(Duration::from_secs(60), tail.next()).await;
    assert!(minute.is_err(), "{minute:?}");
    let asked = two.requests.load(std::sync::atomic::Ordering::SeqCst) - before;
    assert!((9..=18).contains(&asked), "{asked}");

    clock.advance(60 * S);
    *two.fault.lock() = Fault::None;
    two.append(record("nobody hears this"));
    let gap = Gap {
        source: "b".to_owned(),
        from: 120 * S,
        until: 190 * S,
    };
    assert_eq!(tail.next().await, Some(TailPart::Back(gap)));
    two.append(record("third"));
    assert_eq!(rows(&mut tail).await, (3, 0, vec!["third".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_tail_begins_with_whoever_is_there_and_outlives_all() {
    let (one, two) = (Memory::new("a"), Memory::new("b"));
    for memory in [&one, &two] {
        *memory.fault.lock() = Fault::Unavailable;
    }
    let clock = Arc::new(ManualClock::new(100 * S));
    let mut tail = follow(&[&one, &two], &clock);
    for _ in 0..2 {
        let part = tail.next().await;
        assert!(matches!(part, Some(TailPart::Lost { .. })), "{part:?}");
    }
    assert_eq!(tail.next().await, Some(TailPart::Begun));
    clock.advance(5 * S);
    *one.fault.lock() = Fault::None;
    // Nothing is missing of the time before the tail began.
    let gap = Gap {
        source: "a".to_owned(),
        from: 100 * S,
        until: 105 * S,
    };
    assert_eq!(tail.next().await, Some(TailPart::Back(gap)));
}

#[test]
fn pauses_grow_to_a_limit_and_are_spread() {
    let waiting = Waiting {
        clock: Arc::new(ManualClock::new(0)),
        random: Arc::new(SeededRandom::new(1)),
    };
    for (attempts, most) in [(0, 250), (1, 500), (3, 2_000), (6, 10_000), (1_000, 10_000)] {
        let most = Duration::from_millis(most);
        let pauses: Vec<Duration> = (0..100).map(|_| waiting.pause(attempts)).collect();
        assert!(
            pauses.iter().all(|pause| (most / 2..=most).contains(pause)),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
