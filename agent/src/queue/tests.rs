use std::path::PathBuf;

use testkit::{CrashPoint, Failure as Broken, FaultFiles, Loss, MemoryFiles, Op};

use super::*;
use crate::metrics::{QUEUED_ROWS, RECEIVED_ROWS, RESTORED_ROWS};

const DESTINATION: &str = "collector";

fn open(env: &Env, options: &QueueOptions) -> (Queue, Restored, Metrics) {
    let metrics = Metrics::default();
    let (queue, restored) = Queue::open(
        env,
        &PathBuf::from("/queue"),
        options,
        &[DESTINATION.to_owned()],
        &Progress::default(),
        metrics.clone(),
    )
    .unwrap();
    (queue, restored, metrics)
}

fn entry(text: &str) -> Entry {
    Entry {
        signal: Signal::Logs,
        source: "test",
        rows: 1,
        read_unix_nano: u64::MAX,
        alone: false,
        request: Bytes::from(text.to_owned()),
    }
}

fn all(queue: &Queue, from: Position) -> Vec<Sealed> {
    let records = queue.tail().read_from(from);
    // After a simulated crash nothing reads any more.
    records
        .map_while(Result::ok)
        .flat_map(|found| record::decode(&found.payload).unwrap().entries)
        .collect()
}

fn texts(queue: &Queue) -> Vec<String> {
    let entries = all(queue, Position::START);
    entries
        .iter()
        .map(|sealed| String::from_utf8(sealed.request.to_vec()).unwrap())
        .collect()
}

fn close(queue: &Queue) {
    futures::executor::block_on(queue.close());
}

#[test]
fn stamps_survive_a_restart_and_go_on() {
    let (env, _) = testkit::env(1, Arc::new(MemoryFiles::new()));
    let options = QueueOptions::default();
    let (queue, restored, metrics) = open(&env, &options);
    assert!(restored.fresh);
    let agent = queue.agent();
    assert_eq!(agent.len(), 36);
    queue
        .append_blocking(Some(entry("a")), vec![(b"k".to_vec(), Some(b"1".to_vec()))])
        .unwrap();
    queue.append_blocking(Some(entry("b")), Vec::new()).unwrap();
    let before = all(&queue, Position::START);
    assert_eq!(metrics.total(RECEIVED_ROWS, &[]), 2);
    close(&queue);
    assert_eq!(
        queue.append_blocking(Some(entry("x")), Vec::new()),
        Err(AppendError::Closed)
    );

    let (queue, restored, metrics) = open(&env, &options);
    assert!(!restored.fresh);
    assert_eq!(queue.agent(), agent);
    assert_eq!(restored.state[b"k".as_slice()], b"1");
    assert_eq!(all(&queue, Position::START), before);
    assert_eq!(metrics.total(RESTORED_ROWS, &[]), 2);
    queue
        .append_blocking(Some(entry("c")), vec![(b"k".to_vec(), None)])
        .unwrap();
    let stamps: Vec<StampId> = all(&queue, Position::START)
        .iter()
        .map(|e| e.stamp)
        .collect();
    let sequences: Vec<u64> = stamps.iter().map(|stamp| stamp.sequence).collect();
    assert_eq!(sequences, [1, 2, 3]);
    assert!(stamps.iter().all(|stamp| stamp.epoch == stamps[0].epoch));
    assert_eq!(metrics.total(QUEUED_ROWS, &[]), 3);
}

#[test]
fn what_was_delivered_is_freed_and_numbers_are_not_used_again() {
    let (env, _) = testkit::env(2, Arc::new(MemoryFiles::new()));
    let options = QueueOptions {
        bytes: 16 << 20,
        ..QueueOptions::default()
    };
    let (queue, _, metrics) = open(&env, &options);
    let large = "x".repeat(600 << 10);
    let mut end = Position::START;
    for round in 0..40 {
        queue
            .append_blocking(Some(entry(&large)), vec![(vec![round], Some(vec![round]))])
            .unwrap();
        end = queue.tail().synced_end();
        futures::executor::block_on(queue.exported(DESTINATION.to_owned(), end));
    }
    // An append comes after the freeing in the writer's order, so it has happened by now.
    queue
        .append_blocking(Some(entry("last")), Vec::new())
        .unwrap();
    assert!(metrics.total(crate::metrics::QUEUE_BYTES, &[]) < 4 << 20);
    close(&queue);
    let (queue, restored, _) = open(&env, &options);
    assert_eq!(restored.state.len(), 40);
    assert_eq!(restored.exported[DESTINATION], end);
    let left = all(&queue, end);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].stamp.sequence, 41);
}

#[test]
fn a_full_queue_refuses_until_there_is_room() {
    let (env, _) = testkit::env(3, Arc::new(MemoryFiles::new()));
    let options = QueueOptions {
        bytes: 3 << 20,
        ..QueueOptions::default()
    };
    let (queue, _, metrics) = open(&env, &options);
    let large = "x".repeat(700 << 10);
    let mut accepted = 0;
    let refused = loop {
        match queue.append_blocking(Some(entry(&large)), Vec::new()) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Full);
    assert!((3..=4).contains(&accepted), "{accepted}");
    assert_eq!(
        metrics.total(
            crate::metrics::REFUSED_REQUESTS,
            &[("reason", "queue_full")]
        ),
        1
    );
    let end = queue.tail().synced_end();
    futures::executor::block_on(queue.exported(DESTINATION.to_owned(), end));
    queue
        .append_blocking(Some(entry(&large)), Vec::new())
        .unwrap();
    let too_large = entry(&"x".repeat(options.entry_bytes_max + 1));
    let refused = queue.append_blocking(Some(too_large), Vec::new());
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
}

/// The last segment is not given back before it has grown, and what it still holds leaves less room.
#[test]
fn what_is_not_too_large_fits_once_the_rest_is_delivered() {
    let (env, _) = testkit::env(3, Arc::new(MemoryFiles::new()));
    let options = QueueOptions {
        bytes: 16 << 20,
        ..QueueOptions::default()
    };
    let (queue, _, _) = open(&env, &options);
    let largest = "x".repeat(14 << 20);
    for part in [100, 500, 900, 1_000] {
        for text in ["y".repeat(part << 10), largest.clone()] {
            queue
                .append_blocking(Some(entry(&text)), Vec::new())
                .unwrap();
            let end = queue.tail().synced_end();
            futures::executor::block_on(queue.exported(DESTINATION.to_owned(), end));
        }
    }
    let too_large = queue.append_blocking(Some(entry(&(largest + "x"))), Vec::new());
    let (bytes, limit) = ((14 << 20) + 1, 14 << 20);
    assert_eq!(too_large, Err(AppendError::TooLarge { bytes, limit }));
}

#[test]
fn pieces_replace_their_entry_in_one_step() {
    let (env, _) = testkit::env(4, Arc::new(MemoryFiles::new()));
    let options = QueueOptions::default();
    let (queue, _, _) = open(&env, &options);
    queue
        .append_blocking(Some(entry("ab")), Vec::new())
        .unwrap();
    let whole = all(&queue, Position::START).remove(0);
    let pieces = vec![entry("a"), entry("b")];
    let name = DESTINATION.to_owned();
    futures::executor::block_on(queue.replace(name, &whole, pieces)).unwrap();
    close(&queue);
    let (queue, restored, metrics) = open(&env, &options);
    assert!(restored.left_out[DESTINATION].contains(&whole.stamp));
    assert_eq!(texts(&queue), ["ab", "a", "b"]);
    assert_eq!(metrics.total(RESTORED_ROWS, &[]), 2);
}

/// Two collectors split an entry each, and one of them its piece once more. A third one that is named
/// at the next start takes the pieces of the first.
#[test]
fn pieces_are_for_the_destination_that_asked_and_for_later_ones() {
    let (env, _) = testkit::env(4, Arc::new(MemoryFiles::new()));
    let open = |names: [&str; 3]| {
        let names = names.map(ToOwned::to_owned);
        let options = QueueOptions::default();
        let (progress, metrics) = (Progress::default(), Metrics::default());
        let dir = PathBuf::from("/queue");
        let (queue, restored) =
            Queue::open(&env, &dir, &options, &names, &progress, metrics.clone()).unwrap();
        (queue, restored, metrics)
    };
    let (queue, _, _) = open(["a", "b", "whole"]);
    let replace = |name: &str, text: &str, pieces: [&str; 2]| {
        let whole = all(&queue, Position::START)
            .into_iter()
            .find(|sealed| sealed.request == text)
            .unwrap();
        let replaced = queue.replace(name.to_owned(), &whole, pieces.map(entry).to_vec());
        futures::executor::block_on(replaced).unwrap();
    };
    queue
        .append_blocking(Some(entry("1234")), Vec::new())
        .unwrap();
    replace("a", "1234", ["12", "34"]);
    replace("b", "1234", ["123", "4"]);
    replace("b", "123", ["1", "23"]);
    close(&queue);
    for (name, expected) in [
        ("a", &["12", "34"][..]),
        ("b", &["4", "1", "23"][..]),
        ("whole", &["1234"][..]),
        ("later", &["12", "34"][..]),
    ] {
        let (queue, mut restored, metrics) =
            open(["a", "b", if name == "later" { name } else { "whole" }]);
        let left_out = restored.left_out.remove(name).unwrap();
        let sent: Vec<Sealed> = all(&queue, Position::START)
            .into_iter()
            .filter(|sealed| !left_out.contains(&sealed.stamp))
            .collect();
        let texts: Vec<&[u8]> = sent.iter().map(|sealed| &sealed.request[..]).collect();
        let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
        assert_eq!(texts, expected, "{name}");
        let rows = metrics.total(RESTORED_ROWS, &[("destination", name)]);
        assert_eq!(rows, expected.len() as u64, "{name}");
        close(&queue);
    }
}

#[test]
fn small_requests_that_wait_together_are_joined() {
    let (env, _) = testkit::env(5, Arc::new(MemoryFiles::new()));
    let (queue, _, _) = open(&env, &QueueOptions::default());
    let appends = (0..50).map(|n| queue.append(entry(&format!("{n:02}"))));
    let results = futures::executor::block_on(futures::future::join_all(appends));
    assert!(results.iter().all(Result::is_ok));
    let entries = all(&queue, Position::START);
    let text: String = texts(&queue).concat();
    assert_eq!(text.len(), 100);
    assert_eq!(entries.iter().map(|sealed| sealed.rows).sum::<u32>(), 50);
}

#[test]
fn an_error_of_the_disk_is_answered_and_heals() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let (env, _) = testkit::env(6, Arc::new(files.clone()));
    let (queue, _, _) = open(&env, &QueueOptions::default());
    queue.append_blocking(Some(entry("a")), Vec::new()).unwrap();
    files.plan(testkit::Plan::always(Op::Write, Broken::StorageFull));
    let refused = queue.append_blocking(Some(entry("b")), Vec::new());
    assert!(matches!(refused, Err(AppendError::Retry(_))), "{refused:?}");
    files.heal();
    queue.append_blocking(Some(entry("c")), Vec::new()).unwrap();
    assert_eq!(texts(&queue), ["a", "c"]);
    let sequences: Vec<u64> = all(&queue, Position::START)
        .iter()
        .map(|sealed| sealed.stamp.sequence)
        .collect();
    assert_eq!(sequences, [1, 2]);
}

#[test]
fn an_agent_starts_on_a_full_disk_and_goes_on_once_there_is_room() {
    let memory = MemoryFiles::new();
    let files = FaultFiles::over(Arc::new(memory.clone()));
    let (env, _) = testkit::env(8, Arc::new(files.clone()));
    let options = QueueOptions {
        bytes: 16 << 20,
        ..QueueOptions::default()
    };
    let (killed, _, _) = open(&env, &options);
    let large = "x".repeat(1 << 20);
    let update = |n| vec![(b"n".to_vec(), Some(vec![n]))];
    for n in 0..4 {
        let queued = killed.append_blocking(Some(entry(&large)), update(n));
        queued.unwrap();
    }
    // Killed, so that the log alone has what came.
    memory.power_cut(Loss::Nothing);
    files.plan(testkit::Plan::always(Op::Write, Broken::StorageFull));
    let (queue, restored, _) = open(&env, &options);
    assert_eq!(restored.state[b"n".as_slice()], [3]);
    assert_eq!(all(&queue, Position::START).len(), 4);
    let refused = queue.append_blocking(Some(entry("a")), update(4));
    assert!(matches!(refused, Err(AppendError::Retry(_))), "{refused:?}");
    files.heal();
    // What the state file lacks is written before the log is freed.
    let end = queue.tail().synced_end();
    futures::executor::block_on(queue.exported(DESTINATION.to_owned(), end));
    queue.append_blocking(Some(entry("b")), Vec::new()).unwrap();
    close(&queue);
    let (queue, restored, _) = open(&env, &options);
    assert_eq!(restored.state[b"n".as_slice()], [3]);
    let left = all(&queue, restored.exported[DESTINATION]);
    let sequences: Vec<u64> = left.iter().map(|sealed| sealed.stamp.sequence).collect();
    assert_eq!(sequences, [5]);
    drop(killed);
}

/// Runs appends with state updates against a crash at every change of the disk. What was
/// acknowledged must be there after the restart, together with its state; no stamp may stand
/// for two things.
#[test]
fn nothing_acknowledged_is_lost_wherever_it_crashes() {
    let mut crash = 0;
    loop {
        let memory = MemoryFiles::new();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        let (env, _) = testkit::env(7 + crash, Arc::new(files.clone()));
        let options = QueueOptions {
            bytes: 16 << 20,
            ..QueueOptions::default()
        };
        let first = open(&env, &options).0;
        let base = files.changes();
        files.crash_at(base + crash, CrashPoint::Before);
        let mut acknowledged = Vec::new();
        for n in 0..12u8 {
            let text = format!("{n}:{}", "x".repeat(400 << 10));
            let update = vec![(b"n".to_vec(), Some(vec![n]))];
            if first.append_blocking(Some(entry(&text)), update).is_ok() {
                acknowledged.push((n, text));
            }
            if n == 6 {
                let end = first.tail().synced_end();
                futures::executor::block_on(first.exported(DESTINATION.to_owned(), end));
            }
        }
        let mut stamps: HashSet<StampId> = all(&first, Position::START)
            .iter()
            .map(|sealed| sealed.stamp)
            .collect();
        let crashed = files.has_crashed();
        close(&first);
        memory.power_cut(Loss::All);
        let (env, _) = testkit::env(1_000 + crash, Arc::new(memory.clone()));
        let (queue, restored, _) = open(&env, &options);
        let from = restored.exported[DESTINATION];
        let found = texts(&queue);
        let delivered = if from > Position::START { 7 } else { 0 };
        for (n, text) in &acknowledged {
            if *n >= delivered {
                assert!(found.contains(text), "crash at {crash}: {n} is lost");
            }
        }
        let last = acknowledged.last().map(|(n, _)| *n);
        let state = restored.state.get(b"n".as_slice()).map(|value| value[0]);
        assert!(
            state >= last,
            "crash at {crash}: state {state:?} is older than {last:?}"
        );
        stamps.extend(
            all(&queue, Position::START)
                .iter()
                .map(|sealed| sealed.stamp),
        );
        let known = queue.tail().synced_end();
        queue
            .append_blocking(Some(entry("new")), Vec::new())
            .unwrap();
        let fresh = all(&queue, known);
        assert!(
            fresh.iter().all(|sealed| stamps.insert(sealed.stamp)),
            "crash at {crash}"
        );
        close(&queue);
        if !crashed {
            break;
        }
        crash += 1;
    }
    assert!(crash > 15, "only {crash} crash points were tried");
}

#[test]
fn damage_begins_a_new_epoch() {
    let memory = MemoryFiles::new();
    let (env, _) = testkit::env(8, Arc::new(memory.clone()));
    let options = QueueOptions::default();
    let (queue, _, _) = open(&env, &options);
    for text in ["a", "b", "c"] {
        queue
            .append_blocking(Some(entry(text)), Vec::new())
            .unwrap();
    }
    let end = queue.tail().synced_end();
    let epoch = all(&queue, Position::START)[0].stamp.epoch;
    close(&queue);
    let path = PathBuf::from(format!("/queue/journal/{:020}.seg", end.segment));
    memory.flip_bit(&path, usize::try_from(end.offset).unwrap() - 1, 3);
    let (queue, _, _) = open(&env, &options);
    assert_eq!(texts(&queue), ["a", "b"]);
    queue.append_blocking(Some(entry("d")), Vec::new()).unwrap();
    let last = all(&queue, Position::START).pop().unwrap().stamp;
    assert_eq!(
        last,
        StampId {
            epoch: epoch + 1,
            sequence: 1
        }
    );
}

#[test]
fn no_file_that_does_not_read_refuses_the_start() {
    let memory = MemoryFiles::new();
    let (env, _) = testkit::env(1, Arc::new(memory.clone()));
    let options = QueueOptions::default();
    let (queue, ..) = open(&env, &options);
    for text in ["a", "b"] {
        let updates = vec![(b"k".to_vec(), Some(text.as_bytes().to_vec()))];
        queue.append_blocking(Some(entry(text)), updates).unwrap();
    }
    let end = queue.tail().synced_end();
    futures::executor::block_on(queue.exported(DESTINATION.to_owned(), end));
    close(&queue);
    let paths = memory.paths();
    assert!(paths.len() >= 5, "{paths:?}");
    for path in paths {
        for op in [Op::Read, Op::Open] {
            let faults = FaultFiles::over(Arc::new(memory.fork()));
            faults.plan(testkit::Plan {
                path_contains: format!("{}$", path.display()),
                ..testkit::Plan::always(op, Broken::Io)
            });
            let (env, _) = testkit::env(2, Arc::new(faults.clone()));
            let (queue, ..) = open(&env, &options);
            faults.heal();
            queue.append_blocking(Some(entry("c")), Vec::new()).unwrap();
            assert_eq!(texts(&queue).last().unwrap(), "c");
            close(&queue);
        }
    }
}
