//! `format_query` and `parse_query`: queries as text and as trees, without data.

use axum::extract::State as Extract;
use promql::Expr;

use super::super::State;
use super::answer::{Answer, Refused, bad_data, bad_parameter, known};
use super::form::Form;

fn parsed(state: &State, form: &Form) -> Result<Expr, Refused> {
    let text = form.text("query").unwrap_or_default();
    promql::parse_with(text, state.options().promql.features)
        .map_err(|problem| bad_parameter("query", problem))
}

/// `GET|POST format_query`: the query as it is usually written, over several lines where it is
/// long.
pub(crate) async fn format(Extract(state): Extract<State>, form: Form) -> Answer {
    known(parsed(&state, &form)?.pretty())
}

/// `GET|POST parse_query`: the tree of the query, as Prometheus' own UI shows it.
pub(crate) async fn parse(Extract(state): Extract<State>, form: Form) -> Answer {
    let expr = parsed(&state, &form)?;
    known(expr.tree().map_err(bad_data)?)
}
