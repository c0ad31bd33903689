//! From the bytes of a batch to rows in memory, within the bounds on memory and series.

use std::sync::Arc;

use journal::Position;
use model::room::{NoRoom, Room};
use model::row::Decode;
use model::row::{Reject, Undecoded};
use model::value::KeyValueRef;
use model::{Signal, Tenant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::commit::Pending;
use super::contents::{Content, content_of};
use super::refusal::Refusal;
use super::{Core, LabelLimits, add};
use crate::chunk::{Chunk, ChunkSink, Clocks, Received, SeriesGate};
use crate::points::{Known, SeriesEntry};
use crate::write::{Ack, Batch, WriteError};

/// When a batch comes again for which there was no memory, at the earliest.
const MEMORY_RETRY_MS: u64 = 500;
/// And how much later at most.
const MEMORY_RETRY_SPREAD_MS: u64 = 1_000;

/// A new batch, decoded.
pub(super) struct New {
    pub batch: Batch,
    pub chunk: Chunk,
    /// Series of the request that were refused, by their order in it.
    pub refused_series: Vec<u32>,
    /// Which of the points that it became are zeros where counters began.
    pub zeros: Vec<u32>,
    pub content: Option<Content>,
    /// What the chunk takes.
    pub room: Room,
    pub received_unix_nano: u64,
}

impl New {
    /// The same, waiting to be committed.
    pub(super) fn pending(
        self,
        permit: OwnedSemaphorePermit,
        covers: Option<Position>,
        answer: oneshot::Sender<Result<Ack, WriteError>>,
    ) -> Pending {
        Pending {
            batch: self.batch,
            chunk: self.chunk,
            refused_series: self.refused_series,
            zeros: self.zeros,
            content: self.content,
            received_unix_nano: self.received_unix_nano,
            covers,
            logged_bytes: None,
            answer,
            holds: (permit, self.room),
        }
    }
}

/// Lets series in while there is room for them. Notes which are refused, and where zeros go.
struct Gate {
    known: Arc<Known>,
    labels: LabelLimits,
    second: u64,
    /// How many distinct series there were.
    place: u32,
    refused: Vec<u32>,
    /// Since when all is known of counters, where zeros are stored where they began.
    since: Option<u64>,
    zeros: Vec<u32>,
}

impl SeriesGate for Gate {
    fn begins(&mut self, place: u32, id: u128, times: (u64, u64)) -> bool {
        let known = &self.known.starts;
        let begins = |since| known.begins(id, times, since);
        let begins = self.since.is_some_and(begins);
        self.zeros.extend(begins.then_some(place));
        begins
    }

    fn known(&mut self, id: u128) -> Option<Arc<SeriesEntry>> {
        let entry = self.known.touch(id, self.second)?;
        self.place += 1;
        Some(entry)
    }

    fn admit(
        &mut self,
        entry: SeriesEntry,
        attributes: &[KeyValueRef<'_>],
    ) -> Result<Arc<SeriesEntry>, Reject> {
        let (metric, resource) = (&entry.metric.value.name, &entry.resource.value);
        let admitted = match self.labels.check(metric, resource, attributes) {
            Ok(()) => self.known.admit(entry, self.second),
            Err(reason) => Err(reason),
        };
        if admitted.is_err() {
            self.refused.push(self.place);
        }
        self.place += 1;
        admitted
    }
}

impl Core {
    /// Decodes a batch into memory taken from `room`; the gate is asked once about each of its
    /// distinct series. Rows without a time are of the time when it was received, and those far
    /// ahead of it are filed under it; 0 where it is not known.
    pub(super) fn decode(
        &self,
        batch: &Batch,
        gate: &mut dyn SeriesGate,
        room: &mut Room,
        received: u64,
    ) -> Result<Chunk, Undecoded> {
        let keys = &self.options.correlation;
        let sink = ChunkSink::new(
            batch.signal,
            keys,
            gate,
            room,
            self.clocked(batch, received),
        );
        let sink = sink.expecting(&self.expected, batch.request.len());
        let chunk = decode_batch(&*self.decoder, batch, sink)?;
        self.expected.note(&chunk, batch.request.len());
        Ok(chunk)
    }

    fn clocked(&self, batch: &Batch, received: u64) -> Received {
        match received {
            0 => Received::UNKNOWN,
            received => {
                let clock = batch.stamp.as_ref().and_then(|stamp| stamp.clock);
                let ahead = u64::try_from(self.options.time_ahead.as_nanos()).unwrap_or(u64::MAX);
                Received::at(received, clock.map_or(0, |clock| clock.offset_nano), ahead)
            }
        }
    }

    /// Decodes a new batch within the bounds on memory and series.
    pub(super) fn decode_new(&self, batch: Batch, received: u64) -> Result<New, WriteError> {
        let mut room = self.budget.room(self.options.decoded_bytes);
        if batch.signal == Signal::Metrics {
            self.recall(&batch.tenant);
        }
        let mut gate = self.gate(&batch.tenant);
        let chunk = self
            .decode(&batch, &mut gate, &mut room, received)
            .map_err(|error| self.undecoded(error))?;
        let Gate { refused, zeros, .. } = gate;
        let by_content = batch.stamp.is_none() && chunk.undated == 0 && self.repeat_nanos() > 0;
        Ok(New {
            content: by_content.then(|| content_of(&batch)),
            batch,
            chunk,
            refused_series: refused,
            zeros,
            room,
            received_unix_nano: received,
        })
    }

    /// Now, by the sender's clock: times of rows are by it, and put right when they are read.
    pub(super) fn receipt(&self, batch: &Batch) -> u64 {
        let clock = batch.stamp.as_ref().and_then(|stamp| stamp.clock);
        let ahead = clock.map_or(0, |clock| clock.offset_nano);
        let now = self.env.clock.unix_nanos();
        now.saturating_add_signed(ahead.saturating_neg())
    }

    /// Lets series of a tenant in.
    fn gate(&self, tenant: &Tenant) -> Gate {
        let stores_zeros = self.options.start_zero_samples;
        Gate {
            known: self.known.of(tenant),
            labels: self.options.labels,
            second: self.env.clock.unix_nanos() / model::time::NANOS_PER_SECOND,
            place: 0,
            refused: Vec::new(),
            since: stores_zeros.then_some(self.opened_unix_nano),
            zeros: Vec::new(),
        }
    }

    /// How long a batch without a stamp is known by its content.
    pub(super) fn repeat_nanos(&self) -> u64 {
        u64::try_from(self.options.repeat_window.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts what was not decoded for want of room.
    fn undecoded(&self, error: Undecoded) -> WriteError {
        match error {
            Undecoded::Malformed(error) => WriteError::Malformed(error),
            Undecoded::NoRoom(no @ NoRoom::Never(_)) => {
                add(&self.counters.too_large_batches, 1);
                WriteError::TooLarge(no.to_string())
            }
            Undecoded::NoRoom(no @ NoRoom::Now(_)) => {
                self.counters.retried(Refusal::Memory);
                WriteError::Retry {
                    reason: no.to_string(),
                    after_ms: self.memory_retry_ms(),
                }
            }
        }
    }

    /// Two large batches that refused each other must not meet again.
    pub(super) fn memory_retry_ms(&self) -> u64 {
        MEMORY_RETRY_MS + self.env.random.next_u64() % MEMORY_RETRY_SPREAD_MS
    }
}

/// The rows of a batch, by a sink of its signal; see [`Core::decode`].
pub(crate) fn decode_batch(
    decoder: &dyn Decode,
    batch: &Batch,
    mut sink: ChunkSink<'_>,
) -> Result<Chunk, Undecoded> {
    decoder.decode(batch.format, batch.signal, &batch.request, &mut sink)?;
    finish(batch, sink)
}

/// The rows that a sink was given of a batch.
fn finish(batch: &Batch, sink: ChunkSink<'_>) -> Result<Chunk, Undecoded> {
    let mut chunk = sink.finish()?;
    if let Some(clock) = batch.stamp.as_ref().and_then(|stamp| stamp.clock) {
        chunk.clocks = Clocks::all(clock);
    }
    Ok(chunk)
}
