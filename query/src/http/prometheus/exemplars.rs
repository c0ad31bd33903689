//! `query_exemplars`.

use axum::extract::State as Extract;
use promql::Matcher;

use super::super::State;
use super::answer::{Answer, Notes, bad_parameter, success};
use super::form::Form;
use crate::exec::series::SeriesReader;

/// `GET|POST query_exemplars`: exemplars of every series that the query selects.
pub(crate) async fn query(Extract(state): Extract<State>, form: Form) -> Answer {
    let text = form.text("query").unwrap_or_default();
    let expr = promql::parse_with(text, state.options().promql.features)
        .map_err(|problem| bad_parameter("query", problem))?;
    let mut selectors: Vec<Vec<Matcher>> = Vec::new();
    expr.selectors(&mut |selector, _| {
        if !selectors.contains(&selector.matchers) {
            selectors.push(selector.matchers.clone());
        }
    });
    let range = form.range()?;
    let running = state.begin_promql().await?;
    let reader = SeriesReader(running.context());
    let found = reader.exemplars(&selectors, range).await?;
    success(&running, found, Notes::default()).await
}
