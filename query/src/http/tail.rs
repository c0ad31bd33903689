//! `GET logs/tail`: new log records as server-sent events.

use std::convert::Infallible;

use axum::extract::State as Extract;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::StreamExt;
use http::Uri;
use model::Signal;
use std::sync::Arc;

use super::State;
use super::params::Params;
use crate::error::{ErrorKind, QueryError};
use crate::exec::tail::TailStep;
use crate::sources::Waiting;

/// Sends a comment once the tail has begun and while nothing happens, `logs` events, and an
/// `error` event before it ends. The client that goes away drops the stream and with it the work
/// in every source. A service that stops ends it without a further event.
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
    let steps = crate::exec::tail::tail(
        state.sources(),
        options.tenant.clone(),
        filter,
        options.sizes.tail_buffer,
        &Waiting {
            clock: Arc::clone(&options.clock),
            random: Arc::clone(&options.random),
        },
    );
    let events = steps.map(move |step| {
        // The place among the tails is held for as long as the stream lives.
        let _held = &permit;
        Ok::<_, Infallible>(match step {
            TailStep::Begun => Event::default().comment("tail"),
            TailStep::Event(event) => encode("logs", &event),
            TailStep::Failed(error) => encode(
                "error",
                &api::ErrorBody {
                    error: error.to_api(),
                },
            ),
        })
    });
    let mut stopping = state.0.stopping.subscribe();
    let stopped = async move { stopping.wait_for(|stop| *stop).await.map(drop) };
    let events = events.take_until(Box::pin(stopped));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(options.heartbeat)))
}

fn encode(name: &str, data: &impl serde::Serialize) -> Event {
    match Event::default().event(name).json_data(data) {
        Ok(event) => event,
        Err(problem) => Event::default().event("error").data(problem.to_string()),
    }
}
