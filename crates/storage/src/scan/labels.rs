//! Names and values of labels, from the terms of series.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::prometheus::NAME_LABEL;
use model::{Signal, Tenant, TimeRange, prometheus};

use super::candidates::point_heads;
use super::series::buckets;
use super::{Opened, Scan, Stop, Unit};
use crate::eval::Branches;
use crate::message::{Matcher, Reply, Rollup};
use crate::partition::BlockMeta;
use crate::points::select::{Selector, TermSource};
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
    let mut found: BTreeSet<String> = BTreeSet::new();
    // What was not found before.
    let look = |terms: &dyn TermSource, found: &BTreeSet<String>| {
        let mut new = BTreeSet::new();
        let mut each = |text: &str| {
            if !found.contains(text) {
                new.insert(text.to_owned());
            }
        };
        match label {
            Some(label) => selector.values(terms, label, &mut each),
            None => selector.names(terms, &mut each),
        }
        new
    };
    for head in point_heads(&scan.view, tenant) {
        let (min, max) = head.times();
        if range.overlaps(min, max) {
            let new = head.terms(|terms| look(terms, &found));
            found.extend(new);
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
        let inside = |block: &BlockMeta| range.overlaps(block.min_time, block.max_time);
        if !file.blocks.iter().any(inside) {
            continue;
        }
        if let Some(new) = file.with_series(|index| look(index, &found)) {
            found.extend(new);
            continue;
        }
        // Without an index of its series each block tells.
        let blocks = file.blocks.iter().enumerate();
        for (ordinal, block) in blocks.filter(|(_, block)| inside(block)) {
            let unit = Unit::Block {
                file: Arc::clone(entry),
                ordinal,
                block: *block,
                branches: Branches::ALL,
            };
            let read = scan
                .open(&unit)
                .and_then(|opened| of_block(&opened, &earlier, label, &mut found));
            scan.undamaged(&unit, read);
        }
    }
    if found.len() > limit {
        scan.cut("labels", limit, "select fewer series");
    }
    let list = found.into_iter().take(limit).collect();
    scan.reply(Reply::Labels(list))
}

fn of_block(
    opened: &Opened,
    matchers: &Matchers,
    label: Option<&str>,
    found: &mut BTreeSet<String>,
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
                None => drop(found.insert(name)),
                Some(label) if label == name => drop(found.insert(value)),
                Some(_) => {}
            }
        }
    }
    Ok(())
}
