use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use model::Signal;
use testkit::{Failure, FaultFiles, Loss, MemoryFiles, Op, Plan};

use super::super::{open, record};
use super::*;

const DESTINATION: &str = "collector";

fn writer(env: &Env, bytes: u64) -> Writer {
    let options = QueueOptions {
        bytes,
        ..QueueOptions::default()
    };
    let (metrics, destinations) = (Metrics::default(), [DESTINATION.to_owned()]);
    let opened = open::open(env, Path::new("/queue"), &options, &destinations, &metrics);
    let sources = Sources {
        progress: Progress::default(),
        clock: ClockEstimate::default(),
    };
    let signals = Signals {
        grow: watch::channel(Position::START).0,
        failures: Failures::default(),
    };
    Writer::new(env, &options, sources, metrics, opened.unwrap().0, signals)
}

/// Appends together, each with an update of the receivers' state.
fn append(writer: &mut Writer, texts: &[&str]) -> Vec<Result<(), AppendError>> {
    let with_update = |text: &&str| {
        let update = (b"last".to_vec(), Some(text.as_bytes()[..1].to_vec()));
        (entry(text), vec![update])
    };
    append_all(writer, texts.iter().map(with_update))
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

/// Appends together, as in one round of the thread.
fn append_all(
    writer: &mut Writer,
    entries: impl Iterator<Item = (Entry, Vec<Update>)>,
) -> Vec<Result<(), AppendError>> {
    let mut groups = Vec::new();
    let mut answers = Vec::new();
    for (entry, updates) in entries {
        let (reply, answer) = oneshot::channel();
        let command = Command::append(Some(entry), updates, reply);
        writer.gather(command, &mut groups);
        answers.push(answer);
    }
    writer.commit(groups);
    let answers = answers.into_iter();
    answers
        .map(|mut answer| answer.try_recv().unwrap())
        .collect()
}

/// What is in the log, by its first letter.
fn stored(writer: &Writer) -> BTreeMap<char, StampId> {
    let mut stored = BTreeMap::new();
    for found in writer.opened.journal.read_from(Position::START) {
        for sealed in record::decode(&found.unwrap().payload).unwrap().entries {
            let letter = char::from(sealed.request[0]);
            assert_eq!(stored.insert(letter, sealed.stamp), None, "{letter} twice");
        }
    }
    stored
}

/// The queue has used its space up, the disk is full, and somewhere on the way it takes one write
/// less than it took before.
#[test]
fn what_is_acknowledged_is_there_wherever_a_full_disk_fails_a_full_queue() {
    let large = |letter: &str| letter.repeat(700 << 10);
    for skip in 0..8 {
        let memory = MemoryFiles::new();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        let (env, _) = testkit::env(1, Arc::new(files.clone()));
        let mut writer = writer(&env, 3 << 20);
        let mut acknowledged = HashSet::new();
        let mut put = |writer: &mut Writer, texts: &[String]| {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            for (text, answer) in texts.iter().zip(append(writer, &texts)) {
                let letter = text.chars().next().unwrap();
                if answer.is_ok() {
                    acknowledged.insert(letter);
                }
            }
            acknowledged.clone()
        };
        for letter in ["a", "b", "c", "d"] {
            put(&mut writer, &[large(letter)]);
        }
        let failing = |path: &str| Plan {
            path_contains: path.to_owned(),
            ..Plan::always(Op::Write, Failure::StorageFull)
        };
        // Nothing can be freed at first, though the first two are delivered.
        let delivered = writer.opened.journal.read_from(Position::START).nth(1);
        files.plan(failing(""));
        writer.exported(DESTINATION.to_owned(), delivered.unwrap().unwrap().next);
        files.heal();
        files.plan(failing("state"));
        files.plan(Plan {
            skip,
            times: 1,
            ..failing(".seg")
        });
        put(&mut writer, &["e".to_owned(), large("f"), "g".to_owned()]);
        files.heal();
        let acknowledged = put(&mut writer, &["h".to_owned()]);
        let before = stored(&writer);
        let numbers: HashSet<StampId> = before.values().copied().collect();
        assert_eq!(numbers.len(), before.len(), "{skip}: numbers given twice");
        for letter in 'c'..='h' {
            let there = before.contains_key(&letter);
            assert_eq!(there, acknowledged.contains(&letter), "{skip}: {letter}");
        }
        drop(writer);
        memory.power_cut(Loss::All);
        let (env, _) = testkit::env(2, Arc::new(memory));
        let again = super::tests::writer(&env, 3 << 20);
        let after = stored(&again);
        assert!(
            before
                .iter()
                .all(|entry| after.get(entry.0) == Some(entry.1))
        );
        assert_eq!(again.opened.summary.values[&b"last"[..]], b"h");
    }
}

#[test]
fn refusing_what_there_is_no_room_for_writes_nothing() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    let (env, _) = testkit::env(1, Arc::new(files.clone()));
    let mut writer = writer(&env, 3 << 20);
    files.plan(Plan {
        path_contains: "state".to_owned(),
        ..Plan::always(Op::Write, Failure::StorageFull)
    });
    let large = "x".repeat(700 << 10);
    while append(&mut writer, &[&large]) == [Ok(())] {}
    let bytes = writer.opened.journal.bytes();
    for _ in 0..5 {
        assert_eq!(append(&mut writer, &[&large]), [Err(AppendError::Full)]);
    }
    assert_eq!(writer.opened.journal.bytes(), bytes);
}

/// Fields that are sent twice are bounded per request: two requests that are both within the bound may
/// be beyond it together.
#[test]
fn what_is_valid_by_itself_alone_is_not_joined() {
    let (env, _) = testkit::env(1, Arc::new(MemoryFiles::new()));
    let mut writer = writer(&env, 3 << 20);
    let alone = |text| Entry {
        alone: true,
        ..entry(text)
    };
    let entries = [entry("a"), alone("b"), alone("c"), entry("d")];
    let answers = append_all(
        &mut writer,
        entries.into_iter().map(|entry| (entry, Vec::new())),
    );
    assert_eq!(answers, [Ok(()), Ok(()), Ok(()), Ok(())]);
    let found = writer.opened.journal.read_from(Position::START);
    let entries = found.flat_map(|found| record::decode(&found.unwrap().payload).unwrap().entries);
    let requests: Vec<Bytes> = entries.map(|sealed| sealed.request).collect();
    assert_eq!(requests, [&b"ad"[..], b"b", b"c"]);
}
