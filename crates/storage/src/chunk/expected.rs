//! What the rows of a request are likely to be, judged by requests before it: how long their lists
//! become, and of which resources they are.
//!
//! A list that is made as long as it becomes is allocated once. One that grows is moved several
//! times, and leaves behind holes of every size it had, which the allocator keeps. A sender names the
//! same few resources in each of its requests, and of a request of ten rows a resource is a good part.

use std::sync::Arc;

use model::{Resource, Signal};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::Chunk;
use crate::points::Entry;

/// Requests below this say little about others.
const REQUEST_BYTES_MIN: usize = 4 << 10;
/// No list is made longer than this in advance: what is expected may not come.
const LIST_BYTES_MAX: usize = 4 << 20;

/// So many resources are kept; then others take their place.
const RESOURCES_MAX: usize = 1_024;
/// A resource that takes more than this is not kept.
const RESOURCE_BYTES_MAX: usize = 8 << 10;

/// What became of requests.
#[derive(Default)]
pub(crate) struct Expected {
    /// Of one request, for each signal.
    lengths: [Mutex<Option<Lengths>>; 3],
    /// Resources of any, by their hash.
    resources: Mutex<FxHashMap<u64, Arc<Entry<Resource>>>>,
}

/// The members of each list.
#[derive(Clone, Copy)]
struct Lengths {
    request_bytes: usize,
    rows: usize,
    text: usize,
    attributes: usize,
    events: usize,
    links: usize,
    correlation: usize,
}

impl Expected {
    /// Makes the lists of an empty chunk as long as a request of so many bytes is likely to need.
    pub(crate) fn reserve(&self, chunk: &mut Chunk, request_bytes: usize) {
        let Some(last) = *self.lengths[chunk.signal as usize - 1].lock() else {
            return;
        };
        let share = |length: usize| {
            let likely = length.saturating_mul(request_bytes) / last.request_bytes;
            // Requests differ a little.
            likely.saturating_add(likely / 16)
        };
        let rows = share(last.rows);
        match chunk.signal {
            Signal::Traces => reserve(&mut chunk.spans, rows),
            Signal::Logs => reserve(&mut chunk.logs, rows),
            Signal::Metrics => reserve(&mut chunk.points, rows),
        }
        if chunk.signal != Signal::Metrics {
            reserve(&mut chunk.trace_ids, rows);
        }
        reserve(&mut chunk.text, share(last.text));
        reserve(&mut chunk.attributes, share(last.attributes));
        reserve(&mut chunk.events, share(last.events));
        reserve(&mut chunk.links, share(last.links));
        reserve(&mut chunk.correlation, share(last.correlation));
    }

    /// The resource of this encoding, if one of the last requests had it.
    pub(super) fn resource(&self, hash: u64, encoded: &[u8]) -> Option<Arc<Entry<Resource>>> {
        let known = self.resources.lock().get(&hash).cloned()?;
        // Of whoever sent it: only what is equal may be taken for it.
        (*known.encoded == *encoded).then_some(known)
    }

    /// Keeps a resource for the requests that follow.
    pub(super) fn note_resource(&self, entry: &Arc<Entry<Resource>>) {
        if entry.bytes > RESOURCE_BYTES_MAX {
            return;
        }
        let mut known = self.resources.lock();
        if known.len() >= RESOURCES_MAX {
            known.clear();
        }
        known.insert(entry.hash, entry.clone());
    }

    /// Keeps what a request of so many bytes became.
    pub(crate) fn note(&self, chunk: &Chunk, request_bytes: usize) {
        if request_bytes < REQUEST_BYTES_MIN {
            return;
        }
        *self.lengths[chunk.signal as usize - 1].lock() = Some(Lengths {
            request_bytes,
            rows: chunk.rows(),
            text: chunk.text.len(),
            attributes: chunk.attributes.len(),
            events: chunk.events.len(),
            links: chunk.links.len(),
            correlation: chunk.correlation.len(),
        });
    }
}

fn reserve<T>(list: &mut Vec<T>, likely: usize) {
    list.reserve_exact(likely.min(LIST_BYTES_MAX / size_of::<T>()));
}
