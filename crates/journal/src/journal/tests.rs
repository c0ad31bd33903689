//! The journal against a model, damaged files, failing disks and power cuts.

mod damage;
mod faults;
mod model;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use env::Env;
use testkit::{FaultFiles, MemoryFiles};

use crate::{ErrorKind, Journal, JournalError, Options, Position, Recovery};

const DIR: &str = "/data/wal";

fn dir() -> PathBuf {
    PathBuf::from(DIR)
}

fn segment(number: u64) -> PathBuf {
    crate::format::segment_path(Path::new(DIR), number)
}

fn small() -> Options {
    Options {
        segment_bytes: 512,
        record_bytes_max: 4096,
        ..Options::default()
    }
}

fn env_over(files: &MemoryFiles) -> Env {
    testkit::env(1, Arc::new(files.clone())).0
}

fn env_with_faults(files: &MemoryFiles) -> (Env, FaultFiles) {
    let faults = FaultFiles::over(Arc::new(files.clone()));
    (testkit::env(1, Arc::new(faults.clone())).0, faults)
}

fn open(files: &MemoryFiles) -> (Journal, Recovery) {
    Journal::open(&env_over(files), &dir(), small()).unwrap()
}

fn payloads(journal: &Journal, from: Position) -> Vec<Vec<u8>> {
    let records = journal.read_from(from);
    records
        .map(|record| record.unwrap().payload.to_vec())
        .collect()
}

/// A payload that differs from all others and is long enough to span sectors now and then.
fn payload(number: u64) -> Vec<u8> {
    let length = 20 + (number * 37 % 60) as usize;
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(length, number as u8);
    bytes
}

#[test]
fn appended_records_are_read_once_they_are_synced() {
    let files = MemoryFiles::new();
    let (mut journal, recovery) = open(&files);
    assert_eq!(recovery, Recovery::default());
    let first = journal.append(b"one").unwrap();
    journal.append_parts(&[b"t", b"", b"wo"]).unwrap();
    assert!(payloads(&journal, Position::START).is_empty());
    let end = journal.sync().unwrap();
    let mut reader = journal.read_from(Position::START);
    let one = reader.next().unwrap().unwrap();
    assert_eq!((one.position, &one.payload[..]), (first, &b"one"[..]));
    let two = reader.next().unwrap().unwrap();
    assert_eq!(
        (two.position, &two.payload[..], two.next),
        (one.next, &b"two"[..], end)
    );
    assert!(reader.next().is_none());

    journal.append(b"").unwrap();
    journal.sync().unwrap();
    assert_eq!(reader.next().unwrap().unwrap().payload.len(), 0);
    assert!(reader.next().is_none());
    assert_eq!(
        payloads(&journal, two.position),
        [b"two".to_vec(), b"".to_vec()]
    );
}

#[test]
fn large_records_go_around_the_buffer_and_into_segments_of_their_own() {
    let files = MemoryFiles::new();
    let options = Options {
        segment_bytes: 200_000,
        record_bytes_max: 1 << 20,
        ..Options::default()
    };
    let (mut journal, _) = Journal::open(&env_over(&files), &dir(), options.clone()).unwrap();
    let all: Vec<Vec<u8>> = [10, 70_000, 300_000, 5, 65_524, 65_525, 1 << 20]
        .iter()
        .map(|length| (0..*length).map(|n: u32| (n * 7) as u8).collect())
        .collect();
    for record in &all {
        let (left, right) = record.split_at(record.len() / 3);
        journal.append_parts(&[left, right]).unwrap();
    }
    let too_large = journal.append(&vec![0; (1 << 20) + 1]).unwrap_err();
    assert_eq!(too_large.kind(), ErrorKind::Invalid);
    journal.sync().unwrap();
    assert_eq!(payloads(&journal, Position::START), all);
    drop(journal);
    let (journal, recovery) = Journal::open(&env_over(&files), &dir(), options).unwrap();
    assert_eq!(recovery.records, all.len() as u64);
    assert_eq!(payloads(&journal, Position::START), all);
}

#[test]
fn a_closed_journal_keeps_its_records_and_no_reserved_space() {
    let files = MemoryFiles::new();
    let options = Options::default();
    let (mut journal, _) = Journal::open(&env_over(&files), &dir(), options.clone()).unwrap();
    journal.append(b"kept").unwrap();
    journal.sync().unwrap();
    assert!(files.used_bytes() > 1 << 20, "space is reserved while open");
    journal.append(b"pending").unwrap();
    let end = journal.close().unwrap();
    assert_eq!(files.used_bytes(), end.offset);
    let (journal, recovery) = Journal::open(&env_over(&files), &dir(), options).unwrap();
    assert_eq!((recovery.records, recovery.torn_bytes), (2, 0));
    assert_eq!(journal.end(), end);
    assert_eq!(journal.bytes(), end.offset);
}

#[test]
fn a_folder_in_use_is_refused_and_free_again_after_close() {
    let files = MemoryFiles::new();
    let (journal, _) = open(&files);
    let refused = Journal::open(&env_over(&files), &dir(), small()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(matches!(refused, JournalError::Locked(_)), "{refused}");
    journal.close().unwrap();
    open(&files);
}

#[test]
fn truncation_frees_whole_segments_and_replaces_a_consumed_one() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    let mut positions = Vec::new();
    for number in 0..60 {
        positions.push(journal.append(&payload(number)).unwrap());
    }
    let unsynced = journal.end();
    assert_eq!(
        journal.truncate_before(unsynced).unwrap(),
        0,
        "only synced records are freed"
    );
    journal.sync().unwrap();
    let before = journal.segments();
    let middle = positions[30];
    let freed = journal.truncate_before(middle).unwrap();
    assert_eq!(freed, middle.segment - 1);
    assert_eq!(journal.segments() as u64, before as u64 - freed);
    assert_eq!(payloads(&journal, middle).len(), 30);

    while journal.end().offset < 512 - 12 {
        journal.append(&[]).unwrap();
    }
    let end = journal.sync().unwrap();
    journal.truncate_before(end).unwrap();
    journal.append(&[7; 500]).unwrap();
    let end = journal.sync().unwrap();
    assert!(journal.truncate_before(end).unwrap() > 0);
    assert_eq!(journal.segments(), 1);
    assert_eq!(journal.bytes(), 128);
    files.power_cut(testkit::Loss::All);
    let (journal, recovery) = open(&files);
    assert!(journal.end() >= end, "positions never go backwards");
    assert_eq!((recovery.records, recovery.is_damaged()), (0, false));
}

#[test]
fn a_segment_is_left_once_it_is_synced_used_up_and_worth_it() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(b"short").unwrap();
    let end = journal.sync().unwrap();
    assert!(!journal.leave_consumed(end).unwrap(), "not worth it");
    let long = journal.append(&[7; 500]).unwrap();
    let end = journal.end();
    assert!(!journal.leave_consumed(end).unwrap(), "not synced");
    journal.sync().unwrap();
    assert!(!journal.leave_consumed(long).unwrap(), "not used up");
    assert!(journal.leave_consumed(end).unwrap());
    assert_eq!(journal.synced_end(), journal.end());
    assert!(journal.end() > end);
    // What is left is still there, and numbering goes on after a crash.
    let begun = journal.end();
    drop(journal);
    files.power_cut(testkit::Loss::All);
    let (journal, recovery) = open(&files);
    assert_eq!((recovery.records, recovery.is_damaged()), (2, false));
    assert_eq!(journal.end(), begun);
}

#[test]
fn numbering_starts_where_positions_kept_elsewhere_end() {
    let files = MemoryFiles::new();
    let options = Options {
        segment_min: 57,
        ..small()
    };
    let (mut journal, _) = Journal::open(&env_over(&files), &dir(), options.clone()).unwrap();
    assert_eq!(journal.append(b"a").unwrap().segment, 57);
    journal.close().unwrap();
    let options = Options {
        segment_min: 99,
        ..options
    };
    let (mut journal, _) = Journal::open(&env_over(&files), &dir(), options).unwrap();
    assert_eq!(journal.append(b"b").unwrap().segment, 99);
    journal.close().unwrap();
    let (journal, recovery) = open(&files);
    assert!(!recovery.is_damaged());
    assert_eq!(payloads(&journal, Position::START), [b"a", b"b"]);
}

#[test]
fn a_log_that_lost_its_end_goes_on_after_the_position_kept_elsewhere() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(b"kept").unwrap();
    let known = journal.sync().unwrap();
    journal.advance_to(known).unwrap();
    assert_eq!(journal.end(), known, "nothing to do");
    let beyond = Position {
        segment: known.segment + 3,
        offset: 200,
    };
    journal.advance_to(beyond).unwrap();
    assert!(journal.append(b"new").unwrap() > beyond);
    journal.sync().unwrap();
    // The end of the last segment alone is lost.
    let end = journal.end();
    let beyond = Position {
        offset: end.offset + 1,
        ..end
    };
    journal.advance_to(beyond).unwrap();
    assert!(journal.end() > beyond);
    journal.close().unwrap();
    let (journal, recovery) = open(&files);
    assert!(!recovery.is_damaged());
    assert_eq!(payloads(&journal, Position::START), [&b"kept"[..], b"new"]);
}

#[test]
fn readers_follow_an_appender_on_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        segment_bytes: 4096,
        ..small()
    };
    let (mut journal, _) = Journal::open(&Env::real(), dir.path(), options).unwrap();
    const RECORDS: u64 = 5_000;
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let mut reader = journal.read_from(Position::START);
            std::thread::spawn(move || {
                let mut expected = 0;
                while expected < RECORDS {
                    match reader.next() {
                        Some(record) => {
                            assert_eq!(record.unwrap().payload, payload(expected));
                            expected += 1;
                        }
                        None => std::thread::yield_now(),
                    }
                }
                assert_eq!(reader.skipped_regions(), 0);
            })
        })
        .collect();
    for number in 0..RECORDS {
        journal.append(&payload(number)).unwrap();
        if number % 50 == 49 {
            journal.sync().unwrap();
        }
    }
    for reader in readers {
        reader.join().unwrap();
    }
    journal.truncate_before(journal.synced_end()).unwrap();
    journal.close().unwrap();
}

#[test]
fn a_segment_is_filled_to_its_last_byte_and_read_once_it_is_synced() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(&[1; 100]).unwrap();
    journal.append(&[2; 512 - 128 - 112 - 12]).unwrap();
    assert_eq!((journal.end().segment, journal.end().offset), (1, 512));
    let second = journal.append(&[3; 512 - 128 - 11]).unwrap();
    assert_eq!(second.segment, 2);
    assert_eq!(journal.append(&[4; 100]).unwrap().segment, 3);
    for from in [Position::START, second] {
        assert_eq!(payloads(&journal, from).len(), 0);
    }
    journal.sync().unwrap();
    assert_eq!(payloads(&journal, Position::START).len(), 4);
}

#[test]
fn whoever_needs_nothing_may_say_so_with_any_later_position() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(&[7; 500]).unwrap();
    journal.sync().unwrap();
    let whole = Position {
        segment: u64::MAX,
        offset: u64::MAX,
    };
    assert_eq!(journal.truncate_before(whole).unwrap(), 1);
    assert_eq!((journal.segments(), journal.bytes()), (1, 128));
}

#[test]
fn a_reader_of_freed_segments_goes_on_with_what_is_left() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    let mut last = Position::START;
    for number in 0..60 {
        last = journal.append(&payload(number)).unwrap();
    }
    journal.sync().unwrap();
    let mut reader = journal.read_from(Position::START);
    assert_eq!(reader.next().unwrap().unwrap().payload, payload(0));
    journal.truncate_before(last).unwrap();
    let rest: Vec<Vec<u8>> = reader
        .map(|record| record.unwrap().payload.to_vec())
        .collect();
    assert_eq!(rest.last(), Some(&payload(59)));
    for pair in rest.windows(2) {
        assert!(pair[0][0] < pair[1][0], "in order");
    }
}
