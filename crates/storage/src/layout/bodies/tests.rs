use std::sync::Arc;

use bytes::Bytes;
use model::{LogRecord, Signal, Value};

use super::*;
use crate::block::Kind;
use crate::eval::Compiled;
use crate::filter::Filter;
use crate::layout::RowRef;
use crate::table::{Mask, Table};
use crate::words;

/// A block of records with these bodies, this many nanoseconds apart.
fn block(bodies: impl Iterator<Item = Value>, step: u64) -> BlockTable {
    let record = |(row, body): (u64, Value)| LogRecord {
        // Some have the time of the observer alone.
        time_unix_nano: if row % 5 == 0 { 0 } else { 1 + row * step },
        observed_time_unix_nano: 1 + row * step,
        body,
        ..LogRecord::default()
    };
    let records: Vec<LogRecord> = (0..).zip(bodies).map(record).collect();
    let chunks = [Arc::new(crate::testing::chunk(Signal::Logs, &records))];
    let rows = 0..u32::try_from(records.len()).unwrap();
    let rows: Vec<RowRef> = rows.map(|row| RowRef { chunk: 0, row }).collect();
    let bytes = crate::testing::encoded(Signal::Logs, &chunks, &rows);
    BlockTable::open(Signal::Logs, Bytes::from(bytes), Arc::default()).unwrap()
}

fn body(row: u64) -> Value {
    let text = match row % 7 {
        0 | 3 => format!("order {row} completed in {} ms", row * 7 % 90),
        1 => format!("user{row} logged in"),
        2 => format!("connection refused by 10.0.0.{}", row % 250),
        4 => format!("retry {row} of order: Completed, retry"),
        5 => format!("deadbeef{row:02} sent"),
        _ => format!("größe {row} not completed_yet"),
    };
    text.into()
}

fn of(text: &str, phrase: bool, prefix: bool) -> Filter {
    Filter::Words {
        field: None,
        words: words::split(text),
        phrase,
        prefix,
    }
}

fn compiled(filter: &Filter) -> Compiled {
    let compiled = Compiled::new(filter, Signal::Logs).unwrap();
    assert!(compiled.is_of_bodies());
    compiled
}

/// Rows by minute that pass, from the rows.
fn counted(table: &BlockTable, filter: &Compiled) -> Vec<(u64, u64)> {
    let rows = Mask::all(Table::rows(table));
    let mask = filter.evaluate(table, rows).unwrap();
    let times = table.times().unwrap();
    let mut minutes: BTreeMap<u64, u64> = BTreeMap::new();
    for row in mask.iter() {
        let minute = times[row] / MINUTE_NANOS * MINUTE_NANOS;
        *minutes.entry(minute).or_default() += 1;
    }
    minutes.into_iter().collect()
}

fn passing(
    table: &BlockTable,
    filter: &Compiled,
    known: &mut KnownTemplates,
) -> Option<Vec<(u64, u64)>> {
    let decide = |literals: &[&[u8]]| filter.passes_bodies(literals);
    let passing = table.passing_bodies(decide, known).unwrap()?;
    let mut minutes: BTreeMap<u64, u64> = BTreeMap::new();
    for (minute, rows) in passing {
        *minutes.entry(minute).or_default() += rows;
    }
    Some(minutes.into_iter().collect())
}

#[test]
fn templates_count_what_rows_do() {
    let not = |filter| Filter::Not(Box::new(filter));
    let told = [
        of("completed", false, false),
        of("completed in", true, false),
        of("refused connection", false, false),
        of("nowhere", false, false),
        of("refused connection by", false, false),
        not(of("completed", false, false)),
        Filter::And(vec![of("order", false, false), of("retry", false, false)]),
        Filter::Or(vec![
            of("refused", false, false),
            of("logged", false, false),
        ]),
        // One alternative decides where the other does not tell.
        Filter::Or(vec![
            of("refused", false, false),
            not(of("no1", false, false)),
            Filter::All,
        ]),
        Filter::And(vec![of("17", false, false), of("nowhere", false, false)]),
    ];
    let untold = [
        of("17", false, false),
        of("user", false, false),
        of("compl", false, true),
        of("order completed", true, false),
        not(of("beef", false, false)),
    ];
    // Within a minute, and over several.
    for step in [1_000, 700_000_000] {
        let table = block((0..600).map(body), step);
        for filter in &told {
            let filter = compiled(filter);
            let mut known = KnownTemplates::default();
            let expected = counted(&table, &filter);
            // The second time with what is known.
            for _ in 0..2 {
                let found = passing(&table, &filter, &mut known);
                assert_eq!(found.as_ref(), Some(&expected), "{filter:?}");
            }
        }
        for filter in &untold {
            let found = passing(&table, &compiled(filter), &mut KnownTemplates::default());
            assert_eq!(found, None, "{filter:?}");
        }
    }
}

#[test]
fn what_is_known_of_other_templates_is_not_used() {
    let filter = compiled(&of("completed", false, false));
    let mut known = KnownTemplates::default();
    let orders = |row: u64| format!("order {row} completed").into();
    let others = |row: u64| format!("order {row} failed").into();
    let first = block((0..100).map(orders), 1);
    assert_eq!(passing(&first, &filter, &mut known), Some(vec![(0, 100)]));
    let second = block((0..100).map(others), 1);
    assert_eq!(passing(&second, &filter, &mut known), Some(vec![]));
}

#[test]
fn there_are_none_where_they_do_not_pay_or_bodies_are_not_texts() {
    let has = |table: BlockTable| table.reader.has("template.text", Kind::Bytes);
    assert!(has(block((0..600).map(body), 1)));
    // Each row in a minute of its own.
    assert!(!has(block((0..600).map(body), MINUTE_NANOS)));
    let mixed = |row: u64| if row == 9 { Value::Int(1) } else { body(row) };
    assert!(!has(block((0..600).map(mixed), 1)));
    let word = |at: u64| char::from(b'a' + u8::try_from(at % 26).unwrap());
    let letters = |row: u64| format!("{}{}{} {row}", word(row), word(row / 26), word(row / 676));
    assert!(!has(block((0..600).map(|row| letters(row).into()), 1)));
    let long = |row: u64| format!("{} {row}", "x".repeat(3_000)).into();
    assert!(!has(block((0..600).map(long), 1)));
}

#[test]
fn a_filter_that_asks_for_more_is_not_of_bodies() {
    let filters = [
        Filter::Exists(crate::filter::Field::Body),
        Filter::And(vec![
            of("completed", false, false),
            Filter::Exists(crate::filter::Field::TraceId),
        ]),
        Filter::Words {
            field: Some(crate::filter::Field::EventName),
            words: words::split("completed"),
            phrase: false,
            prefix: false,
        },
    ];
    for filter in filters {
        let compiled = Compiled::new(&filter, Signal::Logs).unwrap();
        assert!(!compiled.is_of_bodies(), "{filter:?}");
    }
}
