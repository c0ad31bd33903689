//! HTTP service discovery: servers that list targets, asked again and again. A list holds until the
//! next one comes, whatever goes wrong between.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config::{HttpDiscovery, HttpDiscoverySettings, TargetGroup};
use parking_lot::Mutex;
use reqwest::header::{ACCEPT, AUTHORIZATION};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::connection;
use super::fetch::{authorized, further, sensitive};
use super::oauth2::Tokens;

/// A list is no longer.
const LIST_BYTES_MAX: usize = 16 << 20;
/// A server that does not answer within this time is asked again at the next moment.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What a server listed last, and why it could not be asked since.
#[derive(Debug, Clone, Default)]
struct Listed {
    groups: Arc<Vec<TargetGroup>>,
    problem: Option<String>,
}

/// The servers of one job, which are asked until this is dropped.
#[derive(Debug)]
pub(super) struct Lists {
    servers: Vec<(String, Arc<Mutex<Listed>>)>,
    changed: Arc<Notify>,
    _tasks: JoinSet<()>,
}

impl Lists {
    /// Begins to ask. `failed` is called each time that a server cannot be. The error says what is
    /// wrong with the settings.
    pub(super) fn start(
        configs: &[HttpDiscovery],
        failed: impl Fn() + Clone + Send + 'static,
    ) -> Result<Self, String> {
        let changed = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        let mut servers = Vec::new();
        for HttpDiscovery(settings) in configs {
            let named = |problem| format!("http_sd_configs: {}: {problem}", settings.url.0);
            let server = Server::new(settings.clone()).map_err(named)?;
            let listed = Arc::new(Mutex::new(Listed::default()));
            servers.push((settings.url.0.clone(), Arc::clone(&listed)));
            let (changed, failed) = (Arc::clone(&changed), failed.clone());
            tasks.spawn(async move {
                let mut moments = tokio::time::interval(server.settings.refresh_interval);
                moments.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                loop {
                    moments.tick().await;
                    let answer = tokio::time::timeout(TIMEOUT, server.ask()).await;
                    let late = || Err("no answer within a minute".to_owned());
                    let answer = answer.unwrap_or_else(|_| late());
                    {
                        let mut listed = listed.lock();
                        match answer {
                            Ok(groups) => {
                                listed.groups = Arc::new(groups);
                                listed.problem = None;
                            }
                            Err(problem) => {
                                failed();
                                listed.problem = Some(problem);
                            }
                        }
                    }
                    changed.notify_one();
                }
            });
        }
        Ok(Self {
            servers,
            changed,
            _tasks: tasks,
        })
    }

    /// Waits until a server answered or did not.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The groups with the addresses of the servers that list them.
    pub(super) fn groups(&self) -> Vec<(String, Arc<Vec<TargetGroup>>)> {
        let groups = |(url, listed): &(String, Arc<Mutex<Listed>>)| {
            (url.clone(), Arc::clone(&listed.lock().groups))
        };
        self.servers.iter().map(groups).collect()
    }

    /// Why servers could not be asked.
    pub(super) fn problems(&self) -> Vec<String> {
        let problem = |(url, listed): &(String, Arc<Mutex<Listed>>)| {
            let problem = listed.lock().problem.clone()?;
            Some(format!("{url}: {problem}"))
        };
        self.servers.iter().filter_map(problem).collect()
    }
}

/// A server that lists targets.
struct Server {
    settings: HttpDiscoverySettings,
    client: Client,
    tokens: Option<Tokens>,
}

impl Server {
    fn new(settings: HttpDiscoverySettings) -> Result<Self, String> {
        let client = connection::client(Some(&settings.access()))?;
        let tokens = settings.oauth2.clone().map(Tokens::new).transpose()?;
        Ok(Self {
            settings,
            client,
            tokens,
        })
    }

    async fn ask(&self) -> Result<Vec<TargetGroup>, String> {
        let settings = &self.settings;
        let said = |error: super::fetch::ScrapeError| error.to_string();
        let interval = settings.refresh_interval.as_secs_f64().to_string();
        let request = self
            .client
            .get(&settings.url.0)
            .header(ACCEPT, "application/json")
            .header("x-prometheus-refresh-interval-seconds", interval);
        let access = settings.access();
        let request = further(request, access.http_headers).await.map_err(said)?;
        let request = match &self.tokens {
            Some(tokens) => {
                let token = tokens.header().await.map_err(said)?;
                request.header(AUTHORIZATION, sensitive(&token).map_err(said)?)
            }
            None => authorized(request, &access).await.map_err(said)?,
        };
        let answer = request.send().await;
        let response = answer.map_err(|error| connection::told(&error))?;
        // What has no content, such as 204, is no list without targets.
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let text = text(response).await?;
        let url = settings.url.0.clone();
        // Reading a long list is work for a processor.
        let read = tokio::task::spawn_blocking(move || {
            config::parse_target_groups(&url, &text, PathBuf::new())
        });
        let read = read.await.map_err(|error| error.to_string())?;
        read.map_err(|errors| {
            let first = errors.first().map(ToString::to_string);
            format!("the list does not read: {}", first.unwrap_or_default())
        })
    }
}

async fn text(mut response: Response) -> Result<String, String> {
    let mut body = Vec::new();
    let failed = |error: reqwest::Error| connection::told(&error);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > LIST_BYTES_MAX {
            return Err(format!("the list has more than {LIST_BYTES_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| "the list is not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests;
