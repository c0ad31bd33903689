//! Whether the server is there at all, from what every request and tail finds.

use crate::model::load::Failure;
use crate::model::{Model, Outage};
use crate::text::ago;

/// Takes the outcome of one exchange with the server.
pub(super) fn note(model: &mut Model, failure: Option<&Failure>) {
    match (failure.filter(|failure| failure.away), model.outage.take()) {
        (Some(_), Some(known)) => model.outage = Some(known),
        (Some(failure), None) => {
            model.outage = Some(Outage {
                since: model.now,
                reason: failure.message.clone(),
            });
        }
        (None, Some(over)) => {
            let away = ago(model.now, over.since);
            model.notice = Some(format!("the server is back after {away}"));
        }
        (None, None) => {}
    }
}
