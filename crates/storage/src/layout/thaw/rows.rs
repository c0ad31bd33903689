//! The rows of a block, one after the other.

use super::{Thaw, between, counted, narrow};
use crate::chunk::{Corr, EventRow, LinkRow, LogRow, Span32, SpanRow, Text, Val};
use crate::layout::EMPTY_BODY;
use crate::layout::correlation::CorrelationColumns;
use crate::layout::pick::{NONE, damage};
use crate::layout::table::{failed, status_code};
use crate::table::Damage;

impl Thaw<'_> {
    #[allow(clippy::cast_sign_loss)]
    pub(super) fn spans(&mut self) -> Result<(), Damage> {
        let (table, rows) = (self.table, self.rows());
        let shared = self.shared()?;
        let (ids, parents) = table.parent_ids()?;
        let (starts, durations) = (table.time_column()?, table.ints("duration")?);
        let names = self.texts("name", rows)?;
        let (kinds, statuses) = (table.ints("kind")?, table.ints("status")?);
        let messages = self.texts("status.message", rows)?;
        let states = self.texts("trace_state", rows)?;
        let events = self.events(starts)?;
        let links = self.links()?;
        let dropped_events = table.uints("event.dropped")?;
        let dropped_links = table.uints("link.dropped")?;
        let correlation = self.correlation(&shared.attributes, &[])?;
        self.chunk.spans.reserve_exact(rows);
        for row in 0..rows {
            let parent = parents[row];
            self.chunk.spans.push(SpanRow {
                span_id: ids[row],
                parent: if parent == NONE {
                    [0; 8]
                } else {
                    ids[parent as usize]
                },
                start: starts[row],
                end: starts[row].wrapping_add(durations[row] as u64),
                resource: shared.resource[row],
                scope: shared.scope[row],
                name: names[row],
                kind: i32::try_from(kinds[row]).map_err(|_| damage("kind"))?,
                status: status_code(statuses[row]),
                status_message: messages[row],
                trace_state: states[row],
                flags: narrow(shared.flags[row], "flags")?,
                attributes: shared.attributes[row],
                dropped_attributes: narrow(shared.dropped[row], "attr.dropped")?,
                events: events[row],
                dropped_events: narrow(dropped_events[row], "event.dropped")?,
                links: links[row],
                dropped_links: narrow(dropped_links[row], "link.dropped")?,
                correlation: correlation[row],
                encoded_bytes: 0,
            });
        }
        Ok(())
    }

    #[allow(clippy::cast_sign_loss)]
    fn events(&mut self, span_starts: &[u64]) -> Result<Vec<Span32>, Damage> {
        let Some((starts, units)) = self.table.nested_starts("event")? else {
            return Ok(vec![Span32::default(); self.rows()]);
        };
        let times = self.table.reader.ints("event.time").map_err(failed)?;
        let times = counted("event.time", times.unwrap_or_default(), units)?;
        let names = self.texts("event.name", units)?;
        let dropped = self.uints("event.attr.dropped", units)?;
        let attributes = self.attributes("event.attr", units)?;
        self.chunk.events.reserve_exact(units);
        let mut spans = Vec::with_capacity(self.rows());
        for (row, range) in starts.windows(2).enumerate() {
            for unit in range[0] as usize..range[1] as usize {
                self.chunk.events.push(EventRow {
                    time: span_starts[row].wrapping_add(times[unit] as u64),
                    name: names[unit],
                    attributes: attributes[unit],
                    dropped_attributes: narrow(dropped[unit], "event.attr.dropped")?,
                });
            }
            spans.push(between(range));
        }
        Ok(spans)
    }

    fn links(&mut self) -> Result<Vec<Span32>, Damage> {
        let Some((starts, units)) = self.table.nested_starts("link")? else {
            return Ok(vec![Span32::default(); self.rows()]);
        };
        let trace_ids = self.bytes("link.trace_id", units)?;
        let span_ids = self.bytes("link.span_id", units)?;
        let states = self.texts("link.trace_state", units)?;
        let flags = self.uints("link.flags", units)?;
        let dropped = self.uints("link.attr.dropped", units)?;
        let attributes = self.attributes("link.attr", units)?;
        self.chunk.links.reserve_exact(units);
        for unit in 0..units {
            self.chunk.links.push(LinkRow {
                trace_id: trace_ids[unit],
                span_id: span_ids[unit],
                trace_state: states[unit],
                attributes: attributes[unit],
                dropped_attributes: narrow(dropped[unit], "link.attr.dropped")?,
                flags: narrow(flags[unit], "link.flags")?,
            });
        }
        Ok(starts.windows(2).map(between).collect())
    }

    #[allow(clippy::cast_sign_loss)]
    pub(super) fn logs(&mut self) -> Result<(), Damage> {
        let (table, rows) = (self.table, self.rows());
        let shared = self.shared()?;
        let times = table.time_column()?;
        let (observed, severity) = (table.ints("observed")?, table.ints("severity")?);
        let severity_texts = self.texts("severity.text", rows)?;
        let event_names = self.texts("event_name", rows)?;
        let (span_ids, span_index) = table.log_span_ids()?;
        let (bodies, empty_bodies) = self.log_bodies()?;
        let correlation = self.correlation(&shared.attributes, &bodies)?;
        self.chunk.logs.reserve_exact(rows);
        for row in 0..rows {
            self.chunk.logs.push(LogRow {
                time: times[row],
                observed: times[row].wrapping_add(observed[row] as u64),
                severity_number: i32::try_from(severity[row]).map_err(|_| damage("severity"))?,
                severity_text: severity_texts[row],
                body: bodies[row],
                has_empty_body: empty_bodies[row],
                span_id: match span_index[row] {
                    NONE => [0; 8],
                    at => span_ids[at as usize],
                },
                resource: shared.resource[row],
                scope: shared.scope[row],
                attributes: shared.attributes[row],
                dropped_attributes: narrow(shared.dropped[row], "attr.dropped")?,
                flags: narrow(shared.flags[row], "flags")?,
                event_name: event_names[row],
                correlation: correlation[row],
            });
        }
        Ok(())
    }

    /// The bodies, and whether each was sent without a value.
    fn log_bodies(&mut self) -> Result<(Vec<Val>, Vec<bool>), Damage> {
        let kinds = self.table.uints("body.kind")?;
        let reader = &self.table.reader;
        let count = |wanted: &[u64]| kinds.iter().filter(|kind| wanted.contains(kind)).count();
        let ints = reader.ints("body.int").map_err(failed)?;
        let ints = counted("body.int", ints.unwrap_or_default(), count(&[1, 3]))?;
        let doubles = reader.doubles("body.double").map_err(failed)?;
        let doubles = counted("body.double", doubles.unwrap_or_default(), count(&[2]))?;
        let texts = reader.text("body").map_err(failed)?;
        let texts = texts.map_or_else(|| Ok(Vec::new()), |column| self.text_column(&column));
        let texts = counted("body", texts?, count(&[0]))?;
        let bytes = self.bytes("body.bytes", count(&[4, 5, 6]))?;
        let (mut ints, mut doubles) = (ints.into_iter(), doubles.into_iter());
        let (mut texts, mut bytes) = (texts.into_iter(), bytes.into_iter());
        let body = |kind: &u64| match *kind {
            0 => texts.next().map(Val::Str),
            1 => ints.next().map(Val::Int),
            2 => doubles.next().map(Val::Double),
            3 => ints.next().map(|int| Val::Bool(int != 0)),
            4 => bytes.next().map(Val::Bytes),
            5 => bytes.next().map(Val::Array),
            6 => bytes.next().map(Val::KvList),
            7 | EMPTY_BODY => Some(Val::Empty),
            _ => None,
        };
        let bodies: Option<Vec<Val>> = kinds.iter().map(body).collect();
        let empty = kinds.iter().map(|kind| *kind == EMPTY_BODY).collect();
        Ok((bodies.ok_or_else(|| damage("body.kind"))?, empty))
    }

    /// The correlation pairs of each row.
    fn correlation(
        &mut self,
        attributes: &[Span32],
        bodies: &[Val],
    ) -> Result<Vec<Span32>, Damage> {
        let Some((starts, units)) = self.table.nested_starts("corr")? else {
            return Ok(vec![Span32::default(); self.rows()]);
        };
        let columns = CorrelationColumns::open(self.table, units)?;
        let keys = self.text_column(&columns.keys)?;
        let values = columns
            .values
            .as_ref()
            .map(|column| self.text_column(column));
        let values = values.transpose()?.unwrap_or_default();
        self.chunk.correlation.reserve_exact(units);
        let mut spans = Vec::with_capacity(self.rows());
        for (row, range) in starts.windows(2).enumerate() {
            let units = range[0] as usize..range[1] as usize;
            for (unit, key) in units.clone().zip(&keys[units]) {
                let (value, source) = match columns.sources[unit] {
                    0 => {
                        let value = values.get(columns.value_index[unit]);
                        (*value.ok_or_else(|| damage("corr.value"))?, Corr::APART)
                    }
                    stored => {
                        let source = narrow(stored - 1, "corr.source")?;
                        let whole = match source.checked_sub(1) {
                            None => bodies.get(row).copied(),
                            Some(at) => {
                                let attributes = &self.chunk.attributes[attributes[row].range()];
                                attributes.get(at as usize).map(|attribute| attribute.value)
                            }
                        };
                        let (offset, length) = (columns.offsets[unit], columns.lengths[unit]);
                        (self.slice(whole, source, offset, length)?, source)
                    }
                };
                self.chunk.correlation.push(Corr {
                    key: *key,
                    value,
                    source,
                });
            }
            spans.push(between(range));
        }
        Ok(spans)
    }

    /// A part of a text of the row.
    fn slice(
        &self,
        whole: Option<Val>,
        source: u32,
        offset: u64,
        length: u64,
    ) -> Result<Text, Damage> {
        let Some(Val::Str(whole)) = whole else {
            return Err(damage("corr.source"));
        };
        // Of attributes no offset is written, so there is none to be lost.
        let end = offset.checked_add(length);
        let inside = end.is_some_and(|end| end <= u64::from(whole.length));
        if !inside || source > 0 && offset > 0 {
            return Err(damage("corr.offset"));
        }
        let text = Text {
            offset: whole.offset + narrow(offset, "corr.offset")?,
            length: narrow(length, "corr.length")?,
        };
        let valid = std::str::from_utf8(self.chunk.bytes(text)).is_ok();
        valid.then_some(text).ok_or_else(|| damage("corr.offset"))
    }
}
