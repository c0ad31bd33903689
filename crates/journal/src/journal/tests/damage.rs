//! Flipped bits, cut files, foreign files.

use testkit::Loss;

use super::*;
use crate::format::DATA_START;

/// Several small segments, closed; returns the payloads and where each starts.
fn written(files: &MemoryFiles, count: u64) -> Vec<(Position, Vec<u8>)> {
    let (mut journal, _) = open(files);
    let mut all = Vec::new();
    for number in 0..count {
        let position = journal.append(&payload(number)).unwrap();
        all.push((position, payload(number)));
    }
    journal.close().unwrap();
    all
}

/// What survived must be what was written, in order, without some of the records.
fn lost(all: &[(Position, Vec<u8>)], read: &[Vec<u8>]) -> usize {
    let mut rest = all.iter();
    for record in read {
        assert!(
            rest.any(|(_, written)| written == record),
            "a record that was never written, or out of order"
        );
    }
    all.len() - read.len()
}

#[test]
fn any_flipped_bit_loses_at_most_one_record_and_is_counted() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let last_segment = all.last().unwrap().0.segment;
    assert!(last_segment > 2);
    for number in 1..=last_segment {
        let size = files.fork().used_bytes_of(number);
        for byte in 0..size {
            let damaged = files.fork();
            damaged.flip_bit(&segment(number), byte, (byte % 8) as u8);
            let (journal, recovery) = open(&damaged);
            let read = payloads(&journal, Position::START);
            let lost = lost(&all, &read);
            let in_header = byte < DATA_START as usize;
            assert_eq!(
                lost,
                usize::from(!in_header),
                "segment {number} byte {byte}"
            );
            assert_eq!(recovery.records as usize, read.len());
            let counted = recovery.corrupt_bytes + recovery.torn_bytes;
            assert_eq!(counted > 0, lost > 0);
            assert!(counted <= 100, "{counted} bytes for one record");
        }
    }
}

/// Length of a segment file, through the file system.
trait SizeOf {
    fn used_bytes_of(&self, number: u64) -> usize;
}

impl SizeOf for MemoryFiles {
    fn used_bytes_of(&self, number: u64) -> usize {
        env::Files::read(self, &segment(number)).unwrap().len()
    }
}

#[test]
fn a_reader_passes_over_damage_that_appears_while_open_and_counts_it() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    let positions: Vec<Position> = (0..24)
        .map(|number| journal.append(&payload(number)).unwrap())
        .collect();
    journal.sync().unwrap();
    let hit = positions[9];
    files.flip_bit(&segment(hit.segment), hit.offset as usize + 15, 3);
    let mut reader = journal.read_from(Position::START);
    let read: Vec<Vec<u8>> = reader
        .by_ref()
        .map(|record| record.unwrap().payload.to_vec())
        .collect();
    assert_eq!(read.len(), 23);
    assert_eq!(reader.skipped_regions(), 1);
    assert_eq!(reader.skipped_bytes(), payload(9).len() as u64 + 12);
}

#[test]
fn a_tail_torn_at_any_byte_keeps_every_whole_record_and_accepts_more() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let last_segment = all.last().unwrap().0.segment;
    let size = files.used_bytes_of(last_segment);
    for cut in 0..size {
        let torn = files.fork();
        env::Files::open_write(&torn, &segment(last_segment))
            .unwrap()
            .set_size(cut as u64)
            .unwrap();
        let (mut journal, recovery) = open(&torn);
        let read = payloads(&journal, Position::START);
        let whole = all.iter().filter(|(position, payload)| {
            position.segment < last_segment || position.offset as usize + 12 + payload.len() <= cut
        });
        assert_eq!(read.len(), whole.count(), "cut at {cut}");
        assert_eq!(lost(&all, &read), all.len() - read.len());
        assert!(!recovery.is_damaged(), "a torn tail is not damage");
        // One that ends with a record, or with nothing, looks like one to which no more was written.
        let ends = all.iter().map(|(at, payload)| (at, 12 + payload.len()));
        let of_last = ends.filter(|(at, _)| at.segment == last_segment);
        let mut ends = of_last.map(|(at, bytes)| at.offset as usize + bytes);
        let whole = [0, DATA_START as usize].contains(&cut) || ends.any(|end| end == cut);
        assert_eq!(recovery.torn_bytes == 0, whole, "cut at {cut}");
        journal.append(b"more").unwrap();
        journal.close().unwrap();
        let (journal, recovery) = open(&torn);
        assert_eq!(recovery.torn_bytes, 0);
        assert_eq!(payloads(&journal, Position::START).last().unwrap(), b"more");
    }
}

#[test]
fn damage_is_a_loss_only_where_the_log_is_still_read() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let (hit, next) = (all[1].0, all[2].0);
    assert_eq!(hit.segment, next.segment);
    files.flip_bit(&segment(hit.segment), hit.offset as usize + 13, 0);
    for (read_from, is_lost) in [
        (Position::START, true),
        (hit, true),
        (next, false),
        (all[23].0, false),
    ] {
        let options = Options {
            read_from,
            ..small()
        };
        let files = files.fork();
        let (_, recovery) = Journal::open(&env_over(&files), &dir(), options).unwrap();
        let lost = if is_lost { next.offset - hit.offset } else { 0 };
        assert_eq!(recovery.corrupt_bytes, lost, "from {read_from}");
        assert_eq!(recovery.is_damaged(), is_lost, "from {read_from}");
    }
}

#[test]
fn zeroed_stretches_and_cut_closed_segments_are_counted() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let hit = all[1].0;
    let file = env::Files::open_write(&files, &segment(hit.segment)).unwrap();
    file.write_at(&[0; 40], hit.offset).unwrap();
    let size = file.size().unwrap();
    file.set_size(size - 5).unwrap();
    let (journal, recovery) = open(&files);
    let read = payloads(&journal, Position::START);
    assert!(lost(&all, &read) >= 2);
    assert!(recovery.corrupt_regions >= 1);
    assert!(recovery.corrupt_bytes > 40);
}

#[test]
fn a_closed_segment_that_is_cut_between_two_records_is_damage() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let last = all.last().unwrap().0.segment;
    // The one after the last is begun when the log is opened.
    let options = Options {
        segment_min: last + 1,
        ..small()
    };
    let (journal, _) = Journal::open(&env_over(&files), &dir(), options).unwrap();
    journal.close().unwrap();
    for number in 1..=last {
        let cut = files.fork();
        let mut of_segment = all.iter().rev().filter(|(at, _)| at.segment == number);
        let (at, payload) = of_segment.next().unwrap();
        let file = env::Files::open_write(&cut, &segment(number)).unwrap();
        file.set_size(at.offset).unwrap();
        let (journal, recovery) = open(&cut);
        let found = (recovery.corrupt_regions, recovery.corrupt_bytes);
        assert_eq!(found, (1, payload.len() as u64 + 12), "segment {number}");
        assert_eq!(lost(&all, &payloads(&journal, Position::START)), 1);
    }
}

#[test]
fn a_segment_without_a_header_is_set_aside_and_its_number_not_used_again() {
    for hit in [2, 5] {
        let files = MemoryFiles::new();
        let all = written(&files, 24);
        assert_eq!(all.last().unwrap().0.segment, 5);
        files.flip_bit(&segment(hit), 20, 0);
        files.flip_bit(&segment(hit), 84, 0);
        let (mut journal, recovery) = open(&files);
        assert_eq!(recovery.quarantined_segments, 1);
        assert!(recovery.is_damaged());
        let read = payloads(&journal, Position::START);
        let in_segment = all
            .iter()
            .filter(|(position, _)| position.segment == hit)
            .count();
        assert_eq!(lost(&all, &read), in_segment);
        let next = journal.append(b"new").unwrap();
        assert!(next > all.last().unwrap().0);
        let aside = segment(hit).with_extension("seg.quarantined");
        assert!(env::Files::stat(&files, &aside).unwrap().is_some());
    }
}

#[test]
fn a_missing_segment_is_reported() {
    let files = MemoryFiles::new();
    written(&files, 24);
    env::Files::remove_file(&files, &segment(2)).unwrap();
    let (_, recovery) = open(&files);
    assert_eq!(recovery.missing_segments, 1);
}

#[test]
fn an_unknown_version_is_refused_with_its_number_and_nothing_is_changed() {
    let files = MemoryFiles::new();
    written(&files, 24);
    let path = segment(3);
    let mut header = env::Files::read(&files, &path).unwrap()[..64].to_vec();
    header[8] = 9;
    let checksum = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&checksum.to_le_bytes());
    env::Files::open_write(&files, &path)
        .unwrap()
        .write_at(&header, 0)
        .unwrap();
    let before = files.used_bytes();
    let error = Journal::open(&env_over(&files), &dir(), small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("format version 9"), "{error}");
    assert_eq!(files.used_bytes(), before);
}

#[test]
fn files_of_others_are_left_alone() {
    let files = MemoryFiles::new();
    written(&files, 24);
    for name in ["notes.txt", "1.seg", "0000000000000000000x.seg"] {
        let file = env::Files::create(&files, &dir().join(name)).unwrap();
        file.write_at(b"mine", 0).unwrap();
    }
    let (journal, recovery) = open(&files);
    assert!(!recovery.is_damaged());
    assert_eq!(payloads(&journal, Position::START).len(), 24);
    assert_eq!(
        env::Files::read(&files, &dir().join("1.seg")).unwrap(),
        b"mine"
    );
}

#[test]
fn payloads_that_imitate_records_are_never_read_as_records() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(b"a real one").unwrap();
    journal.sync().unwrap();
    // The bytes of a whole real record, inside the payload of another whose header is hit.
    let real = env::Files::read(&files, &segment(1)).unwrap()[128..150].to_vec();
    let hit = journal.append(&real.repeat(8)).unwrap();
    journal.append(b"after").unwrap();
    journal.close().unwrap();
    files.flip_bit(&segment(1), hit.offset as usize, 0);
    files.power_cut(Loss::Nothing);
    let (journal, recovery) = open(&files);
    assert_eq!(
        payloads(&journal, Position::START),
        [&b"a real one"[..], b"after"]
    );
    assert_eq!(recovery.corrupt_bytes, 12 + 22 * 8);
}

#[test]
fn a_torn_end_is_cut_once_and_not_found_again() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let last = all.last().unwrap().0;
    files.flip_bit(&segment(last.segment), last.offset as usize + 13, 0);
    let (mut journal, recovery) = open(&files);
    assert!(recovery.torn_bytes > 0);
    journal.append(b"less").unwrap();
    journal.sync().unwrap();
    // Killed.
    drop(journal);
    files.power_cut(Loss::All);
    let (journal, recovery) = open(&files);
    assert_eq!(recovery.torn_bytes, 0);
    assert_eq!(payloads(&journal, Position::START).last().unwrap(), b"less");
}

#[test]
fn numbers_go_on_where_a_last_segment_that_was_never_begun_is_all_there_is() {
    let files = MemoryFiles::new();
    let last = written(&files, 24).last().unwrap().0.segment;
    for number in 1..last {
        env::Files::remove_file(&files, &segment(number)).unwrap();
    }
    let file = env::Files::create(&files, &segment(last)).unwrap();
    file.set_size(DATA_START).unwrap();
    let (mut journal, recovery) = open(&files);
    assert_eq!(recovery.quarantined_segments, 0);
    assert!(journal.append(b"new").unwrap().segment >= last);
}

#[test]
fn what_lies_beyond_the_end_of_a_closed_segment_is_not_read() {
    // Of two logs that begin alike one goes on in its first segment, the other in its second.
    let (long, short) = (MemoryFiles::new(), MemoryFiles::new());
    for (files, records) in [(&long, &[b"a", b"b"][..]), (&short, &[b"a"])] {
        let (mut journal, _) = open(files);
        for record in records {
            journal.append(*record).unwrap();
        }
        journal.close().unwrap();
    }
    let options = Options {
        segment_min: 2,
        ..small()
    };
    let (journal, _) = Journal::open(&env_over(&short), &dir(), options).unwrap();
    journal.close().unwrap();
    let bytes = env::Files::read(&long, &segment(1)).unwrap();
    let file = env::Files::open_write(&short, &segment(1)).unwrap();
    file.write_at(&bytes, 0).unwrap();
    let (journal, recovery) = open(&short);
    assert_eq!(payloads(&journal, Position::START), [b"a"]);
    assert_eq!(recovery.records, 1);
}

#[test]
fn a_record_right_behind_zeroes_is_found() {
    let files = MemoryFiles::new();
    let options = || Options {
        segment_bytes: 1 << 20,
        record_bytes_max: 1 << 20,
        ..Options::default()
    };
    let open = || Journal::open(&env_over(&files), &dir(), options()).unwrap();
    let (mut journal, _) = open();
    // The zeroes end with the first byte of a header: the length is a multiple of 256.
    let hit = journal.append(&[1; 4_096 - 12]).unwrap();
    journal.append(&[2; 256 - 12]).unwrap();
    journal.append(&[3; 10]).unwrap();
    journal.close().unwrap();
    let file = env::Files::open_write(&files, &segment(1)).unwrap();
    file.write_at(&[0; 4_096], hit.offset).unwrap();
    let (journal, recovery) = open();
    assert_eq!((recovery.records, recovery.corrupt_bytes), (2, 4_096));
    assert_eq!(payloads(&journal, Position::START).len(), 2);
}

/// Opens a log whose disk does not give these bytes of one of its segments.
fn open_without(
    files: &MemoryFiles,
    number: u64,
    bytes: std::ops::Range<u64>,
) -> (Journal, Recovery) {
    let (env, faults) = env_with_faults(files);
    faults.lose(&format!("{number:020}.seg"), bytes);
    Journal::open(&env, &dir(), small_with_long_segments()).unwrap()
}

/// Several sectors to a segment.
fn small_with_long_segments() -> Options {
    Options {
        segment_bytes: 64 << 10,
        record_bytes_max: 4 << 10,
        ..Options::default()
    }
}

#[test]
fn a_sector_that_does_not_read_loses_what_lies_in_it_and_is_counted() {
    let files = MemoryFiles::new();
    let options = small_with_long_segments;
    let (mut journal, _) = Journal::open(&env_over(&files), &dir(), options()).unwrap();
    let mut all = Vec::new();
    for number in 0..400_u64 {
        let payload = [number.to_le_bytes().as_slice(), &[7; 400]].concat();
        all.push((journal.append(&payload).unwrap(), payload));
    }
    let end = journal.close().unwrap();
    let touched = |lost: &std::ops::Range<u64>, segment: u64| {
        let records = all.iter().filter(|(at, _)| at.segment == segment);
        let ranges = records.map(|(at, payload)| at.offset..at.offset + 12 + payload.len() as u64);
        let touched = ranges.filter(|range| range.start < lost.end && lost.start < range.end);
        touched
            .map(|range| range.end - range.start)
            .collect::<Vec<_>>()
    };
    assert!(end.segment > 2);
    for number in 1..=end.segment {
        let size = files.fork().used_bytes_of(number) as u64;
        for sector in 1..size.div_ceil(4_096) {
            let lost_bytes = sector * 4_096..(sector + 1) * 4_096;
            let what = format!("segment {number} sector {sector}");
            let files = files.fork();
            let (mut journal, recovery) = open_without(&files, number, lost_bytes.clone());
            let read = payloads(&journal, Position::START);
            let touched = touched(&lost_bytes, number);
            assert_eq!(lost(&all, &read), touched.len(), "{what}");
            assert_eq!(recovery.records as usize, read.len(), "{what}");
            assert_eq!(
                recovery.corrupt_bytes,
                touched.iter().sum::<u64>(),
                "{what}"
            );
            assert_eq!(recovery.torn_bytes, 0, "{what}");
            // What is written from now on follows, and what reads again is there again.
            journal.append(b"more").unwrap();
            journal.close().unwrap();
            let (env, _) = env_with_faults(&files);
            let (journal, recovery) = Journal::open(&env, &dir(), options()).unwrap();
            let mut read = payloads(&journal, Position::START);
            assert_eq!(read.pop().unwrap(), b"more", "{what}");
            assert!(!recovery.is_damaged(), "{what}: {recovery:?}");
            assert_eq!(lost(&all, &read), 0, "{what}");
        }
    }
}

#[test]
fn a_segment_whose_header_does_not_read_is_set_aside() {
    let files = MemoryFiles::new();
    let all = written(&files, 24);
    let last = all.last().unwrap().0.segment;
    for number in 1..=last {
        let (env, faults) = env_with_faults(&files.fork());
        faults.lose(&format!("{number:020}.seg"), 0..4_096);
        let (journal, recovery) = Journal::open(&env, &dir(), small()).unwrap();
        let read = payloads(&journal, Position::START);
        let of_it = all.iter().filter(|(at, _)| at.segment == number).count();
        assert_eq!(lost(&all, &read), of_it);
        assert_eq!(recovery.quarantined_segments, 1);
        assert!(journal.end().segment > number || number < last);
    }
}

#[test]
fn a_disk_that_gives_nothing_of_a_segment_is_not_asked_for_each_of_its_sectors() {
    let files = MemoryFiles::new();
    let options = Options::default;
    let (mut journal, _) = Journal::open(&env_over(&files), &dir(), options()).unwrap();
    for _ in 0..16 {
        journal.append(&[1; 1 << 20]).unwrap();
    }
    journal.close().unwrap();
    let (env, faults) = env_with_faults(&files);
    faults.lose(".seg", 4_096..u64::MAX);
    let (journal, recovery) = Journal::open(&env, &dir(), options()).unwrap();
    assert_eq!(payloads(&journal, Position::START).len(), 0);
    assert!(recovery.corrupt_bytes >= 16 << 20, "{recovery:?}");
    assert!(faults.reads() < 2_000, "{} reads", faults.reads());
}
