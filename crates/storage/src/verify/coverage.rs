//! Whether the id table and the index lead to a block for every search that its rows pass.

use model::Signal;
use rustc_hash::FxHashMap;

use super::{About, Severity};
use crate::index::{ORDINAL_BITS, TermIndex};
use crate::layout::BlockTable;
use crate::partition::BlockFile;
use crate::points::index::SeriesIndex;
use crate::points::labels::Terms;
use crate::points::select::TermSource;
use crate::table::Damage;
use crate::terms::{Search, each_search};

/// Missing searches that are named for each block.
const NAMED_MAX: usize = 3;

/// What leads to the blocks of one file.
pub(super) struct Coverage<'a> {
    /// The file's blocks, by where they were written first.
    blocks: FxHashMap<(u64, u32), u32>,
    /// Sorted pairs of term and ordinal; nothing where every block is searched anyway.
    ids: Option<Vec<u64>>,
    index: Option<&'a TermIndex>,
    /// The file's blocks of the terms that were looked up in the index.
    known: FxHashMap<u64, Vec<u32>>,
    /// Of points: which series have which label, in place of the other two.
    series: Option<&'a SeriesIndex>,
}

impl<'a> Coverage<'a> {
    pub(super) fn new(
        file: &'a BlockFile,
        (signal, has_ids): (Signal, bool),
        index: Option<&'a TermIndex>,
        about: &mut About<'_>,
    ) -> Self {
        let mut this = Self {
            blocks: (0..file.blocks.len())
                .map(|ordinal| {
                    let origin = file.origin(ordinal);
                    let ordinal = u32::try_from(ordinal).unwrap_or(u32::MAX);
                    ((origin.file, origin.ordinal), ordinal)
                })
                .collect(),
            ids: None,
            index: index
                .filter(|index| file.indexed_files.iter().all(|other| index.covers(*other))),
            known: FxHashMap::default(),
            series: file.series(),
        };
        if this.series.is_some() {
            return this;
        }
        if signal == Signal::Metrics && !has_ids {
            let what = "it is missing, or does not read";
            about.add(Severity::Damage, ".series", None, what, SLOWER);
            return this;
        }
        let Some(ids) = file.ids() else {
            let what = "it is missing, does not read, or has terms of another scheme";
            about.add(Severity::Damage, ".ids", None, what, SLOWER);
            return this;
        };
        let mut pairs = Vec::with_capacity(ids.len());
        for pair in ids.pairs() {
            match pair {
                Ok((term, ordinal)) => {
                    if ordinal as usize >= file.blocks.len() {
                        let what = format!("it names block {ordinal}, which is not there");
                        about.add(Severity::Damage, ".ids", None, what, "nothing");
                        continue;
                    }
                    pairs.push(term << ORDINAL_BITS | u64::from(ordinal));
                }
                Err(error) => {
                    about.add(Severity::Damage, ".ids", None, error.to_string(), SLOWER);
                    return this;
                }
            }
        }
        if !pairs.is_sorted() {
            let what = "its pairs are not in order";
            about.add(Severity::Loss, ".ids", None, what, "searches miss rows");
            pairs.sort_unstable();
        }
        if !file.indexed_files.is_empty() && this.index.is_none() {
            // Searched whole until it is merged into one that is covered.
            let what = "the index of its partition does not have it";
            about.add(Severity::Damage, ".blocks", None, what, SLOWER);
            return this;
        }
        this.ids = Some(pairs);
        this
    }

    /// Looks up everything that rows of a block have to be found by.
    pub(super) fn check(
        &mut self,
        table: &BlockTable,
        ordinal: usize,
        signal: Signal,
        about: &mut About<'_>,
    ) -> Result<(), Damage> {
        if let Some(index) = self.series {
            return series_leads(index, table, ordinal, about);
        }
        if self.ids.is_none() {
            return Ok(());
        }
        let ordinal32 = u32::try_from(ordinal).unwrap_or(u32::MAX);
        let (mut searches, mut missing) = (0, 0);
        let mut named = Vec::new();
        let mut failure = None;
        each_search(table, signal, &mut |search: &Search<'_>| {
            searches += 1;
            let mut leads = |term: &u64| {
                self.leads(*term, ordinal32).unwrap_or_else(|error| {
                    failure.get_or_insert(error);
                    true
                })
            };
            if !search.terms.iter().any(&mut leads) {
                missing += 1;
                if named.len() < NAMED_MAX {
                    let Search { of, key, value, .. } = search;
                    let value: String = value.chars().take(80).collect();
                    named.push(format!("{of} {key}:{value}"));
                }
            }
        })?;
        about.report.checked.searches += searches;
        if let Some(error) = failure {
            about.add(Severity::Damage, ".ids", Some(ordinal), error, SLOWER);
            self.ids = None;
        }
        if missing > 0 {
            let what = format!(
                "{missing} of {searches} searches do not lead to it, such as {}",
                named.join(", ")
            );
            let costs = "rows of it are missing from answers to these";
            about.add(Severity::Loss, ".ids", Some(ordinal), what, costs);
        }
        Ok(())
    }

    /// Whether a term leads to the block.
    fn leads(&mut self, term: u64, ordinal: u32) -> Result<bool, String> {
        let pair = term << ORDINAL_BITS | u64::from(ordinal);
        let in_ids = self
            .ids
            .as_ref()
            .is_none_or(|ids| ids.binary_search(&pair).is_ok());
        let Some(index) = self.index.filter(|_| !in_ids) else {
            return Ok(in_ids);
        };
        if let Some(known) = self.known.get(&term) {
            return Ok(known.contains(&ordinal));
        }
        let found = index.lookup(term).map_err(|error| error.to_string())?;
        let own = found.iter().filter_map(|block| self.blocks.get(block));
        let own: Vec<u32> = own.copied().collect();
        let leads = own.contains(&ordinal);
        self.known.insert(term, own);
        Ok(leads)
    }
}

/// Looks up everything that series of a block have to be found by.
fn series_leads(
    index: &SeriesIndex,
    table: &BlockTable,
    ordinal: usize,
    about: &mut About<'_>,
) -> Result<(), Damage> {
    let entries = table.entries()?;
    let said = index.blocks().get(ordinal).cloned().unwrap_or_default();
    if said.len() != entries.len() {
        let what = format!(
            "it has {} series of a block of {}",
            said.len(),
            entries.len()
        );
        let costs = "series of it are missing from answers";
        about.add(Severity::Loss, ".series", Some(ordinal), what, costs);
        return Ok(());
    }
    let mut terms = Terms::default();
    let (mut searches, mut missing) = (0, 0);
    for (place, entry) in said.zip(&entries) {
        terms.each(entry, |key| {
            searches += 1;
            missing += u64::from(!index.find(key).contains(place));
        });
    }
    about.report.checked.searches += searches;
    if missing > 0 {
        let what = format!("{missing} of {searches} searches do not lead to its series");
        let costs = "series of it are missing from answers to these";
        about.add(Severity::Loss, ".series", Some(ordinal), what, costs);
    }
    Ok(())
}

const SLOWER: &str = "time: every block of the file is searched";
