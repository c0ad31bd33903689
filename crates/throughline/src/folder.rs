//! The data folder: who has which part of it, and where its owners listen.
//!
//! | part | locked by | held by |
//! |---|---|---|
//! | everything but the part below | `DIR/lock` | a collector, an agent, or `up` |
//! | `DIR/query/` | `DIR/query/lock` | a query service, or `up` |
//!
//! So a collector and a query service of one machine may share the default folder.
//! `DIR/endpoints.json` says where the owners of both parts listen once they are ready. Each owner
//! writes its own keys there and leaves those of the other alone, as long as the other lives. To
//! change the file, or to find out who lives, one holds `DIR/endpoints.lock` for that moment.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use env::{Env, LockFile};
use serde_json::{Map, Value};

use crate::endpoints::Endpoints;

const ENDPOINTS: &str = "endpoints.json";
/// What whoever may ask the process for more than answers has to know.
const ADMIN_KEY: &str = "admin.key";
/// A longer file is none of ours.
const ENDPOINTS_BYTES_MAX: u64 = 64 << 10;

/// A part of the data folder that one process owns at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What a collector stores, or the queue of an agent.
    Data,
    /// What a query service remembers: the state of alerts.
    Query,
}

impl Part {
    const ALL: [Part; 2] = [Part::Data, Part::Query];

    /// Where the owner keeps its files.
    fn dir(self, dir: &Path) -> PathBuf {
        match self {
            Part::Data => dir.to_owned(),
            Part::Query => dir.join("query"),
        }
    }

    /// The owner's keys in `endpoints.json`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Part::Data => &["otlp_grpc", "otlp_http", "internal"],
            Part::Query => &["query"],
        }
    }
}

/// Makes this process the owner of a part, for as long as it holds what is returned, and removes
/// what an earlier owner said of its listeners, so that nobody takes that for this one's. A part
/// that another process owns stays as it is.
pub(crate) fn claim(env: &Env, dir: &Path, part: Part) -> anyhow::Result<LockFile> {
    let own = part.dir(dir);
    env.files
        .create_dir_all(&own)
        .with_context(|| format!("cannot use the data folder {}", own.display()))?;
    let _alone = Alone::new(dir)?;
    let lock = LockFile::acquire(&*env.files, &own)?;
    let mut endpoints = read(dir)?;
    for other in Part::ALL {
        if other == part || !lives(env, &other.dir(dir)) {
            other
                .keys()
                .iter()
                .for_each(|key| drop(endpoints.remove(*key)));
        }
    }
    write(dir, &endpoints)?;
    Ok(lock)
}

/// Says where this process listens: in the log, and beside what owners of other parts say.
pub(crate) fn publish(dir: &Path, own: &Endpoints) -> anyhow::Result<()> {
    let _alone = Alone::new(dir)?;
    let mut endpoints = read(dir)?;
    if let Value::Object(own) = serde_json::to_value(own)? {
        endpoints.extend(own);
    }
    write(dir, &endpoints)?;
    own.log(dir);
    Ok(())
}

/// Makes a key and writes it where the user of this process alone may read it. Without room on the
/// disk there is none, and nobody can ask.
pub(crate) fn new_admin_key(dir: &Path) -> Option<String> {
    let path = dir.join(ADMIN_KEY);
    let make = || {
        let mut random = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let key: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = std::fs::File::options();
        let mut file = options
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(key.as_bytes())?;
        Ok(key)
    };
    make()
        .inspect_err(|error| {
            tracing::error!(%error, "{ADMIN_KEY} is not written: no snapshots until the next start");
        })
        .ok()
}

/// The key of the process that has the folder open.
pub(crate) fn read_admin_key(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join(ADMIN_KEY);
    let key = std::fs::read_to_string(&path);
    Ok(key
        .with_context(|| {
            format!(
                "cannot read {}: the user that the process runs as can",
                path.display()
            )
        })?
        .trim()
        .to_owned())
}

/// The internal listener of the process that has the folder open, if it says so.
pub(crate) fn internal_address(dir: &Path) -> Option<SocketAddr> {
    let endpoints = read(dir).ok()?;
    endpoints.get("internal")?.as_str()?.parse().ok()
}

/// Whether a process owns the part that is kept here, or that cannot be found out.
fn lives(env: &Env, dir: &Path) -> bool {
    dir.join(LockFile::NAME).exists() && LockFile::acquire(&*env.files, dir).is_err()
}

fn read(dir: &Path) -> anyhow::Result<Map<String, Value>> {
    let path = dir.join(ENDPOINTS);
    match std::fs::metadata(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Map::new()),
        Ok(file) if file.len() > ENDPOINTS_BYTES_MAX => return Ok(Map::new()),
        _ => {}
    }
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // A file that does not read is replaced: it only tells what its owner will tell again.
    Ok(serde_json::from_slice(&text).unwrap_or_default())
}

/// Replaces the file. That there is no room for it is no reason not to serve.
fn write(dir: &Path, endpoints: &Map<String, Value>) -> anyhow::Result<()> {
    match replace(dir, endpoints) {
        Err(error) if error.kind() == ErrorKind::StorageFull => {
            tracing::error!(%error, "{ENDPOINTS} is not written");
            Ok(())
        }
        other => other.with_context(|| format!("cannot write {}", dir.join(ENDPOINTS).display())),
    }
}

/// Replaces the file by rename; without anything to say there is none.
fn replace(dir: &Path, endpoints: &Map<String, Value>) -> std::io::Result<()> {
    let path = dir.join(ENDPOINTS);
    if endpoints.is_empty() {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let text = serde_json::to_vec(endpoints).map_err(std::io::Error::other)?;
    let temporary = dir.join(format!("{ENDPOINTS}.tmp"));
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, path)
}

/// Keeps other processes from the folder's `endpoints.json` until dropped.
struct Alone {
    _locked: std::fs::File,
}

impl Alone {
    fn new(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("endpoints.lock");
        let lock = || {
            let file = std::fs::File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            // Whoever holds it does so for a moment.
            file.lock()?;
            Ok::<_, std::io::Error>(Self { _locked: file })
        };
        lock().with_context(|| format!("cannot lock {}", path.display()))
    }
}

#[cfg(test)]
mod tests;
