//! Events and links of spans as columns.

use super::attributes::AttributeColumns;
use super::encode::{RowRef, texts, uints};
use crate::block::{BlockWriter, Values};
use crate::chunk::Chunks;
use crate::filter::Level;
use crate::terms::Collector;

/// Writes the events and links of the rows, if there are any.
pub(super) fn encode<'a>(
    chunks: Chunks<'a>,
    rows: &[RowRef],
    writer: &mut BlockWriter,
    terms: &mut Collector<'a>,
) {
    events(chunks, rows, writer, terms);
    links(chunks, rows, writer, terms);
    let dropped = |pick: fn(&crate::chunk::SpanRow) -> u32| -> Vec<u64> {
        rows.iter()
            .map(|at| {
                let (chunk, row) = at.of(chunks.list);
                u64::from(pick(&chunk.spans[row]))
            })
            .collect()
    };
    uints(writer, "event.dropped", dropped(|span| span.dropped_events));
    uints(writer, "link.dropped", dropped(|span| span.dropped_links));
}

#[allow(clippy::cast_possible_wrap)]
fn events<'a>(
    chunks: Chunks<'a>,
    rows: &[RowRef],
    writer: &mut BlockWriter,
    terms: &mut Collector<'a>,
) {
    let mut counts = Vec::with_capacity(rows.len());
    let (mut times, mut names, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
    let mut attributes = AttributeColumns::new(chunks);
    for at in rows {
        let (chunk, row) = at.of(chunks.list);
        let span = &chunk.spans[row];
        counts.push(u64::from(span.events.count));
        for event in &chunk.events[span.events.range()] {
            times.push(event.time.wrapping_sub(span.start) as i64);
            names.push(chunk.str(event.name));
            dropped.push(u64::from(event.dropped_attributes));
            attributes.row(
                at.chunk as usize,
                &chunk.attributes[event.attributes.range()],
            );
        }
    }
    if times.is_empty() {
        return;
    }
    writer
        .column("event.count", Values::UInt(counts.into()))
        .column("event.time", Values::Int(times.into()));
    let found = writer.text("event.name", &names);
    terms.event_names(&names, &found);
    uints(writer, "event.attr.dropped", dropped);
    attributes.write("event.attr", Level::Event, writer, terms);
}

fn links<'a>(
    chunks: Chunks<'a>,
    rows: &[RowRef],
    writer: &mut BlockWriter,
    terms: &mut Collector<'a>,
) {
    let mut counts = Vec::with_capacity(rows.len());
    let (mut trace_ids, mut span_ids, mut states) = (Vec::new(), Vec::new(), Vec::new());
    let (mut dropped, mut flags) = (Vec::new(), Vec::new());
    let mut attributes = AttributeColumns::new(chunks);
    for at in rows {
        let (chunk, row) = at.of(chunks.list);
        let span = &chunk.spans[row];
        counts.push(u64::from(span.links.count));
        for link in &chunk.links[span.links.range()] {
            trace_ids.push(chunk.bytes(link.trace_id));
            span_ids.push(chunk.bytes(link.span_id));
            states.push(chunk.str(link.trace_state));
            dropped.push(u64::from(link.dropped_attributes));
            flags.push(u64::from(link.flags));
            attributes.row(
                at.chunk as usize,
                &chunk.attributes[link.attributes.range()],
            );
        }
    }
    if trace_ids.is_empty() {
        return;
    }
    terms.link_trace_ids(&trace_ids);
    writer
        .column("link.count", Values::UInt(counts.into()))
        .column("link.trace_id", Values::Bytes(trace_ids))
        .column("link.span_id", Values::Bytes(span_ids));
    texts(writer, "link.trace_state", states);
    uints(writer, "link.flags", flags);
    uints(writer, "link.attr.dropped", dropped);
    attributes.write("link.attr", Level::Link, writer, terms);
}
