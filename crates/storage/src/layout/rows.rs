//! Rows built again from the columns of a block.

use std::sync::Arc;

use model::{Event, Link, LogRecord, Span, SpanId, TraceId, Value};

use super::pick::{At, NONE, Pick, Source, damage};
use super::read::AttributeReader;
use super::table::{BlockTable, failed, status_code};
use super::{EMPTY_BODY, PARENT_RAW};
use crate::block::{Kind, TextColumn};
use crate::chunk::summary_resource;
use crate::message::Columns;
use crate::table::{Cell, Damage, Mask};

impl BlockTable {
    /// Parent ids, and per row the index of its own.
    pub(super) fn parent_ids(&self) -> Result<(Vec<[u8; 8]>, Vec<u32>), Damage> {
        let mut ids = self
            .reader
            .fixed8("span_id")
            .map_err(failed)?
            .filter(|ids| ids.len() == self.rows())
            .ok_or_else(|| damage("span_id"))?;
        let raw = self
            .reader
            .fixed8("parent.raw")
            .map_err(failed)?
            .unwrap_or_default();
        let mut next_raw = ids.len();
        ids.extend(raw);
        let distances = self.ints("parent")?;
        let mut index = Vec::with_capacity(distances.len());
        for (row, distance) in distances.into_iter().enumerate() {
            let at = match distance {
                0 => {
                    index.push(NONE);
                    continue;
                }
                PARENT_RAW => {
                    next_raw += 1;
                    next_raw - 1
                }
                distance => parent_row(row, distance, self.rows())?,
            };
            index.push(u32::try_from(at).map_err(|_| damage("parent"))?);
        }
        if next_raw > ids.len() {
            return Err(damage("parent.raw"));
        }
        Ok((ids, index))
    }

    /// Span ids and parents of some rows.
    fn ids_at(&self, rows: &[usize]) -> Result<Vec<(SpanId, Option<SpanId>)>, Damage> {
        let count = self.rows();
        let own = self
            .reader
            .fixed8_at("span_id", count, rows)
            .map_err(failed)?;
        let own = own.ok_or_else(|| damage("span_id"))?;
        let distances = self.ints("parent")?;
        let raw = distances.iter().filter(|distance| **distance == PARENT_RAW);
        let raw = raw.count();
        // Where each parent is: among the rows, or else among those that lie outside.
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        let mut from = Vec::with_capacity(rows.len());
        for row in rows {
            from.push(match distances[*row] {
                0 => None,
                PARENT_RAW => {
                    let before = distances[..*row].iter();
                    outside.push(before.filter(|distance| **distance == PARENT_RAW).count());
                    Some((true, outside.len() - 1))
                }
                distance => {
                    inside.push(parent_row(*row, distance, count)?);
                    Some((false, inside.len() - 1))
                }
            });
        }
        let inside = self
            .reader
            .fixed8_at("span_id", count, &inside)
            .map_err(failed)?;
        let outside = self
            .reader
            .fixed8_at("parent.raw", raw, &outside)
            .map_err(failed)?;
        if raw > 0 && outside.is_none() {
            return Err(damage("parent.raw"));
        }
        let (inside, outside) = (inside.unwrap_or_default(), outside.unwrap_or_default());
        let parent = |from: Option<(bool, usize)>| {
            from.map(|(raw, at)| SpanId(if raw { outside[at] } else { inside[at] }))
        };
        let own = own.into_iter().map(SpanId);
        Ok(own.zip(from.into_iter().map(parent)).collect())
    }

    /// Span ids of some log records.
    fn log_ids_at(&self, rows: &[usize]) -> Result<Vec<Option<SpanId>>, Damage> {
        let present = self.reader.bools("span_id.present").map_err(failed)?;
        let present = present.unwrap_or_default();
        if present.len() != self.rows() {
            return Err(damage("span_id.present"));
        }
        let count = |present: &[bool]| present.iter().filter(|has| **has).count();
        let wanted = rows.iter().filter(|row| present[**row]);
        let wanted: Vec<usize> = wanted.map(|row| count(&present[..*row])).collect();
        let all = count(&present);
        let ids = self
            .reader
            .fixed8_at("span_id", all, &wanted)
            .map_err(failed)?;
        if ids.is_none() && all > 0 {
            return Err(damage("span_id.present"));
        }
        let mut ids = ids.unwrap_or_default().into_iter();
        let of = |row: &usize| present[*row].then(|| ids.next().map(SpanId)).flatten();
        Ok(rows.iter().map(of).collect())
    }

    /// Trace ids of some rows.
    fn trace_ids_at(&self, rows: &[usize]) -> Result<Vec<[u8; 16]>, Damage> {
        let ids = self.reader.fixed16_at("trace_id", self.rows(), rows);
        ids.map_err(failed)?.ok_or_else(|| damage("trace_id"))
    }

    /// Span ids of log records, and per row the index of its own.
    pub(super) fn log_span_ids(&self) -> Result<(Vec<[u8; 8]>, Vec<u32>), Damage> {
        let ids = self
            .reader
            .fixed8("span_id")
            .map_err(failed)?
            .unwrap_or_default();
        let present = self
            .reader
            .bools("span_id.present")
            .map_err(failed)?
            .unwrap_or_default();
        let mut next = 0u32;
        let index: Vec<u32> = present
            .into_iter()
            .map(|has| {
                next += u32::from(has);
                if has { next - 1 } else { NONE }
            })
            .collect();
        if next as usize == ids.len() && index.len() == self.rows() {
            Ok((ids, index))
        } else {
            Err(damage("span_id.present"))
        }
    }

    /// Bodies by type.
    pub(super) fn body_picks(&self) -> Result<Vec<Pick>, Damage> {
        let kinds = self.uints("body.kind")?;
        let index_of = |wanted: &[u64]| -> Vec<u32> {
            let mut next = 0;
            kinds
                .iter()
                .map(|kind| {
                    let has = wanted.contains(kind);
                    next += u32::from(has);
                    if has { next - 1 } else { NONE }
                })
                .collect()
        };
        let mut picks = Vec::new();
        let mut add = |source: Source, index: Vec<u32>| -> Result<(), Damage> {
            picks.push(Pick::checked(source, At::Index(index), kinds.len())?);
            Ok(())
        };
        if let Some(text) = self.reader.text("body").map_err(failed)? {
            add(Source::Text(text), index_of(&[0]))?;
        }
        if let Some(ints) = self.reader.ints("body.int").map_err(failed)? {
            // Booleans lie among the integers, in row order.
            let all = index_of(&[1, 3]);
            let only = |kind: u64| -> Vec<u32> {
                all.iter()
                    .zip(&kinds)
                    .map(|(i, k)| if *k == kind { *i } else { NONE })
                    .collect()
            };
            let flags = ints.iter().map(|int| *int != 0).collect();
            add(Source::Ints(ints), only(1))?;
            add(Source::Bools(flags), only(3))?;
        }
        if let Some(doubles) = self.reader.doubles("body.double").map_err(failed)? {
            add(Source::Doubles(doubles), index_of(&[2]))?;
        }
        if let Some(list) = self.reader.bytes("body.bytes").map_err(failed)? {
            let list = Arc::new(list);
            let all = index_of(&[4, 5, 6]);
            for code in 4..=6u8 {
                let index = all.iter().zip(&kinds);
                let index = index.map(|(i, k)| if *k == u64::from(code) { *i } else { NONE });
                add(Source::Bytes(list.clone(), code), index.collect())?;
            }
        }
        Ok(picks)
    }

    /// The texts of these rows in a column that may be missing.
    fn texts_of(&self, name: &str, rows: &[usize]) -> Result<Vec<String>, Damage> {
        let texts = self.reader.text_at(name, self.rows(), rows);
        let texts = texts.map_err(failed)?;
        Ok(texts.unwrap_or_else(|| vec![String::new(); rows.len()]))
    }

    /// Whether these rows were sent with a body that has no value.
    fn empty_bodies(&self, rows: &[usize]) -> Result<Vec<bool>, Damage> {
        let kinds = self.uints_at("body.kind", rows)?;
        Ok(kinds.into_iter().map(|kind| kind == EMPTY_BODY).collect())
    }

    /// The bodies of these rows.
    pub(super) fn bodies(&self, rows: &[usize]) -> Result<Vec<Value>, Damage> {
        if !self.reader.has("body.kind", Kind::UInt) {
            return self.text_bodies(self.rows(), rows);
        }
        let kinds = self.uints("body.kind")?;
        if rows.iter().all(|row| kinds[*row] == 0) {
            let texts = |kinds: &[u64]| kinds.iter().filter(|kind| **kind == 0).count();
            let indices: Vec<usize> = rows.iter().map(|row| texts(&kinds[..*row])).collect();
            return self.text_bodies(texts(&kinds), &indices);
        }
        let mut mask = Mask::none(self.rows());
        rows.iter().for_each(|row| mask.set(*row));
        let mut by_row = rustc_hash::FxHashMap::default();
        for pick in self.body_picks()? {
            pick.visit(&mask, &mut |row, cell| {
                if let Cell::Value(value) = cell {
                    by_row.insert(row, value.to_value());
                }
            });
        }
        Ok(rows
            .iter()
            .map(|row| by_row.get(row).cloned().unwrap_or_default())
            .collect())
    }

    /// Bodies that are texts, by their place among those.
    fn text_bodies(&self, count: usize, indices: &[usize]) -> Result<Vec<Value>, Damage> {
        let bodies = self.reader.text_at("body", count, indices);
        let bodies = match bodies.map_err(failed)? {
            Some(bodies) => bodies,
            None if indices.is_empty() => Vec::new(),
            None => return Err(damage("body")),
        };
        Ok(bodies.into_iter().map(Value::Str).collect())
    }

    pub(super) fn read_spans(&self, rows: &[usize], columns: Columns) -> Result<Vec<Span>, Damage> {
        let mut out = self.summaries(rows)?;
        if columns == Columns::Summary {
            let mut seen: Vec<(*const model::Resource, Arc<model::Resource>)> = Vec::new();
            for span in &mut out {
                let at = Arc::as_ptr(&span.resource);
                if let Some((_, short)) = seen.iter().find(|(known, _)| *known == at) {
                    span.resource = short.clone();
                    continue;
                }
                let short = summary_resource(&span.resource);
                seen.push((at, short.clone()));
                span.resource = short;
            }
            return Ok(out);
        }
        let scopes = self.scopes(rows)?;
        let (flags, dropped) = (
            self.uints_at("flags", rows)?,
            self.uints_at("attr.dropped", rows)?,
        );
        let states = self.texts_of("trace_state", rows)?;
        let messages = self.texts_of("status.message", rows)?;
        let attributes = self.attributes()?.read(&self.reader, rows)?;
        let correlation = self.correlation(rows, &attributes, &[])?;
        for ((((span, at), scope), (attributes, correlation)), (state, message)) in out
            .iter_mut()
            .zip(0..)
            .zip(scopes)
            .zip(attributes.into_iter().zip(correlation))
            .zip(states.into_iter().zip(messages))
        {
            span.scope = scope;
            span.flags = u32_of(flags[at], "flags")?;
            span.trace_state = state;
            span.status_message = message;
            span.attributes = attributes;
            span.dropped_attributes_count = u32_of(dropped[at], "attr.dropped")?;
            span.correlation = correlation;
        }
        self.fill_events(rows, &mut out)?;
        self.fill_links(rows, &mut out)?;
        Ok(out)
    }

    #[allow(clippy::cast_sign_loss)]
    fn summaries(&self, rows: &[usize]) -> Result<Vec<Span>, Damage> {
        let resources = self.resources(rows)?;
        let trace_ids = self.trace_ids_at(rows)?;
        let ids = self.ids_at(rows)?;
        let times = self.times_at(rows)?;
        let durations = self.ints_at("duration", rows)?;
        let names = self.texts_of("name", rows)?;
        let (kinds, statuses) = (self.ints_at("kind", rows)?, self.ints_at("status", rows)?);
        let clocks = self.clocks_at(rows)?;
        let shared = names.into_iter().zip(resources);
        let build = |(at, ((name, resource), (span_id, parent_span_id)))| {
            let at: usize = at;
            let status = status_code(statuses[at]);
            Ok(Span {
                resource,
                trace_id: TraceId(trace_ids[at]),
                span_id,
                parent_span_id,
                name,
                kind: i32::try_from(kinds[at]).map_err(|_| damage("kind"))?,
                start_unix_nano: times[at],
                end_unix_nano: times[at].wrapping_add(durations[at] as u64),
                status_code: status.unwrap_or_default(),
                has_status: status.is_some(),
                clock: clocks[at],
                ..Span::default()
            })
        };
        (0..).zip(shared.zip(ids)).map(build).collect()
    }

    #[allow(clippy::cast_sign_loss)]
    fn fill_events(&self, rows: &[usize], out: &mut [Span]) -> Result<(), Damage> {
        let dropped = self.uints_at("event.dropped", rows)?;
        for (span, dropped) in out.iter_mut().zip(dropped) {
            span.dropped_events_count = u32_of(dropped, "event.dropped")?;
        }
        let Some((starts, units)) = self.nested_starts("event")? else {
            return Ok(());
        };
        let wanted = nested_of(&starts, rows);
        if wanted.is_empty() {
            return Ok(());
        }
        let times = self.reader.ints_at("event.time", units, &wanted);
        let times = times.map_err(failed)?.ok_or_else(|| damage("event.time"))?;
        let names = self.reader.text_at("event.name", units, &wanted);
        let names = names.map_err(failed)?;
        let mut names = names
            .unwrap_or_else(|| vec![String::new(); wanted.len()])
            .into_iter();
        let dropped = self.reader.uints_at("event.attr.dropped", units, &wanted);
        let dropped = dropped.map_err(failed)?;
        let dropped = dropped.unwrap_or_else(|| vec![0; wanted.len()]);
        let mut attributes = AttributeReader::open(&self.reader, "event.attr", units)?
            .read(&self.reader, &wanted)?
            .into_iter();
        let mut units = times.into_iter().zip(dropped);
        for (span, row) in out.iter_mut().zip(rows) {
            let count = (starts[*row + 1] - starts[*row]) as usize;
            for (time, dropped) in units.by_ref().take(count) {
                span.events.push(Event {
                    time_unix_nano: span.start_unix_nano.wrapping_add(time as u64),
                    name: names.next().unwrap_or_default(),
                    attributes: attributes.next().unwrap_or_default(),
                    dropped_attributes_count: u32_of(dropped, "event.attr.dropped")?,
                });
            }
        }
        Ok(())
    }

    fn fill_links(&self, rows: &[usize], out: &mut [Span]) -> Result<(), Damage> {
        let dropped = self.uints_at("link.dropped", rows)?;
        for (span, dropped) in out.iter_mut().zip(dropped) {
            span.dropped_links_count = u32_of(dropped, "link.dropped")?;
        }
        let Some((starts, units)) = self.nested_starts("link")? else {
            return Ok(());
        };
        let wanted = nested_of(&starts, rows);
        if wanted.is_empty() {
            return Ok(());
        }
        let trace_ids = self.reader.bytes("link.trace_id").map_err(failed)?;
        let span_ids = self.reader.bytes("link.span_id").map_err(failed)?;
        let states = self.reader.text("link.trace_state").map_err(failed)?;
        let zeros = || vec![0; units];
        let flags = self
            .reader
            .uints("link.flags")
            .map_err(failed)?
            .unwrap_or_else(zeros);
        let dropped = self.reader.uints("link.attr.dropped").map_err(failed)?;
        let dropped = dropped.unwrap_or_else(zeros);
        let (Some(trace_ids), Some(span_ids)) = (trace_ids, span_ids) else {
            return Err(damage("link ids"));
        };
        if [trace_ids.len(), span_ids.len(), flags.len(), dropped.len()] != [units; 4] {
            return Err(damage("link counts"));
        }
        let mut attributes = AttributeReader::open(&self.reader, "link.attr", units)?
            .read(&self.reader, &wanted)?
            .into_iter();
        for (span, row) in out.iter_mut().zip(rows) {
            for unit in starts[*row] as usize..starts[*row + 1] as usize {
                span.links.push(Link {
                    trace_id: trace_ids.get(unit).to_vec(),
                    span_id: span_ids.get(unit).to_vec(),
                    trace_state: optional(states.as_ref(), unit),
                    attributes: attributes.next().unwrap_or_default(),
                    dropped_attributes_count: u32_of(dropped[unit], "link.attr.dropped")?,
                    flags: u32_of(flags[unit], "link.flags")?,
                });
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_sign_loss)]
    pub(super) fn read_logs(&self, rows: &[usize]) -> Result<Vec<LogRecord>, Damage> {
        let (resources, scopes) = (self.resources(rows)?, self.scopes(rows)?);
        let trace_ids = self.trace_ids_at(rows)?;
        let span_ids = self.log_ids_at(rows)?;
        let times = self.times_at(rows)?;
        let observed = self.ints_at("observed", rows)?;
        let severity = self.ints_at("severity", rows)?;
        let severity_texts = self.texts_of("severity.text", rows)?;
        let event_names = self.texts_of("event_name", rows)?;
        let flags = self.uints_at("flags", rows)?;
        let dropped = self.uints_at("attr.dropped", rows)?;
        let attributes = self.attributes()?.read(&self.reader, rows)?;
        let bodies = self.bodies(rows)?;
        let empty_bodies = self.empty_bodies(rows)?;
        let correlation = self.correlation(rows, &attributes, &bodies)?;
        let clocks = self.clocks_at(rows)?;
        let texts = severity_texts.into_iter().zip(event_names);
        let own = attributes.into_iter().zip(bodies).zip(correlation);
        let shared = resources.into_iter().zip(scopes);
        let build = |(at, (((severity_text, event_name), own), (resource, scope)))| {
            let at: usize = at;
            let ((attributes, body), correlation) = own;
            Ok(LogRecord {
                resource,
                scope,
                time_unix_nano: times[at],
                observed_time_unix_nano: times[at].wrapping_add(observed[at] as u64),
                severity_number: i32::try_from(severity[at]).map_err(|_| damage("severity"))?,
                severity_text,
                body,
                has_empty_body: empty_bodies[at],
                attributes,
                dropped_attributes_count: u32_of(dropped[at], "attr.dropped")?,
                flags: u32_of(flags[at], "flags")?,
                trace_id: TraceId::from_wire(&trace_ids[at]),
                span_id: span_ids[at],
                event_name,
                correlation,
                clock: clocks[at],
            })
        };
        (0..).zip(texts.zip(own).zip(shared)).map(build).collect()
    }
}

/// The events or links of some rows, given where those of each row begin.
pub(super) fn nested_of(starts: &[u32], rows: &[usize]) -> Vec<usize> {
    rows.iter()
        .flat_map(|row| starts[*row] as usize..starts[*row + 1] as usize)
        .collect()
}

/// The row of the parent that lies so many rows before.
fn parent_row(row: usize, distance: i64, rows: usize) -> Result<usize, Damage> {
    i64::try_from(row)
        .ok()
        .and_then(|row| row.checked_sub(distance))
        .and_then(|row| usize::try_from(row).ok())
        .filter(|row| *row < rows)
        .ok_or_else(|| damage("parent"))
}

/// The text of a row in a column that may be missing.
fn optional(column: Option<&TextColumn>, row: usize) -> String {
    column
        .filter(|list| row < list.len())
        .map_or_else(String::new, |list| list.get(row).to_owned())
}

fn u32_of(value: u64, what: &str) -> Result<u32, Damage> {
    u32::try_from(value).map_err(|_| damage(what))
}
