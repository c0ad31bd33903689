//! Scraping: asks targets for their metrics as Prometheus does, and hands what they say to the
//! queue as OTLP.
//!
//! Each job of `agent.scrape_configs` has a task that knows its targets (static ones, and those of
//! files, which it looks at every second, and of servers that list them) and each target a task that scrapes it at its own moment
//! of each interval. An answer is read as a whole or not at all: one that is too large, too late or
//! does not read leaves `up` at 0 and ends the target's series, as does a target that goes away. All
//! answers share one budget of memory; a target that wants more than there is fails, and nothing
//! else of the agent waits for it.

mod connection;
mod connector;
mod convert;
mod discovery;
mod fetch;
mod ingest;
mod labels;
mod listed;
mod oauth2;
mod protobuf;
mod protocols;
mod relabel;
mod request;
mod sample;
mod scrape;
mod target;
mod text;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use config::{ScrapeConfig, ScrapeSettings};
use env::Env;
use model::room::Budget;
use reqwest::Client;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::metrics;
use crate::options::ScrapeOptions;
use crate::queue::Queue;
use connector::Connector;
use discovery::Files;
use listed::Lists;
use oauth2::Tokens;
use scrape::{Access, Scrape, Shared};
use target::Target;

/// Between two looks at files of targets.
const LOOK: Duration = Duration::from_secs(1);
/// Answers that are read at once.
const READERS: usize = 2;

/// The running receiver.
#[derive(Debug)]
pub struct Scraper {
    stop: watch::Sender<bool>,
    jobs: Vec<JoinHandle<()>>,
}

impl Scraper {
    /// Starts to scrape. The error says why requests cannot be sent at all.
    pub fn start(env: &Env, options: &ScrapeOptions, queue: &Queue) -> Result<Self, String> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // The first caller in the process installs the provider; any later one finds it there.
            let _already = rustls::crypto::ring::default_provider().install_default();
        }
        let plain = connection::client(None)?;
        let shared = Shared {
            clock: env.clock.clone(),
            queue: queue.clone(),
            metrics: queue.metrics.clone(),
            budget: Arc::new(Budget::new(options.memory_bytes)),
            readers: Arc::new(Semaphore::new(READERS)),
        };
        let jobs = options
            .jobs
            .iter()
            .map(|ScrapeConfig(settings)| {
                let named = |problem| format!("the job `{}`: {problem}", settings.job_name);
                Job::new(shared.clone(), Arc::new(settings.clone()), &plain).map_err(named)
            })
            .collect::<Result<Vec<_>, String>>()?;
        let (stop, stopped) = watch::channel(false);
        let jobs = jobs
            .into_iter()
            .map(|job| {
                let guard = queue.failures().guard("a job that scrapes targets");
                let run = job.run(stopped.clone());
                tokio::spawn(async move {
                    let _guard = guard;
                    run.await;
                })
            })
            .collect();
        Ok(Self { stop, jobs })
    }

    /// Ends all series and returns when that is in the queue.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for job in self.jobs {
            if let Err(error) = job.await {
                tracing::error!(%error, "a job that scrapes targets did not end as it should");
            }
        }
    }
}

/// The targets of one job.
struct Job {
    shared: Shared,
    settings: Arc<ScrapeSettings>,
    access: Access,
    /// Says to targets why none of them is asked.
    refuse: watch::Sender<Option<String>>,
    files: Files,
    lists: Lists,
    running: HashMap<Arc<Target>, watch::Sender<bool>>,
    tasks: JoinSet<()>,
    /// Problems that the log has said already.
    said: Vec<String>,
}

impl Job {
    /// The error says what is wrong with the settings.
    fn new(shared: Shared, settings: Arc<ScrapeSettings>, plain: &Client) -> Result<Self, String> {
        let connector = if connection::is_plain(&settings.access()) {
            Connector::plain(Arc::clone(&settings), plain.clone())
        } else {
            Connector::new(Arc::clone(&settings))?
        };
        let tokens = settings.oauth2.clone().map(Tokens::new).transpose()?;
        let (refuse, refused) = watch::channel(None);
        let files = Files::new(settings.file_sd_configs.clone());
        let (metrics, job) = (shared.metrics.clone(), settings.job_name.clone());
        let failed = move || metrics.add(metrics::DISCOVERY_ERRORS, &[("job", &job)], 1);
        let lists = Lists::start(&settings.http_sd_configs, failed)?;
        Ok(Self {
            shared,
            settings,
            access: Access {
                connector: Arc::new(connector),
                tokens: tokens.map(Arc::new),
                refused,
            },
            refuse,
            files,
            lists,
            running: HashMap::new(),
            tasks: JoinSet::new(),
            said: Vec::new(),
        })
    }

    /// How a target is asked: by what its certificate is called, where that is another name.
    fn access(&self, target: &Target) -> Result<Access, String> {
        let own = Connector::of_target(&self.settings, &target.url).transpose()?;
        let mut access = self.access.clone();
        if let Some(own) = own {
            access.connector = Arc::new(own);
        }
        Ok(access)
    }

    async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut listed = true;
        loop {
            self.look(listed).await;
            while self.tasks.try_join_next().is_some() {}
            let next = async {
                if self.files.is_empty() {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(LOOK).await;
            };
            listed = tokio::select! {
                biased;
                () = scrape::stopped(&mut stop) => break,
                () = self.lists.changed() => true,
                () = next => false,
            };
        }
        for target in self.running.values() {
            target.send_replace(true);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    /// Looks for targets that came or went, in files and where there is a new list.
    async fn look(&mut self, listed: bool) {
        let mut files = std::mem::replace(&mut self.files, Files::new(Vec::new()));
        let look = move || {
            let found = files.refresh();
            (files, found)
        };
        let Ok((files, (changed, problems))) = tokio::task::spawn_blocking(look).await else {
            // Files are looked at anew: what was known of them is lost.
            self.files = Files::new(self.settings.file_sd_configs.clone());
            return;
        };
        self.files = files;
        let settings = Arc::clone(&self.settings);
        let job = settings.job_name.as_str();
        let count = problems.len() as u64;
        let labels = [("job", job)];
        self.shared
            .metrics
            .add(metrics::DISCOVERY_ERRORS, &labels, count);
        let mut all = problems;
        all.extend(self.lists.problems());
        if changed || listed {
            all.extend(self.update());
        } else if all.is_empty() {
            return;
        }
        for problem in all.iter().filter(|problem| !self.said.contains(problem)) {
            tracing::warn!(job, problem, "a target is left out");
        }
        self.said = all;
    }

    /// Starts and stops targets, and says what is none.
    fn update(&mut self) -> Vec<String> {
        let settings = &self.settings;
        let of_static = settings
            .static_configs
            .iter()
            .flat_map(|group| target::of_group(settings, group, None));
        let of_files = self.files.groups().flat_map(|(file, group)| {
            target::of_group(settings, group, Some(("__meta_filepath", &file)))
        });
        let lists = self.lists.groups();
        let of_lists = lists.iter().flat_map(|(url, groups)| {
            let origin = Some(("__meta_url", url.as_str()));
            let groups = groups.iter();
            groups.flat_map(move |group| target::of_group(settings, group, origin))
        });
        let (mut wanted, mut problems) = (Vec::new(), Vec::new());
        for built in of_static.chain(of_files).chain(of_lists) {
            match built {
                Ok(target) => wanted.push(Arc::new(target)),
                Err(problem) => problems.push(problem),
            }
        }
        let limit = settings.target_limit;
        // Where there are too many all of them fail, as with Prometheus, so that `up` tells.
        let over = limit > 0 && wanted.len() > limit;
        let refusal = over.then(|| format!("{} targets, and {limit} are allowed", wanted.len()));
        problems.extend(refusal.clone());
        self.refuse.send_replace(refusal);
        let keep: std::collections::HashSet<&Arc<Target>> = wanted.iter().collect();
        self.running.retain(|target, stop| {
            let kept = keep.contains(target);
            if !kept {
                stop.send_replace(true);
            }
            kept
        });
        for target in &wanted {
            if self.running.contains_key(target) {
                continue;
            }
            let access = match self.access(target) {
                Ok(access) => access,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let (stop, stopped) = watch::channel(false);
            let shared = self.shared.clone();
            let scrape = Scrape::new(shared, access, Arc::clone(settings), Arc::clone(target));
            self.tasks.spawn(scrape.run(stopped));
            self.running.insert(Arc::clone(target), stop);
        }
        let count = self.running.len() as u64;
        let labels = [("job", settings.job_name.as_str())];
        self.shared
            .metrics
            .set(metrics::SCRAPE_TARGETS, &labels, count);
        problems
    }
}

#[cfg(test)]
mod tests;
