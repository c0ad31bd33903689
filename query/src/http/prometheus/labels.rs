//! `labels`, `label/{name}/values` and `series`.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extract};

use super::super::{Running, State};
use super::answer::{Answer, Notes, Refused, bad_data, success};
use super::form::Form;
use crate::exec::series::SeriesReader;

/// Names of labels, or values of one; of all series where no selector is given.
async fn texts(
    running: &Running,
    form: &Form,
    label: Option<&str>,
) -> Result<Vec<String>, Refused> {
    let mut selectors = form.selectors()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let reader = SeriesReader(running.context());
    let found = reader.labels(&selectors, form.range()?, label).await?;
    Ok(found.into_iter().collect())
}

/// `GET|POST labels`
pub(crate) async fn names(Extract(state): Extract<State>, form: Form) -> Answer {
    let limit = form.limit()?;
    let running = state.begin_promql().await?;
    let mut names = texts(&running, &form, None).await?;
    let mut notes = Notes::default();
    notes.limit(&mut names, limit);
    success(&running, names, notes).await
}

/// `GET label/{name}/values`
pub(crate) async fn values(
    Extract(state): Extract<State>,
    name: Result<Path<String>, PathRejection>,
    form: Form,
) -> Answer {
    let Path(name) =
        name.map_err(|_| bad_data("invalid label name: it is not UTF-8 in the address"))?;
    let name = unescaped(&name);
    if name.is_empty() {
        return Err(bad_data("invalid label name: \"\""));
    }
    let limit = form.limit()?;
    let running = state.begin_promql().await?;
    let mut values = texts(&running, &form, Some(&name)).await?;
    let mut notes = Notes::default();
    notes.limit(&mut values, limit);
    success(&running, values, notes).await
}

/// `GET|POST series`
pub(crate) async fn series(Extract(state): Extract<State>, form: Form) -> Answer {
    let limit = form.limit()?;
    let (selectors, range) = (form.selectors()?, form.range()?);
    if selectors.is_empty() {
        return Err(bad_data("no match[] parameter provided"));
    }
    let running = state.begin_promql().await?;
    let reader = SeriesReader(running.context());
    let mut sets = reader.label_sets(&selectors, range).await?;
    let mut notes = Notes::default();
    notes.limit(&mut sets, limit);
    success(&running, sets, notes).await
}

/// A label name out of its escaped form, `U__` and then `_2e_` for U+002E and `__` for `_`, in
/// which any name fits into a path. What is not well escaped stands for itself.
fn unescaped(name: &str) -> String {
    let read = |escaped: &str| {
        let mut out = String::new();
        let mut rest = escaped;
        while let Some(at) = rest.find('_') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('_') {
                out.push('_');
                rest = after;
                continue;
            }
            let (code, after) = rest.split_once('_')?;
            let is_code = (1..=6).contains(&code.len());
            let code = is_code
                .then(|| u32::from_str_radix(code, 16).ok())
                .flatten()?;
            out.push(char::from_u32(code)?);
            rest = after;
        }
        out.push_str(rest);
        Some(out)
    };
    name.strip_prefix("U__")
        .and_then(read)
        .unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escaped_names_are_read() {
        for (escaped, name) in [
            ("job", "job"),
            ("http_status", "http_status"),
            ("U__http_2e_status", "http.status"),
            ("U__a__b_1f600_", "a_b\u{1f600}"),
            ("U__broken_", "U__broken_"),
            ("U__bad_zz_", "U__bad_zz_"),
            ("U__surrogate_d800_", "U__surrogate_d800_"),
            ("U__", ""),
        ] {
            assert_eq!(unescaped(escaped), name, "{escaped}");
        }
    }
}
