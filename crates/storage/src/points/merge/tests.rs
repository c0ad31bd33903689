//! A merged file has the points of its parts, by series and time.

use env::Env;
use model::metric::Series;
use model::{DataPoint, KeyValue, Signal};
use tempfile::tempdir;

use super::*;
use crate::partition::FileId;
use crate::points::head::PointHead;
use crate::points::select::TermSource;
use crate::points::set::Set;
use crate::points::table::ABSENT;
use crate::testing::{BASE, Generator, chunk, sorted};

type Sent = Vec<(Series, DataPoint)>;

fn head_of(sent: &Sent) -> PointHead {
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, sent));
    head
}

/// Writes a file of these points as this flush, with blocks of 64 points.
fn write_file(dir: &std::path::Path, flush: u64, sent: &Sent) -> Arc<BlockFile> {
    let env = Env::real();
    let head = head_of(sent);
    let id = FileId::flush(flush);
    let path_of = |extension: &str| id.path(dir, extension);
    let mut file = PointFile::create(&env, path_of, 64).unwrap();
    let mut places = vec![ABSENT; head.series().count() as usize];
    for (entry, slot) in head.ordered() {
        let points = head.points_of(slot);
        places[slot as usize] = file.series(&entry, points.len() as u64).unwrap();
        file.points(&entry, &points).unwrap();
    }
    let terms = |into: &mut IndexWriter| head.series().write_terms(&places, into);
    file.finish(terms).unwrap();
    Arc::new(BlockFile::open(&env, dir, Signal::Metrics, id).unwrap())
}

fn merged(dir: &std::path::Path, flush: u64, files: &[Arc<BlockFile>]) -> Arc<BlockFile> {
    let env = Env::real();
    let id = FileId::flush(flush);
    let path_of = |extension: &str| id.path(dir, extension);
    let mut file = PointFile::create(&env, path_of, 64).unwrap();
    let places = merge(files, &|| true, &mut file).unwrap();
    file.finish(|terms| places.write_terms(files, terms))
        .unwrap();
    let file = Arc::new(BlockFile::open(&env, dir, Signal::Metrics, id).unwrap());
    assert_eq!(terms(file.series().unwrap()), expected_terms(&file));
    file
}

type Keys = Vec<(Vec<u8>, Set)>;

fn terms(source: &dyn TermSource) -> Keys {
    let mut found = Keys::new();
    source.scan(b"", &mut |key, set| {
        found.push((key.to_vec(), set()));
        true
    });
    found
}

/// The terms of the series of a file, worked out anew.
fn expected_terms(file: &BlockFile) -> Keys {
    let mut builder = IndexBuilder::default();
    let mut last = None;
    for ordinal in 0..file.blocks.len() {
        let reader = BlockReader::open(file.block(ordinal)).unwrap();
        let block = PointBlock::open(&reader, &Parts::default(), None).unwrap();
        for entry in &block.series {
            if last.replace(entry.id) != Some(entry.id) {
                builder.add(entry);
            }
        }
    }
    terms(&builder)
}

#[test]
fn terms_of_a_flush_and_of_files_without_an_index_are_those_of_their_series() {
    let dir = tempdir().unwrap();
    let mut generator = Generator::new(8);
    let sent: Vec<Sent> = (0..3)
        .map(|_| (0..300).map(|_| generator.point()).collect())
        .collect();
    let mut files: Vec<Arc<BlockFile>> = (1..)
        .zip(&sent)
        .map(|(flush, sent)| write_file(dir.path(), flush, sent))
        .collect();
    for file in &files {
        assert_eq!(terms(file.series().unwrap()), expected_terms(file));
    }
    merged(dir.path(), 10, &files);
    std::fs::remove_file(FileId::flush(2).path(dir.path(), "series")).unwrap();
    let again = BlockFile::open(&Env::real(), dir.path(), Signal::Metrics, FileId::flush(2));
    files[1] = Arc::new(again.unwrap());
    assert!(files[1].series().is_none());
    merged(dir.path(), 11, &files);
}

/// All points of a file, and how many chunks they are in.
fn read(file: &BlockFile) -> (Sent, usize) {
    let (mut found, mut count) = (Vec::new(), 0);
    let mut last: Option<Arc<SeriesEntry>> = None;
    let mut end = 0;
    for ordinal in 0..file.blocks.len() {
        let reader = BlockReader::open(file.block(ordinal)).unwrap();
        let block = PointBlock::open(&reader, &Parts::default(), None).unwrap();
        for (at, entry) in (0..).zip(&block.series) {
            assert!(
                last.as_ref()
                    .is_none_or(|last| last.order() <= entry.order())
            );
            // A series may go on in the next block.
            if last
                .replace(Arc::clone(entry))
                .is_none_or(|last| last.id != entry.id)
            {
                end = 0;
            }
            for chunk in block.chunks_of(at) {
                let points = block.points(chunk).unwrap();
                assert!(points.times.is_sorted() && points.times[0] >= end);
                end = points.times[points.len() - 1];
                count += 1;
                found.extend((0..points.len()).map(|row| (entry.series(), points.point(row))));
            }
        }
    }
    (found, count)
}

#[test]
fn files_that_overlap_in_time_become_one() {
    let dir = tempdir().unwrap();
    let mut generator = Generator::new(61);
    let mut all: Sent = Vec::new();
    let files: Vec<_> = (1..=4)
        .map(|flush| {
            let sent: Sent = (0..700).map(|_| generator.point()).collect();
            all.extend(sent.clone());
            write_file(dir.path(), flush, &sent)
        })
        .collect();
    let one = merged(dir.path(), 9, &files);
    assert!(sorted(read(&one).0) == sorted(all.clone()));
    assert_eq!(one.rows(), all.len() as u64);
    // Merged files merge again, and an empty list is no file's problem.
    let again = merged(dir.path(), 10, &[one, Arc::clone(&files[0])]);
    assert_eq!(again.rows(), all.len() as u64 + files[0].rows());
}

#[test]
fn full_chunks_that_overlap_in_time_are_put_in_order() {
    let dir = tempdir().unwrap();
    let (series, point) = Generator::new(63).point();
    let every_other = |first: u64| -> Sent {
        let times = (0..480).map(|n| BASE + first + 2 * n);
        let at = |time_unix_nano| DataPoint {
            time_unix_nano,
            ..point.clone()
        };
        times.map(|time| (series.clone(), at(time))).collect()
    };
    let files = [0, 1].map(|first| write_file(dir.path(), first + 1, &every_other(first)));
    let (found, chunks) = read(&merged(dir.path(), 9, &files));
    assert_eq!((found.len(), chunks), (2 * 480, 2));
    assert!(found.is_sorted_by_key(|(_, point)| point.time_unix_nano));
}

#[test]
fn small_chunks_grow_and_full_ones_are_copied() {
    let dir = tempdir().unwrap();
    let (series, point) = Generator::new(62).point();
    let part = |first: u64, count: u64| -> Sent {
        let of = |n: i64| Series {
            attributes: vec![KeyValue::new("n", n)],
            ..series.clone()
        };
        let point = |step: u64| DataPoint {
            time_unix_nano: BASE + step * 15,
            value: model::metric::PointValue::Int(step as i64),
            ..point.clone()
        };
        (0..3)
            .flat_map(|n| (first..first + count).map(move |step| (n, step)))
            .map(|(n, step)| (of(n), point(step)))
            .collect()
    };
    let files: Vec<_> = (0..8)
        .map(|flush| write_file(dir.path(), flush + 1, &part(flush * 60, 60)))
        .collect();
    let one = merged(dir.path(), 20, &files);
    let (found, chunks) = read(&one);
    assert_eq!((found.len(), chunks), (3 * 480, 3));
    let bytes = |name: &str| {
        std::fs::read_dir(dir.path())
            .unwrap()
            .fold(0, |bytes, entry| {
                let entry = entry.unwrap();
                let own = entry.file_name().to_string_lossy().starts_with(name);
                bytes
                    + if own {
                        entry.metadata().unwrap().len()
                    } else {
                        0
                    }
            })
    };
    let parts: u64 = files.iter().map(|file| bytes(&file.id.to_string())).sum();
    assert!(bytes(&one.id.to_string()) * 2 < parts);
    let next = write_file(dir.path(), 21, &part(480, 60));
    let (found, chunks) = read(&merged(dir.path(), 22, &[one, next]));
    assert_eq!((found.len(), chunks), (3 * 540, 6));
}

#[test]
fn the_file_of_a_chunk_that_does_not_read_is_named() {
    let dir = tempdir().unwrap();
    let (series, point) = Generator::new(64).point();
    let sound = write_file(dir.path(), 1, &vec![(series.clone(), point.clone())]);
    let env = Env::real();
    let id = FileId::flush(2);
    let path_of = |extension: &str| id.path(dir.path(), extension);
    let mut file = PointFile::create(&env, path_of, 64).unwrap();
    let head = head_of(&vec![(series, point)]);
    let (entry, _) = head.ordered().into_iter().next().unwrap();
    file.series(&entry, 1).unwrap();
    file.encoded(&entry, &[BASE], &[0xff]).unwrap();
    file.finish(|terms| head.series().write_terms(&[0], terms))
        .unwrap();
    let damaged = Arc::new(BlockFile::open(&env, dir.path(), Signal::Metrics, id).unwrap());
    let path_of = |extension: &str| FileId::flush(3).path(dir.path(), extension);
    let mut into = PointFile::create(&env, path_of, 64).unwrap();
    match merge(&[sound, damaged], &|| true, &mut into) {
        Err(MergeError::Damaged { file, .. }) => assert_eq!(file, id),
        other => panic!("{:?}", other.err()),
    }
}
