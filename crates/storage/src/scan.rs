//! The read path: which chunks and blocks can hold matching rows, the filter over each, and what
//! becomes of the rows.
//!
//! Every request runs on a thread of its own over one view of the store, and looks between two
//! tables whether it was cancelled or has used up a limit. A limit ends it with what was found
//! and a cut that says so; a damaged block is left out and named.

mod candidates;
mod counts;
mod durations;
mod fields;
mod groups;
mod labels;
mod memory;
mod metrics;
mod parallel;
mod rows;
pub(crate) mod series;
mod status;
mod tally;
mod traces;
mod unit;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use model::time::NANOS_PER_DAY;
use model::{Signal, Tenant, TimeRange};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tokio::sync::mpsc;

use crate::eval::Compiled;
use crate::layout::Interned;
use crate::message::{BucketStats, Cut, Limits, Reply, Request, Selection, Stats, Summary};
use crate::partition::{BlockFile, FileEntry};
use crate::read::{Read, ReadError, Replies};
use crate::store::{Core, Store, View, add};
use crate::table::{Damage, Mask, Table};
use crate::terms::Need;

pub(crate) use memory::{Decoding, Share};
pub(crate) use unit::{Opened, Unit};

/// Replies that may wait for a slow reader before the scan does.
const REPLIES_WAITING: usize = 4;
/// How far beyond its day a file that does not read is thought to have rows.
const UNREAD_REACH: u64 = 2 * NANOS_PER_DAY;

impl Read for Store {
    fn name(&self) -> &str {
        &self.core().options.name
    }

    fn execute(&self, request: Request, limits: Limits) -> Replies {
        let core = self.core().clone();
        if let Request::Tail { selection, buffer } = request {
            return tail(&core, &selection, buffer);
        }
        let (sender, receiver) = mpsc::channel(REPLIES_WAITING);
        tokio::task::spawn_blocking(move || {
            let scan = Scan::new(&core, limits, sender);
            let result = scan.run(request);
            scan.end(result);
        });
        futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|item| (item, receiver))
        })
        .boxed()
    }
}

fn tail(core: &Arc<Core>, selection: &Selection, buffer: usize) -> Replies {
    let failed = |error: ReadError| futures::stream::once(async { Err(error) }).boxed();
    let filter = match Compiled::new(&selection.filter, selection.signal) {
        Ok(filter) => filter,
        Err(error) => return failed(error),
    };
    match core.tails.watch(selection, filter, buffer) {
        Ok(stream) => futures::stream::unfold(stream, |mut stream| async move {
            let tail = stream.next().await?;
            Some((Ok(Reply::Tail(tail)), stream))
        })
        .boxed(),
        Err(reason) => failed(ReadError::Unavailable(reason.to_owned())),
    }
}

/// Why a scan ends before its work is done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Nobody waits for the answer any more.
    Cancelled,
    /// A limit is reached; the cut is noted.
    Limit,
    /// The request is wrong.
    Invalid(ReadError),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Stop::Invalid(error)
    }
}

/// One request at work, perhaps on several threads.
pub(crate) struct Scan<'a> {
    core: &'a Core,
    view: View,
    limits: Limits,
    begun: Instant,
    account: Mutex<Account>,
    interned: Arc<Interned>,
    sender: mpsc::Sender<Result<Reply, ReadError>>,
}

/// What the answer says about itself.
#[derive(Default)]
struct Account {
    stats: Stats,
    cuts: Vec<Cut>,
    /// By file and ordinal; none for what is in memory.
    damaged_blocks: FxHashSet<Option<(u64, usize)>>,
    unread_files: u64,
    /// Memory of the rows built so far.
    held_bytes: u64,
}

impl<'a> Scan<'a> {
    fn new(core: &'a Core, limits: Limits, sender: mpsc::Sender<Result<Reply, ReadError>>) -> Self {
        Self {
            core,
            view: core.view.read().clone(),
            limits,
            begun: Instant::now(),
            account: Mutex::default(),
            interned: core.interned(),
            sender,
        }
    }

    fn run(&self, request: Request) -> Result<(), Stop> {
        match request {
            Request::Rows {
                selection,
                order,
                limit,
                traces,
                after,
                columns,
            } => {
                let wanted = rows::Wanted {
                    order,
                    limit,
                    traces,
                    after,
                    columns,
                };
                rows::run(self, &selection, &wanted)
            }
            Request::Counts {
                selection,
                step_nano,
                by,
                groups,
            } => counts::run(self, &selection, step_nano, &by, groups),
            Request::Durations {
                selection,
                by,
                groups,
            } => durations::run(self, &selection, &by, groups),
            Request::Traces {
                selection,
                order,
                limit,
            } => traces::run(self, &selection, order, limit),
            Request::Fields { selection } => fields::names(self, &selection),
            Request::Values {
                selection,
                field,
                prefix,
                limit,
            } => fields::values(self, &selection, &field, &prefix, limit),
            Request::Series {
                tenant,
                range,
                matchers,
                points,
                limit,
            } => series::points(self, (&tenant, range), &matchers, points, limit),
            Request::Samples {
                tenant,
                range,
                deltas_since,
                matchers,
                rollup,
                samples,
                foreseen,
                limit,
                share,
            } => {
                let most = series::Most {
                    series: limit,
                    samples,
                    foreseen,
                };
                let times = (range, deltas_since);
                series::samples(self, &tenant, times, &matchers, (rollup, share), most)
            }
            Request::Labels {
                tenant,
                range,
                matchers,
                label,
                limit,
            } => labels::run(self, (&tenant, range), &matchers, label.as_deref(), limit),
            Request::Cardinality { tenant, range, of } => {
                series::cardinality::run(self, (&tenant, range), &of)
            }
            Request::Metrics { tenant, limit } => metrics::run(self, &tenant, limit),
            Request::Status { tenant } => status::run(self, &tenant),
            Request::Tail { .. } => unreachable!("tails are answered without a scan"),
        }
    }

    fn end(self, result: Result<(), Stop>) {
        self.core.trim_interned();
        let last = match result {
            Err(Stop::Cancelled) => return,
            Err(Stop::Invalid(error)) => Err(error),
            Ok(()) | Err(Stop::Limit) => {
                let (blocks, files) = {
                    let account = self.account.lock();
                    (account.damaged_blocks.len(), account.unread_files)
                };
                if blocks > 0 {
                    let hint = "rows of damaged blocks are missing; see the collector's log";
                    self.cut("damage", blocks, hint);
                } else if files > 0 {
                    let hint =
                        "rows of files that do not read may be missing; see the collector's log";
                    self.cut("damage", files, hint);
                }
                let now = self.core.env.clock.unix_nanos();
                let Account { stats, cuts, .. } = self.account.into_inner();
                Ok(Reply::End(Summary {
                    stats: Stats {
                        elapsed_ms: u64::try_from(self.begun.elapsed().as_millis())
                            .unwrap_or(u64::MAX),
                        ..stats
                    },
                    cuts,
                    sources: self.core.sources.lock().list(&self.core.options.name, now),
                }))
            }
        };
        // Who has the whole answer may count on it that files are not held any more.
        drop(self.view);
        let _ = self.sender.blocking_send(last);
    }

    /// Sends a part of the answer, waiting for a slow reader.
    fn reply(&self, reply: Reply) -> Result<(), Stop> {
        self.sender
            .blocking_send(Ok(reply))
            .map_err(|_| Stop::Cancelled)
    }

    /// Notes that buckets are in the answer.
    fn downsampled(&self, buckets: BucketStats) {
        self.account.lock().stats.buckets.add(buckets);
    }

    fn cut(&self, limit: &str, value: impl ToString, hint: &str) {
        let cuts = &mut self.account.lock().cuts;
        if cuts.iter().all(|cut| cut.limit != limit) {
            cuts.push(Cut {
                limit: limit.to_owned(),
                value: value.to_string(),
                hint: hint.to_owned(),
            });
        }
    }

    /// Called between two units.
    fn check(&self) -> Result<(), Stop> {
        if self.sender.is_closed() {
            return Err(Stop::Cancelled);
        }
        if self.begun.elapsed() >= Duration::from_millis(self.limits.timeout_ms) {
            let value = format!("{} ms", self.limits.timeout_ms);
            self.cut("time", value, "narrow the time range or the query");
            return Err(Stop::Limit);
        }
        if self.account.lock().stats.bytes >= self.limits.scanned_bytes {
            let value = self.limits.scanned_bytes;
            self.cut("bytes", value, "narrow the time range or the query");
            return Err(Stop::Limit);
        }
        Ok(())
    }

    /// The units in which rows of the selection can lie.
    fn units(&self, selection: &Selection) -> Vec<Unit> {
        let need = Need::of(&selection.filter, selection.signal);
        self.name_unread(&selection.tenant, selection.signal, selection.range);
        let found = candidates::units(
            &self.view,
            &selection.tenant,
            selection.signal,
            selection.range,
            &candidates::Wanted::of(&selection.filter, &need),
        );
        self.account.lock().unread_files += found.unread;
        found.units
    }

    /// Opens a file. One that does not open is counted.
    fn open_file(&self, entry: &FileEntry) -> Option<Arc<BlockFile>> {
        entry.open().map_or_else(
            |error| {
                self.account.lock().unread_files += 1;
                let path = entry.home.place.shown(entry.id, "blocks");
                tracing::error!(path, %error, "blocks file does not open");
                None
            },
            Some,
        )
    }

    /// Counts what was looked at.
    fn account(&self, blocks: u64, rows: u64, bytes: u64) {
        let stats = &mut self.account.lock().stats;
        stats.blocks += blocks;
        stats.rows += rows;
        stats.bytes += bytes;
    }

    /// Says that files do not read which may have rows of what is asked for. Those of later days
    /// may: rows of rare days lie in the partition of a later one (see [`crate::flush`]). So may
    /// those of some days before: spans began on them, and clocks were ahead. What came from a clock
    /// that was ahead by more is not thought of, or one old file would stop all rules.
    fn name_unread(&self, tenant: &Tenant, signal: Signal, range: TimeRange) {
        let partitions = self.view.partitions.values();
        let of_selection = partitions.filter(|partition| {
            let key = &partition.key;
            let (_, end) = partition.day_unix_nano();
            let reaches = end.saturating_add(UNREAD_REACH);
            key.tenant == *tenant && key.signal == signal && range.start <= reaches
        });
        let unread: usize = of_selection.map(|partition| partition.unread.len()).sum();
        self.account.lock().unread_files += unread as u64;
    }

    /// Opens a unit that is read for its rows.
    fn open(&self, unit: &Unit) -> Result<Opened, Damage> {
        self.account(1, unit.rows(), unit.bytes());
        unit.open(&self.interned)
    }

    /// Opens a unit and finds its matching rows. A damaged one has none.
    fn select(
        &self,
        unit: &Unit,
        selection: &Selection,
        filter: &Compiled,
    ) -> Result<Option<(Opened, Mask)>, Stop> {
        self.check()?;
        let Some(opened) = self.undamaged(unit, self.open(unit)) else {
            return Ok(None);
        };
        self.select_opened(opened, unit, selection, filter)
    }

    /// Finds the matching rows of a unit that is open.
    fn select_opened(
        &self,
        opened: Opened,
        unit: &Unit,
        selection: &Selection,
        filter: &Compiled,
    ) -> Result<Option<(Opened, Mask)>, Stop> {
        let share = self.decoding(&opened)?;
        let opened = opened.with(share);
        let found = Ok(opened).and_then(|opened| {
            let mask = in_range(opened.table(), unit, selection)?;
            let mask = filter.evaluate_some(opened.table(), mask, unit.branches())?;
            Ok((opened, mask))
        });
        Ok(self
            .undamaged(unit, found)
            .filter(|(_, mask)| !mask.is_empty()))
    }

    /// Counts damage of a unit instead of failing.
    fn undamaged<T>(&self, unit: &Unit, result: Result<T, Damage>) -> Option<T> {
        self.undamaged_at(unit.place(), result)
    }

    /// The same of a block of a file. Each block counts once, however many queries need it.
    fn undamaged_at<T>(
        &self,
        place: Option<(&FileEntry, usize)>,
        result: Result<T, Damage>,
    ) -> Option<T> {
        let damage = match result {
            Ok(found) => return Some(found),
            Err(damage) => damage,
        };
        let key = place.map(|(file, ordinal)| (file.serial, ordinal));
        self.account.lock().damaged_blocks.insert(key);
        if place.is_none_or(|(file, ordinal)| file.health.note_damaged(ordinal)) {
            add(&self.core.counters.damaged_blocks, 1);
            let path = place.map(|(file, _)| file.home.place.shown(file.id, "blocks"));
            let block = place.map(|(_, ordinal)| ordinal);
            tracing::error!(path, block, %damage, "a block does not read");
        }
        None
    }

    /// Names a block that is known not to read, in an answer that has what it says of its rows from
    /// elsewhere. That is right, but whoever goes on to ask for these rows will miss some.
    fn name_damaged(&self, unit: &Unit) {
        let place = unit.place();
        if place.is_some_and(|(file, ordinal)| file.health.is_known_damaged(ordinal)) {
            // The disk may give by now what it did not.
            let read = unit.open(&self.interned);
            self.undamaged(unit, read.and_then(|opened| opened.verify()));
        }
    }
}

/// The rows of a table inside the selection's time range.
pub(crate) fn in_range(
    table: &dyn Table,
    unit: &Unit,
    selection: &Selection,
) -> Result<Mask, Damage> {
    let range = selection.range;
    let (min_time, max_time, max_end) = unit.times();
    if range.contains(min_time) && range.contains(max_time.max(max_end)) {
        return Ok(Mask::all(table.rows()));
    }
    let mut mask = Mask::none(table.rows());
    let times = table.times()?;
    if selection.signal == Signal::Traces {
        let ends = table.ends()?;
        for (row, (start, end)) in times.iter().zip(ends.iter()).enumerate() {
            if range.overlaps(*start, *end) {
                mask.set(row);
            }
        }
    } else {
        for (row, time) in times.iter().enumerate() {
            if range.contains(*time) {
                mask.set(row);
            }
        }
    }
    Ok(mask)
}
