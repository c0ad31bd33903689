//! Following new log records. The channel to the model is bounded: where the screen cannot keep
//! up, this task waits, the connection fills, and the server drops and counts.

use std::time::Duration;

use api::{Client, ClientError, TailEvent};
use futures::StreamExt;
use tokio::sync::mpsc::Sender;

use super::now;
use crate::message::{Message, TailMessage};
use crate::model::load::Failure;
use crate::model::logs::lines;

/// Before a broken connection is made anew.
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The same after many attempts in vain.
const PAUSE_MAX: Duration = Duration::from_secs(5);

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

/// How a connection ended.
enum End {
    /// The model is gone.
    SessionOver,
    /// The server closed it, or it broke.
    Broken(ClientError),
}

/// Follows until the task is aborted or the server refuses. A connection that breaks is made anew,
/// sooner at first and then every few seconds.
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
    let mut pause = PAUSE_MIN;
    loop {
        let mut opened = false;
        let error = match stream(&client, &query, &outlet, &mut opened).await {
            End::SessionOver => return,
            End::Broken(error) => error,
        };
        tracing::debug!(%error, "the tail broke");
        let failure = Failure::from(&error);
        if !error.is_retryable() {
            outlet.send(TailMessage::Ended(failure)).await;
            return;
        }
        // Whatever broke it, the tail has no server now.
        let broken = Failure {
            away: true,
            ..failure
        };
        if !outlet.send(TailMessage::Broken(broken)).await {
            return;
        }
        pause = if opened {
            PAUSE_MIN
        } else {
            (pause * 2).min(PAUSE_MAX)
        };
        tokio::time::sleep(pause + spread(pause)).await;
    }
}

/// Up to a quarter more, so that terminals that lost one server do not all come back at once.
fn spread(pause: Duration) -> Duration {
    let quarters = u32::try_from(now() % 1_000).unwrap_or(0);
    pause * quarters / 4_000
}

async fn stream(client: &Client, query: &str, outlet: &Outlet, opened: &mut bool) -> End {
    let mut tail = match client.tail(query).await {
        Ok(tail) => tail,
        Err(error) => return End::Broken(error),
    };
    *opened = true;
    if !outlet.send(TailMessage::Opened).await {
        return End::SessionOver;
    }
    while let Some(event) = tail.next().await {
        let mut counts: TailEvent = match event {
            Ok(counts) => counts,
            Err(error) => return End::Broken(error),
        };
        let new = lines(&std::mem::take(&mut counts.logs));
        if !outlet.send(TailMessage::Lines(new, counts)).await {
            return End::SessionOver;
        }
    }
    End::Broken(ClientError::Interrupted {
        reason: "the server ended the tail".to_owned(),
    })
}
