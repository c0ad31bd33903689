//! How many rows of a block lie in which minute and have which resource: what counts without a
//! condition need, in a few dozen numbers instead of thousands.
//!
//! Three columns of equal length, sorted by minute and resource: `count.minute` (minutes since the
//! epoch), `count.resource` (index into `resources`) and `count.rows`. A block whose rows are
//! scattered over too many minutes has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Resource, Signal};
use rustc_hash::FxHashMap;

use super::pick::damage;
use super::table::{BlockTable, failed};
use crate::block::{BlockWriter, Kind, Values};
use crate::filter::{Field, Level};
use crate::table::{Cell, Damage, Texts, shared_value};

/// The width of a cell in time, in nanoseconds.
pub(crate) const MINUTE_NANOS: u64 = 60_000_000_000;

/// There are at least so many rows for each cell.
const ROWS_PER_CELL: usize = 8;

/// Writes the columns for rows with these times and resources, if they pay.
pub(super) fn encode(times: &[u64], resources: &[u64], writer: &mut BlockWriter) {
    let most = times.len() / ROWS_PER_CELL;
    let mut cells: FxHashMap<(u64, u64), u64> = FxHashMap::default();
    for (time, resource) in times.iter().zip(resources) {
        *cells.entry((time / MINUTE_NANOS, *resource)).or_default() += 1;
        if cells.len() > most {
            return;
        }
    }
    let cells: BTreeMap<(u64, u64), u64> = cells.into_iter().collect();
    let minutes: Vec<u64> = cells.keys().map(|(minute, _)| *minute).collect();
    let resources: Vec<u64> = cells.keys().map(|(_, resource)| *resource).collect();
    let rows: Vec<u64> = cells.into_values().collect();
    writer
        .column("count.minute", Values::UInt(minutes.into()))
        .column("count.resource", Values::UInt(resources.into()))
        .column("count.rows", Values::UInt(rows.into()));
}

/// Rows of a block counted by minute and by the texts of some fields.
pub(crate) struct Summary {
    /// Per group the texts, in the order of the fields. Groups may be alike.
    pub keys: Arc<[Vec<String>]>,
    /// The start of a minute, a group, and how many rows: by rising minutes.
    pub cells: Vec<(u64, u32, u64)>,
}

/// The groups of the block before: blocks of one file often have the same resources.
#[derive(Default)]
pub(crate) struct KnownKeys {
    /// The stored bytes that the texts of each field come from.
    stored: Vec<Vec<u8>>,
    keys: Arc<[Vec<String>]>,
}

impl BlockTable {
    /// The rows by fields of their resources; nothing where a field may be another's, or where the
    /// block was not counted so.
    pub(crate) fn summary(
        &self,
        by: &[Field],
        known: &mut KnownKeys,
    ) -> Result<Option<Summary>, Damage> {
        let missing = || damage("count columns");
        let minutes = self.reader.uints("count.minute").map_err(failed)?;
        let (Some(minutes), false) = (minutes, self.signal == Signal::Metrics) else {
            return Ok(None);
        };
        let Some(keys) = self.keys_of(by, known)? else {
            return Ok(None);
        };
        let bound = if by.is_empty() {
            usize::MAX
        } else {
            keys.len()
        };
        let resources = self.reader.indices("count.resource", bound);
        let resources = resources.map_err(failed)?.ok_or_else(missing)?;
        let rows = self.reader.uints("count.rows").map_err(failed)?;
        let rows = rows.ok_or_else(missing)?;
        let all = rows
            .iter()
            .fold(0u64, |all, rows| all.saturating_add(*rows));
        if resources.len() != minutes.len() || rows.len() != minutes.len() {
            return Err(missing());
        }
        if all != self.rows() as u64 || !minutes.is_sorted() {
            return Err(missing());
        }
        let group = |resource: u32| if by.is_empty() { 0 } else { resource };
        let cells = minutes.into_iter().zip(resources).zip(rows);
        let cell = |((minute, resource), rows): ((u64, u32), u64)| {
            (minute.saturating_mul(MINUTE_NANOS), group(resource), rows)
        };
        let cells = cells.map(cell).collect();
        Ok(Some(Summary { keys, cells }))
    }

    /// The texts of the fields for each resource of the block.
    fn keys_of(
        &self,
        by: &[Field],
        known: &mut KnownKeys,
    ) -> Result<Option<Arc<[Vec<String>]>>, Damage> {
        if by.is_empty() {
            return Ok(Some(Arc::new([Vec::new()])));
        }
        let mut stored = Vec::with_capacity(by.len());
        for field in by {
            let Some((column, kind)) = self.texts_from(field)? else {
                return Ok(None);
            };
            let bytes = self.reader.payload(column, kind).map_err(failed)?;
            let Some(bytes) = bytes else { return Ok(None) };
            stored.push(bytes);
        }
        let same = known.stored.iter().eq(stored.iter());
        if !same {
            let mut keys: Vec<Vec<String>> = Vec::new();
            for field in by {
                let texts = self.resource_texts(field)?;
                keys.resize_with(texts.len(), Vec::new);
                for (key, text) in keys.iter_mut().zip(texts) {
                    key.push(text);
                }
            }
            // A part of the block would keep its file mapped.
            known.stored = stored.iter().map(|bytes| bytes.to_vec()).collect();
            known.keys = keys.into();
        }
        Ok(Some(Arc::clone(&known.keys)))
    }

    /// The column from which the texts of a field come, if it can only be the resource's.
    fn texts_from(&self, field: &Field) -> Result<Option<(&'static str, Kind)>, Damage> {
        let theirs = match field {
            Field::Service => return Ok(Some(("resource.service", Kind::Text))),
            Field::Attribute { level, key } => match level {
                Level::Resource => true,
                Level::Any => self.levels_of(key)? == [Level::Resource],
                _ => false,
            },
            _ => false,
        };
        Ok(theirs.then_some(("resources", Kind::Bytes)))
    }

    /// The text of such a field for each resource of the block.
    fn resource_texts(&self, field: &Field) -> Result<Vec<String>, Damage> {
        let Field::Attribute { key, .. } = field else {
            let services = self.reader.text("resource.service").map_err(failed)?;
            let services = services.ok_or_else(|| damage("resource.service"))?;
            let text = |text: &str| Texts::Shown.of(text.into());
            return Ok(services.iter().map(text).collect());
        };
        let text = |resource: &Arc<Resource>| {
            let value = shared_value(&resource.attributes, key);
            let text = value.map(|value| Texts::Shown.of(Cell::Value(value.value()).text()));
            text.unwrap_or_default()
        };
        Ok(self.all_resources()?.into_iter().map(text).collect())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::{KeyValue, LogRecord};

    use super::*;
    use crate::layout::RowRef;

    /// A block of records of some services, this many nanoseconds apart.
    fn block(rows: u32, step: u64) -> BlockTable {
        let record = |row: u32| LogRecord {
            resource: Arc::new(Resource {
                attributes: vec![
                    KeyValue::new("service.name", format!("service-{}", row % 3)),
                    KeyValue::new("host.name", format!("host-{}", row % 2)),
                ],
                ..Resource::default()
            }),
            // Some have the time of the observer alone.
            time_unix_nano: if row.is_multiple_of(5) {
                0
            } else {
                1 + u64::from(row) * step
            },
            observed_time_unix_nano: 1 + u64::from(row) * step,
            body: "x".into(),
            ..LogRecord::default()
        };
        let records: Vec<LogRecord> = (0..rows).map(record).collect();
        let chunks = [Arc::new(crate::testing::chunk(Signal::Logs, &records))];
        let rows: Vec<RowRef> = (0..rows).map(|row| RowRef { chunk: 0, row }).collect();
        let bytes = crate::testing::encoded(Signal::Logs, &chunks, &rows);
        BlockTable::open(Signal::Logs, Bytes::from(bytes), Arc::default()).unwrap()
    }

    fn any(key: &str) -> Field {
        Field::Attribute {
            level: Level::Any,
            key: key.to_owned(),
        }
    }

    #[test]
    fn cells_hold_each_row_once_by_minute_and_resource() {
        let table = block(600, 1_000_000_000);
        let by = [Field::Service, any("host.name")];
        let Summary { keys, cells } = table
            .summary(&by, &mut KnownKeys::default())
            .unwrap()
            .unwrap();
        let mut counted: BTreeMap<(u64, &[String]), u64> = BTreeMap::new();
        for (minute, group, rows) in &cells {
            *counted
                .entry((*minute, &keys[*group as usize]))
                .or_default() += rows;
        }
        let mut expected: BTreeMap<(u64, Vec<String>), u64> = BTreeMap::new();
        for row in 0..600 {
            let key = vec![format!("service-{}", row % 3), format!("host-{}", row % 2)];
            *expected.entry((row / 60 * MINUTE_NANOS, key)).or_default() += 1;
        }
        let counted = counted
            .into_iter()
            .map(|((minute, key), rows)| ((minute, key.to_vec()), rows));
        assert_eq!(counted.collect::<BTreeMap<_, _>>(), expected);
        let all = table
            .summary(&[], &mut KnownKeys::default())
            .unwrap()
            .unwrap();
        assert_eq!(*all.keys, [Vec::<String>::new()]);
        assert!(all.cells.iter().all(|(_, group, _)| *group == 0));
    }

    #[test]
    fn there_is_none_where_minutes_are_many_or_fields_are_not_of_resources() {
        assert!(
            block(600, MINUTE_NANOS)
                .summary(&[], &mut KnownKeys::default())
                .unwrap()
                .is_none()
        );
        let table = block(600, 1_000_000_000);
        for field in [Field::Level, Field::Body, Field::ScopeName] {
            assert!(
                table
                    .summary(&[field], &mut KnownKeys::default())
                    .unwrap()
                    .is_none()
            );
        }
        let absent = table
            .summary(&[any("absent")], &mut KnownKeys::default())
            .unwrap()
            .unwrap();
        assert!(absent.keys.iter().all(|key| *key == [String::new()]));
    }
}
