//! Damaged blocks: an error or the right answer, never a panic and never a wrong answer.

use super::*;
use model::metric::Series;

use crate::block::{BlockReader, BlockWriter, ColumnId, Kind, Values};
use crate::points::block::{Parts, PointBlock, PointWriter};
use crate::points::head::PointHead;

/// A small block of each signal that has most kinds of column.
fn small_blocks() -> Vec<(Signal, Vec<u8>)> {
    let mut generator = Generator::new(47);
    let spans: Vec<_> = (0..6).map(|_| generator.span()).collect();
    let logs: Vec<_> = (0..6).map(|_| generator.log()).collect();
    let points: Vec<_> = (0..6).map(|_| generator.point()).collect();
    let of = |signal: Signal, chunk: Chunk| {
        let chunks = [Arc::new(chunk)];
        (signal, encoded(signal, &chunks, &all_rows(&chunks)))
    };
    vec![
        of(Signal::Traces, clocked(chunk(Signal::Traces, &spans), 1)),
        of(Signal::Logs, chunk(Signal::Logs, &logs)),
        (Signal::Metrics, block_of_points(&points)),
    ]
}

fn block_of_points(points: &[(Series, DataPoint)]) -> Vec<u8> {
    let head = PointHead::default();
    head.append(&chunk(Signal::Metrics, points));
    let mut writer = PointWriter::default();
    for (entry, slot) in head.ordered() {
        writer.series(&entry);
        writer.points(&head.points_of(slot));
    }
    writer.finish().unwrap()
}

/// All points of a block with their series.
fn points_of(table: &BlockTable) -> Result<Vec<Vec<u8>>, Damage> {
    let block = PointBlock::open(&table.reader, &Parts::default(), None)?;
    let mut found = Vec::new();
    for (at, entry) in (0..).zip(&block.series) {
        for chunk in block.chunks_of(at) {
            let points = block.points(chunk)?;
            found.extend((0..points.len()).map(|row| (entry.series(), points.point(row))));
        }
    }
    let bytes = |row| postcard::to_stdvec(row).unwrap();
    Ok(found.iter().map(bytes).collect())
}

/// Everything that can be asked of a block; few keys, because this is asked thousands of times.
fn ask(signal: Signal, bytes: Vec<u8>) -> Result<Answers, Damage> {
    let table = BlockTable::open(signal, bytes.into(), Arc::default())?;
    let mut out = answers(&table, signal, &fields(&["shared", "request_id"]));
    if signal == Signal::Metrics {
        let series = table.series().map(|list| row_bytes(list));
        out.push(("series".to_owned(), series));
        let points = points_of(&table);
        let points = points.map(|list| list.iter().map(|row| format!("{row:?}")).collect());
        out.push(("points".to_owned(), points));
    }
    Ok(out)
}

#[test]
fn a_flipped_bit_is_an_error_or_changes_nothing() {
    for (signal, bytes) in small_blocks() {
        let good = ask(signal, bytes.clone()).unwrap();
        assert!(good.iter().all(|(_, answer)| answer.is_ok()));
        let mut noticed = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            let Ok(found) = ask(signal, damaged) else {
                noticed += 1;
                continue;
            };
            let mut failed = false;
            for ((name, found), (_, expected)) in found.iter().zip(&good) {
                failed |= found.is_err();
                assert!(
                    found.is_err() || found == expected,
                    "{signal} byte {at}: {name}"
                );
            }
            noticed += usize::from(failed);
        }
        // Columns of keys that were not asked for may be damaged unnoticed, in whole rows not.
        assert!(
            noticed * 10 > bytes.len() * 9,
            "{signal}: {noticed} of {}",
            bytes.len()
        );
    }
}

#[test]
fn a_block_cut_short_does_not_open() {
    for (signal, bytes) in small_blocks() {
        for length in 0..bytes.len() {
            assert!(
                ask(signal, bytes[..length].to_vec()).is_err(),
                "{signal} cut to {length}"
            );
        }
    }
}

#[test]
fn a_block_of_another_signal_is_an_error_or_empty_answers() {
    for (written, bytes) in small_blocks() {
        for signal in Signal::ALL.into_iter().filter(|signal| *signal != written) {
            // What matters is that nothing panics: the file says which signal it holds.
            let _ = ask(signal, bytes.clone());
        }
    }
}

/// What is done to one column; checksums are right afterwards.
#[derive(Debug, Clone, Copy)]
enum Change {
    Missing,
    /// No values.
    Empty,
    Shorter,
    Longer,
    /// Each value the least there is.
    Least,
    /// Each value the greatest there is, or what does not decode.
    Greatest,
}

const CHANGES: [Change; 6] = [
    Change::Missing,
    Change::Empty,
    Change::Shorter,
    Change::Longer,
    Change::Least,
    Change::Greatest,
];

fn changed<T: Clone>(mut list: Vec<T>, change: Change, least: T, greatest: T) -> Vec<T> {
    match change {
        Change::Missing => {}
        Change::Empty => list.clear(),
        Change::Shorter => drop(list.pop()),
        Change::Longer => list.push(least),
        Change::Least => list.fill(least),
        Change::Greatest => list.fill(greatest),
    }
    list
}

/// The same block with one column changed.
fn rewritten(bytes: &[u8], victim: &ColumnId, change: Change) -> Vec<u8> {
    let reader = BlockReader::open(Bytes::copy_from_slice(bytes)).unwrap();
    let mut writer = BlockWriter::new(reader.rows());
    for info in reader.columns() {
        let name = &*info.id.name;
        let hit = info.id == *victim;
        if hit && matches!(change, Change::Missing) {
            continue;
        }
        macro_rules! values {
            ($list:expr, $least:expr, $greatest:expr) => {{
                let list = $list;
                if hit {
                    changed(list, change, $least, $greatest)
                } else {
                    list
                }
            }};
        }
        let text = reader.text(name).unwrap();
        let blobs = reader.bytes(name).unwrap();
        let values = match info.id.kind {
            Kind::Int => {
                Values::Int(values!(reader.ints(name).unwrap().unwrap(), i64::MIN, i64::MAX).into())
            }
            Kind::UInt => {
                Values::UInt(values!(reader.uints(name).unwrap().unwrap(), 0, u64::MAX).into())
            }
            Kind::Double => Values::Double(
                values!(reader.doubles(name).unwrap().unwrap(), f64::NAN, f64::MAX).into(),
            ),
            Kind::Bool => {
                Values::Bool(values!(reader.bools(name).unwrap().unwrap(), false, true).into())
            }
            Kind::Fixed8 => Values::Fixed8(
                values!(reader.fixed8(name).unwrap().unwrap(), [0; 8], [255; 8]).into(),
            ),
            Kind::Fixed16 => Values::Fixed16(
                values!(reader.fixed16(name).unwrap().unwrap(), [0; 16], [255; 16]).into(),
            ),
            Kind::Text => {
                let list = text.as_ref().unwrap().iter().collect::<Vec<_>>();
                Values::Text(values!(list, "", "\u{1f600} other"))
            }
            Kind::Bytes => {
                let list = blobs.as_ref().unwrap().iter().collect::<Vec<_>>();
                Values::Bytes(values!(list, &[][..], &[255; 40][..]))
            }
        };
        writer.column(name, values);
    }
    writer.finish().unwrap()
}

#[test]
fn columns_that_contradict_each_other_never_panic() {
    for (signal, bytes) in small_blocks() {
        let reader = BlockReader::open(Bytes::from(bytes.clone())).unwrap();
        for info in reader.columns() {
            for change in CHANGES {
                let answers = ask(signal, rewritten(&bytes, &info.id, change)).unwrap();
                assert!(!answers.is_empty());
            }
        }
    }
}
