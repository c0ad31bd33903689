//! Which web pages may read answers.

use http::Method;

use super::*;

/// Status, the origin that may read the answer, and what the answer varies by.
async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    origin: Option<&str>,
) -> (u16, String, bool) {
    let mut request = server
        .client
        .request(method, format!("{}{path}", server.base));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let response = request.send().await.unwrap();
    let headers = response.headers();
    let allowed = headers.get("access-control-allow-origin");
    let allowed = allowed.map_or("", |origin| origin.to_str().unwrap());
    let mut varies = headers.get_all("vary").iter();
    let varies = varies.any(|value| value.to_str().unwrap().eq_ignore_ascii_case("origin"));
    (response.status().as_u16(), allowed.to_owned(), varies)
}

const QUERY: &str = "/prometheus/api/v1/query?query=1";
const PAGE: &str = "https://graphs.example.com";

#[tokio::test]
async fn no_page_may_read_unless_it_is_named() {
    let server = serve(&[&Memory::new("a")], |_| {}).await;
    let silent = |status| (status, String::new(), false);
    assert_eq!(
        ask(&server, Method::GET, QUERY, Some(PAGE)).await,
        silent(200)
    );
    let options = ask(&server, Method::OPTIONS, QUERY, Some(PAGE)).await;
    assert_eq!(options, silent(204));
}

#[tokio::test]
async fn pages_that_are_named_may_read_what_is_read_and_nothing_else() {
    let pattern = regex::Regex::new("^(?s:https://.*[.]example[.]com)$").unwrap();
    let server = serve(&[&Memory::new("a")], |options| {
        options.cors_origin = Some(pattern);
    })
    .await;
    let allowed = |status| (status, PAGE.to_owned(), true);
    assert_eq!(
        ask(&server, Method::GET, QUERY, Some(PAGE)).await,
        allowed(200)
    );
    assert_eq!(
        ask(&server, Method::OPTIONS, QUERY, Some(PAGE)).await,
        allowed(204)
    );
    let bad = "/prometheus/api/v1/query?query=(";
    assert_eq!(
        ask(&server, Method::GET, bad, Some(PAGE)).await,
        allowed(400)
    );
    for origin in [
        None,
        Some("https://graphs.example.com.evil.test"),
        Some("null"),
    ] {
        let answer = ask(&server, Method::GET, QUERY, origin).await;
        assert_eq!(answer, (200, String::new(), true), "{origin:?}");
    }
    for path in [
        "/prometheus/api/v1/write",
        "/prometheus/api/v1/otlp/v1/metrics",
        "/v1/metrics",
        "/api/v1/services",
    ] {
        let (status, origin, _) = ask(&server, Method::OPTIONS, path, Some(PAGE)).await;
        assert!(
            status >= 400 && origin.is_empty(),
            "{path}: {status} {origin}"
        );
    }
}
