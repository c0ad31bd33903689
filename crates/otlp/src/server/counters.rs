//! What became of the requests, by signal, transport and outcome.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Signal;

/// How an export came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP in protobuf.
    HttpProtobuf,
    /// OTLP/HTTP in JSON.
    HttpJson,
    /// Prometheus remote write 1.0.
    RemoteWrite1,
    /// Prometheus remote write 2.0.
    RemoteWrite2,
}

impl Transport {
    const ALL: [Transport; 5] = [
        Transport::Grpc,
        Transport::HttpProtobuf,
        Transport::HttpJson,
        Transport::RemoteWrite1,
        Transport::RemoteWrite2,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Grpc => "grpc",
            Transport::HttpProtobuf => "http_protobuf",
            Transport::HttpJson => "http_json",
            Transport::RemoteWrite1 => "remote_write_1",
            Transport::RemoteWrite2 => "remote_write_2",
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Accepted,
    /// Stored, but for some rows.
    Partial,
    /// Not of its protocol.
    Malformed,
    /// Over the size limit.
    TooLarge,
    /// Refused because there was too much at once.
    Overloaded,
    /// Refused for now.
    Unavailable,
    /// Refused because of who sent it.
    Unauthenticated,
    /// Its body did not arrive in time.
    SlowBody,
    /// Its sender went away before the answer.
    Aborted,
    /// Its method, type or compression is not its protocol's.
    Unsupported,
}

impl Outcome {
    const ALL: [Outcome; 10] = [
        Outcome::Accepted,
        Outcome::Partial,
        Outcome::Malformed,
        Outcome::TooLarge,
        Outcome::Overloaded,
        Outcome::Unavailable,
        Outcome::Unauthenticated,
        Outcome::SlowBody,
        Outcome::Aborted,
        Outcome::Unsupported,
    ];

    /// The name used in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Partial => "partial",
            Outcome::Malformed => "malformed",
            Outcome::TooLarge => "too_large",
            Outcome::Overloaded => "overloaded",
            Outcome::Unavailable => "unavailable",
            Outcome::Unauthenticated => "unauthenticated",
            Outcome::SlowBody => "slow_body",
            Outcome::Aborted => "aborted",
            Outcome::Unsupported => "unsupported",
        }
    }
}

/// Counters of a receiver.
#[derive(Debug, Default)]
pub struct Counters {
    cells: [[[Cell; 10]; 5]; 3],
}

#[derive(Debug, Default)]
struct Cell {
    requests: AtomicU64,
    bytes: AtomicU64,
}

/// Requests with one signal, transport and outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Signal.
    pub signal: Signal,
    /// Transport.
    pub transport: Transport,
    /// Outcome.
    pub outcome: Outcome,
    /// How many.
    pub requests: u64,
    /// Their bytes in protobuf, decompressed; 0 for those whose body was not read to its end.
    pub bytes: u64,
}

impl Counters {
    pub(crate) fn add(&self, signal: Signal, transport: Transport, outcome: Outcome, bytes: usize) {
        let cell = &self.cells[signal as usize - 1][transport as usize][outcome as usize];
        cell.requests.fetch_add(1, Ordering::Relaxed);
        cell.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// All counts that are not zero.
    pub fn snapshot(&self) -> Vec<Count> {
        let mut counts = Vec::new();
        for signal in Signal::ALL {
            for transport in Transport::ALL {
                for outcome in Outcome::ALL {
                    let cell =
                        &self.cells[signal as usize - 1][transport as usize][outcome as usize];
                    let requests = cell.requests.load(Ordering::Relaxed);
                    if requests > 0 {
                        let bytes = cell.bytes.load(Ordering::Relaxed);
                        counts.push(Count {
                            signal,
                            transport,
                            outcome,
                            requests,
                            bytes,
                        });
                    }
                }
            }
        }
        counts
    }

    /// How many requests had this signal and outcome.
    pub fn requests(&self, signal: Signal, outcome: Outcome) -> u64 {
        let matching = |count: &&Count| count.signal == signal && count.outcome == outcome;
        self.snapshot()
            .iter()
            .filter(matching)
            .map(|count| count.requests)
            .sum()
    }
}
