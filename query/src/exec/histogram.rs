//! Log records counted by time and fields.

use api::{HistogramAnswer, HistogramSeries};
use model::time::NANOS_PER_SECOND;
use model::{Signal, TimeRange};
use storage::filter::{Field, Filter};

use super::{Context, extent};
use crate::error::QueryError;
use crate::lang::field_text;

/// About how many buckets an automatic step makes.
const BUCKETS: u64 = 60;
/// How many buckets an answer may have.
const BUCKETS_MAX: u64 = 11_000;

/// Steps that people read well, in nanoseconds.
const STEPS: [u64; 22] = {
    const MS: u64 = 1_000_000;
    const S: u64 = NANOS_PER_SECOND;
    [
        MS,
        10 * MS,
        100 * MS,
        500 * MS,
        S,
        2 * S,
        5 * S,
        10 * S,
        15 * S,
        30 * S,
        60 * S,
        120 * S,
        300 * S,
        600 * S,
        900 * S,
        1_800 * S,
        3_600 * S,
        7_200 * S,
        14_400 * S,
        21_600 * S,
        43_200 * S,
        86_400 * S,
    ]
};

/// A question for counts.
#[derive(Debug, Clone)]
pub struct Histogram {
    /// Of which rows.
    pub filter: Filter,
    /// When.
    pub range: TimeRange,
    /// Width of a bucket; chosen by the range where not given.
    pub step_nano: Option<u64>,
    /// Grouped by.
    pub by: Vec<Field>,
    /// How many groups.
    pub limit: usize,
}

/// The step that divides a range into about [`BUCKETS`] buckets.
pub fn step_for(range: TimeRange) -> u64 {
    let wanted = (range.end.saturating_sub(range.start) / BUCKETS).max(1);
    let longest = STEPS[STEPS.len() - 1];
    STEPS
        .into_iter()
        .find(|step| *step >= wanted)
        .unwrap_or_else(|| wanted.div_ceil(longest) * longest)
}

/// Counts log records.
pub async fn count(context: Context<'_>, ask: Histogram) -> Result<HistogramAnswer, QueryError> {
    let step_nano = match ask.step_nano {
        Some(step) => step,
        None => match extent(context, Signal::Logs, &ask.filter, ask.range).await? {
            Some(range) => step_for(range),
            None => STEPS[4],
        },
    };
    let closed = ask.range.start != 0 && ask.range.end != u64::MAX;
    let buckets = (ask.range.end - ask.range.start.min(ask.range.end)) / step_nano;
    if closed && buckets > BUCKETS_MAX {
        let message = format!("the step makes {buckets} buckets, more than {BUCKETS_MAX}");
        return Err(QueryError::parameter(message).hint("make the step longer or leave it out"));
    }
    let selection = context.selection(Signal::Logs, ask.filter, ask.range);
    let by: Vec<String> = ask.by.iter().map(field_text).collect();
    let counts = context
        .sources
        .counts(selection, Some(step_nano), ask.by, ask.limit, context.work)
        .await?;
    let mut other = counts.other;
    let groups = counts.groups.into_iter().map(|group| HistogramSeries {
        total: group.rows(),
        key: group.key,
        buckets: group.buckets,
    });
    let mut series: Vec<HistogramSeries> = groups.collect();
    series.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.key.cmp(&b.key)));
    if series.len() > ask.limit {
        let left_out = series.split_off(ask.limit);
        let (number, most) = (left_out.len(), left_out[0].total);
        let hint = format!(
            "{number} more, of at most {most} rows each, are left out; raise the limit or add \
             conditions"
        );
        context.work.cut("groups", ask.limit, hint);
        other += left_out.iter().map(|series| series.total).sum::<u64>();
    }
    let shown: u64 = series.iter().map(|series| series.total).sum();
    Ok(HistogramAnswer {
        step_nano,
        by,
        series,
        total: shown + other,
        other,
        completeness: context.work.completeness(),
    })
}
