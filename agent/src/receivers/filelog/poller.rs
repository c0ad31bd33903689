//! One pass after the other over all files: look, read, queue.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::Env;
use model::{KeyValue, Signal};

use super::super::polling::Stop;
use super::assemble::{Assembler, Rules};
use super::batch::{self, Batch, Source};
use super::checkpoint::{self, FileId, Restored};
use super::discover::{self, FileSet, PatternError};
use super::rotation;
use super::tracked::{Look, Taken, Tracked};
use crate::encode;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::queue::{AppendError, Entry, Mark, Progress, Queue};

/// Chunks read from one file before the next has its turn.
const CHUNKS_PER_TURN: usize = 16;
/// A file without news for this long is looked at less often.
const IDLE_NANOS: u64 = 30_000_000_000;
/// How often an idle file is looked at.
const IDLE_LOOK_NANOS: u64 = 2_000_000_000;
/// Positions that moved without a record are stored at least this often.
const STORE_NANOS: u64 = 5_000_000_000;

const LINES: &str = "throughline_agent_file_lines_total";
const BYTES: &str = "throughline_agent_file_bytes_total";
const PROBLEMS: &str = "throughline_agent_file_problems_total";

/// The state of the receiver; everything happens on one thread.
pub(super) struct Poller {
    pub(super) env: Env,
    pub(super) options: Options,
    pub(super) sets: Vec<FileSet>,
    host: Vec<KeyValue>,
    queue: Queue,
    pub(super) metrics: Metrics,
    mark: Mark,
    pub(super) stop: Arc<Stop>,
    pub(super) files: BTreeMap<FileId, Tracked>,
    pub(super) assemblers: HashMap<Arc<Path>, Assembler>,
    resources: HashMap<Arc<Path>, Arc<[u8]>>,
    batch: Batch,
    /// What waits in the lineages whose state is to be stored has at most so many bytes.
    waiting_bytes: usize,
    pub(super) dirty_files: BTreeSet<FileId>,
    pub(super) dirty_lineages: HashSet<Arc<Path>>,
    pub(super) forgotten: BTreeSet<FileId>,
    pub(super) next_order: u64,
    next_discover: u64,
    /// Nothing was ever read: files that are there now may be started at their end.
    pub(super) fresh: bool,
    stored_at: u64,
    buffer: Vec<u8>,
}

impl Poller {
    pub(super) fn new(
        env: &Env,
        options: &Options,
        host: Vec<KeyValue>,
        queue: Queue,
        progress: &Progress,
        state: &BTreeMap<Vec<u8>, Vec<u8>>,
        stop: Arc<Stop>,
    ) -> Result<Self, PatternError> {
        let mut poller = Self {
            env: env.clone(),
            sets: discover::compile(&options.files)?,
            options: options.clone(),
            host,
            metrics: queue.metrics.clone(),
            queue,
            mark: progress.register(0),
            stop,
            files: BTreeMap::new(),
            assemblers: HashMap::new(),
            resources: HashMap::new(),
            batch: Batch::default(),
            waiting_bytes: 0,
            dirty_files: BTreeSet::new(),
            dirty_lineages: HashSet::new(),
            forgotten: BTreeSet::new(),
            next_order: 1,
            next_discover: 0,
            fresh: true,
            stored_at: 0,
            buffer: Vec::new(),
        };
        poller.restore(state);
        Ok(poller)
    }

    fn restore(&mut self, state: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let now = self.env.clock.unix_nanos();
        for (key, value) in state {
            match checkpoint::restore(key, value) {
                Some(Restored::File(id, mut state)) => {
                    self.fresh = false;
                    self.next_order = self.next_order.max(state.order + 1);
                    state.seen_unix_nano = now;
                    let mut file = Tracked::restored(id, state);
                    file.set = rotation::set_of(&self.sets, &file.lineage);
                    self.files.insert(id, file);
                }
                Some(Restored::Lineage(path, assembler)) => {
                    self.assemblers.insert(Arc::from(path), assembler);
                }
                None => {
                    tracing::error!("a stored file position does not read; its file is read again")
                }
            }
        }
    }

    /// Looks at every file once and queues what there is.
    pub(super) fn pass(&mut self) {
        let started = self.env.clock.unix_nanos();
        let now = self.env.clock.monotonic_nanos();
        if now >= self.next_discover {
            self.discover(now);
            let interval = nanos(self.options.filelog.discover_interval);
            // Many files make looking for more of them dear.
            self.next_discover = now + interval.max(self.files.len() as u64 * 100_000);
        }
        let mut turns: Vec<(u64, FileId)> = self
            .files
            .values()
            .filter(|file| !file.state.copy)
            .map(|file| (file.state.order, file.id))
            .collect();
        turns.sort_unstable();
        let mut blocked: HashSet<Arc<Path>> = HashSet::new();
        for (_, id) in turns {
            if self.stop.is_set() {
                break;
            }
            self.turn(id, now, &mut blocked);
        }
        self.flush_due();
        self.commit_if_due(now);
        self.close_idle_files();
        self.report(started, blocked.is_empty());
    }

    /// Lets one file have its turn. A lineage whose older file is not at its end is blocked.
    fn turn(&mut self, id: FileId, now: u64, blocked: &mut HashSet<Arc<Path>>) {
        let Some(mut file) = self.files.remove(&id) else {
            return;
        };
        if blocked.contains(&file.lineage) || now < file.next_look {
            self.files.insert(id, file);
            return;
        }
        if let Err(error) = self.visit(&mut file, now) {
            tracing::warn!(path = %file.path.display(), %error, "cannot read a log file");
            self.problem("unreadable", 1);
            file.file = None;
            file.next_look = now + IDLE_LOOK_NANOS;
        }
        self.commit_if_full(Some(&file));
        if !file.drained {
            blocked.insert(Arc::clone(&file.lineage));
        }
        self.files.insert(id, file);
    }

    fn visit(&mut self, file: &mut Tracked, now: u64) -> io::Result<()> {
        let before = file.bytes;
        match file.look()? {
            Look::Same => {
                file.drained = true;
                self.flush_pending(file);
                if now.saturating_sub(file.active_at) > IDLE_NANOS {
                    file.next_look = now + IDLE_LOOK_NANOS;
                }
                Ok(())
            }
            Look::Grown => {
                file.active_at = now;
                self.read(file)
            }
            Look::Replaced => {
                file.active_at = now;
                self.replaced(file, before);
                Ok(())
            }
            Look::Renamed | Look::Gone => {
                // Where it went, the next search shows.
                file.drained = true;
                if file.orphan {
                    // It has been searched for; only a pattern that names it brings it back.
                    file.next_look = u64::MAX;
                } else {
                    self.next_discover = 0;
                    file.next_look = now + 1;
                }
                Ok(())
            }
        }
    }

    fn read(&mut self, file: &mut Tracked) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        for _ in 0..CHUNKS_PER_TURN {
            match self.take_lines(file, &mut buffer) {
                Ok(taken) if taken.replaced => {
                    let bytes = file.bytes;
                    self.replaced(file, bytes);
                    break;
                }
                Ok(_) => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if self.is_full() {
                file.renew_head()?;
                self.commit(Some(file));
            }
            if file.drained || self.stop.is_set() {
                break;
            }
        }
        self.buffer = buffer;
        file.renew_head()?;
        result
    }

    fn batch_bytes(&self) -> usize {
        let entry = self.options.queue.request_bytes_max() / 2;
        self.options.filelog.batch_bytes.min(entry).max(1)
    }

    /// Whether what is read has to be queued now, to fit into a record of the queue.
    fn is_full(&self) -> bool {
        self.batch.bytes() >= self.batch_bytes()
            || self.waiting_bytes >= self.options.queue.request_bytes_max() / 2
    }

    /// Longest line: several go into an entry of the queue, however small that may be.
    fn line_bytes_max(&self) -> usize {
        let entry = self.options.queue.request_bytes_max() / 4;
        self.options.filelog.line_bytes_max.min(entry).max(1)
    }

    fn take_lines(&mut self, file: &mut Tracked, buffer: &mut Vec<u8>) -> io::Result<Taken> {
        let now = self.env.clock.unix_nanos();
        let had_pending = !file.pending.is_empty();
        let read_bytes = self.options.filelog.read_bytes;
        let (line_max, batch_bytes) = (self.line_bytes_max(), self.batch_bytes());
        let mut invalid = 0;
        let first = file.state.offset == 0;
        let lineage = Arc::clone(&file.lineage);
        let (path, set) = (file.path.clone(), file.set);
        let mut lines = 0;
        let taken = file.take_lines(buffer, read_bytes, line_max, &mut |line, _cut| {
            let line = if first && lines == 0 {
                line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
            } else {
                line
            };
            lines += 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let text = String::from_utf8_lossy(line);
            invalid += u64::from(matches!(text, std::borrow::Cow::Owned(_)));
            self.line(&lineage, &path, set, &text, now);
            self.batch.bytes() < batch_bytes
        })?;
        if taken.bytes > 0 {
            self.dirty_files.insert(file.id);
            self.moved(lineage);
        }
        if !file.pending.is_empty() && (!had_pending || taken.bytes > 0) {
            file.pending_since = now;
        }
        self.metrics.add(LINES, &[], taken.lines);
        self.metrics.add(BYTES, &[], taken.bytes as u64);
        self.problem("line_too_long_bytes", taken.cut_bytes);
        self.problem("invalid_utf8_lines", invalid);
        Ok(taken)
    }

    /// Sends a line through its lineage's assembler into the batch.
    fn line(&mut self, lineage: &Arc<Path>, path: &Path, set: usize, text: &str, now: u64) {
        self.assemble(lineage, path, set, |assembler, rules, out| {
            assembler.line(text, rules, now, out);
        });
    }

    fn assemble(
        &mut self,
        lineage: &Arc<Path>,
        path: &Path,
        set: usize,
        step: impl FnOnce(&mut Assembler, &Rules<'_>, &mut dyn FnMut(super::assemble::Assembled)),
    ) {
        let Some(files) = self.sets.get(set) else {
            return;
        };
        let bytes_max = self.line_bytes_max();
        let host = &self.host;
        let resource = self
            .resources
            .entry(Arc::clone(lineage))
            .or_insert_with(|| {
                Arc::from(encode::resource(&batch::resource(
                    lineage,
                    &files.options,
                    host,
                )))
            });
        let rules = Rules {
            format: files.options.format,
            multiline: files.options.multiline.as_ref(),
            bytes_max,
            flush_after_nanos: nanos(self.options.filelog.flush_after),
        };
        let source = Source {
            path,
            resource,
            files: &files.options,
        };
        let assembler = self.assemblers.entry(Arc::clone(lineage)).or_default();
        let (batch, options) = (&mut self.batch, &self.options);
        step(assembler, &rules, &mut |record| {
            batch.add(record, &source, options)
        });
    }

    /// Gives up waiting for the end of a last line.
    fn flush_pending(&mut self, file: &mut Tracked) {
        let waited = self
            .env
            .clock
            .unix_nanos()
            .saturating_sub(file.pending_since);
        if file.pending.is_empty() || waited < nanos(self.options.filelog.flush_after) {
            return;
        }
        self.emit_pending(file);
    }

    /// Takes what there is of a last line as a line.
    pub(super) fn emit_pending(&mut self, file: &mut Tracked) {
        let now = self.env.clock.unix_nanos();
        let pending = file.take_pending();
        let kept = pending.len().min(self.line_bytes_max());
        self.problem("line_too_long_bytes", (pending.len() - kept) as u64);
        let line = pending[..kept]
            .strip_suffix(b"\r")
            .unwrap_or(&pending[..kept]);
        let text = String::from_utf8_lossy(line);
        let invalid = u64::from(matches!(text, std::borrow::Cow::Owned(_)));
        self.problem("invalid_utf8_lines", invalid);
        self.metrics.add(LINES, &[], 1);
        self.metrics.add(BYTES, &[], pending.len() as u64);
        let (lineage, path) = (Arc::clone(&file.lineage), file.path.clone());
        self.line(&lineage, &path, file.set, &text, now);
        self.dirty_files.insert(file.id);
        self.moved(lineage);
    }

    /// Has what waits in a lineage stored.
    fn moved(&mut self, lineage: Arc<Path>) {
        let waits = self.assemblers.get(&lineage).map_or(0, Assembler::bytes);
        self.waiting_bytes += waits;
        self.dirty_lineages.insert(lineage);
    }

    /// Closes records whose continuation does not come.
    fn flush_due(&mut self) {
        let now = self.env.clock.unix_nanos();
        let waiting = self
            .assemblers
            .iter()
            .filter(|(_, waits)| !waits.is_empty());
        let lineages: Vec<Arc<Path>> = waiting.map(|(path, _)| Arc::clone(path)).collect();
        for lineage in lineages {
            // The newest file of the lineage lends its name and treatment.
            let newest = self.files.values().filter(|file| file.lineage == lineage);
            let newest = newest.max_by_key(|file| file.state.order);
            let (path, set) = match newest {
                Some(file) => (file.path.clone(), file.set),
                None => (
                    lineage.to_path_buf(),
                    rotation::set_of(&self.sets, &lineage),
                ),
            };
            let mut any = false;
            self.assemble(&lineage, &path, set, |assembler, rules, out| {
                any = assembler.flush_due(rules, now, out);
            });
            if any {
                self.dirty_lineages.insert(lineage);
            }
            self.commit_if_full(None);
        }
    }

    /// Last lines and records that waited come from many files at once.
    pub(super) fn commit_if_full(&mut self, current: Option<&Tracked>) {
        if self.is_full() {
            self.commit(current);
        }
    }

    fn commit_if_due(&mut self, now: u64) {
        let moved = !self.dirty_files.is_empty() || !self.forgotten.is_empty();
        if self.batch.bytes() > 0 || moved && now.saturating_sub(self.stored_at) >= STORE_NANOS {
            self.stored_at = now;
            self.commit(None);
        }
    }

    /// Queues the batch together with the positions that it brings about, however long that
    /// takes; only being stopped ends the wait, and then nothing was stored. `current` is the
    /// file that is being read and not among the others at the moment.
    fn commit(&mut self, current: Option<&Tracked>) {
        let mut updates = Vec::new();
        for id in &self.dirty_files {
            let file = current
                .filter(|file| file.id == *id)
                .or_else(|| self.files.get(id));
            if let Some(file) = file {
                updates.push(checkpoint::file_update(*id, Some(&file.state)));
            }
        }
        for id in &self.forgotten {
            updates.push(checkpoint::file_update(*id, None));
        }
        for lineage in &self.dirty_lineages {
            if let Some(assembler) = self.assemblers.get(lineage) {
                updates.push(checkpoint::lineage_update(lineage, assembler));
            }
        }
        let mut entry = self.batch.take();
        let empty = std::mem::take(&mut self.batch.empty_records);
        self.metrics
            .add("throughline_agent_file_empty_records_total", &[], empty);
        let mut delay = Duration::from_millis(50);
        loop {
            match self.queue.append_blocking(entry.clone(), updates.clone()) {
                Ok(()) => break,
                Err(AppendError::Closed) => {
                    self.stop.set();
                    return;
                }
                Err(error @ AppendError::TooLarge { .. }) => {
                    // A batch ends at half of the limit, so this takes a record that is another half,
                    // of a line that was a quarter. The positions still have to move on.
                    if let Some(Entry { rows, .. }) = entry.take() {
                        tracing::error!(%error, rows, "log records dropped");
                        self.metrics.received(Signal::Logs, "filelog", rows);
                        self.metrics.dropped(Signal::Logs, "too_large", rows);
                        continue;
                    }
                    tracing::error!(%error, "positions in log files cannot be stored");
                }
                Err(AppendError::Full | AppendError::Retry(_)) => {
                    self.problem("paused_by_queue", 1);
                }
            }
            if self.stop.wait(delay) {
                return;
            }
            delay = (delay * 2).min(Duration::from_secs(1));
        }
        self.dirty_files.clear();
        self.dirty_lineages.clear();
        self.waiting_bytes = 0;
        self.forgotten.clear();
        self.assemblers.retain(|_, assembler| !assembler.is_empty());
        if self.resources.len() > 2 * self.files.len() + 64 {
            // Container logs come and go, each with a path of its own.
            self.resources.clear();
        }
    }

    /// Keeps the files that were active last open, as many as allowed.
    fn close_idle_files(&mut self) {
        let open = self.files.values().filter(|file| file.file.is_some());
        let mut open: Vec<(u64, FileId)> = open.map(|file| (file.active_at, file.id)).collect();
        let max = self.options.filelog.open_files_max;
        if open.len() > max {
            open.sort_unstable();
            for (_, id) in &open[..open.len() - max] {
                if let Some(file) = self.files.get_mut(id) {
                    file.file = None;
                }
            }
        }
        let open = open.len().min(max);
        self.metrics
            .set("throughline_agent_files_open", &[], open as u64);
        let tracked = self.files.values().filter(|file| !file.orphan).count();
        self.metrics
            .set("throughline_agent_files", &[], tracked as u64);
    }

    /// Moves the mark up to which everything is queued.
    fn report(&mut self, started: u64, drained: bool) {
        let queued = self.dirty_lineages.is_empty() && self.batch.bytes() == 0;
        if !drained || !queued || self.stop.is_set() {
            return;
        }
        let pending = self.files.values().filter(|file| !file.pending.is_empty());
        let pending = pending.map(|file| file.pending_since).min();
        let waiting = self
            .assemblers
            .values()
            .filter_map(Assembler::waiting_since)
            .min();
        let complete = [pending, waiting]
            .into_iter()
            .flatten()
            .fold(started, u64::min);
        self.mark.set(complete);
    }

    pub(super) fn problem(&self, kind: &'static str, count: u64) {
        self.metrics.add(PROBLEMS, &[("reason", kind)], count);
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
