//! How long the lists of a request's rows will be, judged by a request before it.
//!
//! A list that is made as long as it becomes is allocated once. One that grows is moved several
//! times, and leaves behind holes of every size it had, which the allocator keeps.

use model::Signal;
use parking_lot::Mutex;

use super::Chunk;

/// Requests below this say little about others.
const REQUEST_BYTES_MIN: usize = 4 << 10;
/// No list is made longer than this in advance: what is expected may not come.
const LIST_BYTES_MAX: usize = 4 << 20;

/// What became of one request, for each signal.
#[derive(Default)]
pub(crate) struct Expected([Mutex<Option<Lengths>>; 3]);

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
        let Some(last) = *self.0[chunk.signal as usize - 1].lock() else {
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

    /// Keeps what a request of so many bytes became.
    pub(crate) fn note(&self, chunk: &Chunk, request_bytes: usize) {
        if request_bytes < REQUEST_BYTES_MIN {
            return;
        }
        *self.0[chunk.signal as usize - 1].lock() = Some(Lengths {
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
