//! A head gives back what was added, in blocks too.

use std::collections::BTreeMap;

use model::metric::Series;
use model::{DataPoint, Signal};

use super::*;
use crate::block::BlockReader;
use crate::points::block::{Parts, PointBlock};
use crate::testing::{Generator, chunk, sorted};

type Sent = Vec<(Series, DataPoint)>;

fn head_of(sent: &Sent) -> PointHead {
    let head = PointHead::default();
    let mut bytes = 0;
    for part in sent.chunks(37) {
        bytes += head.append(&chunk(Signal::Metrics, part)).bytes;
    }
    assert_eq!(bytes, head.heap_bytes());
    assert_eq!(head.rows(), sent.len() as u64);
    head
}

fn everything() -> Selector {
    Selector::new(&[]).unwrap()
}

fn read(head: &PointHead, range: TimeRange) -> Sent {
    let mut found = Vec::new();
    let selected = head.selected(&everything(), &|| true);
    head.read(&selected, range, (true, |_| false), |entry, points| {
        let HeadPoints::Points(points) = points else {
            panic!("no columns were asked for");
        };
        assert!(points.times.is_sorted());
        let series = entry.series();
        found.extend((0..points.len()).map(|row| (series.clone(), points.point(row))));
        Ok::<(), ()>(())
    })
    .unwrap();
    found
}

#[test]
fn points_come_back_by_series_and_time() {
    let mut generator = Generator::new(5);
    let sent: Sent = (0..2_000).map(|_| generator.point()).collect();
    let head = head_of(&sent);
    assert!(sorted(read(&head, TimeRange::ALL)) == sorted(sent.clone()));
    let mut times: Vec<u64> = sent.iter().map(|(_, point)| point.time_unix_nano).collect();
    times.sort_unstable();
    assert_eq!(head.times(), (times[0], times[times.len() - 1]));
    let range = TimeRange {
        start: times[500],
        end: times[1_500],
    };
    let inside = |(_, point): &&(Series, DataPoint)| range.contains(point.time_unix_nano);
    let expected: Sent = sent.iter().filter(inside).cloned().collect();
    assert!(sorted(read(&head, range)) == sorted(expected));
    let days: u64 = head.days().values().sum();
    assert_eq!(days, sent.len() as u64);
}

#[test]
fn a_block_of_a_head_has_its_series_and_times() {
    let mut generator = Generator::new(6);
    let sent: Sent = (0..3_000).map(|_| generator.point()).collect();
    let head = head_of(&sent);
    let reader = BlockReader::open(head.block().unwrap().into()).unwrap();
    let block = PointBlock::open(&reader, &Parts::default(), None).unwrap();
    let (series, times) = block.rows().unwrap();
    let mut found: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for (series, time) in series.iter().zip(&times) {
        let series = block.series[*series as usize].series();
        let key = postcard::to_stdvec(&series).unwrap();
        found.entry(key).or_default().push(*time);
    }
    let mut expected: BTreeMap<Vec<u8>, Vec<u64>> = BTreeMap::new();
    for (series, point) in &sent {
        let key = postcard::to_stdvec(series).unwrap();
        expected.entry(key).or_default().push(point.time_unix_nano);
    }
    expected
        .values_mut()
        .for_each(|times| times.sort_unstable());
    assert_eq!(found, expected);
}

#[test]
fn heads_that_follow_one_another_share_their_series() {
    let mut generator = Generator::new(6);
    let sent: Sent = (0..500).map(|_| generator.point()).collect();
    let first = head_of(&sent);
    let second = PointHead::with_series(Arc::clone(first.series()));
    assert_eq!((second.rows(), second.times()), (0, (u64::MAX, 0)));
    assert!(read(&second, TimeRange::ALL).is_empty() && second.ordered().is_empty());
    let half = &sent[..250].to_vec();
    let growth = second.append(&chunk(Signal::Metrics, half));
    let series: std::collections::HashSet<String> = half
        .iter()
        .map(|(series, _)| format!("{series:?}"))
        .collect();
    assert_eq!(growth.allowance, series.len() * SERIES_ALLOWANCE);
    assert!(
        growth.is_full(growth.bytes.min(growth.allowance)) == (growth.bytes >= growth.allowance)
    );
    assert!(sorted(read(&second, TimeRange::ALL)) == sorted(half.clone()));
    assert_eq!(second.ordered().len(), series.len());
    assert_eq!(second.series().count(), first.series().count());
    // What the first holds is what it held.
    assert!(sorted(read(&first, TimeRange::ALL)) == sorted(sent));
    assert!(first.series().is_stale(0) == (first.series().count() > 4_096));
}
