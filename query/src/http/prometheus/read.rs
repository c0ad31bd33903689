//! `read`: remote read, by which another Prometheus or Thanos asks for stored samples.
//!
//! Requests and answers are protobuf compressed by snappy. Of the two kinds of answers there is the one
//! that every client takes: samples, as a whole.

use axum::body::to_bytes;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use model::prometheus::NAME_LABEL;
use model::row::DecodeError;
use model::wire::{Field, Reader, put_bytes, put_key, put_varint};
use promql::{MAX_REGEXES, MatchOp, Matcher, Series};

use super::super::{Running, State, completeness};
use super::answer::Refused;
use crate::alerts::Labels as External;
use crate::error::{ErrorKind, QueryError};
use crate::exec::series::{SeriesReader, range_of_ms};
use crate::sources::too_large;

/// A request, compressed and not, is no longer.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Questions in one request.
const QUERIES_MAX: usize = 64;
/// The number of the kind of answers that there is.
const SAMPLES: u64 = 0;

/// A question for the samples of some series.
struct Question {
    first_ms: i64,
    last_ms: i64,
    matchers: Vec<Matcher>,
}

/// What is wrong with a request.
#[derive(Debug, thiserror::Error)]
enum Malformed {
    #[error("the request is not compressed by snappy: {0}")]
    Compression(String),
    #[error("the request does not read: {0}")]
    Protobuf(#[from] DecodeError),
    #[error("{0}")]
    Matcher(String),
    #[error("the request has more than {QUERIES_MAX} queries")]
    TooMany,
    #[error("the request has more than {MAX_REGEXES} regular expressions")]
    TooManyRegexes,
    #[error("none of the kinds of answers that are asked for is supported; SAMPLES is")]
    Answers,
}

/// `POST read`. Refusals are plain text, as in Prometheus.
pub(crate) async fn read(Extract(state): Extract<State>, request: Request) -> Response {
    let body = match to_bytes(request.into_body(), REQUEST_BYTES_MAX).await {
        Ok(body) => body,
        Err(problem) => {
            let problem = format!("the request cannot be read: {problem}");
            return refusal(StatusCode::BAD_REQUEST, problem);
        }
    };
    let running = match state.begin_promql().await {
        Ok(running) => running,
        Err(error) => return refused(error),
    };
    // Compiling regular expressions is work for a processor.
    let decoded = tokio::task::spawn_blocking(move || decode(&body)).await;
    let mut questions = match decoded {
        Ok(Ok(questions)) => questions,
        Ok(Err(problem)) => return refusal(StatusCode::BAD_REQUEST, problem.to_string()),
        Err(error) => return refused(QueryError::new(ErrorKind::Internal, error.to_string())),
    };
    let external = &state.options().about.external_labels;
    for question in &mut questions {
        // What every series has cannot be asked of those that are stored without it.
        let is_external = |one: &Matcher| {
            let value = external.iter().find(|(name, _)| **name == one.name);
            value.is_some_and(|(_, value)| one.op == MatchOp::Eq && *value == one.value)
        };
        question.matchers.retain(|one| !is_external(one));
    }
    match answer(&state, &running, &questions).await {
        Ok(response) => response,
        Err(error) => refused(error),
    }
}

fn refused(error: QueryError) -> Response {
    let message = error.to_string();
    refusal(Refused::from(error).status(), message)
}

fn refusal(status: StatusCode, message: String) -> Response {
    (status, message + "\n").into_response()
}

async fn answer(
    state: &State,
    running: &Running,
    questions: &[Question],
) -> Result<Response, QueryError> {
    let reader = SeriesReader(running.context());
    let most = usize::try_from(state.options().answer_bytes).unwrap_or(usize::MAX);
    let mut out = Vec::new();
    for question in questions {
        let range = range_of_ms(question.first_ms, question.last_ms);
        let mut series = reader
            .samples(&question.matchers, range, question.first_ms)
            .await?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        let external = state.options().about.external_labels.clone();
        // Millions of samples are work for a processor.
        let encoded = tokio::task::spawn_blocking(move || encode(&series, &external, most));
        let failed = |error: tokio::task::JoinError| {
            QueryError::new(ErrorKind::Internal, format!("encoding stopped: {error}"))
        };
        let Some(result) = encoded.await.map_err(failed)? else {
            return Err(too_large(state.options().answer_bytes));
        };
        if out.len() + result.len() > most {
            return Err(too_large(state.options().answer_bytes));
        }
        put_bytes(&mut out, 1, &result);
    }
    let compressed = tokio::task::spawn_blocking(move || {
        snap::raw::Encoder::new()
            .compress_vec(&out)
            .map_err(|error| error.to_string())
    });
    let compressed = match compressed.await {
        Ok(Ok(compressed)) => compressed,
        Ok(Err(problem)) => return Err(QueryError::new(ErrorKind::TooLarge, problem)),
        Err(error) => return Err(QueryError::new(ErrorKind::Internal, error.to_string())),
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-protobuf"),
        ),
        (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
    ];
    let mut response = (headers, compressed).into_response();
    completeness::put(response.headers_mut(), &running.work().completeness());
    Ok(response)
}

/// Decompresses and reads a request.
fn decode(body: &[u8]) -> Result<Vec<Question>, Malformed> {
    let wrong = |error: snap::Error| Malformed::Compression(error.to_string());
    let length = snap::raw::decompress_len(body).map_err(wrong)?;
    if length > REQUEST_BYTES_MAX {
        let problem = format!("it says that it has {length} bytes");
        return Err(Malformed::Compression(problem));
    }
    let bytes = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(wrong)?;
    let mut questions = Vec::new();
    let mut kinds = Vec::new();
    let mut regexes = 0;
    let mut reader = Reader::new(&bytes);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => questions.push(question(&reader, field, &mut regexes)?),
            2 => accepted(&reader, field, &mut kinds)?,
            _ => {}
        }
        if questions.len() > QUERIES_MAX {
            return Err(Malformed::TooMany);
        }
    }
    // Clients from before there were two kinds ask for none.
    if !kinds.is_empty() && !kinds.contains(&SAMPLES) {
        return Err(Malformed::Answers);
    }
    Ok(questions)
}

/// Kinds of answers, one by one or in one field.
fn accepted<'a>(
    reader: &Reader<'a>,
    field: Field<'a>,
    kinds: &mut Vec<u64>,
) -> Result<(), DecodeError> {
    let Field::Bytes(packed) = field else {
        kinds.push(field.varint(reader)?);
        return Ok(());
    };
    let mut packed = Reader::new(packed);
    while !packed.is_empty() {
        kinds.push(packed.varint()?);
    }
    Ok(())
}

#[allow(clippy::cast_possible_wrap)]
fn question<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
    regexes: &mut usize,
) -> Result<Question, Malformed> {
    let mut question = Question {
        first_ms: 0,
        last_ms: 0,
        matchers: Vec::new(),
    };
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => question.first_ms = field.varint(&reader)? as i64,
            2 => question.last_ms = field.varint(&reader)? as i64,
            3 => question.matchers.push(matcher(&reader, field, regexes)?),
            _ => {}
        }
    }
    Ok(question)
}

/// Counts regular expressions, since each may take megabytes.
fn matcher<'a>(
    parent: &Reader<'a>,
    field: Field<'a>,
    regexes: &mut usize,
) -> Result<Matcher, Malformed> {
    let (mut op, mut name, mut value) = (0, "", "");
    let mut reader = parent.nested(field.bytes(parent)?);
    while let Some((number, field)) = reader.next()? {
        match number {
            1 => op = field.varint(&reader)?,
            2 => name = field.text(&reader)?,
            3 => value = field.text(&reader)?,
            _ => {}
        }
    }
    let op = match op {
        0 => MatchOp::Eq,
        1 => MatchOp::Ne,
        2 => MatchOp::Re,
        3 => MatchOp::Nre,
        other => return Err(Malformed::Matcher(format!("{other} is no type of matcher"))),
    };
    if matches!(op, MatchOp::Re | MatchOp::Nre) {
        *regexes += 1;
        if *regexes > MAX_REGEXES {
            return Err(Malformed::TooManyRegexes);
        }
    }
    let wrong = |problem| Malformed::Matcher(format!("the matcher of {name}: {problem}"));
    Matcher::new(name, op, value).map_err(|problem| wrong(problem.to_string()))
}

/// The result of a question; none where it is longer than `most`.
#[allow(clippy::cast_sign_loss)]
fn encode(series: &[Series], external: &External, most: usize) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut one = Vec::new();
    let mut part = Vec::new();
    for series in series {
        one.clear();
        let mut labels = series.labels.clone();
        for (name, value) in external {
            if name != NAME_LABEL && labels.get(name).is_none() {
                labels = labels.with(name, value);
            }
        }
        for (name, value) in labels.iter() {
            part.clear();
            put_bytes(&mut part, 1, name.as_bytes());
            put_bytes(&mut part, 2, value.as_bytes());
            put_bytes(&mut one, 1, &part);
        }
        let samples = &series.samples;
        for (time_ms, value) in samples.times.iter().zip(&samples.floats) {
            part.clear();
            put_key(&mut part, 1, 1);
            part.extend_from_slice(&value.to_le_bytes());
            put_key(&mut part, 2, 0);
            put_varint(&mut part, *time_ms as u64);
            put_bytes(&mut one, 2, &part);
        }
        for (time_ms, histogram) in samples.histogram_times.iter().zip(&samples.histograms) {
            part.clear();
            otlp::native::put_sample(&mut part, &histogram.to_native(), *time_ms);
            put_bytes(&mut one, 4, &part);
        }
        if out.len() + one.len() > most {
            return None;
        }
        put_bytes(&mut out, 1, &one);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u32, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let (mut inner, mut out) = (Vec::new(), Vec::new());
        fill(&mut inner);
        put_bytes(&mut out, number, &inner);
        out
    }

    fn number(out: &mut Vec<u8>, key: u32, value: u64) {
        put_key(out, key, 0);
        put_varint(out, value);
    }

    fn request(op: u64, value: &str, kinds: &[u64]) -> Vec<u8> {
        let mut bytes = message(1, |out| {
            number(out, 1, (-5i64) as u64);
            number(out, 2, 1_000);
            out.extend(message(3, |out| {
                number(out, 1, op);
                put_bytes(out, 2, b"job");
                put_bytes(out, 3, value.as_bytes());
            }));
        });
        for kind in kinds {
            number(&mut bytes, 2, *kind);
        }
        snap::raw::Encoder::new().compress_vec(&bytes).unwrap()
    }

    #[test]
    fn requests_are_read_and_what_is_none_is_refused() {
        let read = decode(&request(2, "a|b", &[1, 0])).unwrap();
        assert_eq!((read[0].first_ms, read[0].last_ms), (-5, 1_000));
        assert_eq!(read[0].matchers[0].to_string(), "job=~\"a|b\"");
        assert_eq!(decode(&request(0, "a", &[])).unwrap().len(), 1);
        for (body, why) in [
            (b"hello".to_vec(), "snappy"),
            (request(0, "a", &[1]), "SAMPLES"),
            (request(7, "a", &[]), "7 is no type"),
            (request(2, "(", &[]), "the matcher of job"),
            (
                snap::raw::Encoder::new().compress_vec(b"\x0a\xff").unwrap(),
                "does not read",
            ),
            // A length that nothing of it is there of.
            (vec![0xff, 0xff, 0xff, 0xff, 0x0f], "bytes"),
        ] {
            let problem = decode(&body).err().map(|problem| problem.to_string());
            assert!(
                problem.as_deref().is_some_and(|text| text.contains(why)),
                "{why}: {problem:?}"
            );
        }
    }

    #[test]
    fn regular_expressions_of_all_questions_are_bounded_together() {
        let of = |count: usize| {
            let matcher = message(3, |out| {
                number(out, 1, 2);
                put_bytes(out, 2, b"job");
                put_bytes(out, 3, b"a.*");
            });
            let one = message(1, |out| out.extend(matcher.repeat(count / 2)));
            let body = snap::raw::Encoder::new().compress_vec(&one.repeat(2));
            decode(&body.unwrap())
        };
        assert!(of(MAX_REGEXES).is_ok());
        assert!(matches!(
            of(MAX_REGEXES + 2),
            Err(Malformed::TooManyRegexes)
        ));
    }

    #[test]
    fn answers_have_labels_samples_and_histograms() {
        let mut samples = promql::Samples::default();
        samples.push(-7, 1.5);
        let text = "{{schema:1 count:3 sum:5 buckets:[1 2]}}";
        let histogram = promql::notation::parse_histogram(text).unwrap();
        samples.push_histogram(9, std::sync::Arc::new(histogram));
        let series = Series {
            labels: promql::Labels::new([("__name__", "m"), ("zone", "own")]),
            samples,
        };
        let external = [("zone", "a"), ("site", "b")];
        let external = external.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let bytes = encode(
            std::slice::from_ref(&series),
            &External::from(external),
            1 << 20,
        )
        .unwrap();
        let mut reader = Reader::new(&bytes);
        let (_, field) = reader.next().unwrap().unwrap();
        let mut inner = reader.nested(field.bytes(&reader).unwrap());
        let mut numbers = Vec::new();
        while let Some((number, _)) = inner.next().unwrap() {
            numbers.push(number);
        }
        assert_eq!(numbers, [1, 1, 1, 2, 4]);
        let labels = String::from_utf8_lossy(&bytes).into_owned();
        assert!(labels.contains("site") && labels.contains("own") && !labels.contains("\u{1}a"));
        assert!(encode(&[series], &External::default(), 10).is_none());
    }
}
