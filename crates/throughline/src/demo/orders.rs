//! An order: stock, payment with its scheduled failures, the queue, and shipping.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use opentelemetry::KeyValue;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::journey::{Product, read_cart};
use super::random::{Draws, Stream};
use super::service::{Activity, Failure, Headers};
use super::shop::Shop;

/// The queue between checkout and shipping.
pub(super) const QUEUE: &str = "orders";
/// Orders that may wait; checkout waits for room beyond it.
pub(super) const QUEUE_LENGTH: usize = 1_000;

/// An order on its way to shipping.
pub(super) struct Order {
    /// The number of the request that made it; ids of what follows are drawn from it.
    request: u64,
    message_id: String,
    headers: Headers,
    product: Product,
}

/// Places an order: the cart, the stock, the money, and a message for shipping.
pub(super) async fn place(
    shop: &Shop,
    checkout: &Activity<'_>,
    number: u64,
    product: Product,
) -> Result<(), Failure> {
    let order_id = format!("order-{number:06}");
    checkout.set("order.id", order_id.clone());
    read_cart(shop, checkout).await?;
    reserve(shop, checkout, product, "POST", "/reservations").await?;
    pay(shop, checkout, number, &order_id, product.cents).await?;
    checkout.info(format!("{order_id} is paid, {} cents", product.cents));

    let message_id = checkout.dice().uuid();
    let send = checkout.produce(QUEUE, &message_id);
    let order = Order {
        request: number,
        message_id,
        headers: send.headers(),
        product,
    };
    shop.waiting.fetch_add(1, Ordering::Relaxed);
    if shop.queue.send(order).await.is_err() {
        shop.waiting.fetch_sub(1, Ordering::Relaxed);
        let failure = Failure {
            kind: "QueueClosed",
            status: 503,
            message: format!("{order_id} could not be sent to shipping: the queue is closed"),
        };
        send.raise(&failure);
        return Err(failure);
    }
    Ok(())
}

/// Takes something from the stock, or marks it for later.
async fn reserve(
    shop: &Shop,
    caller: &Activity<'_>,
    product: Product,
    method: &'static str,
    path: &'static str,
) -> Result<(), Failure> {
    let call = caller.call(method, "inventory", path);
    let inventory = shop.inventory.serve(method, path, &call.headers());
    inventory.set("product.id", product.id);
    let update = inventory.query(
        "postgresql",
        "UPDATE stock SET reserved = reserved + 1 WHERE id = $1",
    );
    update.work(3, 30).await;
    drop(update);
    inventory.info(format!("one {} is taken", product.id));
    call.answered(inventory.answer(Ok(())))
}

/// Charges the customer's card and has the invoice written.
async fn pay(
    shop: &Shop,
    checkout: &Activity<'_>,
    number: u64,
    order_id: &str,
    cents: i64,
) -> Result<(), Failure> {
    let call = checkout.call("POST", "payment", "/charges");
    let payment = shop.payment.serve("POST", "/charges", &call.headers());
    payment.set("order.id", order_id.to_owned());
    payment.set("payment.amount", cents);
    let charged = charge(shop, &payment, number).await;
    let answer = match charged {
        Ok(()) => invoice(shop, &payment, order_id, cents).await,
        Err(failure) => Err(failure),
    };
    call.answered(payment.answer(answer))
}

/// Asks the acquirer, an external company: one call, no spans of theirs.
async fn charge(shop: &Shop, payment: &Activity<'_>, number: u64) -> Result<(), Failure> {
    let acquirer = payment.call("POST", "acquirer.example", "/v2/authorize");
    let fate = payment.dice().draw(|rng| rng.u32(0..100));
    let (outcome, failure) = match (shop.is_bad_time(number), fate) {
        (true, 0..50) | (false, 0..2) => ("declined", Some(declined())),
        (true, 50..80) => ("timeout", Some(timed_out())),
        _ => ("paid", None),
    };
    match outcome {
        "timeout" => acquirer.work(295, 300).await,
        _ => acquirer.work(20, 120).await,
    }
    let took = acquirer.elapsed();
    shop.charges.record(outcome, took, &acquirer.span_context());
    shop.payments.add(1, &[KeyValue::new("outcome", outcome)]);
    let answer = failure.map_or(Ok(()), Err);
    if let Err(failure) = &answer {
        acquirer.raise(failure);
    }
    acquirer.answered(answer)
}

fn declined() -> Failure {
    Failure {
        kind: "CardDeclined",
        status: 502,
        message: "card declined: issuer unavailable".to_owned(),
    }
}

fn timed_out() -> Failure {
    Failure {
        kind: "AcquirerTimeout",
        status: 504,
        message: "acquirer did not answer within 300 ms".to_owned(),
    }
}

/// Has the untraced service write the invoice; its lines alone tell what it did.
async fn invoice(
    shop: &Shop,
    payment: &Activity<'_>,
    order_id: &str,
    cents: i64,
) -> Result<(), Failure> {
    let call = payment.call("POST", super::legacy::SERVICE, "/invoices");
    let request_id = call.request_id.clone();
    let written = async {
        let pairs = format!("order={order_id} cents={cents}");
        shop.legacy.info(&request_id, "invoice requested", &pairs)?;
        call.work(5, 60).await;
        if call.dice().percent(5) {
            shop.legacy
                .error(&request_id, "ledger is locked, posting again")?;
            call.work(20, 80).await;
        }
        let pairs = format!("order={order_id} took_ms={}", call.elapsed().as_millis());
        shop.legacy.info(&request_id, "invoice posted", &pairs)
    };
    let answer = written.await.map_err(|error| Failure {
        kind: "LegacyUnavailable",
        status: 502,
        message: format!("{} cannot write: {error}", super::legacy::SERVICE),
    });
    if let Err(failure) = &answer {
        call.raise(failure);
    }
    call.answered(answer)
}

/// Ships orders until the shop has closed and the queue is empty.
pub(super) async fn shipping_worker(
    shop: Arc<Shop>,
    orders: Arc<Mutex<mpsc::Receiver<Order>>>,
    doors_closed: CancellationToken,
) {
    loop {
        let next = async {
            let mut orders = orders.lock().await;
            tokio::select! {
                biased;
                order = orders.recv() => order,
                () = doors_closed.cancelled() => None,
            }
        };
        let Some(order) = next.await else {
            return;
        };
        shop.waiting.fetch_sub(1, Ordering::Relaxed);
        let draws = Draws::new(shop.seed, order.request, Stream::Order);
        draws.scope(ship(&shop, order)).await;
        shop.count_shipped();
    }
}

/// Ships one order, in a trace of its own.
async fn ship(shop: &Shop, order: Order) {
    let parcel = shop
        .shipping
        .consume(QUEUE, &order.message_id, &order.headers);
    parcel.info(format!("message {} received", order.message_id));
    let label = parcel.step("print label");
    label.work(5, 40).await;
    drop(label);
    let taken = reserve(shop, &parcel, order.product, "DELETE", "/reservations").await;
    if let Err(failure) = taken {
        parcel.warn(format!("the stock was not corrected: {failure}"));
    }
    let call = parcel.call("POST", "notification", "/emails");
    let notification = shop.notification.serve("POST", "/emails", &call.headers());
    let mail = notification.step("render template");
    mail.work(2, 15).await;
    drop(mail);
    notification.info(format!("mail about {} sent", order.product.id));
    // Sending a mail cannot fail here, so there is nothing to pass on.
    if call.answered(notification.answer(Ok(()))).is_ok() {
        parcel.info(format!("{} is on its way", order.product.id));
    }
    parcel.processed();
}
