//! An index on disk answers as the one that was built, and damage is seen.

use model::Signal;

use super::*;
use crate::points::head::PointHead;
use crate::testing::{Generator, chunk};

#[test]
fn an_index_reads_back() {
    let mut generator = Generator::new(11);
    let sent: Vec<_> = (0..500).map(|_| generator.point()).collect();
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, &sent));
    let mut builder = IndexBuilder::default();
    let series = head.ordered();
    series.iter().for_each(|(entry, _)| builder.add(entry));
    let count = series.len() as u32;
    let mut expected: Vec<(Vec<u8>, Set)> = Vec::new();
    builder.scan(b"", &mut |key, set| {
        expected.push((key.to_vec(), set()));
        true
    });
    let blocks = [0..count / 2, count / 2..count];
    let bytes = builder.finish(&blocks);
    let index = SeriesIndex::open(Bytes::from(bytes.clone())).unwrap();
    assert_eq!((index.count(), index.blocks()), (count, &blocks[..]));
    let mut found = Vec::new();
    index.scan(b"", &mut |key, set| {
        found.push((key.to_vec(), set()));
        true
    });
    assert_eq!(found, expected);
    for (key, set) in &expected {
        assert_eq!(index.find(key), *set);
    }
    assert!(index.find(b"Lnothing\0x").is_empty());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x22;
        // Two bytes behind the version are reserved.
        let reserved = bytes.len() - 6..bytes.len() - 4;
        assert!(
            SeriesIndex::open(damaged.into()).is_err() || reserved.contains(&at),
            "byte {at}"
        );
    }
    for end in 0..bytes.len() {
        assert!(SeriesIndex::open(Bytes::copy_from_slice(&bytes[..end])).is_err());
    }
}

#[test]
fn an_empty_index_reads_back() {
    let index = SeriesIndex::open(IndexBuilder::default().finish(&[]).into()).unwrap();
    assert_eq!(index.count(), 0);
    assert!(index.find(b"L").is_empty());
}
