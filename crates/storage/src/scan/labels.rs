//! Names and values of labels, from the terms of series.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::prometheus::NAME_LABEL;
use model::room::allocation;
use model::{Signal, Tenant, TimeRange, prometheus};

use super::candidates::point_heads;
use super::series::buckets;
use super::{Opened, Scan, Stop, Unit};
use crate::eval::Branches;
use crate::message::{Matcher, Reply, Rollup};
use crate::partition::{BlockFile, BlockMeta, FileEntry};
use crate::points::select::{Selector, TermSource, WhileWanted};
use crate::series_view::{self, Matchers};
use crate::table::Damage;

pub(super) fn run(
    scan: &Scan<'_>,
    (tenant, range): (&Tenant, TimeRange),
    matchers: &[Matcher],
    label: Option<&str>,
    limit: usize,
) -> Result<(), Stop> {
    let selector = Selector::new(matchers)?;
    let mut found = Least::new(limit, scan.limits.answer_bytes);
    // What was not found before. It is apart until it is known that all of it was read.
    let look = |terms: &dyn TermSource, found: &Least| {
        let mut new = Least::new(limit, scan.limits.answer_bytes);
        let mut each = |text: &str| {
            if found.wants(text) {
                new.add(text);
            }
        };
        let wanted = || scan.check().is_ok();
        let terms = WhileWanted::new(terms, &wanted);
        match label {
            Some(label) => selector.values(&terms, label, &mut each),
            None => selector.names(&terms, &mut each),
        }
        scan.check().map(|()| new)
    };
    for head in point_heads(&scan.view, tenant) {
        let (min, max) = head.times();
        if range.overlaps(min, max) {
            let new = head.terms(|terms| look(terms, &found));
            found.add_all(new?);
        }
    }
    let earlier = Matchers::new(matchers)?;
    scan.name_unread(tenant, Signal::Metrics, range);
    let partitions = scan.view.partitions.values();
    let own = partitions.filter(|partition| {
        partition.key.tenant == *tenant && partition.key.signal == Signal::Metrics
    });
    let days = buckets::days(&scan.view, tenant, range, Rollup::EVERYTHING);
    let kept = days.iter().flat_map(|day| &day.kept.files);
    for entry in own.flat_map(|partition| &partition.files).chain(kept) {
        if !range.overlaps(entry.min_time, entry.max_time) {
            continue;
        }
        scan.check()?;
        let Some(file) = scan.open_file(entry) else {
            continue;
        };
        if !file.blocks.iter().any(|block| is_inside(block, range)) {
            continue;
        }
        if let Some(new) = file.with_series(|index| look(index, &found)) {
            found.add_all(new?);
            continue;
        }
        // Without an index of its series each block tells.
        each_block(scan, (entry, &file), range, |opened| {
            of_block(opened, &earlier, label, &mut found)
        });
    }
    if found.first_left_out.is_some() {
        scan.cut("labels", found.texts.len(), "select fewer series");
    }
    scan.reply(Reply::Labels(found.texts.into_iter().collect()))
}

/// The first texts in their order, as many as are wanted and have room.
struct Least {
    texts: BTreeSet<String>,
    texts_max: usize,
    bytes: usize,
    bytes_max: usize,
    /// The first that is not there. None after it is taken in any more.
    first_left_out: Option<String>,
}

impl Least {
    fn new(texts_max: usize, bytes_max: u64) -> Self {
        Self {
            texts: BTreeSet::new(),
            texts_max,
            bytes: 0,
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            first_left_out: None,
        }
    }

    /// Whether a text that is found is news.
    fn wants(&self, text: &str) -> bool {
        let is_out = |first: &String| text >= first.as_str();
        !self.first_left_out.as_ref().is_some_and(is_out) && !self.texts.contains(text)
    }

    fn add(&mut self, text: &str) {
        if !self.wants(text) {
            return;
        }
        self.bytes += text_bytes(text);
        self.texts.insert(text.to_owned());
        while self.texts.len() > self.texts_max || self.bytes > self.bytes_max {
            self.first_left_out = self.texts.pop_last();
            self.bytes -= self.first_left_out.as_deref().map_or(0, text_bytes);
        }
    }

    fn add_all(&mut self, other: Self) {
        // Both have what comes before their first that is left out, and no text else.
        let texts = other.texts.iter().chain(&other.first_left_out);
        texts.for_each(|text| self.add(text));
        if let Some(first) = &other.first_left_out {
            self.leave_out_from(first);
        }
    }

    fn leave_out_from(&mut self, first: &str) {
        let out = self.texts.split_off(first);
        self.bytes -= out.iter().map(|text| text_bytes(text)).sum::<usize>();
        let known = self.first_left_out.take();
        let first = out.into_iter().next().unwrap_or_else(|| first.to_owned());
        self.first_left_out = known.into_iter().chain([first]).min();
    }
}

/// What a text takes in a set.
fn text_bytes(text: &str) -> usize {
    size_of::<String>() + allocation(text.len())
}

fn is_inside(block: &BlockMeta, range: TimeRange) -> bool {
    range.overlaps(block.min_time, block.max_time)
}

/// Opens each block of a file in a range.
fn each_block(
    scan: &Scan<'_>,
    (entry, file): (&Arc<FileEntry>, &BlockFile),
    range: TimeRange,
    mut look: impl FnMut(&Opened) -> Result<(), Damage>,
) {
    let blocks = file.blocks.iter().enumerate();
    for (ordinal, block) in blocks.filter(|(_, block)| is_inside(block, range)) {
        let unit = Unit::Block {
            file: Arc::clone(entry),
            ordinal,
            block: *block,
            branches: Branches::ALL,
        };
        let read = scan.open(&unit).and_then(|opened| look(&opened));
        scan.undamaged(&unit, read);
    }
}

fn of_block(
    opened: &Opened,
    matchers: &Matchers,
    label: Option<&str>,
    found: &mut Least,
) -> Result<(), Damage> {
    let Opened::Block(block) = opened else {
        return Ok(());
    };
    for series in block
        .series()?
        .iter()
        .filter(|series| matchers.may_match(series))
    {
        let mut labels = prometheus::base_labels(series);
        labels.extend(prometheus::target_info(series).into_iter().flatten());
        let names = series_view::names(series);
        labels.extend(names.into_iter().map(|name| (NAME_LABEL.to_owned(), name)));
        for (name, value) in labels {
            match label {
                None => found.add(&name),
                Some(label) if label == name => found.add(&value),
                Some(_) => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_texts_are_kept_in_whatever_order_they_come() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut texts: Vec<String> = (0..500).map(|n| format!("value-{n:03}")).collect();
        for (count, bytes) in [(7, u64::MAX), (usize::MAX, 2_000), (500, u64::MAX), (0, 9)] {
            let mut least = Least::new(count, bytes);
            for _ in 0..2 {
                random.shuffle(&mut texts);
                for part in texts.chunks(90) {
                    let mut new = Least::new(count, bytes);
                    part.iter().for_each(|text| new.add(text));
                    least.add_all(new);
                }
            }
            texts.sort_unstable();
            let kept: Vec<String> = least.texts.into_iter().collect();
            let fits = usize::try_from(bytes).unwrap() / text_bytes(&texts[0]);
            assert_eq!(kept, texts[..count.min(fits).min(500)]);
            assert_eq!(least.first_left_out.as_ref(), texts.get(kept.len()));
            let bytes: usize = kept.iter().map(|text| text_bytes(text)).sum();
            assert_eq!(least.bytes, bytes);
        }
    }
}
