//! The world outside: HTTP, tails, the clock and the clipboard. Results come back as messages.

mod clipboard;
mod http;
mod tail;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use api::Client;
use tokio::sync::mpsc::Sender;
use tokio::task::AbortHandle;

use crate::message::{Effect, Message, Slot};

pub use clipboard::osc52;

/// What only the loop that owns the terminal can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TerminalEffect {
    /// Put text on the clipboard.
    Copy(String),
    /// Draw the screen from nothing.
    Redraw,
    /// Go to the shell.
    Suspend,
    /// Leave.
    Quit,
}

/// Runs effects as tasks: one per slot, of which a newer one aborts the older.
#[derive(Debug)]
pub struct Runner {
    client: Client,
    sender: Sender<Message>,
    requests: HashMap<Slot, AbortHandle>,
    tails: HashMap<u64, AbortHandle>,
}

impl Runner {
    /// A runner whose results go to the sender.
    pub fn new(client: Client, sender: Sender<Message>) -> Self {
        Self {
            client,
            sender,
            requests: HashMap::new(),
            tails: HashMap::new(),
        }
    }

    /// Starts an effect, or gives it back where it needs the terminal. Never waits.
    pub fn run(&mut self, effect: Effect) -> Option<TerminalEffect> {
        match effect {
            Effect::Fetch {
                slot,
                generation,
                request,
            } => {
                let job = http::fetch(
                    self.client.clone(),
                    self.sender.clone(),
                    slot,
                    generation,
                    request,
                );
                let task = tokio::spawn(job);
                if let Some(older) = self.requests.insert(slot, task.abort_handle()) {
                    older.abort();
                }
                self.requests.retain(|_, task| !task.is_finished());
            }
            Effect::Tail {
                entry,
                generation,
                query,
            } => {
                let job = tail::follow(
                    self.client.clone(),
                    self.sender.clone(),
                    entry,
                    generation,
                    query,
                );
                let task = tokio::spawn(job);
                if let Some(older) = self.tails.insert(entry, task.abort_handle()) {
                    older.abort();
                }
            }
            Effect::StopTail(entry) => self.stop_tail(entry),
            Effect::Abort(entry) => {
                self.stop_tail(entry);
                self.requests.retain(|slot, task| {
                    if slot.entry == entry {
                        task.abort();
                    }
                    slot.entry != entry
                });
            }
            Effect::Copy(text) => return Some(TerminalEffect::Copy(text)),
            Effect::Redraw => return Some(TerminalEffect::Redraw),
            Effect::Suspend => return Some(TerminalEffect::Suspend),
            Effect::Quit => return Some(TerminalEffect::Quit),
        }
        None
    }

    fn stop_tail(&mut self, entry: u64) {
        if let Some(task) = self.tails.remove(&entry) {
            task.abort();
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        for task in self.requests.values().chain(self.tails.values()) {
            task.abort();
        }
    }
}

/// The wall clock in unix nanoseconds.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
        })
}
