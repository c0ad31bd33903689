//! `federate`: the latest sample of every series that is selected, as text that another Prometheus
//! scrapes, or in Prometheus' protobuf format where the scraper would rather have that.
//!
//! Names that need quotes are escaped unless the scraper says that it takes them
//! (`escaping=allow-utf-8` in `Accept`). Native histograms have no form in the text and are left out of
//! it, as are series that ended.

mod protobuf;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use model::prometheus::NAME_LABEL;
use otlp::exposition::escape;
use promql::format::api_value;
use promql::labels::{is_classic_label_name, is_classic_metric_name};
use promql::{Labels, SampleValue};

use super::super::{State, bounded, completeness};
use super::answer::Answer;
use super::form::Form;
use crate::error::QueryError;
use crate::exec::series::{SeriesReader, range_of_ms};
use crate::sources::too_large;

/// The latest samples: by name, and by the other labels.
type Latest = BTreeMap<(String, Labels), (i64, SampleValue)>;

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
            let Some((time_ms, value)) = last(&series.samples) else {
                continue;
            };
            let name = series.labels.metric_name().to_owned();
            let mut labels = series.labels.without_metadata();
            for (name, value) in &options.about.external_labels {
                if labels.get(name).is_none() {
                    labels = labels.with(name, value);
                }
            }
            latest.insert((name, labels), (time_ms, value));
        }
    }
    let quotes = takes_quotes(&headers);
    let most = options.answer_bytes;
    let (kind, body) = if takes_protobuf(&headers) {
        let kind = format!("{}; escaping={}", protobuf::KIND, escaping(quotes));
        let write = move || protobuf::write(&latest, quotes, most);
        (kind, bounded::written(write).await?)
    } else {
        let version = if quotes { "1.0.0" } else { "0.0.4" };
        let escaping = escaping(quotes);
        let kind = format!("text/plain; version={version}; charset=utf-8; escaping={escaping}");
        let write = move || write(&latest, quotes, most).map(String::into_bytes);
        (kind, bounded::written(write).await?)
    };
    let mut response: Response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    completeness::put(response.headers_mut(), &running.work().completeness());
    Ok(response)
}

/// The last sample of a series that goes on.
fn last(samples: &promql::Samples) -> Option<(i64, SampleValue)> {
    let float = samples.times.last().zip(samples.floats.last());
    let float = float.map(|(time_ms, value)| (*time_ms, SampleValue::Float(*value)));
    let histogram = samples
        .histogram_times
        .last()
        .zip(samples.histograms.last());
    let histogram =
        histogram.map(|(time_ms, value)| (*time_ms, SampleValue::Histogram(Arc::clone(value))));
    let later = float.into_iter().chain(histogram);
    later
        .max_by_key(|(time_ms, _)| *time_ms)
        .filter(|(_, value)| !value.is_stale())
}

fn escaping(quotes: bool) -> &'static str {
    if quotes { "allow-utf-8" } else { "underscores" }
}

/// Whether the scraper would rather have protobuf than text.
fn takes_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter();
    let lists = accepted.filter_map(|value| value.to_str().ok());
    let mut best = (0.0, false);
    for one in lists.flat_map(|list| list.split(',')) {
        let mut parts = one.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let mut weight = 1.0;
        let mut delimited = false;
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => weight = value.trim().parse().unwrap_or(0.0),
                "encoding" => delimited = value.trim() == "delimited",
                _ => {}
            }
        }
        let is_protobuf = kind == "application/vnd.google.protobuf" && delimited;
        let is_text = matches!(kind, "text/plain" | "text/*" | "*/*");
        if weight > best.0 && (is_protobuf || is_text) {
            best = (weight, is_protobuf);
        }
    }
    best.1
}

fn takes_quotes(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.contains("escaping=allow-utf-8"))
    })
}

/// A name as the scraper takes it, without quotes around it.
fn spelled(name: &str, is_classic: bool, quotes: bool) -> String {
    match is_classic || quotes {
        true => name.to_owned(),
        false => escaped(name),
    }
}

/// The labels of a sample but its name.
fn pairs(labels: &Labels, quotes: bool) -> BTreeMap<String, String> {
    let mut pairs: BTreeMap<String, String> = BTreeMap::new();
    for (label, value) in labels.iter().filter(|(label, _)| *label != NAME_LABEL) {
        let label = spelled(label, is_classic_label_name(label), quotes);
        // Two that are the same when they are escaped cannot both be written.
        pairs.entry(label).or_insert_with(|| value.to_owned());
    }
    // Without one, whoever scrapes this would say that the series is of this service.
    pairs.entry("instance".to_owned()).or_default();
    pairs
}

fn write(latest: &Latest, quotes: bool, most: u64) -> Result<String, QueryError> {
    let mut text = String::new();
    let mut last: Option<&str> = None;
    for ((name, labels), (time_ms, value)) in latest {
        let SampleValue::Float(value) = value else {
            continue;
        };
        let plain = is_classic_metric_name(name) || !quotes;
        let spelled = spelled(name, is_classic_metric_name(name), quotes);
        let written = if plain { spelled } else { quoted(&spelled) };
        // Writing to a text cannot fail.
        if last.replace(name) != Some(name) {
            let _ = writeln!(text, "# TYPE {written} untyped");
        }
        let pairs = pairs(labels, quotes);
        let mut inside: Vec<String> = Vec::with_capacity(pairs.len() + 1);
        if plain {
            text.push_str(&written);
        } else {
            inside.push(written);
        }
        inside.extend(pairs.iter().map(|(label, value)| {
            let value = quoted(value);
            match is_classic_label_name(label) {
                true => format!("{label}={value}"),
                false => format!("{}={value}", quoted(label)),
            }
        }));
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
        let mut put = |name: &str, labels: &Labels, time_ms, value| {
            let value = SampleValue::Float(value);
            latest.insert((name.to_owned(), labels.clone()), (time_ms, value));
        };
        put("up", &labels, 5, 1.0);
        put("up", &Labels::empty(), 7, f64::INFINITY);
        put("0 é", &labels, 6, 1e300);
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

    #[test]
    fn what_a_scraper_would_rather_have_counts() {
        let takes = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            takes_protobuf(&headers)
        };
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let text = "text/plain;version=0.0.4";
        let asked = |first: &str, second: &str| format!("{first};q=0.6,{second};q=0.5,*/*;q=0.1");
        assert!(takes(&asked(protobuf, text)));
        assert!(!takes(&asked(text, protobuf)));
        assert!(takes(protobuf));
        assert!(!takes("application/vnd.google.protobuf;encoding=text"));
        assert!(!takes(
            "application/openmetrics-text;version=1.0.0,*/*;q=0.1"
        ));
    }
}
