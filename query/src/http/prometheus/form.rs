//! The parameters of a request, from its address and its form.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use model::TimeRange;
use model::time::NANOS_PER_SECOND;
use promql::Matcher;

use super::super::params::parse_time;
use super::answer::{Refused, bad_data, bad_parameter};
use crate::exec::series::range_of_ms;

/// The longest form: queries are limited to far less.
const FORM_BYTES_MAX: usize = 2 << 20;

/// Parameters by name; those of the form come before those of the address.
#[derive(Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let (head, body) = request.into_parts();
        let form = read(body).await?;
        let address = head.uri.query().unwrap_or_default().as_bytes();
        Ok(Self::parse(&form, address))
    }
}

async fn read(body: Body) -> Result<axum::body::Bytes, Refused> {
    to_bytes(body, FORM_BYTES_MAX)
        .await
        .map_err(|problem| bad_data(format!("the form cannot be read: {problem}")))
}

impl Form {
    fn parse(form: &[u8], address: &[u8]) -> Self {
        let read = |bytes| form_urlencoded::parse(bytes).into_owned();
        Self(read(form).chain(read(address)).collect())
    }

    /// A parameter's text; an empty one counts as not given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|pair| pair.0 == name);
        named
            .find(|pair| !pair.1.is_empty())
            .map(|pair| pair.1.as_str())
    }

    /// Every text of a repeated parameter.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |pair| pair.0 == name);
        named.map(|pair| pair.1.as_str())
    }

    /// Whether a switch is on: `1`, `t` or `true`.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refused> {
        match self.text(name) {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some(text) => Err(bad_parameter(
                name,
                format!("{text:?} is neither true nor false"),
            )),
        }
    }

    /// A time in unix milliseconds.
    pub(crate) fn time(&self, name: &str) -> Result<Option<i64>, Refused> {
        let read = |text: &str| {
            parse_seconds(text).ok_or_else(|| {
                let message = format!(
                    "invalid time value for '{name}': cannot parse {text:?} to a valid timestamp"
                );
                bad_parameter(name, message)
            })
        };
        self.text(name).map(read).transpose()
    }

    /// A time that has to be there.
    pub(crate) fn needed_time(&self, name: &str) -> Result<i64, Refused> {
        let text = self.text(name).unwrap_or_default();
        parse_seconds(text).ok_or_else(|| {
            bad_parameter(name, format!("cannot parse {text:?} to a valid timestamp"))
        })
    }

    /// A duration in milliseconds, from seconds or text with units.
    pub(crate) fn duration_ms(&self, name: &str) -> Result<Option<i64>, Refused> {
        match self.text(name) {
            None => Ok(None),
            Some(_) => self.needed_duration_ms(name).map(Some),
        }
    }

    /// A duration that has to be there.
    #[allow(clippy::cast_possible_truncation)]
    pub(crate) fn needed_duration_ms(&self, name: &str) -> Result<i64, Refused> {
        let text = self.text(name).unwrap_or_default();
        let seconds = text
            .parse::<f64>()
            .ok()
            .filter(|seconds| seconds.abs() < 9e12);
        let millis = seconds.map(|seconds| (seconds * 1e3) as i64);
        millis
            .or_else(|| promql::format::parse_duration(text))
            .filter(|millis| *millis < 9_000_000_000_000_000)
            .ok_or_else(|| {
                bad_parameter(name, format!("cannot parse {text:?} to a valid duration"))
            })
    }

    /// A whole number; 0 counts as not given.
    pub(crate) fn count(&self, name: &str) -> Result<Option<usize>, Refused> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let count: i64 = text.parse().map_err(|_| {
            let problem = format!("strconv.Atoi: parsing {text:?}: invalid syntax");
            bad_parameter(name, problem)
        })?;
        let count = usize::try_from(count)
            .map_err(|_| bad_parameter(name, format!("{name} must be non-negative")))?;
        Ok(Some(count).filter(|count| *count > 0))
    }

    /// How many items the answer may have.
    pub(crate) fn limit(&self) -> Result<Option<usize>, Refused> {
        self.count("limit")
    }

    /// The range of a question about labels; open where not given.
    pub(crate) fn range(&self) -> Result<TimeRange, Refused> {
        let (start, end) = (self.time("start")?, self.time("end")?);
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            return Err(bad_parameter(
                "end",
                "end timestamp must not be before start time",
            ));
        }
        let range = range_of_ms(start.unwrap_or(0), end.unwrap_or(0));
        let open_end = if end.is_some() { range.end } else { u64::MAX };
        Ok(TimeRange {
            start: range.start,
            end: open_end,
        })
    }

    /// The matchers of every `match[]`.
    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, Refused> {
        let mut selectors = Vec::new();
        let mut regexes = 0;
        for text in self.all("match[]") {
            let selector = promql::parse_selector(text)
                .map_err(|problem| bad_parameter("match[]", problem))?;
            if !selector.is_selective() {
                let problem = "match[] must contain at least one non-empty matcher";
                return Err(bad_parameter("match[]", problem));
            }
            let compiled = selector.matchers.iter().filter(|one| one.regex().is_some());
            regexes += compiled.count();
            if regexes > promql::MAX_REGEXES {
                let most = promql::MAX_REGEXES;
                let problem = format!("more than {most} regular expressions in one request");
                return Err(bad_parameter("match[]", problem));
            }
            selectors.push(selector.matchers);
        }
        Ok(selectors)
    }
}

/// Times are nearer to 1970 than this.
const MILLIS_MAX: i64 = 9_000_000_000_000_000;

/// Unix milliseconds of a Prometheus time: seconds with a fraction, or RFC 3339.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn parse_seconds(text: &str) -> Option<i64> {
    // What Prometheus' own tools say where a range is open.
    match text {
        "-292273086-05-16T16:47:06Z" => return Some(-MILLIS_MAX),
        "292277025-08-18T07:12:54.999999999Z" => return Some(MILLIS_MAX),
        _ => {}
    }
    if let Ok(seconds) = text.parse::<f64>() {
        // Half a millisecond is rounded by what there is of it beside whole seconds.
        let millis = seconds.trunc() * 1e3 + (seconds.fract() * 1e3).round();
        return (millis.is_finite() && millis.abs() < MILLIS_MAX as f64).then_some(millis as i64);
    }
    let nanos = parse_time(text, 0).filter(|_| !text.starts_with("now"))?;
    i64::try_from(nanos / (NANOS_PER_SECOND / 1_000)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_before_the_address_and_any_bytes_are_read() {
        let form = Form::parse(
            b"query=a%20%2B+1&match[]=x&match%5B%5D=y&=&bad=%ff%zz&\x00\"<",
            b"query=b&time=5&empty=",
        );
        assert_eq!(form.text("query"), Some("a + 1"));
        assert_eq!(form.all("match[]").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(form.time("time").unwrap(), Some(5_000));
        assert_eq!(form.text("empty"), None);
        assert_eq!(form.text("bad"), Some("\u{fffd}%zz"));
    }

    #[test]
    fn selectors_of_a_request_share_the_bound_on_regular_expressions() {
        let of = |count: usize| {
            let query = r#"match[]={a=~"x"}&"#.repeat(count);
            Form::parse(query.as_bytes(), b"").selectors()
        };
        assert_eq!(of(promql::MAX_REGEXES).unwrap().len(), promql::MAX_REGEXES);
        assert!(of(promql::MAX_REGEXES + 1).is_err());
    }

    #[test]
    fn numbers_times_and_switches_are_checked() {
        let form = Form::parse(b"limit=-1&a=0&b=maybe&c=TRUE&d=1e300&e=1h", b"");
        assert!(form.limit().is_err());
        assert!(matches!(form.count("a"), Ok(None)));
        assert!(form.flag("b").is_err());
        assert!(form.flag("c").unwrap() && !form.flag("none").unwrap());
        assert!(form.time("d").is_err() && form.duration_ms("d").is_err());
        assert_eq!(form.duration_ms("e").unwrap(), Some(3_600_000));
    }

    #[test]
    fn times_are_seconds_or_dates() {
        assert_eq!(parse_seconds("1.5"), Some(1_500));
        assert_eq!(parse_seconds("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(parse_seconds("1.0005"), Some(1_000));
        assert_eq!(parse_seconds("-1.5"), Some(-1_500));
        let first = parse_seconds("-292273086-05-16T16:47:06Z");
        assert!(first < parse_seconds("-8000000000000"), "{first:?}");
        assert_eq!(parse_seconds("NaN"), None);
        assert_eq!(parse_seconds("now-1s"), None);
    }
}
