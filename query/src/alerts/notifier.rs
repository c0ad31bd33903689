//! Tells webhooks about alerts in Alertmanager's webhook format.
//!
//! A receiver is told about groups of alerts (by `alertname` unless said otherwise) when an
//! alert of the group begins to fire or is resolved, and again every repeat interval while any
//! fires. What has to be told is state, not a queue of messages: while a receiver cannot be
//! reached, changes fold into one message, so that memory is bounded by the number of alerts.
//! The state is saved before and after each delivery: a restart neither loses nor repeats one
//! (a crash between the receiver's answer and the save repeats one message).

mod book;
pub(crate) mod payload;
mod send;
mod waits;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use env::Env;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Labels;
use super::rule::nanos;
use super::stop::Stop;
use super::store::StateFile;
pub use book::{Book, Due, Told};
use book::{Look, Next};
pub use payload::{Message, MessageAlert, message};
pub use send::{Delivery, HttpSender};
use waits::Waits;

/// The longest a receiver is not looked at: its clock may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A receiver of notifications.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// Where messages go.
    pub url: String,
    /// Whether it wants to know when alerts end.
    pub send_resolved: bool,
    /// How long a delivery may take.
    pub timeout: Duration,
}

/// How notifications are made.
#[derive(Debug, Clone)]
pub struct NotifierOptions {
    /// Receivers.
    pub webhooks: Vec<Webhook>,
    /// Labels that make up a group.
    pub group_by: Vec<String>,
    /// After how long a group that still fires is told again.
    pub repeat_interval: Duration,
    /// First wait after a failed delivery.
    pub backoff_min: Duration,
    /// Longest wait after failed deliveries.
    pub backoff_max: Duration,
    /// How many alerts a message names at most; the rest are counted in it. 0 for all.
    pub alerts_max: usize,
    /// How many alerts are remembered per receiver.
    pub tracked_max: usize,
    /// Where this service is reached.
    pub external_url: String,
    /// Labels of every alert that has none of that name. They are put into messages alone, so that
    /// an alert stays the same one when they change.
    pub external_labels: Labels,
}

impl Default for NotifierOptions {
    fn default() -> Self {
        Self {
            webhooks: Vec::new(),
            group_by: vec!["alertname".into()],
            repeat_interval: Duration::from_secs(4 * 3600),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
            alerts_max: 0,
            tracked_max: 10_000,
            external_url: String::new(),
            external_labels: Labels::new(),
        }
    }
}

/// What became of notifications.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages that receivers took.
    pub sent: AtomicU64,
    /// Attempts that will be repeated.
    pub retried: AtomicU64,
    /// Messages that a receiver refused for good.
    pub refused: AtomicU64,
    /// Alerts that were not remembered because there were too many; each once, however often rules
    /// find it.
    pub dropped: AtomicU64,
}

/// One alert as rules hand it over.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// All labels.
    pub labels: Labels,
    /// Annotations.
    pub annotations: Labels,
    /// When it began to fire.
    pub starts_at: u64,
    /// When it was resolved; 0 while it fires.
    pub ends_at: u64,
    /// Where its expression can be looked at.
    pub generator_url: String,
}

/// Tells receivers.
#[derive(Debug)]
pub struct Notifier {
    env: Env,
    options: NotifierOptions,
    books: Mutex<Vec<Book>>,
    file: StateFile,
    wake: Vec<Notify>,
    /// What became of notifications.
    pub counters: Counters,
}

impl Notifier {
    /// A notifier with what it remembers.
    pub fn open(env: Env, options: NotifierOptions, file: StateFile) -> std::io::Result<Self> {
        let saved: Vec<Book> = file.load()?;
        let books = options
            .webhooks
            .iter()
            .map(|webhook| {
                let known = saved.iter().find(|book| book.url == webhook.url).cloned();
                known.unwrap_or_else(|| Book::new(&webhook.url))
            })
            .collect();
        let wake = options.webhooks.iter().map(|_| Notify::new()).collect();
        Ok(Self {
            env,
            options,
            books: Mutex::new(books),
            file,
            wake,
            counters: Counters::default(),
        })
    }

    /// Takes in alerts that fire or were resolved; true where anyone has to be told. Until it is
    /// saved a crash forgets it.
    pub fn note(&self, notices: &[Notice]) -> bool {
        if self.options.webhooks.is_empty() || notices.is_empty() {
            return false;
        }
        let (mut changed, mut left_out) = (false, 0);
        let mut books = self.books.lock();
        for (book, webhook) in books.iter_mut().zip(&self.options.webhooks) {
            for notice in notices {
                match book.take(notice, webhook.send_resolved, self.options.tracked_max) {
                    Ok(new) => changed |= new,
                    Err(book::Full) => left_out += 1,
                }
            }
        }
        drop(books);
        if left_out > 0 {
            self.counters.dropped.fetch_add(left_out, Ordering::Relaxed);
            let most = self.options.tracked_max;
            tracing::error!(
                left_out,
                most,
                "webhooks are not told of alerts: there are too many"
            );
        }
        changed
    }

    /// Saves what was noted and has receivers told of it.
    pub async fn settle(&self) {
        self.save().await;
        for wake in &self.wake {
            wake.notify_one();
        }
    }

    /// Ends every alert that is none of those that fire, and says how many these are over all
    /// receivers: nothing will be heard of them again.
    pub fn reconcile(&self, firing: &HashSet<&Labels>, now: u64) -> usize {
        let mut books = self.books.lock();
        let each = books.iter_mut().zip(&self.options.webhooks);
        each.map(|(book, webhook)| book.reconcile(firing, now, webhook.send_resolved))
            .sum()
    }

    /// The same, saved on this thread: for a start.
    pub fn reconcile_here(&self, firing: &HashSet<&Labels>, now: u64) {
        if self.reconcile(firing, now) > 0
            && let Err(error) = self.file.save_here(&*self.books.lock())
        {
            not_saved(&error);
        }
    }

    /// Saves what receivers were told and have yet to be told.
    pub async fn save(&self) {
        if self.options.webhooks.is_empty() {
            return;
        }
        let saved = self.file.save(|| self.books.lock().clone());
        if let Err(error) = saved.await {
            not_saved(&error);
        }
    }

    /// How many receivers there are.
    pub fn receivers(&self) -> usize {
        self.options.webhooks.len()
    }

    /// How many alerts are waiting to be told, over all receivers.
    pub fn waiting(&self) -> usize {
        self.books.lock().iter().map(Book::waiting).sum()
    }

    /// Delivers to one receiver until the stop is asked for.
    pub async fn deliver(self: Arc<Self>, receiver: usize, sender: HttpSender, mut stop: Stop) {
        let mut waits = Waits::default();
        loop {
            let group = match self.next(receiver, &mut waits) {
                Next::Tell(group) => group,
                Next::Wait(wait) => {
                    let wait = Duration::from_nanos(wait).min(LOOK_AGAIN);
                    tokio::select! {
                        () = self.wake[receiver].notified() => {}
                        () = tokio::time::sleep(wait) => {}
                        () = stop.asked() => return,
                    }
                    continue;
                }
            };
            tokio::select! {
                () = self.tell(receiver, &sender, &group, &mut waits) => {}
                () = stop.asked() => return,
            }
        }
    }

    fn next(&self, receiver: usize, waits: &mut Waits) -> Next {
        let look = Look {
            now: self.env.clock.unix_nanos(),
            monotonic: self.env.clock.monotonic_nanos(),
            repeat: nanos(self.options.repeat_interval),
            group_by: &self.options.group_by,
        };
        self.books.lock()[receiver].next(look, waits)
    }

    /// Tells one receiver of one group.
    async fn tell(&self, receiver: usize, sender: &HttpSender, group: &Due, waits: &mut Waits) {
        let webhook = &self.options.webhooks[receiver];
        let message = message(group, &self.options);
        let named = &group.group_labels;
        // The address may be a secret; its place is not.
        let at = send::place(&webhook.url);
        match sender.send(webhook, &message).await {
            Delivery::Taken => {
                self.counters.sent.fetch_add(1, Ordering::Relaxed);
            }
            Delivery::Refused(reason) => {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                tracing::error!(receiver, at, group = ?named, %reason, "a webhook refused a notification");
            }
            Delivery::Later {
                reason,
                after,
                whole,
            } => {
                self.counters.retried.fetch_add(1, Ordering::Relaxed);
                let now = self.env.clock.monotonic_nanos();
                let backoff = |failures| after.unwrap_or_else(|| self.backoff(failures));
                let wait = waits.failed(named, whole, now, backoff);
                tracing::warn!(receiver, at, group = ?named, %reason, ?wait, "a notification will be repeated");
                return;
            }
        }
        waits.answered(named);
        let now = self.env.clock.unix_nanos();
        self.books.lock()[receiver].told(group, now);
        self.save().await;
    }

    /// Doubles with each failure, between half and all of it at random.
    fn backoff(&self, failures: u32) -> Duration {
        let factor = 1u32 << failures.saturating_sub(1).min(16);
        let full = self
            .options
            .backoff_min
            .saturating_mul(factor)
            .min(self.options.backoff_max);
        let half = full / 2;
        let spread = nanos(half).max(1);
        half + Duration::from_nanos(self.env.random.next_u64() % spread)
    }
}

fn not_saved(error: &std::io::Error) {
    tracing::error!(%error, "notification state cannot be saved; a restart may repeat messages");
}

#[cfg(test)]
mod tests;
