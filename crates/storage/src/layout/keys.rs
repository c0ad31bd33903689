//! Which attribute keys the rows of a block have.

use std::collections::BTreeSet;

use model::{KeyValue, Signal};

use super::read::AttributeReader;
use super::table::BlockTable;
use crate::filter::Level;
use crate::table::Damage;

impl BlockTable {
    /// The keys at a level, each once.
    pub(crate) fn keys(&self, level: Level) -> Result<BTreeSet<String>, Damage> {
        let of = |attributes: &[KeyValue]| -> Vec<String> {
            let keys = attributes.iter().map(|attribute| attribute.key.clone());
            keys.collect()
        };
        let metrics = self.signal == Signal::Metrics;
        let keys: BTreeSet<String> = match level {
            Level::Row if !metrics => self.attributes()?.keys().iter().cloned().collect(),
            Level::Row => {
                let series = self.series()?.iter();
                series.flat_map(|series| of(&series.attributes)).collect()
            }
            Level::Resource if metrics => {
                let series = self.series()?.iter();
                let keys = series.flat_map(|series| of(&series.resource.attributes));
                keys.collect()
            }
            Level::Resource => {
                let list = self.all_resources()?.into_iter();
                list.flat_map(|resource| of(&resource.attributes)).collect()
            }
            Level::Scope if metrics => {
                let series = self.series()?.iter();
                let keys = series.flat_map(|series| of(&series.scope.attributes));
                keys.collect()
            }
            Level::Scope => {
                let list = self.all_scopes()?.into_iter();
                list.flat_map(|scope| of(&scope.attributes)).collect()
            }
            Level::Event => self.nested_keys("event")?,
            Level::Link => self.nested_keys("link")?,
            Level::Any => BTreeSet::new(),
        };
        Ok(keys)
    }

    fn nested_keys(&self, unit: &str) -> Result<BTreeSet<String>, Damage> {
        let Some((_, units)) = self.nested_starts(unit)? else {
            return Ok(BTreeSet::new());
        };
        let reader = AttributeReader::open(&self.reader, &format!("{unit}.attr"), units)?;
        Ok(reader.keys().iter().cloned().collect())
    }

    /// The directory of its columns.
    pub(crate) fn reader(&self) -> &crate::block::BlockReader {
        &self.reader
    }
}
