//! Metric series with their points.

use std::collections::BTreeMap;

use model::metric::Series;
use model::{DataPoint, Signal, Tenant, TimeRange};

use super::{Opened, Scan, Stop, candidates};
use crate::message::{Matcher, Reply, SeriesPoints};
use crate::series_view::Matchers;
use crate::terms::need_of_matchers;

/// Series in one reply.
const SERIES_PER_REPLY: usize = 500;

pub(super) fn run(
    scan: &Scan<'_>,
    tenant: &Tenant,
    range: TimeRange,
    matchers: &[Matcher],
    points: bool,
    limit: usize,
) -> Result<(), Stop> {
    let need = need_of_matchers(matchers);
    let matchers = Matchers::new(matchers)?;
    let units = candidates::units(&scan.view, tenant, Signal::Metrics, range, &need);
    let mut found: BTreeMap<Vec<u8>, SeriesPoints> = BTreeMap::new();
    let mut stopped = Ok(());
    for unit in units {
        match scan.check() {
            Ok(()) => {}
            Err(Stop::Limit) => {
                stopped = Err(Stop::Limit);
                break;
            }
            Err(other) => return Err(other),
        }
        let read = scan.open(&unit).and_then(|opened| {
            let mut cut = false;
            let mut take = |series: &Series, list: Vec<DataPoint>| {
                let key = crate::chunk::encode(series);
                if found.len() >= limit && !found.contains_key(&key) {
                    cut = true;
                    return;
                }
                let entry = found.entry(key).or_insert_with(|| SeriesPoints {
                    series: series.clone(),
                    points: Vec::new(),
                });
                if points {
                    entry.points.extend(list);
                }
            };
            each_series(&opened, range, &matchers, &mut take)?;
            Ok(cut)
        });
        if scan.undamaged(read) == Some(true) {
            scan.cut("series", limit, "select fewer series");
        }
    }
    let mut part = Vec::new();
    for (_, mut series) in found {
        series.points.sort_by_key(|point| point.time_unix_nano);
        part.push(series);
        if part.len() == SERIES_PER_REPLY {
            scan.reply(Reply::Series(std::mem::take(&mut part)))?;
        }
    }
    if !part.is_empty() {
        scan.reply(Reply::Series(part))?;
    }
    stopped
}

/// Calls `take` for each matching series of a unit with its points inside the range, if any.
fn each_series(
    opened: &Opened,
    range: TimeRange,
    matchers: &Matchers,
    take: &mut dyn FnMut(&Series, Vec<DataPoint>),
) -> Result<(), crate::table::Damage> {
    let mut by_series: BTreeMap<usize, Vec<DataPoint>> = BTreeMap::new();
    match opened {
        Opened::Chunk(chunk) => {
            let matching: Vec<bool> = chunk
                .series
                .iter()
                .map(|entry| matchers.may_match(&entry.series))
                .collect();
            for (row, point) in chunk.points.iter().enumerate() {
                if matching[point.series as usize] && range.contains(point.time) {
                    by_series
                        .entry(point.series as usize)
                        .or_default()
                        .push(chunk.point(row));
                }
            }
            for (index, points) in by_series {
                take(&chunk.series[index].series, points);
            }
        }
        Opened::Block(block) => {
            let series = block.series()?;
            let matching: Vec<bool> = series.iter().map(|s| matchers.may_match(s)).collect();
            if !matching.contains(&true) {
                return Ok(());
            }
            for (index, point) in block.points()? {
                let known = matching.get(index).ok_or_else(|| {
                    crate::table::Damage("a point of a series that is not there".to_owned())
                })?;
                if *known && range.contains(point.time_unix_nano) {
                    by_series.entry(index).or_default().push(point);
                }
            }
            for (index, points) in by_series {
                take(&series[index], points);
            }
        }
    }
    Ok(())
}
