//! How many log bodies of a block have which template, by minute: what counts of words need, in a
//! few dozen numbers instead of thousands.
//!
//! `template.text` has the templates of the column `body`, sorted, so that blocks with the same ones
//! have the same list. Three columns of equal length, sorted by minute and template, count: `template.minute`
//! (minutes since the epoch), `template.index` (into `template.text`) and `template.rows`. A block
//! in which not every body is text, or whose bodies have too many templates, has none.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::MINUTE_NANOS;
use super::pick::damage;
use super::table::{BlockTable, failed};
use crate::block::{BlockWriter, Distinct, PLACE, Templated, Values};
use crate::table::Damage;

/// There are at least so many rows for each cell.
const ROWS_PER_CELL: usize = 8;

/// The templates take no more than so many bytes for each row.
const BYTES_PER_ROW: usize = 4;

/// Writes the columns for rows with these times, all of which have a body of the column, if they pay.
pub(super) fn encode(
    times: &[u64],
    bodies: &Distinct,
    templates: &Templated,
    writer: &mut BlockWriter,
) {
    let texts: Vec<&[u8]> = (0..templates.texts.len())
        .map(|template| templates.texts.get(template))
        .collect();
    let most = times.len() / ROWS_PER_CELL;
    if texts.len() > most || templates.texts.buffer.len() > times.len() * BYTES_PER_ROW {
        return;
    }
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_unstable_by_key(|template| texts[*template]);
    let mut minutes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (time, body) in times.iter().zip(&bodies.codes) {
        let minute = time / MINUTE_NANOS;
        let rows = minutes
            .entry(minute)
            .or_insert_with(|| vec![0; texts.len()]);
        rows[templates.of[*body as usize] as usize] += 1;
        if minutes.len() > most {
            return;
        }
    }
    let (mut minute, mut index, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for (at, counts) in minutes {
        for (place, template) in (0u64..).zip(&order) {
            if counts[*template] > 0 {
                minute.push(at);
                index.push(place);
                rows.push(counts[*template]);
            }
        }
    }
    if rows.len() > most {
        return;
    }
    let texts = order.into_iter().map(|template| texts[template]).collect();
    writer
        .column("template.text", Values::Bytes(texts))
        .column("template.minute", Values::UInt(minute.into()))
        .column("template.index", Values::UInt(index.into()))
        .column("template.rows", Values::UInt(rows.into()));
}

/// What is known of templates: blocks have the same ones, mostly.
#[derive(Default)]
pub(crate) struct KnownTemplates(FxHashMap<Box<[u8]>, Option<bool>>);

impl KnownTemplates {
    /// Templates that are kept; others are looked at each time.
    const KEPT_MAX: usize = 4_096;
    /// Longer ones are not kept.
    const BYTES_MAX: usize = 1_024;

    /// Whether bodies of a template pass, as far as it tells.
    fn passes(
        &mut self,
        template: &[u8],
        decide: impl Fn(&[&[u8]]) -> Option<bool>,
    ) -> Option<bool> {
        if let Some(passes) = self.0.get(template) {
            return *passes;
        }
        let literals: Vec<&[u8]> = template.split(|byte| *byte == PLACE).collect();
        let passes = decide(&literals);
        if self.0.len() < Self::KEPT_MAX && template.len() <= Self::BYTES_MAX {
            self.0.insert(template.into(), passes);
        }
        passes
    }
}

impl BlockTable {
    /// How many rows pass by minute, of which the start is given; nothing where the templates of
    /// their bodies do not tell, or were not counted. `decide` is given what of a template is not
    /// variable, and always says the same of it.
    pub(crate) fn passing_bodies(
        &self,
        decide: impl Fn(&[&[u8]]) -> Option<bool>,
        known: &mut KnownTemplates,
    ) -> Result<Option<Vec<(u64, u64)>>, Damage> {
        let texts = self.reader.bytes("template.text").map_err(failed)?;
        let Some(texts) = texts else {
            return Ok(None);
        };
        let mut passes = Vec::with_capacity(texts.len());
        for text in texts.iter() {
            let Some(one) = known.passes(text, &decide) else {
                return Ok(None);
            };
            passes.push(one);
        }
        let missing = || damage("template columns");
        let uints = |name: &str| self.reader.uints(name).map_err(failed)?.ok_or_else(missing);
        let (minutes, rows) = (uints("template.minute")?, uints("template.rows")?);
        let index = self.reader.indices("template.index", passes.len());
        let index = index.map_err(failed)?.ok_or_else(missing)?;
        let all = rows
            .iter()
            .fold(0u64, |all, rows| all.saturating_add(*rows));
        if (index.len(), rows.len()) != (minutes.len(), minutes.len())
            || all != self.rows() as u64
            || !minutes.is_sorted()
        {
            return Err(missing());
        }
        let mut passing: Vec<(u64, u64)> = Vec::new();
        for ((minute, index), rows) in minutes.into_iter().zip(index).zip(rows) {
            if passes[index as usize] {
                passing.push((minute.saturating_mul(MINUTE_NANOS), rows));
            }
        }
        Ok(Some(passing))
    }
}

#[cfg(test)]
mod tests;
