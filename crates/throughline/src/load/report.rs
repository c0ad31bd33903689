//! What a run tells at its end.

use std::fmt;

use serde::Serialize;

/// Time from sending a request to its acknowledgement, in milliseconds. In a paced run it
/// counts from the planned time where that had passed because no connection was free.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AckMilliseconds {
    /// Half of the requests took at most this.
    pub p50: f64,
    /// 90 of a hundred did.
    pub p90: f64,
    /// 99 of a hundred did.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// How a run went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoadReport {
    /// What was sent.
    pub signal: &'static str,
    /// The seed.
    pub seed: u64,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// Items per request.
    pub batch_items: usize,
    /// Items per second as planned; none for a closed loop.
    pub rate: Option<u64>,
    /// Items that were acknowledged.
    pub accepted_items: u64,
    /// Items that the receiver refused for good.
    pub rejected_items: u64,
    /// Items of which it is not known whether they were stored: no answer came.
    pub unknown_items: u64,
    /// Requests that got their answer.
    pub requests: u64,
    /// Sendings beyond the first of each request.
    pub retries: u64,
    /// From the first request to the last answer.
    pub elapsed_seconds: f64,
    /// Acknowledged items per second.
    pub items_per_second: f64,
    /// Bytes of the accepted requests per item, uncompressed as they are sent.
    pub bytes_per_item: f64,
    /// Of the accepted requests.
    pub ack_ms: AckMilliseconds,
    /// The last refusal or failure.
    pub last_problem: Option<String>,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pace = match self.rate {
            Some(rate) => format!("paced at {rate} items/s"),
            None => "closed loop".to_owned(),
        };
        writeln!(
            f,
            "{}: {} connections x {} items, {pace}, seed {}",
            self.signal, self.connections, self.batch_items, self.seed
        )?;
        writeln!(
            f,
            "accepted   {} items in {} requests and {:.2} s: {:.0} items/s, {:.1} bytes/item",
            self.accepted_items,
            self.requests,
            self.elapsed_seconds,
            self.items_per_second,
            self.bytes_per_item
        )?;
        let AckMilliseconds { p50, p90, p99, max } = self.ack_ms;
        writeln!(
            f,
            "ack        p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"
        )?;
        write!(
            f,
            "refused    {} items, unknown {} items, {} retries",
            self.rejected_items, self.unknown_items, self.retries
        )?;
        if let Some(problem) = &self.last_problem {
            write!(f, "\nlast       {problem}")?;
        }
        Ok(())
    }
}
