//! Rows built again from the columns of a block.

use model::{Event, Link, LogRecord, Span, SpanId, TraceId, Value};

use super::PARENT_RAW;
use super::pick::{At, NONE, Pick, Source, damage};
use super::read::AttributeReader;
use super::table::{BlockTable, failed, status_code};
use crate::block::TextColumn;
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
                distance => i64::try_from(row)
                    .ok()
                    .and_then(|row| row.checked_sub(distance))
                    .and_then(|row| usize::try_from(row).ok())
                    .filter(|row| *row < self.rows())
                    .ok_or_else(|| damage("parent"))?,
            };
            index.push(u32::try_from(at).map_err(|_| damage("parent"))?);
        }
        if next_raw > ids.len() {
            return Err(damage("parent.raw"));
        }
        Ok((ids, index))
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
        if self.reader.bytes("body.bytes").map_err(failed)?.is_some() {
            let all = index_of(&[4, 5, 6]);
            for code in 4..=6u8 {
                let Some(list) = self.reader.bytes("body.bytes").map_err(failed)? else {
                    continue;
                };
                let index = all
                    .iter()
                    .zip(&kinds)
                    .map(|(i, k)| if *k == u64::from(code) { *i } else { NONE })
                    .collect();
                add(Source::Bytes(list, code), index)?;
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

    /// The bodies of these rows.
    pub(super) fn bodies(&self, rows: &[usize]) -> Result<Vec<Value>, Damage> {
        let kinds = self.uints("body.kind")?;
        if rows.iter().all(|row| kinds[*row] == 0) {
            let mut before = Vec::with_capacity(kinds.len());
            let mut texts = 0;
            for kind in &kinds {
                before.push(texts);
                texts += usize::from(*kind == 0);
            }
            let indices: Vec<usize> = rows.iter().map(|row| before[*row]).collect();
            let bodies = self
                .reader
                .text_at("body", texts, &indices)
                .map_err(failed)?;
            let bodies = match bodies {
                Some(bodies) => bodies,
                None if rows.is_empty() => Vec::new(),
                None => return Err(damage("body")),
            };
            return Ok(bodies.into_iter().map(Value::Str).collect());
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

    pub(super) fn read_spans(&self, rows: &[usize], columns: Columns) -> Result<Vec<Span>, Damage> {
        let mut out = self.summaries(rows)?;
        if columns == Columns::Summary {
            let mut seen: Vec<(*const model::Resource, std::sync::Arc<model::Resource>)> =
                Vec::new();
            for span in &mut out {
                let at = std::sync::Arc::as_ptr(&span.resource);
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
        let scopes = self.scopes()?;
        let scope = self.shared_index("scope", scopes.len())?;
        let (flags, dropped) = (self.uints("flags")?, self.uints("attr.dropped")?);
        let states = self.texts_of("trace_state", rows)?;
        let messages = self.texts_of("status.message", rows)?;
        let attributes = self.attributes()?.read(&self.reader, rows)?;
        let correlation = self.correlation(rows, &attributes, &[])?;
        for (((span, row), (attributes, correlation)), (state, message)) in out
            .iter_mut()
            .zip(rows)
            .zip(attributes.into_iter().zip(correlation))
            .zip(states.into_iter().zip(messages))
        {
            span.scope = scopes[scope[*row] as usize].clone();
            span.flags = u32::try_from(flags[*row]).map_err(|_| damage("flags"))?;
            span.trace_state = state;
            span.status_message = message;
            span.attributes = attributes;
            span.dropped_attributes_count = u32_of(dropped[*row], "attr.dropped")?;
            span.correlation = correlation;
        }
        self.fill_events(rows, &mut out)?;
        self.fill_links(rows, &mut out)?;
        Ok(out)
    }

    #[allow(clippy::cast_sign_loss)]
    fn summaries(&self, rows: &[usize]) -> Result<Vec<Span>, Damage> {
        let resources = self.resources()?;
        let resource = self.shared_index("resource", resources.len())?;
        let trace_ids = self
            .reader
            .fixed16("trace_id")
            .map_err(failed)?
            .unwrap_or_default();
        let (ids, parents) = self.parent_ids()?;
        let times = self.time_column()?;
        let durations = self.ints("duration")?;
        let names = self.texts_of("name", rows)?;
        let (kinds, statuses) = (self.ints("kind")?, self.ints("status")?);
        let clocks = self.clocks()?;
        if trace_ids.len() != self.rows() {
            return Err(damage("trace_id"));
        }
        rows.iter()
            .zip(names)
            .map(|(row, name)| {
                let status = status_code(statuses[*row]);
                Ok(Span {
                    resource: resources[resource[*row] as usize].clone(),
                    trace_id: TraceId(trace_ids[*row]),
                    span_id: SpanId(ids[*row]),
                    parent_span_id: (parents[*row] != NONE)
                        .then(|| SpanId(ids[parents[*row] as usize])),
                    name,
                    kind: i32::try_from(kinds[*row]).map_err(|_| damage("kind"))?,
                    start_unix_nano: times[*row],
                    end_unix_nano: times[*row].wrapping_add(durations[*row] as u64),
                    status_code: status.unwrap_or_default(),
                    has_status: status.is_some(),
                    clock: clocks.of(*row),
                    ..Span::default()
                })
            })
            .collect()
    }

    #[allow(clippy::cast_sign_loss)]
    fn fill_events(&self, rows: &[usize], out: &mut [Span]) -> Result<(), Damage> {
        let dropped = self.uints("event.dropped")?;
        for (span, row) in out.iter_mut().zip(rows) {
            span.dropped_events_count = u32_of(dropped[*row], "event.dropped")?;
        }
        let Some((starts, units)) = self.nested_starts("event")? else {
            return Ok(());
        };
        let times = self
            .reader
            .ints("event.time")
            .map_err(failed)?
            .unwrap_or_default();
        let names = self.reader.text("event.name").map_err(failed)?;
        let dropped = self.reader.uints("event.attr.dropped").map_err(failed)?;
        let dropped = dropped.unwrap_or_else(|| vec![0; units]);
        if times.len() != units || dropped.len() != units {
            return Err(damage("event counts"));
        }
        let wanted: Vec<usize> = rows
            .iter()
            .flat_map(|row| starts[*row] as usize..starts[*row + 1] as usize)
            .collect();
        let mut attributes = AttributeReader::open(&self.reader, "event.attr", units)?
            .read(&self.reader, &wanted)?
            .into_iter();
        for (span, row) in out.iter_mut().zip(rows) {
            for unit in starts[*row] as usize..starts[*row + 1] as usize {
                span.events.push(Event {
                    time_unix_nano: span.start_unix_nano.wrapping_add(times[unit] as u64),
                    name: optional(names.as_ref(), unit),
                    attributes: attributes.next().unwrap_or_default(),
                    dropped_attributes_count: u32_of(dropped[unit], "event.attr.dropped")?,
                });
            }
        }
        Ok(())
    }

    fn fill_links(&self, rows: &[usize], out: &mut [Span]) -> Result<(), Damage> {
        let dropped = self.uints("link.dropped")?;
        for (span, row) in out.iter_mut().zip(rows) {
            span.dropped_links_count = u32_of(dropped[*row], "link.dropped")?;
        }
        let Some((starts, units)) = self.nested_starts("link")? else {
            return Ok(());
        };
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
        let wanted: Vec<usize> = rows
            .iter()
            .flat_map(|row| starts[*row] as usize..starts[*row + 1] as usize)
            .collect();
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
        let (resources, scopes) = (self.resources()?, self.scopes()?);
        let resource = self.shared_index("resource", resources.len())?;
        let scope = self.shared_index("scope", scopes.len())?;
        let trace_ids = self
            .reader
            .fixed16("trace_id")
            .map_err(failed)?
            .unwrap_or_default();
        let (span_ids, span_index) = self.log_span_ids()?;
        let times = self.time_column()?;
        let (observed, severity) = (self.ints("observed")?, self.ints("severity")?);
        let severity_texts = self.texts_of("severity.text", rows)?;
        let event_names = self.texts_of("event_name", rows)?;
        let (flags, dropped) = (self.uints("flags")?, self.uints("attr.dropped")?);
        let attributes = self.attributes()?.read(&self.reader, rows)?;
        let bodies = self.bodies(rows)?;
        let correlation = self.correlation(rows, &attributes, &bodies)?;
        let clocks = self.clocks()?;
        if trace_ids.len() != self.rows() {
            return Err(damage("trace_id"));
        }
        rows.iter()
            .zip(attributes.into_iter().zip(bodies).zip(correlation))
            .zip(severity_texts.into_iter().zip(event_names))
            .map(|((row, ((attributes, body), correlation)), texts)| {
                let (severity_text, event_name) = texts;
                Ok(LogRecord {
                    resource: resources[resource[*row] as usize].clone(),
                    scope: scopes[scope[*row] as usize].clone(),
                    time_unix_nano: times[*row],
                    observed_time_unix_nano: times[*row].wrapping_add(observed[*row] as u64),
                    severity_number: i32::try_from(severity[*row])
                        .map_err(|_| damage("severity"))?,
                    severity_text,
                    body,
                    attributes,
                    dropped_attributes_count: u32_of(dropped[*row], "attr.dropped")?,
                    flags: u32_of(flags[*row], "flags")?,
                    trace_id: TraceId::from_wire(&trace_ids[*row]),
                    span_id: (span_index[*row] != NONE)
                        .then(|| SpanId(span_ids[span_index[*row] as usize])),
                    event_name,
                    correlation,
                    clock: clocks.of(*row),
                })
            })
            .collect()
    }
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
