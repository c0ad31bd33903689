//! `GET logs/tail`: new log records as server-sent events.

use std::convert::Infallible;

use axum::extract::State as Extract;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::Uri;
use model::Signal;
use std::sync::Arc;

use super::State;
use super::params::Params;
use crate::error::{ErrorKind, QueryError};
use crate::exec;

type Events = BoxStream<'static, Result<Event, Infallible>>;

/// Sends `logs` events, an `error` event before it ends, and comments while nothing happens. The
/// client that goes away drops the stream and with it the work in every source.
pub async fn tail(
    Extract(state): Extract<State>,
    uri: Uri,
) -> Result<Sse<impl futures::Stream<Item = Result<Event, Infallible>>>, QueryError> {
    let params = Params::parse(&uri, &["q"], &[], state.now())?;
    let filter = params.rows(Signal::Logs)?;
    let permit = Arc::clone(&state.0.tails)
        .try_acquire_owned()
        .map_err(|_| {
            let message = format!("there are {} live tails already", state.options().tails);
            QueryError::new(ErrorKind::Overloaded, message).hint("end one, or poll logs instead")
        })?;
    let options = state.options();
    let steps = exec::tail::tail(
        state.sources(),
        options.tenant.clone(),
        filter,
        options.sizes.tail_buffer,
    );
    let events = steps.map(move |step| {
        // The place among the tails is held for as long as the stream lives.
        let _held = &permit;
        Ok(match step {
            Ok(event) => encode("logs", &event),
            Err(error) => encode(
                "error",
                &api::ErrorBody {
                    error: error.to_api(),
                },
            ),
        })
    });
    // The first bytes tell the client that the tail has begun.
    let begun: Events = stream::iter([Ok(Event::default().comment("tail"))]).boxed();
    let all = begun.chain(events);
    Ok(Sse::new(all).keep_alive(KeepAlive::new().interval(options.heartbeat)))
}

fn encode(name: &str, data: &impl serde::Serialize) -> Event {
    match Event::default().event(name).json_data(data) {
        Ok(event) => event,
        Err(problem) => Event::default().event("error").data(problem.to_string()),
    }
}
