//! Which client sends the requests to a target: one for each job, or for each target where its
//! certificate has another name than its address. It is made anew when a file of its TLS settings
//! changes, so that renewed certificates hold without a restart.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use config::{FilePath, ScrapeSettings, TlsSettings};
use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url};

use super::connection;

/// A file as it was when a client was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    path: PathBuf,
    /// When it was written, and its length; nothing where it is not there.
    state: Option<(SystemTime, u64)>,
}

impl Version {
    fn of(path: PathBuf) -> Self {
        let state = std::fs::metadata(&path).ok();
        let state = state.and_then(|state| Some((state.modified().ok()?, state.len())));
        Self { path, state }
    }
}

/// Makes clients, and knows the present one.
#[derive(Debug)]
pub(super) struct Connector {
    settings: Arc<ScrapeSettings>,
    /// The host that is connected to in place of the name that the certificate has.
    host: Option<String>,
    present: Mutex<Present>,
}

#[derive(Debug)]
struct Present {
    client: Client,
    files: Vec<Version>,
}

impl Connector {
    /// Of a job whose requests need nothing of their own: `shared` sends them.
    pub(super) fn plain(settings: Arc<ScrapeSettings>, shared: Client) -> Self {
        let present = Mutex::new(Present {
            client: shared,
            files: Vec::new(),
        });
        Self {
            settings,
            host: None,
            present,
        }
    }

    /// Of a job. The error says what is wrong with its settings.
    pub(super) fn new(settings: Arc<ScrapeSettings>) -> Result<Self, String> {
        Self::of_host(settings, None)
    }

    /// Of a target at this address, where `tls_config` names what its certificate has.
    pub(super) fn of_target(
        settings: &Arc<ScrapeSettings>,
        url: &str,
    ) -> Option<Result<Self, String>> {
        server_name(settings)?;
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "https")?;
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self::of_host(Arc::clone(settings), Some(host)))
    }

    fn of_host(settings: Arc<ScrapeSettings>, host: Option<String>) -> Result<Self, String> {
        let present = make(&settings, host.as_deref())?;
        Ok(Self {
            settings,
            host,
            present: Mutex::new(present),
        })
    }

    /// The client for the next request, and what the target is called in it. Files are looked at
    /// first: where they have changed and do not read, the client stays, and the error says why.
    pub(super) fn look(&self) -> (Client, Option<String>) {
        let (client, files) = {
            let present = self.present.lock();
            (present.client.clone(), present.files.clone())
        };
        let now: Vec<Version> = paths(self.settings.tls_config.as_ref())
            .map(Version::of)
            .collect();
        if files.is_empty() || now == files {
            return (client, None);
        }
        match make(&self.settings, self.host.as_deref()) {
            Ok(fresh) => {
                let client = fresh.client.clone();
                *self.present.lock() = fresh;
                (client, None)
            }
            Err(problem) => {
                // It is tried again once they change again.
                self.present.lock().files = now;
                (client, Some(problem))
            }
        }
    }

    /// The client, without a look at files.
    pub(super) fn client(&self) -> Client {
        self.present.lock().client.clone()
    }

    /// Whether there are files to look at.
    pub(super) fn has_files(&self) -> bool {
        !self.present.lock().files.is_empty()
    }

    /// The URL of a target with the name of its certificate, and its own name and port for the
    /// header `Host`.
    pub(super) fn named(&self, url: &str) -> Option<(String, String)> {
        self.host.as_ref()?;
        let name = server_name(&self.settings)?;
        let mut url = Url::parse(url).ok()?;
        let authority = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        url.set_host(Some(name)).ok()?;
        Some((url.into(), authority))
    }
}

fn server_name(settings: &ScrapeSettings) -> Option<&str> {
    settings.tls_config.as_ref()?.server_name.as_deref()
}

/// The files that TLS settings name.
fn paths(tls: Option<&TlsSettings>) -> impl Iterator<Item = PathBuf> {
    let files = tls.map(|tls| [&tls.ca_file, &tls.cert_file, &tls.key_file]);
    let files = files.into_iter().flatten().flatten();
    files.map(|FilePath(path)| path.clone())
}

/// A client. What was written while it was being made is seen at the next look.
fn make(settings: &ScrapeSettings, host: Option<&str>) -> Result<Present, String> {
    let files = paths(settings.tls_config.as_ref())
        .map(Version::of)
        .collect();
    let mut builder = connection::builder(Some(&settings.access()))?;
    if let (Some(host), Some(name)) = (host, server_name(settings)) {
        // What the connection is for is in the header `Host`, which HTTP/2 has not.
        builder = builder.http1_only().dns_resolver(Arc::new(InPlace {
            name: name.to_owned(),
            host: host.to_owned(),
        }));
    }
    let client = builder.build().map_err(|error| connection::told(&error))?;
    Ok(Present { client, files })
}

/// Resolves one name as another.
#[derive(Debug)]
struct InPlace {
    name: String,
    host: String,
}

impl Resolve for InPlace {
    fn resolve(&self, name: Name) -> Resolving {
        let same = name.as_str().eq_ignore_ascii_case(&self.name);
        let host = if same {
            self.host.clone()
        } else {
            name.as_str().to_owned()
        };
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
