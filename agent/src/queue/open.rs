//! Opening the queue's folder: who we are, what is in the journal, and what number comes next.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use env::Env;
use journal::{Journal, Position};
use model::Signal;
use serde::{Deserialize, Serialize};

use super::record::{self, Record, StampId, destination_code};
use super::rows::{Queued, signal_index};
use super::state::{self, StateFile, Summary};
use super::{QueueError, Restored};
use crate::metrics::{self, Metrics};
use crate::options::QueueOptions;

/// The `identity` file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    agent: String,
    epoch: u64,
}

/// The `exported` file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Exported {
    /// Destination -> `segment:offset`.
    destinations: BTreeMap<String, String>,
}

/// What the writer starts from.
pub(super) struct Opened {
    pub(super) journal: Journal,
    pub(super) agent: String,
    pub(super) next: StampId,
    pub(super) summary: Summary,
    /// Whether the `state` file has the summary.
    pub(super) saved: bool,
    pub(super) exported: BTreeMap<String, Position>,
    pub(super) queued: Queued,
}

pub(super) fn open(
    env: &Env,
    dir: &Path,
    options: &QueueOptions,
    destinations: &[String],
    metrics: &Metrics,
) -> Result<(Opened, Restored), QueueError> {
    let io = |action, path: &Path| {
        let path = path.display().to_string();
        move |source| QueueError::Io {
            action,
            path,
            source,
        }
    };
    env.files.create_dir_all(dir).map_err(io("create", dir))?;
    let identity = read_identity(env, dir)?;
    let summary = read_summary(env, dir)?;
    let (journal, recovery) = Journal::open(
        env,
        &dir.join("journal"),
        journal::Options {
            segment_bytes: (options.bytes / 16).clamp(1 << 20, 64 << 20),
            // A record may hold a whole entry cut into pieces, and the file receiver's state.
            record_bytes_max: options.entry_bytes_max.saturating_add(16 << 20),
            preallocate: true,
            segment_min: summary.as_ref().map_or(1, |summary| summary.at().segment),
            ..journal::Options::default()
        },
    )?;
    let sound = !recovery.is_damaged() && recovery.torn_bytes == 0;
    metrics.add(metrics::QUEUE_CORRUPT_BYTES, &[], recovery.corrupt_bytes);
    let lost = summary
        .as_ref()
        .is_none_or(|summary| !reaches_back_to(&journal, summary.at()));
    let mut exported = read_exported(env, dir);
    exported.retain(|name, _| destinations.contains(name));
    for name in destinations {
        let position = exported.entry(name.clone()).or_insert(Position::START);
        // A position beyond the end belongs to a journal that is gone.
        *position = (*position).min(journal.synced_end());
    }
    let mut scan = Scan::start(summary.unwrap_or_default(), destinations);
    scan.run(&journal, &exported)?;
    let whole = sound && !lost;
    let (agent, next) = identify(env, dir, identity, scan.next, whole)?;
    scan.summary.epoch = next.epoch;
    scan.summary.next_sequence = next.sequence;
    scan.summary.position = journal.synced_end().to_bytes();
    let saved = save(env, &dir.join("state"), &scan.summary)?;
    let queued = Queued::start(scan.queued_rows(&exported), metrics);
    metrics.set(metrics::QUEUE_BYTES, &[], journal.bytes());
    let restored = Restored {
        state: scan.summary.values.clone(),
        exported: exported.clone(),
        left_out: scan.left_out,
        fresh: lost && scan.records == 0,
    };
    let opened = Opened {
        journal,
        agent,
        next,
        summary: scan.summary,
        saved,
        exported,
        queued,
    };
    Ok((opened, restored))
}

/// Writes the state file. Where the disk has no room for it the journal goes on having what the file
/// lacks, and is not freed before it is written: an agent that starts then reads what others ask of
/// this process, and has its receivers wait.
fn save(env: &Env, path: &Path, summary: &Summary) -> Result<bool, QueueError> {
    match env.files.write_atomic(path, &summary.encode()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            tracing::error!(path = %path.display(), %error,
                "the disk is full: the agent starts, and takes nothing until there is room");
            Ok(false)
        }
        Err(source) => Err(QueueError::Io {
            action: "write",
            path: path.display().to_string(),
            source,
        }),
    }
}

/// Who this agent is and what number comes next. Numbers go on only if the journal is whole and
/// the identity belongs to it.
fn identify(
    env: &Env,
    dir: &Path,
    known: Option<Identity>,
    next: StampId,
    whole: bool,
) -> Result<(String, StampId), QueueError> {
    if let Some(identity) = &known
        && whole
        && identity.epoch == next.epoch
    {
        return Ok((identity.agent.clone(), next));
    }
    let epoch = next
        .epoch
        .max(known.as_ref().map_or(0, |known| known.epoch))
        + 1;
    let agent = known.map_or_else(|| new_id(env), |known| known.agent);
    let identity = Identity {
        agent: agent.clone(),
        epoch,
    };
    let json = serde_json::to_vec(&identity).expect("two plain fields serialise");
    let path = dir.join("identity");
    let written = env.files.write_atomic(&path, &json);
    written.map_err(|source| QueueError::Io {
        action: "write",
        path: path.display().to_string(),
        source,
    })?;
    tracing::info!(agent, epoch, "a new epoch of the agent's queue begins");
    Ok((agent, StampId { epoch, sequence: 1 }))
}

/// Whether the journal still has everything from a position on that was written after it.
fn reaches_back_to(journal: &Journal, position: Position) -> bool {
    if position > journal.synced_end() {
        return false;
    }
    let mut reader = journal.read_from(position);
    // Looking for a record moves the reader to the first segment that exists.
    let _first = reader.next();
    reader.position().segment == position.segment || position == Position::START
}

/// One pass over all that the journal holds.
struct Scan {
    summary: Summary,
    next: StampId,
    /// What is not for a destination, of each.
    left_out: BTreeMap<String, HashSet<StampId>>,
    /// What is waiting for at least one destination.
    queued: BTreeMap<StampId, (Position, Signal, u32)>,
    records: u64,
}

impl Scan {
    fn start(summary: Summary, destinations: &[String]) -> Self {
        let next = StampId {
            epoch: summary.epoch,
            sequence: summary.next_sequence,
        };
        Self {
            summary,
            next,
            left_out: destinations
                .iter()
                .map(|name| (name.clone(), HashSet::new()))
                .collect(),
            queued: BTreeMap::new(),
            records: 0,
        }
    }

    fn run(
        &mut self,
        journal: &Journal,
        exported: &BTreeMap<String, Position>,
    ) -> Result<(), QueueError> {
        let oldest = exported.values().min().copied().unwrap_or(Position::START);
        let summed_up = self.summary.at();
        for found in journal.read_from(Position::START) {
            let found = found?;
            self.records += 1;
            let Some(record) = record::decode(&found.payload) else {
                tracing::error!(position = %found.position, "skipped a queue record that does not decode");
                continue;
            };
            // State that the summary contains must not be taken from an older record again.
            if found.position >= summed_up {
                state::apply(&mut self.summary.values, &record.updates);
            }
            self.leave_out(&record);
            for entry in record.entries {
                let after = StampId {
                    sequence: entry.stamp.sequence + 1,
                    ..entry.stamp
                };
                self.next = self.next.max(after);
                if found.position >= oldest {
                    let waiting = (found.position, entry.signal, entry.rows);
                    self.queued.insert(entry.stamp, waiting);
                }
            }
        }
        Ok(())
    }

    /// Pieces stand in for their entry, but for a destination that keeps it, or that has other pieces
    /// of it: where two split it, a third one that came later takes those of the first.
    fn leave_out(&mut self, record: &Record) {
        let Some(replaces) = &record.replaces else {
            return;
        };
        for (name, left_out) in &mut self.left_out {
            let kept = replaces.kept_by.contains(&destination_code(name));
            if kept || !left_out.insert(replaces.stamp) {
                left_out.extend(record.entries.iter().map(|piece| piece.stamp));
            }
        }
    }

    fn queued_rows(&self, exported: &BTreeMap<String, Position>) -> BTreeMap<String, [i64; 3]> {
        let rows_after = |name: &str, from: Position| {
            let left_out = &self.left_out[name];
            let mut rows = [0; 3];
            for (stamp, (position, signal, count)) in &self.queued {
                if *position >= from && !left_out.contains(stamp) {
                    rows[signal_index(*signal)] += i64::from(*count);
                }
            }
            rows
        };
        let destinations = exported.iter();
        destinations
            .map(|(name, from)| (name.clone(), rows_after(name, *from)))
            .collect()
    }
}

fn read(env: &Env, path: &Path) -> Result<Option<Vec<u8>>, QueueError> {
    match env::read_patiently(|| env.files.read(path)) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if env::is_unreadable(&error) => {
            tracing::error!(path = %path.display(), %error, "the disk does not give a file of the queue");
            Ok(Some(Vec::new()))
        }
        Err(source) => Err(QueueError::Io {
            action: "read",
            path: path.display().to_string(),
            source,
        }),
    }
}

fn read_identity(env: &Env, dir: &Path) -> Result<Option<Identity>, QueueError> {
    let path = dir.join("identity");
    let Some(content) = read(env, &path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&content) {
        Ok(identity) => Ok(Some(identity)),
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "unreadable identity; a new one is made up");
            Ok(None)
        }
    }
}

fn read_summary(env: &Env, dir: &Path) -> Result<Option<Summary>, QueueError> {
    let path = dir.join("state");
    let Some(content) = read(env, &path)? else {
        return Ok(None);
    };
    match state::decode(&content) {
        StateFile::Good(summary) => Ok(Some(summary)),
        StateFile::Newer(version) => Err(QueueError::Version {
            path: path.display().to_string(),
            version,
        }),
        StateFile::Damaged => {
            tracing::error!(path = %path.display(), "unreadable state; log files may be read again");
            Ok(None)
        }
    }
}

fn read_exported(env: &Env, dir: &Path) -> BTreeMap<String, Position> {
    let path = dir.join("exported");
    let content = match read(env, &path) {
        Ok(Some(content)) => content,
        Ok(None) => return BTreeMap::new(),
        Err(error) => {
            tracing::error!(%error, "everything in the queue is sent again");
            return BTreeMap::new();
        }
    };
    let exported: Exported = serde_json::from_slice(&content).unwrap_or_else(|error| {
        tracing::error!(path = %path.display(), %error, "everything in the queue is sent again");
        Exported::default()
    });
    let parse = |(name, text): (String, String)| {
        let (segment, offset) = text.split_once(':')?;
        let position = Position {
            segment: segment.parse().ok()?,
            offset: offset.parse().ok()?,
        };
        Some((name, position))
    };
    exported
        .destinations
        .into_iter()
        .filter_map(parse)
        .collect()
}

pub(super) fn encode_exported(positions: &BTreeMap<String, Position>) -> Vec<u8> {
    let text = |(name, position): (&String, &Position)| (name.clone(), position.to_string());
    let exported = Exported {
        destinations: positions.iter().map(text).collect(),
    };
    serde_json::to_vec(&exported).expect("a map of strings serialises")
}

/// A random (version 4) UUID.
fn new_id(env: &Env) -> String {
    let mut bytes = [0; 16];
    env.random.fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    groups.join("-")
}
