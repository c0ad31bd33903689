//! Following new log records. The channel to the model is bounded: where the screen cannot keep
//! up, this task waits, the connection fills, and the server drops and counts.

use api::{Client, ClientError, TailEvent};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::now;
use crate::message::{Message, TailMessage};
use crate::model::load::Failure;
use crate::model::logs::lines;

/// Where the messages of one tail go.
struct Outlet {
    sender: Sender<Message>,
    entry: u64,
    generation: u64,
}

impl Outlet {
    /// Hands something to the model; false when the session is over.
    async fn send(&self, event: TailMessage) -> bool {
        let (entry, generation) = (self.entry, self.generation);
        self.sender
            .send(Message::Tail {
                entry,
                generation,
                now: now(),
                event,
            })
            .await
            .is_ok()
    }
}

/// Follows until the server ends it, something breaks, or the task is aborted.
pub(super) async fn follow(
    client: Client,
    sender: Sender<Message>,
    entry: u64,
    generation: u64,
    query: String,
) {
    let outlet = Outlet {
        sender,
        entry,
        generation,
    };
    let failure = match stream(&client, &query, &outlet).await {
        Ok(()) => None,
        Err(error) => Some(Failure {
            hint: Some("F follows again".to_owned()),
            ..Failure::from(&error)
        }),
    };
    outlet.send(TailMessage::Ended(failure)).await;
}

async fn stream(client: &Client, query: &str, outlet: &Outlet) -> Result<(), ClientError> {
    let mut tail = client.tail(query).await?;
    if !outlet.send(TailMessage::Opened).await {
        return Ok(());
    }
    while let Some(event) = tail.next().await {
        let mut counts: TailEvent = event?;
        let new = lines(&std::mem::take(&mut counts.logs));
        if !outlet.send(TailMessage::Lines(new, counts)).await {
            break;
        }
    }
    Ok(())
}
