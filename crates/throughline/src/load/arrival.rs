//! Which items go into which request.
//!
//! In the scattered corpus requests come as exporters of processes send them: each holds rows of
//! one resource, and what the services of a trace recorded arrives up to half a minute apart,
//! among the rows of thousands of other traces. What waits meanwhile is what the corpus has in
//! that time, so memory is bounded by the rate.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::corpus::{Corpus, RESOURCES, rng};
use super::trace::{self, PARTS, SHAPE};

/// How far apart the services of one trace deliver, in seconds of the corpus.
const SPREAD_SECONDS: u64 = 30;
/// Keeps the generators of delays apart from those of traces.
const OF_DELAY: u64 = 0x6465_6c61;

/// The order in which items are sent.
pub(super) enum Arrivals {
    /// As they are numbered.
    InOrder {
        /// The next item.
        next: u64,
        /// The end of the items.
        end: u64,
        /// Items of a request.
        batch: u64,
    },
    /// Scattered over time and requests.
    Scattered(Box<Scatter>),
}

impl Arrivals {
    pub(super) fn in_order(items: Option<u64>, batch_items: usize) -> Self {
        Self::InOrder {
            next: 0,
            end: items.unwrap_or(u64::MAX),
            batch: batch_items as u64,
        }
    }

    pub(super) fn scattered(corpus: &Corpus, items: Option<u64>, batch_items: usize) -> Self {
        Self::Scattered(Box::new(Scatter {
            seed: corpus.seed,
            end: items.unwrap_or(u64::MAX),
            batch_items,
            spread_items: corpus.items_per_second * SPREAD_SECONDS,
            next_item: 0,
            under_way: BinaryHeap::new(),
            collected: vec![Vec::new(); RESOURCES],
        }))
    }
}

impl Iterator for Arrivals {
    type Item = Vec<u64>;

    /// The items of the next request, at least one.
    fn next(&mut self) -> Option<Vec<u64>> {
        match self {
            Self::InOrder { next, end, batch } => {
                let first = *next;
                *next = first.saturating_add(*batch).min(*end);
                (first < *next).then(|| (first..*next).collect())
            }
            Self::Scattered(scatter) => scatter.next_request(),
        }
    }
}

/// Items between their time and their request.
pub(super) struct Scatter {
    seed: u64,
    end: u64,
    batch_items: usize,
    /// As many items as the corpus has in the time of a spread.
    spread_items: u64,
    next_item: u64,
    /// Items that have not arrived, with the number of the item beside which they will.
    under_way: BinaryHeap<Reverse<(u64, u64)>>,
    /// Those that wait for a request of their resource to be full.
    collected: Vec<Vec<u64>>,
}

impl Scatter {
    fn next_request(&mut self) -> Option<Vec<u64>> {
        loop {
            let due = match self.under_way.peek() {
                Some(Reverse((arrival, _))) => {
                    *arrival <= self.next_item || self.next_item >= self.end
                }
                None => false,
            };
            if due {
                let Some(Reverse((_, item))) = self.under_way.pop() else {
                    continue;
                };
                if let Some(full) = self.collect(item) {
                    return Some(full);
                }
            } else if self.next_item < self.end {
                self.begin_trace();
            } else {
                // The end: what no further row completes.
                return self
                    .collected
                    .iter_mut()
                    .find(|items| !items.is_empty())
                    .map(std::mem::take);
            }
        }
    }

    /// Sends the next trace's items on their way, those of each service together.
    fn begin_trace(&mut self) {
        let first = self.next_item;
        self.next_item = first.saturating_add(PARTS as u64).min(self.end);
        for item in first..self.next_item {
            let (number, part) = trace::place(item);
            let of = number * PARTS as u64 + SHAPE[part].service as u64;
            let delay = rng(self.seed ^ OF_DELAY, of).u64(..self.spread_items);
            self.under_way.push(Reverse((first + delay, item)));
        }
    }

    fn collect(&mut self, item: u64) -> Option<Vec<u64>> {
        let (number, part) = trace::place(item);
        let items = &mut self.collected[trace::resource(self.seed, number, part)];
        items.push(item);
        (items.len() == self.batch_items).then(|| std::mem::take(items))
    }
}
