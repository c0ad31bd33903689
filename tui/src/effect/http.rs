//! Requests to the query service. What is large is turned into what the model keeps here, off the
//! loop that draws.

use api::{Client, ClientError, Range};
use tokio::sync::mpsc::Sender;

use super::now;
use crate::message::{Answer, Message, Request, Slot};
use crate::model::TreeValue;
use crate::model::load::Failure;
use crate::model::logs::lines;
use crate::model::timeline::{TimelineView, build};

/// Sends a request and hands its answer to the model.
pub(super) async fn fetch(
    client: Client,
    sender: Sender<Message>,
    slot: Slot,
    generation: u64,
    request: Request,
) {
    let answer = match ask(&client, request).await {
        Ok(answer) => Ok(Box::new(answer)),
        Err(error) => {
            tracing::debug!(%error, ?slot, "request failed");
            Err(Failure::from(&error))
        }
    };
    // A closed channel means that the session is over.
    let _session_over = sender
        .send(Message::Answer {
            slot,
            generation,
            now: now(),
            answer,
        })
        .await;
}

async fn ask(client: &Client, request: Request) -> Result<Answer, ClientError> {
    // An id is looked for at any time: whoever has one wants it, however old.
    let any_time = Range::default();
    Ok(match request {
        Request::Services(range) => {
            let answer = client.services(&range).await?;
            Answer::Services(answer.services, answer.completeness)
        }
        Request::Alerts => {
            let answer = client.alerts().await?;
            Answer::Alerts(answer.alerts, answer.completeness)
        }
        Request::Rules => {
            let answer = client.rules().await?;
            Answer::Rules(answer.groups, answer.completeness)
        }
        Request::Traces(params) => {
            let answer = client.traces(&params).await?;
            Answer::Traces(answer.traces, answer.cursor, answer.completeness)
        }
        Request::Trace(id) => {
            let answer = client.trace(&id, &any_time).await?;
            let completeness = answer.completeness.clone();
            let value = heavy(move || TreeValue {
                view: TimelineView::new(build(&answer.spans, &[])),
                ..TreeValue::default()
            });
            Answer::Tree(Box::new(value.await?), completeness)
        }
        Request::Story(id) => {
            let answer = client.story(&id, &any_time).await?;
            let completeness = answer.completeness.clone();
            let value = heavy(move || TreeValue {
                view: TimelineView::new(build(&answer.spans, &answer.logs)),
                joins: answer.joins,
                hubs: answer.hubs,
                alerts: answer.alerts,
                exemplars: answer.exemplars.len(),
            });
            Answer::Tree(Box::new(value.await?), completeness)
        }
        Request::Logs(params) => {
            let mut answer = client.logs(&params).await?;
            // The newest come first on the wire, and stand last on the screen.
            answer.logs.reverse();
            let lines = heavy(move || lines(&answer.logs)).await?;
            Answer::Logs(lines, answer.cursor, answer.completeness)
        }
        Request::Complete(params) => Answer::Complete(client.complete(&params).await?),
        Request::Histogram(params) => Answer::Histogram(client.logs_histogram(&params).await?),
    })
}

/// Runs what takes long away from the threads that serve connections and the screen.
async fn heavy<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ClientError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| ClientError::Interrupted {
            reason: error.to_string(),
        })
}
