//! A chunk gives back what was sent, and joined chunks are their concatenation.

use model::{ClockOffset, DataPoint, LogRecord, Signal, Span};
use proptest::prelude::*;

use model::metric::Series;

use super::*;
use crate::message::Columns;
use crate::testing::{Generator, chunk};

/// Rows in a form that compares, NaN included.
fn bytes_of<T: serde::Serialize>(rows: &[T]) -> Vec<Vec<u8>> {
    rows.iter()
        .map(|row| postcard::to_stdvec(row).unwrap())
        .collect()
}

fn spans(chunk: &Chunk) -> Vec<Span> {
    (0..chunk.rows())
        .map(|row| chunk.span(row, Columns::Full))
        .collect()
}

fn logs(chunk: &Chunk) -> Vec<LogRecord> {
    (0..chunk.rows()).map(|row| chunk.log(row)).collect()
}

fn point(chunk: &Chunk, row: usize) -> DataPoint {
    let point = &chunk.points[row];
    DataPoint {
        start_unix_nano: point.start,
        time_unix_nano: point.time,
        flags: point.flags,
        value: match point.value {
            PointVal::Int(int) => PointValue::Int(int),
            PointVal::Double(double) => PointValue::Double(double),
            PointVal::Encoded(text) => decode_point_value(chunk.bytes(text)),
        },
        exemplars: decode_exemplars(chunk.bytes(point.exemplars)),
    }
}

fn points(chunk: &Chunk) -> Vec<(Series, DataPoint)> {
    let series = |row: usize| chunk.series[chunk.points[row].series as usize].series();
    (0..chunk.rows())
        .map(|row| (series(row), point(chunk, row)))
        .collect()
}

/// Everything of a chunk but how it is laid out.
fn contents(chunk: &Chunk) -> Vec<Vec<u8>> {
    match chunk.signal {
        Signal::Traces => bytes_of(&spans(chunk)),
        Signal::Logs => bytes_of(&logs(chunk)),
        Signal::Metrics => bytes_of(&points(chunk)),
    }
}

/// Chunks of one signal with these numbers of rows.
fn generated(signal: Signal, seed: u64, sizes: &[usize]) -> Vec<Chunk> {
    let mut generator = Generator::new(seed);
    let mut one = |size: &usize| match signal {
        Signal::Traces => chunk(
            signal,
            &(0..*size).map(|_| generator.span()).collect::<Vec<_>>(),
        ),
        Signal::Logs => chunk(
            signal,
            &(0..*size).map(|_| generator.log()).collect::<Vec<_>>(),
        ),
        Signal::Metrics => chunk(
            signal,
            &(0..*size).map(|_| generator.point()).collect::<Vec<_>>(),
        ),
    };
    let clock = |part: usize| ClockOffset {
        offset_nano: 5 - part as i64,
        error_nano: part as u64,
    };
    let mut parts: Vec<Chunk> = sizes.iter().map(&mut one).collect();
    for (index, part) in parts
        .iter_mut()
        .enumerate()
        .filter(|(index, _)| index % 3 > 0)
    {
        part.clocks = Clocks::all(clock(index / 2));
    }
    parts
}

#[test]
fn rows_come_back_as_sent() {
    let mut generator = Generator::new(31);
    let sent: Vec<_> = (0..100).map(|_| generator.span()).collect();
    let found: Vec<_> = spans(&chunk(Signal::Traces, &sent))
        .into_iter()
        .map(|span| Span {
            correlation: vec![],
            ..span
        })
        .collect();
    assert!(bytes_of(&found) == bytes_of(&sent));
    let sent: Vec<_> = (0..100).map(|_| generator.log()).collect();
    let found: Vec<_> = logs(&chunk(Signal::Logs, &sent))
        .into_iter()
        .map(|log| LogRecord {
            correlation: vec![],
            ..log
        })
        .collect();
    assert!(bytes_of(&found) == bytes_of(&sent));
    let sent: Vec<_> = (0..100).map(|_| generator.point()).collect();
    assert!(bytes_of(&points(&chunk(Signal::Metrics, &sent))) == bytes_of(&sent));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn absorbing_is_concatenation(
        seed: u64,
        signal in prop::sample::select(Signal::ALL.to_vec()),
        sizes in prop::collection::vec(0usize..12, 1..6),
    ) {
        let parts = generated(signal, seed, &sizes);
        let mut whole = Chunk::new(signal);
        for part in &parts {
            whole.absorb(part);
        }
        let expected: Vec<Vec<u8>> = parts.iter().flat_map(contents).collect();
        prop_assert_eq!(whole.rows(), sizes.iter().sum::<usize>());
        prop_assert!(contents(&whole) == expected);
        let times: Vec<u64> = (0..whole.rows()).map(|row| whole.time(row)).collect();
        let parts_times: Vec<u64> =
            parts.iter().flat_map(|part| (0..part.rows()).map(|row| part.time(row))).collect();
        prop_assert_eq!(&times, &parts_times);
        prop_assert_eq!(whole.min_time, times.iter().copied().min().unwrap_or(u64::MAX));
        prop_assert_eq!(whole.max_time, times.iter().copied().max().unwrap_or(0));
        prop_assert_eq!(whole.max_end, parts.iter().map(|part| part.max_end).max().unwrap_or(0));
        let duplicates: u64 = parts.iter().map(|part| part.duplicate_keys).sum();
        prop_assert_eq!(whole.duplicate_keys, duplicates);
        // What rows share is kept once.
        let mut resources: Vec<_> = whole.resources.iter().map(|entry| &entry.encoded).collect();
        resources.sort();
        resources.dedup();
        prop_assert_eq!(resources.len(), whole.resources.len());
    }

    #[test]
    fn absorbing_is_associative(seed: u64, signal in prop::sample::select(Signal::ALL.to_vec())) {
        let parts = generated(signal, seed, &[3, 0, 7, 5]);
        let join = |list: &[&Chunk]| {
            let mut joined = Chunk::new(signal);
            list.iter().for_each(|part| joined.absorb(part));
            joined
        };
        let left = join(&[&join(&[&parts[0], &parts[1]]), &join(&[&parts[2], &parts[3]])]);
        let right = join(&[&parts[0], &join(&[&parts[1], &join(&[&parts[2], &parts[3]])])]);
        prop_assert!(contents(&left) == contents(&right));
    }
}

#[test]
fn refused_rows_add_up() {
    let mut one = Chunk::new(Signal::Logs);
    let mut two = Chunk::new(Signal::Logs);
    let [first, second, ..] = Reject::ALL;
    one.rejected.insert(first, 2);
    two.rejected.insert(first, 3);
    two.rejected.insert(second, 1);
    one.absorb(&two);
    assert_eq!((one.rejected[&first], one.rejected[&second]), (5, 1));
}

#[test]
fn a_resource_of_an_earlier_request_is_not_made_again() {
    use model::row::{ResourceRef, RowSink};
    use model::value::KeyValueRef;

    let expected = Expected::default();
    let resource = |name: &str| {
        let keys = model::correlation::CorrelationKeys::default();
        let (mut gate, mut room) = (crate::testing::OpenGate, model::room::Room::unlimited());
        let received = Received::UNKNOWN;
        let sink = ChunkSink::new(Signal::Logs, &keys, &mut gate, &mut room, received);
        let mut sink = sink.expecting(&expected, 0);
        let attributes = [KeyValueRef {
            key: "service.name",
            value: model::ValueRef::Str(name),
        }];
        let of = ResourceRef {
            attributes: &attributes,
            ..ResourceRef::default()
        };
        sink.resource(&of).unwrap();
        let mut chunk = sink.finish().unwrap();
        let entry = chunk.resources.pop().unwrap();
        assert_eq!(entry.value.attributes[0].value, name.into());
        entry
    };
    let first = resource("checkout");
    assert!(Arc::ptr_eq(&first, &resource("checkout")));
    assert!(!Arc::ptr_eq(&first, &resource("cart")));
    let long = "x".repeat(10_000);
    assert!(!Arc::ptr_eq(&resource(&long), &resource(&long)));
    // However many there were, those that still come are shared, and the others let go.
    for n in 0..2_000 {
        resource(&n.to_string());
    }
    assert_eq!(Arc::strong_count(&first), 1);
    assert!(Arc::ptr_eq(&resource("cart"), &resource("cart")));
}
