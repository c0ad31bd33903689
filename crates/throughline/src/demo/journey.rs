//! What a customer's request does on its way through the shop, up to the order.

use super::orders;
use super::service::{Activity, Failure, Headers, REQUEST_ID};
use super::shop::Shop;

/// A product: its id and its price in cents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) cents: i64,
}

const PRODUCTS: [Product; 8] = [
    product("anorak", 12_900),
    product("bivouac-tent", 34_900),
    product("compass", 2_450),
    product("dry-bag", 1_990),
    product("enamel-mug", 990),
    product("fire-steel", 1_290),
    product("gas-stove", 5_990),
    product("head-torch", 3_790),
];

const fn product(id: &'static str, cents: i64) -> Product {
    Product { id, cents }
}

/// One request of a customer, from the click to the page.
pub(super) async fn customer(shop: &Shop, number: u64) -> Result<(), Failure> {
    let dice = &shop.frontend.dice;
    let request_id = dice.uuid();
    let user = format!("user-{:03}", dice.draw(|rng| rng.u32(0..200)));
    let kind = dice.draw(|rng| rng.u32(0..100));
    let product = PRODUCTS[dice.draw(|rng| rng.usize(0..PRODUCTS.len()))];
    let headers = Headers::from([(REQUEST_ID.to_owned(), request_id)]);
    match kind {
        0..45 => {
            let page = shop.frontend.serve("GET", "/product", &headers);
            page.set("user.id", user);
            let answer = browse(shop, &page, product).await;
            page.answer(answer)
        }
        45..65 => {
            let page = shop.frontend.serve("POST", "/cart", &headers);
            page.set("user.id", user);
            let answer = fill_cart(shop, &page, product).await;
            page.answer(answer)
        }
        _ => {
            let page = shop.frontend.serve("POST", "/checkout", &headers);
            page.set("user.id", user.clone());
            page.info(format!("checkout of {user} begins"));
            let answer = buy(shop, &page, number, product).await;
            if let Err(failure) = &answer {
                page.warn(format!("checkout of {user} failed: {failure}"));
            }
            page.answer(answer)
        }
    }
}

/// Begins the gateway's part of a request.
fn gateway<'a>(
    shop: &'a Shop,
    page: &Activity<'_>,
    call: &Activity<'_>,
    method: &'static str,
    route: &'static str,
) -> Activity<'a> {
    let entry = shop.gateway.serve(method, route, &call.headers());
    let ids = vec![opentelemetry::StringValue::from(page.request_id.clone())];
    let ids = opentelemetry::Value::Array(opentelemetry::Array::String(ids));
    entry.set("http.request.header.x-request-id", ids);
    entry
}

/// A product's page: the product and what goes with it, asked for at once.
async fn browse(shop: &Shop, page: &Activity<'_>, product: Product) -> Result<(), Failure> {
    page.work(1, 5).await;
    let call = page.call("GET", "gateway", "/api/product");
    let entry = gateway(shop, page, &call, "GET", "/api/product");
    let (found, proposed) = tokio::join!(
        look_up(shop, &entry, product),
        recommend(shop, &entry, product)
    );
    // A page without proposals is still a page.
    if let Err(failure) = proposed {
        entry.warn(format!("no recommendations: {failure}"));
    }
    let answer = call.answered(entry.answer(found));
    page.work(1, 10).await;
    answer
}

/// Reads a product from the catalogue.
async fn look_up(shop: &Shop, caller: &Activity<'_>, product: Product) -> Result<(), Failure> {
    let call = caller.call("GET", "catalog", "/products");
    let catalog = shop.catalog.serve("GET", "/products", &call.headers());
    catalog.set("product.id", product.id);
    catalog.work(1, 4).await;
    let query = catalog.query(
        "postgresql",
        "SELECT id, title, price FROM products WHERE id = $1",
    );
    query.work(2, 25).await;
    drop(query);
    catalog.info(format!("product {} found", product.id));
    call.answered(catalog.answer(Ok(())))
}

async fn recommend(shop: &Shop, caller: &Activity<'_>, product: Product) -> Result<(), Failure> {
    let call = caller.call("GET", "recommendation", "/recommendations");
    let service = shop
        .recommendation
        .serve("GET", "/recommendations", &call.headers());
    let model = service.step("rank candidates");
    model.set("product.id", product.id);
    model.work(10, 80).await;
    drop(model);
    let answer = if service.dice().percent(3) {
        let failure = Failure {
            kind: "ModelNotLoaded",
            status: 503,
            message: "model ranker-7 is not loaded yet".to_owned(),
        };
        service.raise(&failure);
        Err(failure)
    } else {
        Ok(())
    };
    call.answered(service.answer(answer))
}

async fn fill_cart(shop: &Shop, page: &Activity<'_>, product: Product) -> Result<(), Failure> {
    let call = page.call("POST", "gateway", "/api/cart");
    let entry = gateway(shop, page, &call, "POST", "/api/cart");
    let to_cart = entry.call("POST", "cart", "/items");
    let cart = shop.cart.serve("POST", "/items", &to_cart.headers());
    cart.set("product.id", product.id);
    let known = look_up(shop, &cart, product).await;
    let write = cart.query("redis", "HSET cart");
    write.work(1, 6).await;
    drop(write);
    cart.info(format!("{} put into the cart", product.id));
    let answer = to_cart.answered(cart.answer(known));
    call.answered(entry.answer(answer))
}

/// Reads the cart and orders what is in it.
async fn buy(
    shop: &Shop,
    page: &Activity<'_>,
    number: u64,
    product: Product,
) -> Result<(), Failure> {
    page.work(1, 5).await;
    let call = page.call("POST", "gateway", "/api/checkout");
    let entry = gateway(shop, page, &call, "POST", "/api/checkout");
    entry.work(1, 3).await;
    let to_checkout = entry.call("POST", "checkout", "/orders");
    let checkout = shop
        .checkout
        .serve("POST", "/orders", &to_checkout.headers());
    let answer = orders::place(shop, &checkout, number, product).await;
    let answer = to_checkout.answered(checkout.answer(answer));
    call.answered(entry.answer(answer))
}

/// Reads the customer's cart.
pub(super) async fn read_cart(shop: &Shop, caller: &Activity<'_>) -> Result<(), Failure> {
    let call = caller.call("GET", "cart", "/items");
    let cart = shop.cart.serve("GET", "/items", &call.headers());
    let read = cart.query("redis", "HGETALL cart");
    read.work(1, 6).await;
    drop(read);
    call.answered(cart.answer(Ok(())))
}
