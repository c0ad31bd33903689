//! Decoding a request that comes alone on two threads.
//!
//! Decoding is most of what a sender waits for, and where nothing else is in work there is a processor to
//! spare. Under load each request has one thread: two would cost more in all.

use std::sync::Arc;

use model::Signal;
use model::room::Room;
use model::row::Half;

use super::super::Core;
use super::super::contents::content_of;
use super::{New, finish};
use crate::chunk::{Chunk, ChunkSink};
use crate::write::Batch;

/// A shorter request is decoded before another thread has begun.
const BYTES_MIN: usize = 128 << 10;
/// A longer one keeps to the memory that one thread takes.
const BYTES_MAX: usize = 4 << 20;

/// Whether the halves of a batch are decoded apart, which no other keeps company.
pub(in crate::store) fn pays(batch: &Batch) -> bool {
    batch.signal != Signal::Metrics
        && (BYTES_MIN..=BYTES_MAX).contains(&batch.request.len())
        && env::processors() > 1
}

/// Decodes the halves of a batch at the same time. None where it has none, or where one does not read or
/// fit: whoever decodes the whole says why.
pub(in crate::store) async fn decode(core: &Arc<Core>, batch: &Batch) -> Option<New> {
    let received = core.receipt(batch);
    let start = |half| {
        let (core, batch) = (core.clone(), batch.clone());
        tokio::task::spawn_blocking(move || core.decode_half(&batch, half, received))
    };
    let (first, second) = (start(Half::First), start(Half::Second));
    let (first, second) = (first.await.ok(), second.await.ok());
    let ((chunk, mut room), (second, second_room)) = first.flatten().zip(second.flatten())?;
    room.join(second_room);
    let undated = chunk.undated + second.undated > 0;
    let by_content = batch.stamp.is_none() && !undated && core.repeat_nanos() > 0;
    Some(New {
        content: by_content.then(|| content_of(batch)),
        batch: batch.clone(),
        chunk,
        second: Some(second),
        refused_series: Vec::new(),
        room,
        received_unix_nano: received,
    })
}

impl Core {
    fn decode_half(&self, batch: &Batch, half: Half, received: u64) -> Option<(Chunk, Room)> {
        // Both take no more than the whole may.
        let mut room = self.budget.room(self.options.decoded_bytes / 2);
        let (mut gate, bytes) = (self.gate(&batch.tenant), batch.request.len() / 2);
        let (keys, received) = (&self.options.correlation, self.clocked(batch, received));
        let sink = ChunkSink::new(batch.signal, keys, &mut gate, &mut room, received);
        let mut sink = sink.expecting(&self.expected, bytes);
        let (format, signal) = (batch.format, batch.signal);
        let read = self
            .decoder
            .decode_half(format, signal, &batch.request, half, &mut sink)?;
        let chunk = read.ok().and_then(|()| finish(batch, sink).ok())?;
        self.expected.note(&chunk, bytes);
        Some((chunk, room))
    }
}
