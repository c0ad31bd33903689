//! Goes on with other rules while the service runs.

use std::fmt::{Debug, Formatter};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::super::Written;
use super::super::group::Series;
use super::super::rule::{Group, signed};
use super::super::stop::{Stopper, stop};
use super::{Manager, restore};

/// Reads the rules; the error says all that is wrong with them.
#[derive(Clone)]
pub struct Reading(Arc<dyn Fn() -> Result<Vec<Group>, String> + Send + Sync>);

impl Reading {
    /// By this function, which may block.
    pub fn new(read: impl Fn() -> Result<Vec<Group>, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl Debug for Reading {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reading")
    }
}

/// How reading the rules went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reloads {
    /// Whether it did the last time.
    pub successful: bool,
    /// When it last did.
    pub succeeded_at: u64,
}

impl Reloads {
    /// They were read at the start.
    pub(super) fn at(now: u64) -> Self {
        Self {
            successful: true,
            succeeded_at: now,
        }
    }
}

/// The tasks that evaluate the groups of now.
#[derive(Default)]
pub(super) struct Evaluating {
    tasks: Vec<JoinHandle<()>>,
    turn: Option<Stopper>,
}

impl Evaluating {
    /// Lets the rules that are being evaluated come to their end, and begins with no other.
    pub(super) async fn end(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.ask();
        }
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "an alerting task failed");
            }
        }
    }
}

impl Manager {
    /// Begins to evaluate every group of now.
    pub(super) fn begin(self: &Arc<Self>, evaluating: &mut Evaluating) {
        let (stopper, turn) = stop();
        let groups = self.status.lock().len();
        evaluating.turn = Some(stopper);
        evaluating.tasks = (0..groups)
            .map(|index| tokio::spawn(Arc::clone(self).run_group(index, turn.clone())))
            .collect();
    }

    /// Reads the rules anew and goes on with them, whether or not anyone waits for it. Where they
    /// cannot be read those of before stay, and the error says why.
    pub async fn reload(self: &Arc<Self>) -> Result<(), String> {
        let Ok(place) = Arc::clone(&self.reloading).try_acquire_owned() else {
            return Err("the rules are being read, and will be once more as they are now".into());
        };
        let manager = Arc::clone(self);
        let reloading = tokio::spawn(async move {
            let _place = place;
            manager.read_anew().await
        });
        reloading.await.map_err(|error| error.to_string())?
    }

    async fn read_anew(self: Arc<Self>) -> Result<(), String> {
        let Some(reading) = self.reading.clone() else {
            return Err("the rules do not come from files".into());
        };
        // One after the other: rules that were read later are gone on with later.
        let mut evaluating = self.evaluating.lock().await;
        let read = tokio::task::spawn_blocking(move || (reading.0)()).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        let outcome = match read {
            Ok(groups) => {
                evaluating.end().await;
                self.go_on_with(groups).await;
                self.begin(&mut evaluating);
                tracing::info!("the rules were read anew");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the rules cannot be read anew; those of before stay");
                Err(error)
            }
        };
        let mut reloads = self.reloads.lock();
        reloads.successful = outcome.is_ok();
        if outcome.is_ok() {
            reloads.succeeded_at = self.env.clock.unix_nanos();
        }
        outcome
    }

    /// Exchanges the rules, none of which is being evaluated.
    pub(super) async fn go_on_with(&self, groups: Vec<Group>) {
        let gone = {
            let mut status = self.status.lock();
            let (now, gone) = restore::replace(std::mem::take(&mut *status), groups);
            *status = now;
            gone
        };
        self.end_series(gone).await;
        self.reconcile_now().await;
        self.save().await;
    }

    /// Marks series as ended that no rule yields any more.
    async fn end_series(&self, gone: Series) {
        let unix_nano = signed(self.env.clock.unix_nanos());
        let markers = gone.into_iter().map(|(labels, value)| Written {
            labels,
            value,
            unix_nano,
        });
        let markers: Vec<Written> = markers.collect();
        if markers.is_empty() {
            return;
        }
        if let Err(error) = self.sink.write(markers).await {
            tracing::warn!(%error, "series of rules that are gone are seen for a while yet");
        }
    }
}
