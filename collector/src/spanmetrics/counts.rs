//! What series count.

use super::graph::{Edge, Loss};
use super::histogram::{Example, Latency, Shape};
use super::table::Counts;
use super::zero::Zero;

/// Spans of one service, name, kind and status.
#[derive(Debug)]
pub(super) struct Calls {
    pub zero: Zero,
    /// What they take as OTLP.
    pub bytes: u64,
    pub latency: Latency,
}

impl Calls {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            zero: Zero::None,
            bytes: 0,
            latency: Latency::new(shape),
        }
    }

    pub(super) fn add(&mut self, example: Example, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.latency.add(example);
    }
}

impl Counts for Calls {
    fn take(&mut self, nothing_yet: u64) -> Self {
        Self {
            zero: self.zero.take(nothing_yet),
            bytes: self.bytes,
            latency: self.latency.take(nothing_yet),
        }
    }

    fn put_back_zeros(&mut self, taken: &Self, since: u64) {
        self.zero.put_back(taken.zero, since);
        self.latency.zero.put_back(taken.latency.zero, since);
    }

    fn put_back(&mut self, taken: Self) {
        self.zero.put_back(taken.zero, 0);
        self.latency.put_back(taken.latency);
    }
}

/// Requests between two services.
#[derive(Debug)]
pub(super) struct Requests {
    pub zero: Zero,
    pub total: u64,
    pub failed: u64,
    pub client: Latency,
    pub server: Latency,
    /// Between a message's producer and its consumer.
    pub transit: Latency,
}

impl Requests {
    pub(super) fn new(shape: &Shape) -> Self {
        Self {
            zero: Zero::None,
            total: 0,
            failed: 0,
            client: Latency::new(shape),
            server: Latency::new(shape),
            transit: Latency::new(shape),
        }
    }

    /// `transit` says whether the ways of messages are counted.
    pub(super) fn add(&mut self, edge: &Edge<'_>, transit: bool) {
        self.total += 1;
        self.failed += u64::from(edge.failed);
        let sides = [
            (&mut self.client, edge.client_side),
            (&mut self.server, edge.server_side),
            (&mut self.transit, edge.transit.filter(|_| transit)),
        ];
        for (latency, example) in sides {
            if let Some(example) = example {
                latency.add(example);
            }
        }
    }

    fn latencies(&mut self) -> [&mut Latency; 3] {
        [&mut self.client, &mut self.server, &mut self.transit]
    }
}

impl Counts for Requests {
    fn take(&mut self, nothing_yet: u64) -> Self {
        Self {
            zero: self.zero.take(nothing_yet),
            total: self.total,
            failed: self.failed,
            client: self.client.take(nothing_yet),
            server: self.server.take(nothing_yet),
            transit: self.transit.take(nothing_yet),
        }
    }

    fn put_back_zeros(&mut self, taken: &Self, since: u64) {
        self.zero.put_back(taken.zero, since);
        let zeros = [&taken.client, &taken.server, &taken.transit].map(|latency| latency.zero);
        for (latency, zero) in self.latencies().into_iter().zip(zeros) {
            latency.zero.put_back(zero, since);
        }
    }

    fn put_back(&mut self, taken: Self) {
        self.zero.put_back(taken.zero, 0);
        let sides = [taken.client, taken.server, taken.transit];
        for (latency, taken) in self.latencies().into_iter().zip(sides) {
            latency.put_back(taken);
        }
    }
}

/// Spans that became no request.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Losses {
    pub zero: Zero,
    pub unpaired: u64,
    pub dropped: u64,
}

impl Losses {
    pub(super) fn add(&mut self, loss: Loss) {
        match loss {
            Loss::Unpaired => self.unpaired += 1,
            Loss::Dropped => self.dropped += 1,
        }
    }
}

impl Counts for Losses {
    fn take(&mut self, nothing_yet: u64) -> Self {
        Self {
            zero: self.zero.take(nothing_yet),
            ..*self
        }
    }

    fn put_back_zeros(&mut self, taken: &Self, since: u64) {
        self.zero.put_back(taken.zero, since);
    }

    fn put_back(&mut self, taken: Self) {
        self.put_back_zeros(&taken, 0);
    }
}

/// That a service is there, with what its resource says of it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Presence;

impl Counts for Presence {
    fn take(&mut self, _: u64) -> Self {
        *self
    }

    fn put_back_zeros(&mut self, _: &Self, _: u64) {}

    fn put_back(&mut self, _: Self) {}
}
