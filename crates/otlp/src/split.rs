//! Cuts an export request that is too large into smaller ones, by rows.
//!
//! Each part repeats the resource and scope (and, for metrics, the metric) of the rows in it.
//! Bytes are copied as they are, so that fields unknown to this version stay. A row that does
//! not fit alone comes out as a part over the limit: its sender sets it aside.

use bytes::Bytes;
use model::Signal;
use model::row::DecodeError;
use model::wire::{Field, Reader, put_bytes, put_field};

/// Key and length of a nested message take at most this.
const OVERHEAD: usize = 16;

/// Splits `request` into requests of at most `max_bytes` each where rows allow it.
pub fn split(signal: Signal, request: &Bytes, max_bytes: usize) -> Result<Vec<Bytes>, DecodeError> {
    if request.len() <= max_bytes {
        return Ok(vec![request.clone()]);
    }
    let reader = Reader::new(request);
    let parts = pieces(&reader, request, Level::Request, signal, max_bytes)?;
    Ok(parts.into_iter().map(Bytes::from).collect())
}

/// Which message is being cut.
#[derive(Clone, Copy)]
enum Level {
    Request,
    Resource,
    Scope,
    Metric,
    Data,
}

impl Level {
    /// Whether the field holds what this message is cut by, and what that is in turn.
    fn child(self, number: u32, signal: Signal) -> Option<Option<Level>> {
        match (self, number) {
            (Level::Request, 1) => Some(Some(Level::Resource)),
            (Level::Resource, 2) => Some(Some(Level::Scope)),
            (Level::Scope, 2) => Some((signal == Signal::Metrics).then_some(Level::Metric)),
            (Level::Metric, 5 | 7 | 9 | 10 | 11) => Some(Some(Level::Data)),
            (Level::Data, 1) => Some(None),
            _ => None,
        }
    }
}

fn pieces(
    parent: &Reader<'_>,
    message: &[u8],
    level: Level,
    signal: Signal,
    max: usize,
) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut head = Vec::new();
    let mut children = Vec::new();
    let mut reader = parent.nested(message);
    while let Some((number, field)) = reader.next()? {
        match (level.child(number, signal), field) {
            (Some(inner), Field::Bytes(bytes)) => children.push((number, inner, bytes)),
            _ => put_field(&mut head, number, field),
        }
    }
    // Repeating a head that fills most of a part would multiply the request instead of cutting
    // it, so such a message stays whole.
    if message.len() <= max || head.len() > max / 2 || children.is_empty() {
        return Ok(vec![message.to_vec()]);
    }
    let room = max.saturating_sub(head.len() + OVERHEAD);
    let mut parts = Vec::new();
    let mut part = head.clone();
    for (number, inner, bytes) in children {
        let cut = match inner {
            Some(inner) if bytes.len() > room => pieces(&reader, bytes, inner, signal, room)?,
            _ => vec![bytes.to_vec()],
        };
        for piece in cut {
            if part.len() > head.len() && part.len() + piece.len() + OVERHEAD > max {
                parts.push(std::mem::replace(&mut part, head.clone()));
            }
            put_bytes(&mut part, number, &piece);
        }
    }
    parts.push(part);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{encode, rows::Rows};
    use model::{LogRecord, SpanId, TraceId};

    #[test]
    fn parts_hold_the_same_rows_within_the_limit() {
        let records: Vec<LogRecord> = (0..100u8)
            .map(|n| LogRecord {
                severity_number: i32::from(n),
                body: "x".repeat(usize::from(n) * 3).into(),
                trace_id: TraceId::from_wire(&[n + 1; 16]),
                span_id: SpanId::from_wire(&[n + 1; 8]),
                resource: std::sync::Arc::new(model::Resource {
                    schema_url: format!("r{}", n / 30),
                    ..Default::default()
                }),
                ..LogRecord::default()
            })
            .collect();
        let request = Bytes::from(encode::logs(&records));
        let parts = split(Signal::Logs, &request, 1000).unwrap();
        assert!(parts.len() > 10);
        assert!(parts.iter().all(|part| part.len() <= 1000));
        let read: Vec<LogRecord> = parts
            .iter()
            .flat_map(|part| Rows::decode(Signal::Logs, part).unwrap().logs)
            .collect();
        assert_eq!(read, records);
    }

    #[test]
    fn one_metric_is_cut_by_its_points_and_one_row_is_not_cut() {
        let series = crate::decode::tests::gauge("m");
        let points: Vec<_> = (1..=200).map(crate::decode::tests::point_at).collect();
        let request = Bytes::from(encode::metrics([(&series, &points)]));
        let parts = split(Signal::Metrics, &request, 500).unwrap();
        assert!(parts.len() > 3 && parts.iter().all(|part| part.len() <= 500));
        let read: usize = parts
            .iter()
            .map(|part| Rows::decode(Signal::Metrics, part).unwrap().points.len())
            .sum();
        assert_eq!(read, 200);

        let large = [LogRecord {
            body: "y".repeat(5000).into(),
            ..LogRecord::default()
        }];
        let request = Bytes::from(encode::logs(&large));
        let parts = split(Signal::Logs, &request, 1000).unwrap();
        assert_eq!(parts.len(), 1);
        assert!(parts[0].len() > 1000);
        assert!(split(Signal::Logs, &Bytes::from(vec![0xff; 100]), 10).is_err());
    }
}
