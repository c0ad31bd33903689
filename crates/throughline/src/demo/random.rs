//! Randomness that does not depend on how tasks are scheduled.
//!
//! Each request has its own generators, one for each service, made from the shop's seed and the
//! number of the request. They live in a task-local variable, where both the shop's choices and
//! the SDK's id generator find them. Within one request a service works on one branch at a time,
//! so the order of draws is always the same.

use std::cell::RefCell;
use std::time::Duration;

use fastrand::Rng;
use opentelemetry::{SpanId, TraceId};
use opentelemetry_sdk::trace::IdGenerator;
use parking_lot::Mutex;

/// Which of the independent streams of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// What happens between a customer's request and its answer.
    Request = 1,
    /// What happens to the order later.
    Order = 2,
    /// What a service does outside of any request.
    Service = 3,
}

/// The generators of one request.
pub(super) struct Draws {
    seed: u64,
    by_service: RefCell<Vec<Option<Rng>>>,
}

tokio::task_local! {
    static DRAWS: Draws;
}

impl Draws {
    pub(super) fn new(seed: u64, request: u64, stream: Stream) -> Self {
        let seed = mixed(mixed(seed, stream as u64), request);
        Self {
            seed,
            by_service: RefCell::new(Vec::new()),
        }
    }

    /// Runs a future that draws from these.
    pub(super) async fn scope<F: Future>(self, future: F) -> F::Output {
        DRAWS.scope(self, future).await
    }

    fn with<T>(&self, service: usize, draw: impl FnOnce(&mut Rng) -> T) -> T {
        let mut by_service = self.by_service.borrow_mut();
        if by_service.len() <= service {
            by_service.resize_with(service + 1, || None);
        }
        let seed = self.seed;
        draw(by_service[service].get_or_insert_with(|| Rng::with_seed(mixed(seed, service as u64))))
    }
}

/// One service's way to its generators; also its SDK's source of ids.
#[derive(Debug)]
pub(super) struct Dice {
    service: usize,
    /// For what is drawn outside of any request.
    outside: Mutex<Rng>,
}

impl Dice {
    pub(super) fn new(seed: u64, service: usize) -> Self {
        let seed = mixed(mixed(seed, Stream::Service as u64), service as u64);
        Self {
            service,
            outside: Mutex::new(Rng::with_seed(seed)),
        }
    }

    /// Draws from the generator of this service in the current request.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        if DRAWS.try_with(|_| ()).is_err() {
            return draw(&mut self.outside.lock());
        }
        DRAWS.with(|draws| draws.with(self.service, draw))
    }

    /// True once in so many percent of draws.
    pub(super) fn percent(&self, percent: u32) -> bool {
        self.draw(|rng| rng.u32(0..100)) < percent
    }

    /// A time between these, in milliseconds. Short ones are likelier, as in real services.
    pub(super) fn time(&self, low_ms: u64, high_ms: u64) -> Duration {
        let skewed = self.draw(|rng| rng.f64().powi(3));
        let low = Duration::from_millis(low_ms);
        low + Duration::from_millis(high_ms.saturating_sub(low_ms)).mul_f64(skewed)
    }

    /// A version-4 UUID.
    pub(super) fn uuid(&self) -> String {
        uuid(self.draw(|rng| rng.u128(..)))
    }
}

/// The SDK owns its id generator, so the dice are shared with it.
#[derive(Debug, Clone)]
pub(super) struct SeededIds(pub(super) std::sync::Arc<Dice>);

impl IdGenerator for SeededIds {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from(self.0.draw(|rng| rng.u128(1..)))
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from(self.0.draw(|rng| rng.u64(1..)))
    }
}

/// 128 random bits as the text of a version-4 UUID.
pub(super) fn uuid(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// Mixes a number into a seed so that neighbours have nothing in common (the finaliser of
/// SplitMix64).
fn mixed(seed: u64, number: u64) -> u64 {
    let mut bits = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
