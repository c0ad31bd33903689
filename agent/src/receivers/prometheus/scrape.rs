//! One target, scraped again and again until it is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use config::ScrapeSettings;
use env::Clock;
use model::Signal;
use model::room::Budget;
use tokio::sync::{Semaphore, watch};

use super::connector::Connector;
use super::fetch::{Answer, Asked, ScrapeError, fetch};
use super::ingest::{Cache, Counts, Patience, ingest};
use super::labels::Labels;
use super::oauth2::Tokens;
use super::request::{Info, Kind, Point, PointValue, Requests, SeriesId};
use super::target::Target;
use crate::metrics::{self, Metrics};
use crate::queue::{AppendError, Entry, Queue};

const NANOS_PER_MS: u64 = 1_000_000;
/// An answer may be read for half of the target's interval, and for so long.
const READING_TIME_MIN: Duration = Duration::from_secs(5);

/// What all scrapes share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: Queue,
    pub(super) metrics: Metrics,
    /// Memory of answers and of what they become.
    pub(super) budget: Arc<Budget>,
    /// Answers that are read at once: that is work for a processor.
    pub(super) readers: Arc<Semaphore>,
}

/// How the targets of a job are asked.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// Knows the client.
    pub(super) connector: Arc<Connector>,
    /// Where requests need a token.
    pub(super) tokens: Option<Arc<Tokens>>,
    /// Why no target is asked; nothing where they are.
    pub(super) refused: watch::Receiver<Option<String>>,
}

/// A target on its way from scrape to scrape.
pub(super) struct Scrape {
    shared: Shared,
    access: Access,
    settings: Arc<ScrapeSettings>,
    target: Arc<Target>,
    cache: Option<Cache>,
    /// Whether any scrape was tried, so that there is something to end.
    begun: bool,
    /// Why scrapes fail, and how the first of those that fail for this reason said it. The log says
    /// it once, and what is stored of the target has it, which is not to change with every scrape.
    failing: Option<(&'static str, String)>,
}

/// What a scrape says of itself.
struct Report {
    up: bool,
    duration: Duration,
    counts: Counts,
    /// Size of the answer.
    body_bytes: f64,
}

impl Scrape {
    /// Nothing is scraped yet.
    pub(super) fn new(
        shared: Shared,
        access: Access,
        settings: Arc<ScrapeSettings>,
        target: Arc<Target>,
    ) -> Self {
        let cache = Cache::new(shared.budget.room(usize::MAX));
        Self {
            shared,
            access,
            settings,
            target,
            cache: Some(cache),
            begun: false,
            failing: None,
        }
    }

    /// Scrapes at the target's moments until `stop`; then ends its series.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let interval = u64::try_from(self.target.interval.as_nanos())
            .unwrap_or(u64::MAX)
            .max(1);
        let offset = u64::try_from(self.target.offset().as_nanos()).unwrap_or_default();
        let mut last = 0;
        loop {
            let now = self.shared.clock.unix_nanos();
            let mut next = now.saturating_sub(offset) / interval + 1;
            // The timer may have run out a little before the clock shows the moment.
            next += u64::from(next == last);
            last = next;
            let moment = next.saturating_mul(interval).saturating_add(offset);
            let wait = Duration::from_nanos(moment.saturating_sub(now));
            tokio::select! {
                biased;
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep(wait) => {}
            }
            if !self.scrape(&mut stop).await {
                break;
            }
        }
        self.end().await;
    }

    /// Scrapes once; tells whether to go on.
    #[allow(clippy::cast_precision_loss)]
    async fn scrape(&mut self, stop: &mut watch::Receiver<bool>) -> bool {
        let began = Instant::now();
        let now_ms = self.shared.clock.unix_nanos() / NANOS_PER_MS;
        self.begun = true;
        let asked = self.ask();
        let answer = tokio::select! {
            biased;
            () = stopped(stop) => return false,
            answer = tokio::time::timeout(self.target.timeout, asked) => answer,
        };
        let duration = began.elapsed();
        let mut body_bytes = 0.0;
        let (read, counts) = match answer.unwrap_or(Err(ScrapeError::Timeout)) {
            Ok(answer) => {
                body_bytes = answer.body.len() as f64;
                self.read(answer, now_ms, stop.clone()).await
            }
            Err(error) => {
                if matches!(error, ScrapeError::TooLarge(_)) {
                    body_bytes = -1.0;
                }
                (Err(error), Counts::default())
            }
        };
        if matches!(read, Err(ScrapeError::Stopped)) {
            return false;
        }
        self.note(&read, &counts);
        let time = now_ms * NANOS_PER_MS;
        let report = Report {
            up: read.is_ok(),
            duration,
            counts,
            body_bytes,
        };
        let mut requests = read.unwrap_or_default();
        if !report.up
            && let Some(cache) = &mut self.cache
        {
            cache.end(time, &mut requests);
        }
        self.report(Some(&report), time, &mut requests);
        self.append(requests).await;
        true
    }

    /// Asks the target, unless that is refused to all of the job.
    async fn ask(&self) -> Result<Answer, ScrapeError> {
        if let Some(reason) = self.access.refused.borrow().clone() {
            return Err(ScrapeError::TooLarge(reason));
        }
        let asked = Asked {
            client: self.client().await,
            named: self.access.connector.named(&self.target.url),
            tokens: self.access.tokens.as_deref(),
        };
        fetch(&asked, &self.settings, &self.target, &self.shared.budget).await
    }

    /// The client, after a look at the files that it is made of.
    async fn client(&self) -> reqwest::Client {
        let connector = &self.access.connector;
        if !connector.has_files() {
            return connector.client();
        }
        let looking = Arc::clone(connector);
        let Ok((client, problem)) = tokio::task::spawn_blocking(move || looking.look()).await
        else {
            return connector.client();
        };
        if let Some(problem) = problem {
            let job = self.settings.job_name.as_str();
            tracing::warn!(
                job,
                problem,
                "changed certificates do not read, the old ones stay"
            );
        }
        client
    }

    /// Reads an answer on a thread for such work.
    async fn read(
        &mut self,
        answer: Answer,
        now_ms: u64,
        stop: watch::Receiver<bool>,
    ) -> (Result<Requests, ScrapeError>, Counts) {
        let _reader = self.shared.readers.acquire().await;
        let room = self.shared.budget.room(usize::MAX);
        let fresh = || Cache::new(self.shared.budget.room(usize::MAX));
        let mut cache = self.cache.take().unwrap_or_else(fresh);
        let (settings, target) = (Arc::clone(&self.settings), Arc::clone(&self.target));
        let work = move || {
            let patience = Patience {
                began: Instant::now(),
                most: (target.interval / 2).max(READING_TIME_MIN),
                stop,
            };
            let labels = &target.labels;
            let read = ingest(
                answer, &settings, labels, now_ms, &mut cache, room, patience,
            );
            (read, cache)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((read, cache)) => {
                self.cache = Some(cache);
                read
            }
            Err(error) => {
                let problem = format!("reading it stopped: {error}");
                (Err(ScrapeError::Malformed(problem)), Counts::default())
            }
        }
    }

    /// Counts what became of a scrape, and says when that is another thing than before.
    fn note(&mut self, read: &Result<Requests, ScrapeError>, counts: &Counts) {
        let job = self.settings.job_name.as_str();
        let (outcome, failing) = match read {
            Ok(_) => ("success", None),
            Err(error) => (error.label(), Some(error.label())),
        };
        let labels = [("job", job), ("outcome", outcome)];
        self.shared.metrics.add(metrics::SCRAPES, &labels, 1);
        if read.is_ok() {
            for (reason, count) in [
                ("repeated_sample", counts.repeated),
                ("time_out_of_range", counts.out_of_range),
                ("malformed_histogram", counts.malformed),
            ] {
                self.shared
                    .metrics
                    .received(Signal::Metrics, "prometheus", count);
                self.shared.metrics.dropped(Signal::Metrics, reason, count);
            }
        }
        let instance = self.target.labels.get("instance");
        let before = self.failing.as_ref().map(|(label, _)| *label);
        match read {
            Err(error) if before != failing => {
                tracing::warn!(job, instance, %error, "a target cannot be scraped");
                self.failing = Some((error.label(), error.to_string()));
            }
            Ok(_) if before.is_some() => {
                tracing::info!(job, instance, "a target can be scraped again");
                self.failing = None;
            }
            _ => {}
        }
    }

    /// Adds the series about the scrape; without a report, their ends.
    #[allow(clippy::cast_precision_loss)]
    fn report(&self, report: Option<&Report>, time_unix_nano: u64, requests: &mut Requests) {
        let values = report.map(|report| {
            let counts = &report.counts;
            [
                f64::from(u8::from(report.up)),
                report.duration.as_secs_f64(),
                counts.scraped as f64,
                counts.kept as f64,
                counts.added as f64,
                self.target.timeout.as_secs_f64(),
                self.settings.sample_limit as f64,
                report.body_bytes,
            ]
        });
        let told = match self.settings.extra_scrape_metrics {
            true => REPORTED.len(),
            false => ALWAYS_REPORTED,
        };
        for (at, (name, help, unit)) in REPORTED.into_iter().take(told).enumerate() {
            let mut labels: Labels = self.target.labels.clone();
            labels.set(model::prometheus::NAME_LABEL, name);
            let Some(series) = SeriesId::new(&labels) else {
                continue;
            };
            let info = Arc::new(Info {
                kind: "gauge".to_owned(),
                help: help.to_owned(),
                unit: unit.to_owned(),
                family: String::new(),
                target: match name {
                    UP => self
                        .target
                        .description(self.failing.as_ref().map(|(_, text)| text)),
                    _ => String::new(),
                },
            });
            let point = Point {
                time_unix_nano,
                value: match values {
                    Some(values) => PointValue::Number(values[at]),
                    None => PointValue::End(Kind::Number),
                },
                start_unix_nano: 0,
                exemplars: &[],
            };
            requests.push(&series, &info, &point);
        }
    }

    /// Ends the target's series: it is gone, or the agent stops.
    async fn end(mut self) {
        if !self.begun {
            return;
        }
        let now = self.shared.clock.unix_nanos() / NANOS_PER_MS * NANOS_PER_MS;
        let mut requests = Requests::default();
        if let Some(cache) = &mut self.cache {
            cache.end(now, &mut requests);
        }
        self.report(None, now, &mut requests);
        self.append(requests).await;
    }

    async fn append(&self, requests: Requests) {
        for (request, rows) in requests.finish() {
            let entry = Entry {
                signal: Signal::Metrics,
                source: "prometheus",
                rows,
                read_unix_nano: self.shared.clock.unix_nanos(),
                alone: false,
                request,
            };
            match self.shared.queue.append(entry).await {
                Ok(()) => {}
                Err(error) => {
                    let reason = match error {
                        AppendError::Closed => "queue_closed",
                        _ => "queue_full",
                    };
                    // Waiting would make every later scrape late; the next one is as good.
                    tracing::warn!(%error, rows, "scraped samples dropped");
                    let metrics = &self.shared.metrics;
                    metrics.received(Signal::Metrics, "prometheus", rows);
                    metrics.dropped(Signal::Metrics, reason, rows);
                }
            }
        }
    }
}

pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the sender of the signal is gone, which is a stop as well.
    drop(stop.wait_for(|stop| *stop).await);
}

/// The series that says whether a target answers.
const UP: &str = "up";
/// The series about each scrape: name, help, unit.
const REPORTED: [(&str, &str, &str); 8] = [
    (UP, "Whether the last scrape of the target succeeded.", ""),
    (
        "scrape_duration_seconds",
        "How long the target took to answer.",
        "seconds",
    ),
    (
        "scrape_samples_scraped",
        "Samples in the answer of the target.",
        "",
    ),
    (
        "scrape_samples_post_metric_relabeling",
        "Samples that were left after relabeling.",
        "",
    ),
    (
        "scrape_series_added",
        "Series that the scrape before did not have.",
        "",
    ),
    (
        "scrape_timeout_seconds",
        "How long the scrape may take.",
        "seconds",
    ),
    (
        "scrape_sample_limit",
        "How many samples the answer may have; 0 where there is no limit.",
        "",
    ),
    (
        "scrape_body_size_bytes",
        "The answer's size, decompressed; -1 where it is over the limit, 0 where there is none.",
        "bytes",
    ),
];
/// So many of them are stored without `extra_scrape_metrics`.
const ALWAYS_REPORTED: usize = 5;
