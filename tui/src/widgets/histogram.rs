//! Counts over time as bars; columns that contain errors are marked below, too.

use api::HistogramAnswer;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::canvas::{put, put_right, row};
use crate::text::count;
use crate::theme::Theme;
use crate::zone::Zone;

/// Bars from an eighth of a cell to a whole one.
const EIGHTHS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws two rows of bars and one with the time axis.
pub(crate) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    theme: &Theme,
    counts: &HistogramAnswer,
    now: u64,
    zone: &Zone,
) {
    let Some((first, last)) = bounds(counts) else {
        return;
    };
    let wide = usize::from(area.width);
    let (totals, errors) = bins(counts, first, last, wide);
    let highest = totals.iter().copied().max().unwrap_or(0).max(1);
    let bars = area.height.saturating_sub(1);
    for (column, (&total, &failed)) in totals.iter().zip(&errors).enumerate() {
        if total == 0 {
            continue;
        }
        let eighths = (total * u64::from(bars) * 8).div_ceil(highest).max(1);
        let style = if failed > 0 {
            theme.error
        } else {
            theme.accent
        };
        for level in 0..bars {
            let filled = eighths.saturating_sub(u64::from(level) * 8).min(8);
            let Some(symbol) = filled.checked_sub(1).map(|place| EIGHTHS[place as usize]) else {
                break;
            };
            let place = row(area, bars - 1 - level);
            put(
                buffer,
                place,
                u16::try_from(column).unwrap_or(u16::MAX),
                symbol,
                style,
            );
        }
    }
    let axis = row(area, bars);
    let failed = error_count(counts);
    let dated = zone.dated(now, [first, last]);
    let text = format!(
        "{} · {} records · {} errors",
        zone.stamp(first, dated),
        count(counts.total),
        count(failed)
    );
    put(buffer, axis, 0, &text, theme.dim);
    put_right(buffer, axis, &zone.stamp(last, dated), theme.dim);
}

fn bounds(counts: &HistogramAnswer) -> Option<(u64, u64)> {
    let times = || {
        counts
            .series
            .iter()
            .flat_map(|series| &series.buckets)
            .map(|bucket| bucket.0)
    };
    let first = times().min()?;
    let last = times().max()?.saturating_add(counts.step_nano.max(1));
    Some((first, last))
}

/// Heights of the columns: all, and those of errors. Where there are more buckets than columns a
/// column holds the sum of its buckets; where there are fewer, a bucket fills its columns.
fn bins(counts: &HistogramAnswer, first: u64, last: u64, wide: usize) -> (Vec<u64>, Vec<u64>) {
    let (mut totals, mut errors) = (vec![0; wide], vec![0; wide]);
    let span = u128::from(last - first).max(1);
    let column = |time: u64| (u128::from(time - first) * wide as u128 / span) as usize;
    for series in &counts.series {
        let failed = series.key.iter().any(|key| is_error(key));
        for &(start, number) in &series.buckets {
            let from = column(start).min(wide.saturating_sub(1));
            let until = column(start.saturating_add(counts.step_nano).min(last)).max(from + 1);
            for place in from..until.min(wide) {
                totals[place] += number;
                errors[place] += if failed { number } else { 0 };
            }
        }
    }
    (totals, errors)
}

/// Sum of the counts of errors.
fn error_count(counts: &HistogramAnswer) -> u64 {
    let failed = counts
        .series
        .iter()
        .filter(|series| series.key.iter().any(|key| is_error(key)));
    failed
        .flat_map(|series| &series.buckets)
        .map(|bucket| bucket.1)
        .sum()
}

fn is_error(level: &str) -> bool {
    let level = level.to_ascii_lowercase();
    ["error", "err", "fatal", "critical", "panic"]
        .iter()
        .any(|word| level.starts_with(word))
        || level
            .parse::<u8>()
            .is_ok_and(|number| (17..=24).contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::HistogramSeries;

    #[test]
    fn buckets_fall_into_columns_and_none_is_lost() {
        let series = |key: &str, buckets: Vec<(u64, u64)>| HistogramSeries {
            key: vec![key.to_owned()],
            total: 0,
            buckets,
        };
        let counts = HistogramAnswer {
            step_nano: 10,
            series: vec![
                series("info", vec![(100, 5), (190, 7)]),
                series("ERROR", vec![(150, 2)]),
            ],
            ..HistogramAnswer::default()
        };
        assert_eq!(bounds(&counts), Some((100, 200)));
        assert_eq!(
            bins(&counts, 100, 200, 4),
            (vec![5, 0, 2, 7], vec![0, 0, 2, 0])
        );
        assert_eq!(bins(&counts, 100, 200, 0), (vec![], vec![]));
        assert_eq!(bins(&counts, 100, 200, 20).0[..5], [5, 5, 0, 0, 0]);
        assert_eq!(error_count(&counts), 2);
    }
}
