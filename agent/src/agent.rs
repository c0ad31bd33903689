//! Build, run, drain: puts queue, receivers and exporters together and takes them apart in the
//! right order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use env::{Env, Failure, LockFile};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::exporters::Destination;
use crate::exporters::dead_letter::DeadLetters;
use crate::exporters::otlp::{Exporter, Left, Start};
use crate::metrics::{Metrics, Sample};
use crate::options::Options;
use crate::processors::resource;
use crate::queue::{Progress, Queue, QueueError};
use crate::receivers::filelog::{self, FilelogError};
use crate::receivers::hostmetrics;
use crate::receivers::otlp::{ListenError, OtlpReceiver};
use crate::receivers::polling::Polling;
use crate::receivers::prometheus::Scraper;

/// Of the time to shut down, what the exporters do not get: receivers stop before them and the
/// queue is closed after them.
const CLOSE_RESERVE: Duration = Duration::from_secs(2);

/// The agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("cannot use {}: {source}", path.display())]
    DataDir {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Files(#[from] FilelogError),
    #[error("cannot start the thread that reads host metrics: {0}")]
    Host(std::io::Error),
    #[error("cannot scrape targets: {0}")]
    Scrape(String),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("an agent needs at least one destination, each with a name of its own")]
    Destinations,
}

/// Where services can send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// What a shutdown left in the queue; it is sent after the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Rows that no collector has acknowledged, of the destination that lags most.
    pub left_in_queue: u64,
}

/// A running agent. Dropping it without [`Agent::shutdown`] is like a crash: nothing that was
/// acknowledged is lost.
pub struct Agent {
    queue: Queue,
    metrics: Metrics,
    receivers: Receivers,
    stop: watch::Sender<Option<Instant>>,
    exporters: Vec<JoinHandle<Left>>,
    _lock: LockFile,
}

impl Agent {
    /// Starts an agent that keeps its queue in `data_dir` and sends to every destination, each
    /// known by a name that must stay the same from run to run.
    pub async fn start(
        env: Env,
        options: Options,
        data_dir: &Path,
        destinations: Vec<(String, Arc<dyn Destination>)>,
    ) -> Result<Self, AgentError> {
        let unusable = |source| AgentError::DataDir {
            path: data_dir.to_owned(),
            source,
        };
        env.files.create_dir_all(data_dir).map_err(unusable)?;
        let lock = LockFile::acquire(&*env.files, data_dir).map_err(unusable)?;
        Self::start_locked(env, options, lock, destinations).await
    }

    /// The same in a folder that the caller has locked; the agent keeps it locked from now on.
    pub async fn start_locked(
        env: Env,
        options: Options,
        lock: LockFile,
        destinations: Vec<(String, Arc<dyn Destination>)>,
    ) -> Result<Self, AgentError> {
        let data_dir = lock.dir();
        let mut names: Vec<String> = destinations.iter().map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        if names.is_empty() || names.len() != destinations.len() {
            return Err(AgentError::Destinations);
        }
        let metrics = Metrics::default();
        let progress = Progress::default();
        let opening = {
            let (env, dir, queue) = (env.clone(), data_dir.to_owned(), options.queue.clone());
            let (progress, metrics) = (progress.clone(), metrics.clone());
            move || Queue::open(&env, &dir, &queue, &names, &progress, metrics)
        };
        // Opening reads the whole queue, which may be a gigabyte.
        let opened = tokio::task::spawn_blocking(opening).await;
        let (queue, mut restored) =
            opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let state = &restored.state;
        let receivers = Receivers::start(&env, &options, &queue, &progress, state).await?;
        let (stop, stopped) = watch::channel(None);
        let letters = options.queue.dead_letter_bytes;
        let letters = DeadLetters::new(&env, data_dir, letters, metrics.clone());
        let letters = Arc::new(letters);
        let export = |(index, (name, destination)): (usize, (String, Arc<dyn Destination>))| {
            let start = Start {
                position: restored.exported.get(&name).copied().unwrap_or_default(),
                left_out: restored.left_out.remove(&name).unwrap_or_default(),
                name,
                destination,
                sealed_clock: index == 0,
            };
            let (queue, progress) = (queue.clone(), progress.clone());
            let (export, letters) = (options.export.clone(), Arc::clone(&letters));
            let guard = queue.failures().guard("an exporter");
            let exporter = Exporter::new(&env, start, queue, progress, export, letters);
            let run = exporter.run(stopped.clone());
            tokio::spawn(async move {
                let _guard = guard;
                run.await
            })
        };
        let exporters = destinations.into_iter().enumerate().map(export).collect();
        Ok(Self {
            queue,
            metrics,
            receivers,
            stop,
            exporters,
            _lock: lock,
        })
    }

    /// Where services can send to, if they can.
    pub fn addresses(&self) -> Option<Addresses> {
        self.receivers.relay.as_ref().map(|relay| Addresses {
            grpc: relay.grpc,
            http: relay.http,
        })
    }

    /// The id in the agent's stamps.
    pub fn id(&self) -> Arc<str> {
        self.queue.agent()
    }

    /// A snapshot of the agent's counters.
    pub fn metrics(&self) -> Vec<Sample> {
        self.metrics.snapshot()
    }

    /// The counters themselves, to be read while the agent runs.
    pub fn live_metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Reports when the agent cannot go on before a restart: its disk has failed, or a part of it
    /// has panicked. The process should end.
    pub fn failure(&self) -> Failure {
        self.queue.failures().listen()
    }

    /// Takes nothing new, sends what it can until the deadline, and closes the queue.
    pub async fn shutdown(self, deadline: Duration) -> Drained {
        let deadline = Instant::now() + deadline;
        self.receivers.stop().await;
        let left = deadline.saturating_duration_since(Instant::now());
        let reserve = CLOSE_RESERVE.min(left / 4);
        self.stop.send_replace(Some(deadline - reserve));
        let mut rows = 0;
        for exporter in self.exporters {
            match exporter.await {
                Ok(left) => rows = rows.max(left.rows),
                Err(error) => tracing::error!(%error, "an exporter did not end as it should"),
            }
        }
        self.queue.close().await;
        if rows > 0 {
            tracing::warn!(
                rows,
                "rows stay in the agent's queue; they are sent after the next start"
            );
        }
        Drained {
            left_in_queue: rows,
        }
    }
}

/// What feeds the queue, as far as it is configured.
struct Receivers {
    relay: Option<OtlpReceiver>,
    files: Option<Polling>,
    host: Option<Polling>,
    scraper: Option<Scraper>,
}

impl Receivers {
    /// Starts them, the one that services can see last. `state` is what they kept in the queue.
    async fn start(
        env: &Env,
        options: &Options,
        queue: &Queue,
        progress: &Progress,
        state: &BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<Self, AgentError> {
        let root = Path::new("/");
        let mut machine = resource::host(root);
        machine.extend(options.attributes.iter().cloned());
        let files = if options.files.is_empty() {
            None
        } else {
            let (host, queue) = (machine.clone(), queue.clone());
            let started = filelog::start(env, options, host, queue, progress, state);
            Some(started?)
        };
        let host = match &options.host {
            None => None,
            Some(host) => {
                let agent = resource::process(root);
                let started = hostmetrics::start(env, host, &machine, &agent, queue.clone());
                Some(started.map_err(AgentError::Host)?)
            }
        };
        let scraper = if options.scrape.jobs.is_empty() {
            None
        } else {
            let started = Scraper::start(env, &options.scrape, queue);
            Some(started.map_err(AgentError::Scrape)?)
        };
        let relay = match &options.relay {
            None => None,
            Some(relay) => Some(OtlpReceiver::start(relay, queue.clone()).await?),
        };
        Ok(Self {
            relay,
            files,
            host,
            scraper,
        })
    }

    /// Takes nothing new, and ends when what was taken is in the queue.
    async fn stop(self) {
        let polling: Vec<Polling> = self.files.into_iter().chain(self.host).collect();
        polling.iter().for_each(Polling::stop);
        if let Some(scraper) = self.scraper {
            scraper.stop().await;
        }
        if let Some(relay) = self.relay {
            relay.stop().await;
        }
        let joined =
            tokio::task::spawn_blocking(move || polling.into_iter().for_each(Polling::join));
        if joined.await.is_err() {
            tracing::error!("a receiver did not end as it should");
        }
    }
}

#[cfg(test)]
mod tests;
