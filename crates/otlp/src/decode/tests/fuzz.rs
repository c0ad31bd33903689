//! The decoder against a generated one, over requests that nobody would write.

use std::collections::BTreeSet;
use std::fmt::Debug;

use model::wire::Joined;

use super::hostile::Hostile;
use super::oracle::expected;
use super::*;
use crate::decode::decode_joining;

/// Requests for each signal, unless `THROUGHLINE_FUZZ_CASES` says otherwise.
const CASES: u64 = 4_000;

/// Whether two are the same to the last bit, but for those of NaN.
fn same(what: &str, ours: &impl Debug, theirs: &impl Debug) -> Result<(), String> {
    let (ours, theirs) = (format!("{ours:?}"), format!("{theirs:?}"));
    match ours == theirs {
        true => Ok(()),
        false => Err(format!("{what}\n ours: {ours}\n theirs: {theirs}")),
    }
}

/// Decodes with both. Says how many rows there were, if it is a request at all.
fn compare(signal: Signal, bytes: &[u8]) -> Result<Option<usize>, String> {
    let ours = Rows::decode(signal, bytes);
    let (ours, theirs) = match (ours, expected(signal, bytes)) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(_), Err(_)) => return Ok(None),
        (Ok(_), Err(error)) => return Err(format!("accepted what prost refuses: {error}")),
        (Err(error), Ok(_)) => return Err(format!("refused what prost accepts: {error}")),
    };
    same("spans", &ours.spans, &theirs.spans)?;
    same("logs", &ours.logs, &theirs.logs)?;
    same("points", &ours.points, &theirs.points)?;
    let mut rejected = ours.rejected.clone();
    // A generated decoder has forgotten them.
    rejected.retain(|(reason, _)| *reason != Reject::SeveralKinds);
    rejected.sort_unstable();
    let theirs_rejected: Vec<_> = theirs.rejected.into_iter().collect();
    same("rejected", &rejected, &theirs_rejected)?;
    // Doubles to the last bit.
    let points = |points: &[(Series, DataPoint)]| {
        encode::metrics(points.iter().map(|(series, point)| (series, [point])))
    };
    let bits = |spans, logs, list: &[_]| (encode::traces(spans), encode::logs(logs), points(list));
    let ours_bits = bits(&ours.spans, &ours.logs, &ours.points);
    if ours_bits != bits(&theirs.spans, &theirs.logs, &theirs.points) {
        return Err("bits differ".to_owned());
    }
    Ok(Some(ours.spans.len() + ours.logs.len() + ours.points.len()))
}

/// A shorter request that still makes the difference.
fn shortened(signal: Signal, mut bytes: Vec<u8>) -> Vec<u8> {
    let mut step = bytes.len() / 2;
    while step > 0 {
        let mut at = 0;
        while at < bytes.len() {
            let mut less = bytes.clone();
            less.drain(at..(at + step).min(bytes.len()));
            if compare(signal, &less).is_err() {
                bytes = less;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    bytes
}

fn fuzz(signal: Signal) {
    let cases = std::env::var("THROUGHLINE_FUZZ_CASES").ok();
    let cases = cases.map_or(CASES, |cases| cases.parse().unwrap());
    let (mut accepted, mut refused, mut rows) = (0, 0, 0);
    let mut fields = BTreeSet::new();
    for seed in 0..cases {
        let mut hostile = Hostile::new(seed);
        let bytes = hostile.request(signal);
        match compare(signal, &bytes) {
            Ok(None) => refused += 1,
            Ok(Some(found)) => {
                accepted += 1;
                rows += found;
                if found > 0 {
                    fields.extend(hostile.fields);
                }
            }
            Err(_) => {
                let bytes = shortened(signal, bytes);
                let difference = compare(signal, &bytes).unwrap_err();
                panic!("seed {seed}: {difference}\n{bytes:02x?}");
            }
        }
    }
    // What is compared is neither mostly noise nor all good.
    let seen = format!("{accepted} accepted with {rows} rows, {refused} refused");
    assert!(accepted > cases / 4 && refused > cases / 10, "{seen}");
    assert!(rows as u64 > cases / 10, "{seen}");
    assert_eq!(fields.len(), Hostile::fields_of(signal), "{fields:?}");
}

#[test]
fn hostile_spans_are_read_as_prost_reads_them() {
    fuzz(Signal::Traces);
}

#[test]
fn hostile_logs_are_read_as_prost_reads_them() {
    fuzz(Signal::Logs);
}

#[test]
fn hostile_metrics_are_read_as_prost_reads_them() {
    fuzz(Signal::Metrics);
}

#[test]
fn a_value_in_parts_is_one_value() {
    let part = |fields: &[u8]| {
        let mut body = Vec::new();
        model::wire::put_bytes(&mut body, 5, fields);
        body
    };
    // {"a"}, nothing, {"b"}: a list of both.
    let record = [
        part(b"\x2a\x05\x0a\x03\x0a\x01a"),
        part(b""),
        part(b"\x2a\x05\x0a\x03\x0a\x01b"),
    ];
    let mut request = record.concat();
    for number in [2, 2, 1] {
        let inner = std::mem::take(&mut request);
        model::wire::put_bytes(&mut request, number, &inner);
    }
    assert_eq!(compare(Signal::Logs, &request), Ok(Some(1)));
    let rows = Rows::decode(Signal::Logs, &request).unwrap();
    let list = Value::Array(vec!["a".into(), "b".into()]);
    assert_eq!(rows.logs[0].body, list);
}

#[test]
fn values_in_parts_end_where_their_room_does() {
    let request_of = |record: &[u8]| {
        let mut request = record.to_vec();
        for number in [2, 2, 1] {
            let inner = std::mem::take(&mut request);
            model::wire::put_bytes(&mut request, number, &inner);
        }
        request
    };
    let request = |record: Vec<u8>| {
        Rows::decode(Signal::Logs, &request_of(&record)).map(|rows| rows.logs.len())
    };
    let body = |bytes: &[u8]| {
        let mut body = Vec::new();
        model::wire::put_bytes(&mut body, 5, bytes);
        body
    };
    assert_eq!(request(body(b"").repeat(200)), Ok(1));
    let half = request_of(&body(b"").repeat(200));
    let uses_room = |request: &[u8]| {
        let joined = Joined::default();
        let mut rows = Rows::default();
        let decoded = decode_joining(Signal::Logs, request, &mut rows, &joined);
        decoded.map(|()| !joined.is_empty())
    };
    assert_eq!(uses_room(&half), Ok(true));
    assert_eq!(uses_room(&request_of(&body(b""))), Ok(false));
    assert!(uses_room(&half.repeat(2)).is_err(), "valid only one by one");
    let error = request(body(b"").repeat(1_000)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("too many fields that are sent twice"),
        "{error}"
    );
    let mut long = Vec::new();
    model::wire::put_bytes(&mut long, 1, &[b'x'; 40 << 10]);
    assert_eq!(request(body(&long)), Ok(1));
    let error = request(body(&long).repeat(2)).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("a long value that is sent twice"),
        "{error}"
    );
}

#[test]
fn of_several_kinds_of_data_the_last_counts_and_the_others_are_counted() {
    use metrics::metric::Data;
    let point = |time_unix_nano| metrics::NumberDataPoint {
        time_unix_nano,
        ..Default::default()
    };
    let metric = |data| metrics::Metric {
        name: "m".to_owned(),
        data: Some(data),
        ..Default::default()
    };
    let gauge = |times: &[u64]| {
        metric(Data::Gauge(metrics::Gauge {
            data_points: times.iter().map(|time| point(*time)).collect(),
        }))
    };
    let sum = metric(Data::Sum(metrics::Sum {
        data_points: vec![point(9)],
        aggregation_temporality: 2,
        is_monotonic: false,
    }));
    let parts = [gauge(&[1, 2]), sum, gauge(&[3]), gauge(&[4, 5])];
    let mut request: Vec<u8> = parts.iter().flat_map(Message::encode_to_vec).collect();
    for number in [2, 2, 1] {
        let inner = std::mem::take(&mut request);
        model::wire::put_bytes(&mut request, number, &inner);
    }
    assert_eq!(compare(Signal::Metrics, &request), Ok(Some(3)));
    let rows = Rows::decode(Signal::Metrics, &request).unwrap();
    assert_eq!(rows.rejected, [(Reject::SeveralKinds, 3)]);
}
