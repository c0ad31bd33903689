//! Query parameters: known names only, each parsed with an error that names it.

use axum::extract::Query;
use http::Uri;
use model::{Signal, TimeRange};
use storage::filter::Filter;

use crate::error::{ErrorKind, QueryError};
use crate::lang::duration_nanos;
use crate::nearest::nearest;

/// The parameters of one request.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
    now: u64,
}

fn wrong(name: &str, message: impl std::fmt::Display) -> QueryError {
    QueryError::parameter(format!("{name}: {message}"))
}

impl Params {
    /// The parameters of an address, all of which have to be among the known ones. A parameter
    /// may stand twice only if `repeated` names it.
    pub fn parse(
        uri: &Uri,
        known: &[&str],
        repeated: &[&str],
        now: u64,
    ) -> Result<Self, QueryError> {
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(uri).map_err(|problem| {
                QueryError::parameter(format!("malformed query string: {problem}"))
            })?;
        for (index, (name, _)) in pairs.iter().enumerate() {
            let all = || known.iter().chain(repeated).copied();
            if !all().any(|known| known == name) {
                let error = QueryError::parameter(format!("there is no parameter {name:?} here"));
                return Err(match nearest(name, all()) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None if all().next().is_none() => error.hint("there are no parameters here"),
                    None => error.hint(format!(
                        "there are {}",
                        all().collect::<Vec<_>>().join(", ")
                    )),
                });
            }
            let again = pairs[..index].iter().any(|(before, _)| before == name);
            if again && !repeated.contains(&name.as_str()) {
                return Err(wrong(name, "given more than once"));
            }
        }
        Ok(Self { pairs, now })
    }

    /// A parameter's text; an empty one counts as not given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// Every text of a repeated parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_owned();
        self.pairs
            .iter()
            .filter(move |pair| pair.0 == name)
            .map(|pair| pair.1.as_str())
    }

    /// A whole number between two others, both inclusive.
    pub fn number(&self, name: &str, default: usize, most: usize) -> Result<usize, QueryError> {
        let Some(text) = self.text(name) else {
            return Ok(default.min(most));
        };
        let number: usize = text
            .parse()
            .map_err(|_| wrong(name, format!("{text:?} is not a whole number")))?;
        if !(1..=most).contains(&number) {
            return Err(wrong(name, format!("{number} is not between 1 and {most}")));
        }
        Ok(number)
    }

    /// One of a few named things, the first where not given.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, QueryError> {
        let Some(text) = self.text(name) else {
            return Ok(choices[0].1);
        };
        if let Some((_, choice)) = choices.iter().find(|(known, _)| *known == text) {
            return Ok(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let error = wrong(name, format!("{text:?} is not one of {}", names.join(", ")));
        Err(match nearest(text, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        })
    }

    /// `start` and `end`; a side that is not given is open.
    pub fn range(&self) -> Result<TimeRange, QueryError> {
        let side = |name: &str| {
            self.text(name)
                .map(|text| self.time(name, text))
                .transpose()
        };
        let range = TimeRange {
            start: side("start")?.unwrap_or(0),
            end: side("end")?.unwrap_or(u64::MAX),
        };
        if range.start > range.end {
            return Err(QueryError::parameter("start is after end").hint("swap them"));
        }
        Ok(range)
    }

    fn time(&self, name: &str, text: &str) -> Result<u64, QueryError> {
        parse_time(text, self.now).ok_or_else(|| {
            wrong(name, format!("{text:?} is not a time"))
                .hint("use unix nanoseconds, RFC 3339 as in 2026-11-21T10:00:00Z, or now-15m")
        })
    }

    /// A length of time with a unit, above zero, in nanoseconds.
    pub fn duration(&self, name: &str) -> Result<Option<u64>, QueryError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let nanos = duration_nanos(text).ok().filter(|nanos| *nanos > 0);
        nanos.map(Some).ok_or_else(|| {
            wrong(
                name,
                format!("{text:?} is not a length of time above zero with a unit"),
            )
            .hint("write for example 30s or 5m")
        })
    }

    /// `signal`: logs or traces, the first where not given.
    pub fn signal(&self) -> Result<Signal, QueryError> {
        let choices = [
            ("logs", Signal::Logs),
            ("traces", Signal::Traces),
            ("metrics", Signal::Metrics),
        ];
        self.choice("signal", &choices)
    }

    /// The parameter `q` as a condition on rows of a signal.
    pub fn rows(&self, signal: Signal) -> Result<Filter, QueryError> {
        self.query(|text| crate::lang::rows(text, signal))
    }

    /// Parses the parameter `q` as `parse` does, which sets the places of errors.
    pub fn query<T>(&self, parse: impl Fn(&str) -> Result<T, QueryError>) -> Result<T, QueryError> {
        parse(self.text("q").unwrap_or_default())
    }
}

/// Unix nanoseconds of `now`, `now-15m`, a number of nanoseconds, or RFC 3339.
pub fn parse_time(text: &str, now: u64) -> Option<u64> {
    if let Some(rest) = text.strip_prefix("now") {
        return match rest.split_at_checked(1) {
            None => Some(now),
            Some(("-", duration)) => Some(now.saturating_sub(duration_nanos(duration).ok()?)),
            // A plus sign that was not escaped arrives as a space.
            Some(("+" | " ", duration)) => Some(now.saturating_add(duration_nanos(duration).ok()?)),
            Some(_) => None,
        };
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    // The same for the plus sign of an offset.
    let time: jiff::Timestamp = text
        .replacen(' ', "+", 1)
        .parse()
        .ok()
        .or_else(|| text.parse().ok())?;
    let nanos = time.as_nanosecond();
    u64::try_from(nanos.max(0)).ok()
}

/// The error that a parameter is missing.
pub fn missing(name: &str) -> QueryError {
    QueryError::new(
        ErrorKind::InvalidParameter,
        format!("the parameter {name} is missing"),
    )
}
