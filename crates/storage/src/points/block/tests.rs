//! Blocks give back what was written, and damage never panics.

use bytes::Bytes;
use model::Signal;

use super::*;
use crate::points::head::PointHead;
use crate::testing::{Generator, chunk, sorted};

/// Every series of some points in one block, each cut into chunks of this many.
fn block(head: &PointHead, rows: usize) -> Vec<u8> {
    let mut writer = PointWriter::default();
    for (entry, slot) in head.ordered() {
        writer.series(&entry);
        let points = head.points_of(slot);
        for first in (0..points.len()).step_by(rows) {
            writer.points(&points.slice(first..points.len().min(first + rows)));
        }
    }
    writer.finish().unwrap()
}

fn open(bytes: Vec<u8>) -> Result<PointBlock, Damage> {
    let reader = BlockReader::open(Bytes::from(bytes)).map_err(|e| Damage(e.to_string()))?;
    PointBlock::open(&reader, &Parts::default(), None)
}

fn all_points(
    block: &PointBlock,
) -> Result<Vec<(model::metric::Series, model::DataPoint)>, Damage> {
    let mut found = Vec::new();
    for (at, entry) in (0..).zip(&block.series) {
        for chunk in block.chunks_of(at) {
            let points = block.points(chunk)?;
            found.extend((0..points.len()).map(|row| (entry.series(), points.point(row))));
        }
    }
    Ok(found)
}

#[test]
fn points_come_back_from_blocks() {
    let mut generator = Generator::new(8);
    let sent: Vec<_> = (0..4_000).map(|_| generator.point()).collect();
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, &sent));
    for rows in [1, 7, CHUNK_ROWS_MAX] {
        let block = open(block(&head, rows)).unwrap();
        assert!(sorted(all_points(&block).unwrap()) == sorted(sent.clone()));
        let ids: std::collections::BTreeSet<u128> = block.series.iter().map(|s| s.id).collect();
        assert_eq!(ids.len(), block.series.len());
    }
}

#[test]
fn lists_of_times_are_shared() {
    let mut generator = Generator::new(9);
    let (first, point) = generator.point();
    let mut sent = Vec::new();
    for series in 0..100i64 {
        let mut series_of = first.clone();
        series_of.attributes = vec![model::KeyValue::new("n", series)];
        for step in 0..50u64 {
            let mut point = point.clone();
            (point.time_unix_nano, point.start_unix_nano) = ((1 << 60) + step * 9, 0);
            (point.value, point.exemplars) = (model::metric::PointValue::Int(1), Vec::new());
            sent.push((series_of.clone(), point));
        }
    }
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, &sent));
    let bytes = block(&head, CHUNK_ROWS_MAX);
    let block = open(bytes).unwrap();
    assert_eq!(block.times.len(), 1);
    let lists: Vec<_> = block
        .chunks
        .iter()
        .map(|c| block.times(c).unwrap())
        .collect();
    assert!(lists.iter().all(|list| Arc::ptr_eq(list, lists[0])));
}

#[test]
fn damage_is_an_error() {
    let mut generator = Generator::new(10);
    let sent: Vec<_> = (0..60).map(|_| generator.point()).collect();
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, &sent));
    let bytes = block(&head, 8);
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        let found = open(damaged).and_then(|block| all_points(&block));
        assert!(found.is_err(), "byte {at}");
    }
}
