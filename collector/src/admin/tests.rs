use std::path::Path;
use std::sync::Arc;

use env::Env;
use tempfile::tempdir;

use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff";

fn admin(dir: &Path) -> Admin {
    let decoder = Arc::new(crate::Decoder::default());
    let store = Store::open(Env::real(), dir, storage::Options::default(), decoder).unwrap();
    Admin::new(store, KEY.to_owned())
}

fn request(method: &str, path: &str, authorization: Option<&str>, body: String) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if let Some(authorization) = authorization {
        builder = builder.header("authorization", authorization);
    }
    builder.body(Body::from(body)).unwrap()
}

async fn status(admin: &Admin, request: Request<Body>) -> u16 {
    admin.answer(request).await.status().as_u16()
}

#[tokio::test]
async fn without_the_key_nothing_happens() {
    let dir = tempdir().unwrap();
    let admin = admin(&dir.path().join("data"));
    let target = dir.path().join("copy");
    let body = || json!({"dir": target}).to_string();
    let short = format!("Bearer {}", &KEY[1..]);
    let long = format!("Bearer {KEY}0");
    let basic = format!("Basic {KEY}");
    let wrong = [
        None,
        Some("Bearer "),
        Some(&*short),
        Some(&*long),
        Some(&*basic),
        Some(KEY),
    ];
    for authorization in wrong {
        let ask = request("POST", SNAPSHOT, authorization, body());
        assert_eq!(status(&admin, ask).await, 401, "{authorization:?}");
    }
    assert!(!target.exists());
    let key = format!("Bearer {KEY}");
    let ask = request("POST", SNAPSHOT, Some(&key), body());
    let answer = admin.answer(ask).await;
    assert_eq!(answer.status(), 200);
    assert!(target.join("store").is_dir());
}

#[tokio::test]
async fn what_cannot_be_answered_says_why() {
    let dir = tempdir().unwrap();
    let admin = admin(&dir.path().join("data"));
    let key = format!("Bearer {KEY}");
    let there = json!({"dir": dir.path()}).to_string();
    for (method, path, body, expected) in [
        ("GET", SNAPSHOT, String::new(), 405),
        ("POST", "/admin/v1/other", String::new(), 404),
        ("POST", SNAPSHOT, "{".to_owned(), 400),
        ("POST", SNAPSHOT, json!({"dir": "copy"}).to_string(), 400),
        (
            "POST",
            SNAPSHOT,
            json!({"dir": "/x", "key": 1}).to_string(),
            400,
        ),
        ("POST", SNAPSHOT, there, 400),
        ("POST", SNAPSHOT, "x".repeat(BODY_BYTES_MAX + 1), 400),
    ] {
        let ask = request(method, path, Some(&key), body);
        let answer = admin.answer(ask).await;
        assert_eq!(answer.status().as_u16(), expected, "{method} {path}");
        let body = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
    }
}
