//! The shop as a whole: its services, its customers, and how it opens and closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exemplars::{ChargeDurations, OUTCOMES};
use super::legacy::LegacyBilling;
use super::orders::{Order, QUEUE, QUEUE_LENGTH, shipping_worker};
use super::random::{Draws, Stream};
use super::schedule::Schedule;
use super::service::Service;
use super::telemetry::Identity;
use super::{ShopOptions, ShopReport, journey};

/// Requests in work at once; further customers wait at the door.
const REQUESTS_AT_ONCE: usize = 512;
/// Messages that shipping processes at once.
const SHIPPING_WORKERS: usize = 4;
/// How long the shop waits for what was begun when it closes. Everything takes less than this.
const CLOSING_TIME: Duration = Duration::from_secs(2);
/// Customers' requests per second at most.
pub(crate) const RATE_MAX: f64 = 1e4;

const fn identity(name: &'static str, version: &'static str, host: &'static str) -> Identity {
    Identity {
        name,
        version,
        host,
    }
}

const IDENTITIES: [Identity; 10] = [
    identity("frontend", "5.2.0", "node-a"),
    identity("gateway", "2.14.1", "node-a"),
    identity("catalog", "1.9.3", "node-b"),
    identity("recommendation", "0.7.0", "node-b"),
    identity("cart", "3.1.0", "node-b"),
    identity("checkout", "4.0.2", "node-c"),
    identity("payment", "2.3.1", "node-c"),
    identity("inventory", "1.4.0", "node-d"),
    identity("shipping", "1.12.0", "node-d"),
    identity("notification", "0.9.4", "node-d"),
];
const PAYMENT: usize = 6;

/// All services and what they share.
pub(super) struct Shop {
    pub(super) frontend: Service,
    pub(super) gateway: Service,
    pub(super) catalog: Service,
    pub(super) recommendation: Service,
    pub(super) cart: Service,
    pub(super) checkout: Service,
    pub(super) payment: Service,
    pub(super) inventory: Service,
    pub(super) shipping: Service,
    pub(super) notification: Service,
    pub(super) legacy: LegacyBilling,
    pub(super) charges: ChargeDurations,
    pub(super) payments: Counter<u64>,
    pub(super) queue: mpsc::Sender<Order>,
    pub(super) waiting: Arc<AtomicI64>,
    pub(super) seed: u64,
    schedule: Schedule,
    rate: f64,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    requests: AtomicU64,
    failed: AtomicU64,
    shipped: AtomicU64,
}

impl Shop {
    fn open(
        options: &ShopOptions,
        schedule: Schedule,
        queue: mpsc::Sender<Order>,
    ) -> anyhow::Result<Self> {
        let service =
            |index: usize| Service::new(&IDENTITIES[index], index, options.seed, options.otlp_grpc);
        let payment = service(PAYMENT)?;
        let charges =
            ChargeDurations::new(&IDENTITIES[PAYMENT], &payment.instance, options.otlp_grpc)?;
        let payments = payment
            .telemetry
            .meter
            .u64_counter("shop.payments")
            .with_unit("{payment}")
            .with_description("Charges by outcome.")
            .build();
        // A series that begins at its first failure would hide that failure from `rate`.
        for outcome in OUTCOMES {
            payments.add(0, &[KeyValue::new("outcome", outcome)]);
        }
        let shipping = service(8)?;
        let waiting = Arc::new(AtomicI64::new(0));
        observe_queue(&shipping, Arc::clone(&waiting));
        let legacy = LegacyBilling::open(&options.log_dir)
            .with_context(|| format!("cannot write a log file in {:?}", options.log_dir))?;
        Ok(Self {
            frontend: service(0)?,
            gateway: service(1)?,
            catalog: service(2)?,
            recommendation: service(3)?,
            cart: service(4)?,
            checkout: service(5)?,
            payment,
            inventory: service(7)?,
            shipping,
            notification: service(9)?,
            legacy,
            charges,
            payments,
            queue,
            waiting,
            seed: options.seed,
            schedule,
            rate: options.rate,
            counts: Counts::default(),
        })
    }

    fn services(&self) -> [&Service; IDENTITIES.len()] {
        [
            &self.frontend,
            &self.gateway,
            &self.catalog,
            &self.recommendation,
            &self.cart,
            &self.checkout,
            &self.payment,
            &self.inventory,
            &self.shipping,
            &self.notification,
        ]
    }

    /// Whether payments fail for this request. Its planned time counts, so that the answer does
    /// not depend on how busy the machine is.
    pub(super) fn is_bad_time(&self, request: u64) -> bool {
        #[allow(clippy::cast_precision_loss)]
        let planned = request as f64 / self.rate;
        self.schedule.is_bad(Duration::from_secs_f64(planned))
    }

    pub(super) fn count_shipped(&self) {
        self.counts.shipped.fetch_add(1, Ordering::Relaxed);
    }

    fn count_request(&self, failed: bool) {
        self.counts.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The gauge of the orders that wait for shipping.
fn observe_queue(shipping: &Service, waiting: Arc<AtomicI64>) {
    let attributes = [KeyValue::new("messaging.destination.name", QUEUE)];
    // The meter keeps the callback; the returned handle does nothing.
    let _gauge = shipping
        .telemetry
        .meter
        .i64_observable_gauge("shop.queue.depth")
        .with_unit("{message}")
        .with_description("Messages that wait in a queue.")
        .with_callback(move |gauge| gauge.observe(waiting.load(Ordering::Relaxed), &attributes))
        .build();
}

/// Runs the shop until `shutdown`, or until so many requests came.
pub(super) async fn run(
    options: ShopOptions,
    schedule: Schedule,
    requests: Option<u64>,
    shutdown: CancellationToken,
) -> anyhow::Result<ShopReport> {
    ensure!(
        options.rate > 0.0 && options.rate <= RATE_MAX,
        "the rate must be above 0 and at most {RATE_MAX} requests per second, not {}",
        options.rate
    );
    let (queue, orders) = mpsc::channel(QUEUE_LENGTH);
    let shop = Arc::new(Shop::open(&options, schedule, queue)?);
    let closed = CancellationToken::new();
    let exemplars = {
        let (shop, closed) = (Arc::clone(&shop), closed.clone());
        tokio::spawn(async move { shop.charges.run(closed).await })
    };
    let orders = Arc::new(tokio::sync::Mutex::new(orders));
    let doors_closed = CancellationToken::new();
    let workers = TaskTracker::new();
    for _ in 0..SHIPPING_WORKERS {
        let (shop, orders) = (Arc::clone(&shop), Arc::clone(&orders));
        workers.spawn(shipping_worker(shop, orders, doors_closed.clone()));
    }
    workers.close();

    admit(&shop, requests, &shutdown).await;

    doors_closed.cancel();
    if tokio::time::timeout(CLOSING_TIME, workers.wait())
        .await
        .is_err()
    {
        tracing::warn!("the demo shop closed before all orders were shipped");
    }
    closed.cancel();
    let failed_exports = exemplars.await?;
    flush(&shop).await;
    let counts = &shop.counts;
    Ok(ShopReport {
        requests: counts.requests.load(Ordering::Relaxed),
        failed: counts.failed.load(Ordering::Relaxed),
        shipped: counts.shipped.load(Ordering::Relaxed),
        legacy_lines: shop.legacy.lines(),
        failed_exports,
    })
}

/// Lets customers in at the shop's rate, and waits for those that are inside at the end.
async fn admit(shop: &Arc<Shop>, requests: Option<u64>, shutdown: &CancellationToken) {
    let inside = TaskTracker::new();
    let room = Arc::new(Semaphore::new(REQUESTS_AT_ONCE));
    // Missed ticks come in a burst, so that request n keeps its planned time.
    let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / shop.rate));
    for number in 0..requests.unwrap_or(u64::MAX) {
        let admitted = async {
            ticks.tick().await;
            Arc::clone(&room).acquire_owned().await
        };
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = admitted => permit,
        };
        let Ok(permit) = permit else {
            break;
        };
        let shop = Arc::clone(shop);
        inside.spawn(async move {
            let draws = Draws::new(shop.seed, number, Stream::Request);
            let outcome = draws.scope(journey::customer(&shop, number)).await;
            shop.count_request(outcome.is_err());
            drop(permit);
        });
    }
    inside.close();
    if tokio::time::timeout(CLOSING_TIME, inside.wait())
        .await
        .is_err()
    {
        tracing::warn!("the demo shop closed before all customers were served");
    }
}

/// Flushes all SDKs at once; each blocks its thread.
async fn flush(shop: &Arc<Shop>) {
    let flushes: Vec<_> = (0..IDENTITIES.len())
        .map(|index| {
            let shop = Arc::clone(shop);
            tokio::task::spawn_blocking(move || {
                let service = shop.services()[index];
                service.telemetry.flush(service.name);
            })
        })
        .collect();
    for flush in flushes {
        if let Err(error) = flush.await {
            tracing::warn!(%error, "a service of the demo shop could not be flushed");
        }
    }
}
