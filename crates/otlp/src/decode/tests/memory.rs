//! Requests that are small on the wire and large in memory.

use model::room::NoRoom;
use model::row::Undecoded;
use model::wire::put_bytes;
use testkit::NoRows;

use super::*;

/// Decodes a request whose decoder may take so many bytes; returns how many it took.
fn decode(signal: Signal, request: &[u8], most: usize) -> Result<usize, Undecoded> {
    let mut sink = NoRows::within(most);
    crate::decode::decode(signal, request, &mut sink)?;
    Ok(sink.room.used())
}

/// A message within messages, the outermost field first.
fn within(fields: &[u32], message: Vec<u8>) -> Vec<u8> {
    fields.iter().rev().fold(message, |inner, field| {
        let mut outer = Vec::new();
        put_bytes(&mut outer, *field, &inner);
        outer
    })
}

#[test]
fn a_list_of_empty_members_ends_where_the_room_does() {
    const MEMBERS: usize = 100_000;
    const MOST: usize = 512 << 10;
    // Resource, scope or row, and in it a field with nothing in it, many times.
    let bodies: [(&str, Signal, &[u32], u32); 13] = [
        ("resource attributes", Signal::Logs, &[1, 1], 1),
        ("entities", Signal::Logs, &[1, 1], 3),
        ("keys of an entity", Signal::Logs, &[1, 1, 3], 3),
        ("scope attributes", Signal::Logs, &[1, 2, 1], 3),
        ("log attributes", Signal::Logs, &[1, 2, 2], 6),
        ("span attributes", Signal::Traces, &[1, 2, 2], 9),
        ("events", Signal::Traces, &[1, 2, 2], 11),
        ("attributes of an event", Signal::Traces, &[1, 2, 2, 11], 3),
        ("links", Signal::Traces, &[1, 2, 2], 13),
        ("metadata", Signal::Metrics, &[1, 2, 2], 12),
        ("exemplars", Signal::Metrics, &[1, 2, 2, 5, 1], 5),
        ("quantiles", Signal::Metrics, &[1, 2, 2, 11, 1], 6),
        (
            "attributes of an exemplar",
            Signal::Metrics,
            &[1, 2, 2, 5, 1, 5],
            7,
        ),
    ];
    for (name, signal, fields, field) in bodies {
        let mut list = Vec::new();
        for _ in 0..MEMBERS {
            put_bytes(&mut list, field, &[]);
        }
        let request = within(fields, list);
        let decoded = decode(signal, &request, MOST);
        let refused = Undecoded::NoRoom(NoRoom::Never(MOST));
        assert_eq!(decoded, Err(refused), "{name}");
        assert!(
            decode(signal, &request, usize::MAX).unwrap() > 16 * MEMBERS,
            "{name}"
        );
    }
    // A byte each, and eight bytes once they are counts.
    let counts = within(&[1, 2, 2, 10, 1, 8, 2], vec![1; MEMBERS]);
    let refused = Err(NoRoom::Never(MOST).into());
    assert_eq!(decode(Signal::Metrics, &counts, MOST), refused);
    // One attribute of an exemplar that is wide within.
    let wide = within(&[7, 2, 5], [10, 0].repeat(MEMBERS));
    let wide = within(&[1, 2, 2, 5, 1, 5], wide);
    assert_eq!(decode(Signal::Metrics, &wide, MOST), refused);
}

#[test]
fn many_rows_take_no_more_than_the_largest() {
    let exemplar = metrics::Exemplar {
        span_id: vec![1; 8],
        trace_id: vec![2; 16],
        filtered_attributes: vec![attribute("user", "7")],
        ..Default::default()
    };
    let point = metrics::HistogramDataPoint {
        time_unix_nano: 1,
        bucket_counts: vec![1; 21],
        explicit_bounds: vec![1.0; 20],
        exemplars: vec![exemplar; 3],
        attributes: vec![attribute("route", "/")],
        ..Default::default()
    };
    let request = |points: usize| {
        let histogram = metrics::Histogram {
            data_points: vec![point.clone(); points],
            aggregation_temporality: 2,
        };
        let metric = metrics::Metric {
            name: "m".to_owned(),
            data: Some(metrics::metric::Data::Histogram(histogram)),
            ..Default::default()
        };
        within(&[1, 2, 2], metric.encode_to_vec())
    };
    let one = decode(Signal::Metrics, &request(1), usize::MAX).unwrap();
    let many = decode(Signal::Metrics, &request(1_000), usize::MAX).unwrap();
    assert_eq!(one, many);
}
