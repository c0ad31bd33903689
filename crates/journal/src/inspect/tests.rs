use std::sync::Arc;

use testkit::MemoryFiles;

use super::*;
use crate::{Journal, Options};

const DIR: &str = "/wal";

fn items(env: &Env, from: Position) -> Vec<Item> {
    let log = Log::open(env, Path::new(DIR), from).unwrap();
    let mut items = Vec::new();
    log.each(&mut |item| {
        items.push(item);
        true
    })
    .unwrap();
    items
}

/// Records of a hundred bytes in segments of a thousand, and where each starts.
fn filled(env: &Env, records: u8) -> (Journal, Vec<Position>) {
    let options = Options {
        segment_bytes: 1_000,
        ..Options::default()
    };
    let (mut journal, _) = Journal::open(env, Path::new(DIR), options).unwrap();
    let positions = (0..records).map(|record| journal.append(&[record; 100]).unwrap());
    let positions = positions.collect();
    journal.sync().unwrap();
    (journal, positions)
}

#[test]
fn a_log_that_is_being_written_reads_from_any_record_on() {
    let files = MemoryFiles::new();
    let (env, _) = testkit::env(1, Arc::new(files.clone()));
    // With the space that is reserved, and the lock held.
    let (_journal, positions) = filled(&env, 20);
    let before = files.digest();
    for first in [0, 3, 19] {
        let found = items(&env, positions[first]);
        let expected = (first..20).map(|at| Item::Record {
            position: positions[at],
            payload: vec![at as u8; 100].into(),
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
    }
    assert_eq!(items(&env, Position::START).len(), 20);
    assert_eq!(files.digest(), before, "nothing is changed");
}

#[test]
fn damage_is_shown_where_it_is() {
    let files = MemoryFiles::new();
    let (env, _) = testkit::env(1, Arc::new(files.clone()));
    let (journal, positions) = filled(&env, 20);
    journal.close().unwrap();
    let path = |segment| segment_path(Path::new(DIR), segment);
    let length = 112;
    // A payload and a header in the first segment, the last record of all, and a whole header.
    files.flip_bit(&path(1), positions[1].offset as usize + 50, 0);
    files.flip_bit(&path(1), positions[3].offset as usize, 0);
    files.flip_bit(&path(3), positions[19].offset as usize + 50, 0);
    let damage: Vec<Item> = items(&env, Position::START)
        .into_iter()
        .filter(|item| !matches!(item, Item::Record { .. }))
        .collect();
    let at = |position: Position| (position.segment, position.offset);
    let region = |(segment, from)| Item::Damaged {
        segment,
        from,
        to: from + length,
    };
    let (segment, from) = at(positions[19]);
    let torn = Item::Torn {
        segment,
        from,
        bytes: length,
    };
    let expected = [region(at(positions[1])), region(at(positions[3])), torn];
    assert_eq!(damage, expected);
    for copy in [0, 64] {
        files.flip_bit(&path(2), copy + 20, 0);
    }
    let found = items(&env, Position::START);
    assert!(
        found
            .iter()
            .any(|item| matches!(item, Item::Unreadable { segment: 2, bytes } if *bytes > 128)),
        "{found:?}"
    );
    env.files.remove_file(&path(2)).unwrap();
    let found = items(&env, Position::START);
    assert!(found.contains(&Item::Missing {
        after: 1,
        segments: 1
    }));
}

#[test]
fn a_closed_segment_that_is_cut_between_two_records_is_damage() {
    let files = MemoryFiles::new();
    let (env, _) = testkit::env(1, Arc::new(files));
    let (journal, positions) = filled(&env, 20);
    journal.close().unwrap();
    let last = positions.iter().rfind(|at| at.segment == 1).unwrap();
    let path = segment_path(Path::new(DIR), 1);
    let file = env.files.open_write(&path).unwrap();
    file.set_size(last.offset).unwrap();
    let found = items(&env, Position::START);
    let damage = found
        .iter()
        .filter(|item| !matches!(item, Item::Record { .. }));
    let lost = Item::Damaged {
        segment: 1,
        from: last.offset,
        to: last.offset + 112,
    };
    assert_eq!(damage.collect::<Vec<_>>(), [&lost]);
    assert_eq!(found.len(), 20);
}

#[test]
fn what_is_gone_before_the_first_segment_is_shown() {
    let files = MemoryFiles::new();
    let (env, _) = testkit::env(1, Arc::new(files));
    let (mut journal, positions) = filled(&env, 20);
    let end = journal.end();
    // Freed in order, nothing is missing.
    journal.truncate_before(positions[8]).unwrap();
    assert_eq!(items(&env, positions[8]).len(), 12);
    drop(journal);
    let path = segment_path(Path::new(DIR), 2);
    env.files.remove_file(&path).unwrap();
    let found = items(&env, positions[8]);
    let lost = Item::Damaged {
        segment: 2,
        from: positions[8].offset,
        to: positions[13].offset + 112,
    };
    assert_eq!(found[0], lost, "up to {end}");
    assert_eq!(found.len(), 1 + 6);
}

#[test]
fn what_a_disk_does_not_give_is_damage_at_the_end_of_the_log_too() {
    let files = MemoryFiles::new();
    let faults = testkit::FaultFiles::over(Arc::new(files));
    let (env, _) = testkit::env(1, Arc::new(faults.clone()));
    let (mut journal, _) = Journal::open(&env, Path::new(DIR), Options::default()).unwrap();
    let positions: Vec<Position> = (0..100)
        .map(|record| journal.append(&[record; 100]).unwrap())
        .collect();
    let end = journal.close().unwrap().offset;
    for lost in [4_096..8_192, 8_192..12_288] {
        faults.heal();
        faults.lose(".seg", lost.clone());
        let begins = |at: &&Position| at.offset + 112 > lost.start;
        let from = positions.iter().find(begins).unwrap().offset;
        let ends = |at: &&Position| at.offset >= lost.end;
        let to = positions.iter().find(ends).map_or(end, |at| at.offset);
        let found = items(&env, Position::START);
        let damage: Vec<&Item> = found
            .iter()
            .filter(|item| !matches!(item, Item::Record { .. }))
            .collect();
        let segment = 1;
        assert_eq!(damage, [&Item::Damaged { segment, from, to }]);
        let gone = positions
            .iter()
            .filter(|at| (from..to).contains(&at.offset));
        assert_eq!(found.len() - 1, 100 - gone.count());
    }
}

#[test]
fn a_torn_segment_before_a_gap_is_shown_once() {
    let files = MemoryFiles::new();
    let (env, _) = testkit::env(1, Arc::new(files.clone()));
    let (journal, positions) = filled(&env, 20);
    journal.close().unwrap();
    env.files
        .remove_file(&segment_path(Path::new(DIR), 2))
        .unwrap();
    // Nothing says any more where the first one was closed.
    let path = segment_path(Path::new(DIR), 1);
    let last = positions.iter().rfind(|at| at.segment == 1).unwrap();
    files.flip_bit(&path, last.offset as usize + 50, 0);
    let file = env.files.open_write(&path).unwrap();
    file.set_size(4_096).unwrap();
    let log = Log::open(&env, Path::new(DIR), Position::START).unwrap();
    let mut shown = 0;
    log.each(&mut |_| {
        shown += 1;
        shown < 1_000
    })
    .unwrap();
    assert_eq!(
        shown,
        7 + 1 + 6,
        "the seventh of them damaged, the gap, and the last segment"
    );
}
