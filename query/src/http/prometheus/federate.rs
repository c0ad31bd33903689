//! `federate`: the latest sample of every series that is selected, as text that another Prometheus
//! scrapes.
//!
//! Names that need quotes are escaped unless the scraper says that it takes them
//! (`escaping=allow-utf-8` in `Accept`). Native histograms have no form in this text and are left out,
//! as are series that ended.

use std::collections::BTreeMap;
use std::fmt::Write;

use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use model::prometheus::NAME_LABEL;
use otlp::exposition::escape;
use promql::Labels;
use promql::format::api_value;
use promql::labels::{is_classic_label_name, is_classic_metric_name};
use promql::source::is_stale;

use super::super::{State, bounded, completeness};
use super::answer::Answer;
use super::form::Form;
use crate::error::QueryError;
use crate::exec::series::{SeriesReader, range_of_ms};
use crate::sources::too_large;

const ESCAPED: &str = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores";
const QUOTED: &str = "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8";

/// The latest samples: by name, and by the other labels.
type Latest = BTreeMap<(String, Labels), (i64, f64)>;

/// `GET federate`
pub(crate) async fn federate(
    Extract(state): Extract<State>,
    headers: HeaderMap,
    form: Form,
) -> Answer {
    let selectors = form.selectors()?;
    let options = state.options();
    let running = state.begin_promql().await?;
    let reader = SeriesReader(running.context());
    let now_ms = i64::try_from(state.now() / 1_000_000).unwrap_or(i64::MAX);
    let first_ms = now_ms - options.promql.lookback_ms + 1;
    let range = range_of_ms(first_ms, now_ms);
    let mut latest = Latest::new();
    for matchers in &selectors {
        for series in reader.samples(matchers, range, first_ms).await? {
            let samples = &series.samples;
            let Some((time_ms, value)) = samples.times.last().zip(samples.floats.last()) else {
                continue;
            };
            let ended = samples.histogram_times.last() > Some(time_ms);
            if ended || is_stale(*value) {
                continue;
            }
            let name = series.labels.metric_name().to_owned();
            let mut labels = series.labels.without_metadata();
            for (name, value) in &options.about.external_labels {
                if labels.get(name).is_none() {
                    labels = labels.with(name, value);
                }
            }
            latest.insert((name, labels), (*time_ms, *value));
        }
    }
    let quotes = takes_quotes(&headers);
    let most = options.answer_bytes;
    let text = bounded::written(move || write(&latest, quotes, most)).await?;
    let kind = HeaderValue::from_static(if quotes { QUOTED } else { ESCAPED });
    let mut response: Response = ([(header::CONTENT_TYPE, kind)], text).into_response();
    completeness::put(response.headers_mut(), &running.work().completeness());
    Ok(response)
}

fn takes_quotes(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.contains("escaping=allow-utf-8"))
    })
}

fn write(latest: &Latest, quotes: bool, most: u64) -> Result<String, QueryError> {
    let mut text = String::new();
    let mut last: Option<&str> = None;
    for ((name, labels), (time_ms, value)) in latest {
        let plain = is_classic_metric_name(name);
        let written = match (plain, quotes) {
            (true, _) => name.clone(),
            (false, true) => quoted(name),
            (false, false) => escaped(name),
        };
        // Writing to a text cannot fail.
        if last.replace(name) != Some(name) {
            let _ = writeln!(text, "# TYPE {written} untyped");
        }
        let mut pairs: BTreeMap<String, String> = BTreeMap::new();
        for (label, value) in labels.iter().filter(|(label, _)| *label != NAME_LABEL) {
            let label = match (is_classic_label_name(label), quotes) {
                (true, _) => label.to_owned(),
                (false, true) => quoted(label),
                (false, false) => escaped(label),
            };
            // Two that are the same when they are escaped cannot both be written.
            pairs.entry(label).or_insert_with(|| quoted(value));
        }
        // Without one, whoever scrapes this would say that the series is of this service.
        pairs
            .entry("instance".to_owned())
            .or_insert_with(|| quoted(""));
        let mut inside: Vec<String> = Vec::with_capacity(pairs.len() + 1);
        if plain || !quotes {
            text.push_str(&written);
        } else {
            inside.push(written);
        }
        inside.extend(
            pairs
                .iter()
                .map(|(label, value)| format!("{label}={value}")),
        );
        if !inside.is_empty() {
            let _ = write!(text, "{{{}}}", inside.join(","));
        }
        let _ = writeln!(text, " {} {time_ms}", api_value(*value));
        if text.len() as u64 > most {
            return Err(too_large(most));
        }
    }
    Ok(text)
}

/// In quotes, with what the format escapes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// A name of letters, digits and underscores.
fn escaped(name: &str) -> String {
    let one = |(at, c): (usize, char)| {
        let fits = c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
        if fits { c } else { '_' }
    };
    name.chars().enumerate().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_the_scraper_takes_them() {
        let mut latest = Latest::new();
        let labels = Labels::new([("a.b", "x\"\\\n"), ("job", "shop")]);
        latest.insert(("up".into(), labels.clone()), (5, 1.0));
        latest.insert(("up".into(), Labels::empty()), (7, f64::INFINITY));
        latest.insert(("0 é".into(), labels), (6, 1e300));
        assert_eq!(
            write(&latest, false, 10_000).unwrap(),
            "# TYPE ___ untyped\n\
             ___{a_b=\"x\\\"\\\\\\n\",instance=\"\",job=\"shop\"} 1e+300 6\n\
             # TYPE up untyped\n\
             up{instance=\"\"} +Inf 7\n\
             up{a_b=\"x\\\"\\\\\\n\",instance=\"\",job=\"shop\"} 1 5\n"
        );
        assert_eq!(
            write(&latest, true, 10_000).unwrap(),
            "# TYPE \"0 é\" untyped\n\
             {\"0 é\",\"a.b\"=\"x\\\"\\\\\\n\",instance=\"\",job=\"shop\"} 1e+300 6\n\
             # TYPE up untyped\n\
             up{instance=\"\"} +Inf 7\n\
             up{\"a.b\"=\"x\\\"\\\\\\n\",instance=\"\",job=\"shop\"} 1 5\n"
        );
        let refused = write(&latest, true, 60).unwrap_err();
        assert_eq!(refused.kind, crate::error::ErrorKind::TooLarge);
    }
}
