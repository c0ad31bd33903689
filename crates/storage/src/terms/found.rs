//! By which terms the rows of a block are looked for: the other side of [`super::Need`], taken from
//! what a reader sees in the block's columns. Whoever checks an index asks it for these.

use model::{Signal, ValueRef};
use rustc_hash::FxHashSet;

use super::{Of, seed, term, truncated, value_term, word_term};
use crate::filter::{Field, Level};
use crate::layout::BlockTable;
use crate::series_view;
use crate::table::{Cell, Damage, Grouped, Mask, Table, Texts};
use crate::words;

/// A search that some row of a block passes.
pub(crate) struct Search<'a> {
    /// What is searched for: `attribute`, `word`, ...
    pub of: &'static str,
    pub key: &'a str,
    pub value: &'a str,
    /// One of these, cut to what the index keeps, has to lead to the block.
    pub terms: &'a [u64],
}

/// Shows a block's searches, each once.
struct Finder<'t, 's> {
    table: &'t BlockTable,
    all: Mask,
    seen: FxHashSet<u64>,
    see: &'s mut dyn FnMut(&Search<'_>),
}

/// Shows every search by which a row of the block has to be found. One of those that only differ in
/// more than the index can tell apart is shown.
pub(crate) fn each_search(
    table: &BlockTable,
    signal: Signal,
    see: &mut dyn FnMut(&Search<'_>),
) -> Result<(), Damage> {
    let mut finder = Finder {
        table,
        all: Mask::all(table.rows()),
        seen: FxHashSet::default(),
        see,
    };
    for level in [Level::Row, Level::Scope, Level::Resource] {
        finder.attributes(level)?;
    }
    finder.texts(&Field::Service, Of::Service, "service")?;
    match signal {
        Signal::Traces => {
            finder.attributes(Level::Event)?;
            finder.attributes(Level::Link)?;
            finder.texts(&Field::Name, Of::Name, "name")?;
            finder.texts(&Field::Kind, Of::Kind, "kind")?;
            finder.texts(&Field::Status, Of::Status, "status")?;
            finder.words(&Field::Name)?;
            finder.values(&Field::EventName, Of::EventName, "event.name")?;
            finder.values(&Field::LinkTraceId, Of::LinkTrace, "link.trace_id")?;
        }
        Signal::Logs => {
            finder.texts(&Field::Level, Of::Level, "level")?;
            finder.words(&Field::Body)?;
            finder.values(&Field::EventName, Of::EventName, "event.name")?;
        }
        Signal::Metrics => {
            finder.texts(&Field::Name, Of::Name, "name")?;
            finder.labels()?;
        }
    }
    if signal != Signal::Metrics {
        finder.values(&Field::TraceId, Of::Trace, "trace_id")?;
        finder.values(&Field::Correlation, Of::Correlation, "correlation")?;
    }
    Ok(())
}

impl Finder<'_, '_> {
    fn show(&mut self, of: &'static str, key: &str, value: &str, terms: &[u64]) {
        show(&mut self.seen, self.see, of, key, value, terms);
    }

    fn attributes(&mut self, level: Level) -> Result<(), Damage> {
        for key in self.table.keys(level)? {
            let of = Of::attribute(level);
            let unindexed = term(Of::Unindexed, &key, &[of as u8]);
            let seed = seed(of, &key);
            let mut found = false;
            let field = Field::Attribute {
                level,
                key: key.clone(),
            };
            let (seen, see) = (&mut self.seen, &mut *self.see);
            let mut value = |text: &str| {
                let terms = [value_term(seed, text.as_bytes()), unindexed];
                show(seen, see, "attribute", &key, text, &terms);
            };
            let mut others = false;
            self.table.visit(&field, &self.all, &mut |_, cell| {
                found = true;
                match cell {
                    Cell::Value(ValueRef::Str(text)) => value(text),
                    Cell::Value(ValueRef::Int(int)) => value(&int.to_string()),
                    Cell::Value(ValueRef::Bool(flag)) => value(&flag.to_string()),
                    Cell::Value(ValueRef::Empty) => {}
                    _ => others = true,
                }
            })?;
            if others {
                self.show("attribute of any value", &key, "", &[unindexed]);
            }
            if found {
                let has = term(Of::Has, &key, &[level as u8]);
                self.show("existence of attribute", &key, "", &[has]);
            }
        }
        Ok(())
    }

    /// A field of one text per row.
    fn texts(&mut self, field: &Field, of: Of, name: &'static str) -> Result<(), Damage> {
        let grouped = self.table.group(field, &self.all, Texts::Whole)?;
        for text in texts_of_rows(&grouped).filter(|text| !text.is_empty()) {
            // What has no name is a number, and those have no term.
            if !matches!(of, Of::Kind | Of::Status) || text.parse::<i64>().is_err() {
                self.show(name, "", text, &[term(of, "", text.as_bytes())]);
            }
        }
        Ok(())
    }

    /// A field of several values per row, or of ids.
    fn values(&mut self, field: &Field, of: Of, name: &'static str) -> Result<(), Damage> {
        let (seen, see) = (&mut self.seen, &mut *self.see);
        let seed = seed(of, "");
        self.table.visit(field, &self.all, &mut |_, cell| {
            let term = match cell {
                Cell::Id(id) if id.len() == 16 => term(of, "", id),
                Cell::Value(ValueRef::Str("")) => return,
                Cell::Value(ValueRef::Str(text)) if of == Of::Correlation => {
                    value_term(seed, text.as_bytes())
                }
                Cell::Value(ValueRef::Str(text)) => term(of, "", text.as_bytes()),
                _ => return,
            };
            show(seen, see, name, "", &cell.text(), &[term]);
        })
    }

    fn words(&mut self, field: &Field) -> Result<(), Damage> {
        let grouped = self.table.group(field, &self.all, Texts::Whole)?;
        let seed = seed(Of::Word, "");
        for text in texts_of_rows(&grouped) {
            words::each(text, &mut |word| {
                if let Some(term) = word_term(seed, word) {
                    self.show("word", "", word, &[term]);
                }
                true
            });
        }
        Ok(())
    }

    /// The names of series in Prometheus' view; see [`super::need_of_matchers`].
    fn labels(&mut self) -> Result<(), Damage> {
        for series in self.table.series()? {
            for name in series_view::names(series) {
                let label = term(Of::Label, "__name__", name.as_bytes());
                self.show("label", "__name__", &name, &[label]);
            }
        }
        Ok(())
    }
}

/// The texts that some row has. Others come where values of several types lie in one column, read
/// as what they are not.
fn texts_of_rows(grouped: &Grouped) -> impl Iterator<Item = &String> {
    let mut is_used = vec![false; grouped.texts.len()];
    for code in &grouped.codes {
        is_used[*code as usize] = true;
    }
    let texts = grouped.texts.iter().zip(is_used);
    texts.filter_map(|(text, is_used)| is_used.then_some(text))
}

/// Shows a search that was not shown yet. The first of its terms tells it from others.
fn show(
    seen: &mut FxHashSet<u64>,
    see: &mut dyn FnMut(&Search<'_>),
    of: &'static str,
    key: &str,
    value: &str,
    terms: &[u64],
) {
    if !terms.first().is_some_and(|first| seen.insert(*first)) {
        return;
    }
    let mut kept = [0; 2];
    for (kept, term) in kept.iter_mut().zip(terms) {
        *kept = truncated(*term);
    }
    let terms = &kept[..terms.len().min(kept.len())];
    see(&Search {
        of,
        key,
        value,
        terms,
    });
}
